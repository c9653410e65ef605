// From values to places along an axis, and where the axis has its ticks.
//
// May use: Figure; Foundation, for logarithms.

import Foundation

/// One axis of a chart.
struct Scale: Sendable, Equatable {
  struct Tick: Sendable, Equatable {
    var value: Double
    var label: String
  }

  private enum Kind: Equatable {
    case linear, logarithmic
    /// By the logarithm of what is missing to 1, up to where 1 itself is drawn.
    case recall(end: Double)
  }

  private let kind: Kind
  /// Of what `measure` gives.
  private let from: Double
  private let to: Double
  let ticks: [Tick]

  /// Where a value is, from 0 at the axis's beginning to 1 at its end; values beyond are at its ends.
  func place(_ value: Double) -> Double {
    guard to > from, value.isFinite else { return 0.5 }
    return min(1, max(0, (Self.measure(value, kind) - from) / (to - from)))
  }

  private static func measure(_ value: Double, _ kind: Kind) -> Double {
    switch kind {
    case .linear: value
    case .logarithmic: log10(max(value, .leastNormalMagnitude))
    case .recall(let end): value >= 1 ? end : min(end, -log10(1 - max(0, value)))
    }
  }

  // Kinds -----------------------------------------------------------------------------------------

  /// Ticks at 1, 2 or 5 times a power of ten, about five; the axis ends at ticks.
  static func linear(_ values: [Double], fromZero: Bool = true, label: (Double) -> String = Figure.plain) -> Scale {
    let sound = values.filter(\.isFinite)
    var least = sound.min() ?? 0
    var most = sound.max() ?? 1
    if fromZero {
      least = min(0, least)
      most = max(0, most)
    }
    if most <= least { most = least + (least == 0 ? 1 : abs(least)) }
    let step = niceStep(atLeast: (most - least) / 6)
    // A quotient of round numbers may lie a hair beside a whole one.
    let hair = 1e-9
    let first = (least / step + hair).rounded(.down)
    let last = (most / step - hair).rounded(.up)
    let ticks = stride(from: first, through: last, by: 1).map { multiple -> Tick in
      // A multiple of a power of ten below 1 is no round binary number: rounded, so that 0.3 is not 0.30000000000000004.
      let value = rounded(multiple * step, to: step)
      return Tick(value: value, label: label(value))
    }
    return Scale(kind: .linear, from: first * step, to: last * step, ticks: ticks)
  }

  /// Ticks at powers of ten, and where those are few at 2 and 5 times them. What is not above zero has no place and is left out.
  static func logarithmic(_ values: [Double], label: (Double) -> String = Figure.plain) -> Scale {
    let sound = values.filter { $0.isFinite && $0 > 0 }
    guard let least = sound.min(), let most = sound.max() else {
      return Scale(kind: .logarithmic, from: 0, to: 1, ticks: [1.0, 10].map { Tick(value: $0, label: label($0)) })
    }
    // The steps around all values.
    let exponents = Int(log10(least).rounded(.down))...Int(log10(most).rounded(.up)) + 1
    let steps = exponents.flatMap { exponent in [1.0, 2, 5].map { $0 * pow(10, Double(exponent)) } }
    let tolerance = 1e-9
    let first = steps.last { $0 <= least * (1 + tolerance) } ?? least
    var last = steps.first { $0 >= most * (1 - tolerance) } ?? most
    if last <= first { last = steps.first { $0 > first } ?? first * 10 }
    let decades = log10(last / first)
    func isWanted(_ step: Double) -> Bool {
      if decades <= 2.5 { return true }
      return isPowerOfTen(step) && (decades <= 7 || Int(log10(step).rounded()) % 2 == 0)
    }
    let ticks = steps.filter { $0 >= first && $0 <= last && isWanted($0) }.map { Tick(value: $0, label: label($0)) }
    return Scale(kind: .logarithmic, from: log10(first), to: log10(last), ticks: ticks)
  }

  /// Recalls by how much is missing: .9, .99 and .999 are as far apart as their numbers of faults are. 1, where nothing is missing, would be
  /// infinitely far; it is drawn a little behind the best recall below it.
  static func recall(_ values: [Double]) -> Scale {
    let sound = values.filter { $0.isFinite }.map { min(1, max(0, $0)) }
    let below = max(0.95, sound.filter { $0 < 1 }.max() ?? 0)
    let end = -log10(1 - min(below, 0.99999)) + 0.3
    let kind = Kind.recall(end: end)
    let least = min(sound.min() ?? 0.8, 0.9)
    let from = max(0, measure(least, kind) - 0.04)
    let to = (sound.contains(1) ? end : measure(below, kind)) + 0.04
    func place(_ value: Double) -> Double { (measure(value, kind) - from) / (to - from) }
    var chosen: [Double] = []
    // The numbers that people compare at come first; others where there is room.
    for value in [1, 0.9, 0.95, 0.99, 0.999, 0.5, 0.8, 0.9999, 0.98, 0.995, 0.7, 0.998, 0.9995, 0.3, 0.0] {
      guard (0...1).contains(place(value)), value < 1 || sound.contains(1),
        chosen.allSatisfy({ abs(place($0) - place(value)) >= 0.075 })
      else { continue }
      chosen.append(value)
    }
    return Scale(
      kind: kind, from: from, to: to, ticks: chosen.sorted().map { Tick(value: $0, label: Figure.plain($0)) })
  }

  /// Names side by side, with half a step of room at both ends; the value of each is its number.
  static func named(_ names: [String]) -> Scale {
    Scale(
      kind: .linear, from: -0.5, to: Double(max(1, names.count)) - 0.5,
      ticks: names.enumerated().map { Tick(value: Double($0), label: $1) })
  }

  // Steps -----------------------------------------------------------------------------------------

  /// The least of 1, 2 and 5 times a power of ten that is not below `width`.
  static func niceStep(atLeast width: Double) -> Double {
    guard width.isFinite, width > 0 else { return 1 }
    let power = pow(10, log10(width).rounded(.down))
    let tolerance = 1 - 1e-9
    return [1.0, 2, 5, 10].map { $0 * power }.first { $0 >= width * tolerance } ?? 10 * power
  }

  private static func rounded(_ value: Double, to step: Double) -> Double {
    let digits = max(0, -log10(step).rounded(.down))
    guard digits < 12 else { return value }
    let unit = pow(10, digits)
    return (value * unit).rounded() / unit
  }

  private static func isPowerOfTen(_ value: Double) -> Bool { abs(log10(value) - log10(value).rounded()) < 1e-6 }
}
