// Options that are lists of numbers.
//
// May use: ArgumentParser, for its errors.

import ArgumentParser

enum NumberList {
  /// Whole numbers, each once, in the order given.
  /// - Throws: `ValidationError`, naming the option and what is wrong with it.
  static func counts(_ text: String, _ option: String, in range: ClosedRange<Int>) throws(ValidationError) -> [Int] {
    try list(text, option, in: range) { Int($0) }
  }

  static func numbers(
    _ text: String, _ option: String, in range: ClosedRange<Double>
  ) throws(ValidationError) -> [Double] {
    try list(text, option, in: range) { Double($0) }
  }

  private static func list<Number: Comparable>(
    _ text: String, _ option: String, in range: ClosedRange<Number>, _ parse: (String) -> Number?
  ) throws(ValidationError) -> [Number] {
    var numbers: [Number] = []
    for word in text.split(separator: ",") {
      guard let number = parse(word.filter { $0 != " " }), range.contains(number) else {
        throw ValidationError(
          "\(option): \"\(word)\" is no number from \(range.lowerBound) to \(range.upperBound)")
      }
      if !numbers.contains(number) { numbers.append(number) }
    }
    guard !numbers.isEmpty else { throw ValidationError("\(option) is empty") }
    return numbers
  }
}
