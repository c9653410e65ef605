// How long something short takes: medians of repetitions, in turn.
//
// May use: the clock of this thread's processor time.

import Glibc

/// How often a figure is taken, and how long each time.
struct Timing {
  var repetitions: Int
  var milliseconds: Double

  /// Does some work, tens of microseconds of it so that the clock costs nothing, and returns how many units of it that were.
  typealias Pass = () -> Int

  /// For each of `passes` the median over the repetitions of the nanoseconds that one unit of its work takes. They take turns, so that
  /// a slow minute of the machine hits all alike, and what counts is the processor time of this thread: others who use its processor do
  /// not. One more repetition comes first and does not count: it warms caches.
  func nanoseconds(_ passes: [Pass]) -> [Double] {
    var found = [[Double]](repeating: [], count: passes.count)
    for repetition in 0...repetitions {
      for (i, pass) in passes.enumerated() {
        var units = 0
        var elapsed = 0.0
        let start = Self.processorNanoseconds()
        repeat {
          units += pass()
          elapsed = Self.processorNanoseconds() - start
        } while elapsed < milliseconds * 1e6
        if repetition > 0 { found[i].append(elapsed / Double(units)) }
      }
    }
    return found.map(median)
  }

  private static func processorNanoseconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
  }
}

/// - Precondition: there are values.
func median(_ values: [Double]) -> Double {
  precondition(!values.isEmpty, "nothing has no median")
  let sorted = values.sorted()
  return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
}
