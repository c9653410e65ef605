// How figures are written for people: the same on the terminal and on the page.
//
// May use: Foundation, for the formats of numbers.

import Foundation

/// Texts of figures. What is no number, or is absent, is a dash.
enum Figure {
  static let none = "–"

  /// With three digits that count at least, and thousands apart: `0.0123`, `1.23`, `12.3`, `1,234`.
  static func number(_ value: Double?) -> String {
    guard let value, value.isFinite else { return none }
    let size = abs(value)
    // Each bound is where rounding leads to the next digit in front.
    if size >= 99.95 { return grouped(value) }
    if size >= 9.995 { return fixed(value, 1) }
    if size >= 0.9995 { return fixed(value, 2) }
    if size >= 0.09995 { return fixed(value, 3) }
    if size == 0 { return "0" }
    return size >= 0.0001 ? fixed(value, 4) : String(format: "%.1e", value)
  }

  static func number(_ value: Int) -> String { grouped(Double(value)) }

  /// As it was asked for: `40`, `0.95`.
  static func plain(_ value: Double) -> String {
    guard value.isFinite else { return none }
    return value == value.rounded() && abs(value) < 1e15 ? String(Int(value)) : trimmed(String(format: "%.6f", value))
  }

  /// Four digits behind the point, as recalls differ in the third.
  static func recall(_ value: Double?) -> String {
    guard let value, value.isFinite else { return none }
    return fixed(value, 4)
  }

  /// `× 1.23`.
  static func ratio(_ value: Double) -> String { value.isFinite ? "× \(number(value))" : none }

  /// `999 B`, `12.3 MB`: powers of ten, as file sizes are.
  static func bytes(_ count: Int?) -> String {
    guard let count else { return none }
    var value = Double(count)
    for unit in ["B", "kB", "MB", "GB"] {
      if value < 999.5 { return "\(unit == "B" ? String(count) : number(value)) \(unit)" }
      value /= 1_000
    }
    return "\(number(value)) TB"
  }

  /// `0.123 s`, `12.3 s`, `4 min 5 s`, `2 h 3 min`.
  static func seconds(_ value: Double?) -> String {
    guard let value, value.isFinite else { return none }
    guard value >= 99.95 else { return "\(number(value)) s" }
    let whole = Int(min(value.rounded(), 1e12))
    if whole < 3_600 { return "\(whole / 60) min \(whole % 60) s" }
    return "\(whole / 3_600) h \(whole % 3_600 / 60) min"
  }

  /// Of microseconds: `12.3 µs`, `1.23 ms`, `1.23 s`.
  static func duration(microseconds value: Double?) -> String {
    guard let value, value.isFinite else { return none }
    if value < 999.5 { return "\(number(value)) µs" }
    return value < 999_500 ? "\(number(value / 1e3)) ms" : "\(number(value / 1e6)) s"
  }

  /// Of a round number: `0.5`, `50`, `5,000`.
  static func tick(_ value: Double) -> String { abs(value) < 1_000 ? plain(value) : number(value) }

  /// Of a whole number of microseconds, milliseconds or seconds, as ticks are: `100 µs`, `2 ms`.
  static func durationTick(_ value: Double) -> String {
    if value < 1e3 { return "\(plain(value)) µs" }
    return value < 1e6 ? "\(plain(value / 1e3)) ms" : "\(plain(value / 1e6)) s"
  }

  /// `0.1 %`, `25 %`.
  static func percent(_ share: Double) -> String { share.isFinite ? "\(plain((share * 1e6).rounded() / 1e4)) %" : none }

  /// `11,900 – 12,800`; empty of one round, which has no spread.
  static func range(_ spread: Spread) -> String {
    spread.rounds > 1 ? "\(number(spread.least)) – \(number(spread.most))" : ""
  }

  /// `1 client`, `2 clients`.
  static func count(_ number: Int, _ thing: String, plural: String? = nil) -> String {
    "\(Self.number(number)) \(number == 1 ? thing : plural ?? thing + "s")"
  }

  private static func fixed(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }

  private static func grouped(_ value: Double) -> String {
    guard abs(value) < 1e15 else { return String(format: "%.2e", value) }
    let digits = String(format: "%.0f", abs(value))
    var text = ""
    for (i, digit) in digits.enumerated() {
      if i > 0, (digits.count - i) % 3 == 0 { text.append(",") }
      text.append(digit)
    }
    return value < 0 ? "-" + text : text
  }

  /// Without zeros at the end of its fraction.
  private static func trimmed(_ text: String) -> String {
    var text = text[...]
    while text.last == "0" { text = text.dropLast() }
    return String(text.last == "." ? text.dropLast() : text)
  }
}
