// When requests are due. The times are set before anything is sent: a server that is slow does not slow them down.
//
// May use: SplitMix; libc's logarithm.

import ArgumentParser
import Glibc

/// How the times lie.
enum ArrivalSpacing: String, Sendable, CaseIterable, ExpressibleByArgument {
  /// As of many people who know nothing of each other: the gaps are exponential.
  case poisson
  /// One after the other at equal gaps, which asks less of a server than people do.
  case even
}

/// The times at which one thread's requests are due, in nanoseconds from the beginning. Endless.
///
/// The threads of one step share its rate: Poisson processes add up to one, and even ones are put between each other.
struct ArrivalSchedule: Sequence, IteratorProtocol, Sendable {
  private let spacing: ArrivalSpacing
  /// Between two requests of this thread, on average.
  private let gapNanoseconds: Double
  private let firstNanoseconds: Double
  private var random: SplitMix
  private var count = 0.0
  private var last = 0.0

  /// The rates that a load may be asked for.
  static let rateRange = 0.001...1e7
  /// What is due later is due then, in a hundred years: a time that a schedule's reader can still add to its own.
  private static let nanosecondsMax = 4e18

  /// - rate: requests a second, of all threads together.
  /// - Precondition: `rate` is above 0, and `thread` is one of the `threads`.
  init(rate: Double, spacing: ArrivalSpacing, seed: UInt64, thread: Int = 0, threads: Int = 1) {
    precondition(rate > 0 && (0..<threads).contains(thread), "a rate, and a thread of so many")
    self.spacing = spacing
    gapNanoseconds = 1e9 * Double(threads) / rate
    firstNanoseconds = 1e9 * Double(thread) / rate
    // Each thread draws its own numbers; the increment is SplitMix's own, taken often enough to be far apart.
    random = SplitMix(state: seed &+ UInt64(thread) &* 0xD1B5_4A32_D192_ED03)
  }

  mutating func next() -> Int64? {
    switch spacing {
    case .even:
      // From the count and not from the last, so that no error adds up.
      defer { count += 1 }
      return Self.time(firstNanoseconds + count * gapNanoseconds)
    case .poisson:
      // 1 − u is above 0.
      last -= log(1 - Double.random(in: 0..<1, using: &random)) * gapNanoseconds
      return Self.time(last)
    }
  }

  private static func time(_ nanoseconds: Double) -> Int64 { Int64(Swift.min(nanoseconds, nanosecondsMax)) }
}
