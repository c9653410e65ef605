// Timestamps as text: ISO 8601 with an offset, in Postgres's range, without Foundation.
//
// May use: nothing but the standard library.

/// Microseconds since 2000-01-01 00:00 UTC, and how they are written.
public enum TimestampText {
  /// Postgres's first timestamp (4714-11-24 BC) and the one after its last (the year 294277).
  static let first: Int64 = -211_813_488_000_000_000
  static let end: Int64 = 9_223_371_331_200_000_000

  private static let dayMicroseconds: Int64 = 86_400_000_000
  /// Days of 400 years, after which the calendar repeats.
  private static let eraDays = 146_097
  /// Days from 0000-03-01 to 2000-01-01.
  private static let epochDays = 730_425

  static func isValid(_ microseconds: Int64) -> Bool {
    microseconds == .min || microseconds == .max || (first..<end).contains(microseconds)
  }

  /// `2024-01-31T12:00:00Z`, with a fraction where there is one; years before the first end in ` BC`, as in Postgres.
  public static func text(_ microseconds: Int64) -> String {
    if microseconds == .max { return "infinity" }
    if microseconds == .min { return "-infinity" }
    var days = Int(microseconds / dayMicroseconds)
    var rest = Int(microseconds % dayMicroseconds)
    if rest < 0 {
      days -= 1
      rest += Int(dayMicroseconds)
    }
    let (year, month, day) = date(days)
    let seconds = rest / 1_000_000
    var text = padded(year > 0 ? year : 1 - year, 4) + "-" + padded(month, 2) + "-" + padded(day, 2) + "T"
    text += padded(seconds / 3_600, 2) + ":" + padded(seconds / 60 % 60, 2) + ":" + padded(seconds % 60, 2)
    if rest % 1_000_000 != 0 {
      var fraction = Substring(padded(rest % 1_000_000, 6))
      while fraction.last == "0" { fraction.removeLast() }
      text += "." + fraction
    }
    return text + "Z" + (year > 0 ? "" : " BC")
  }

  /// Reads `YYYY-MM-DD(T| )hh:mm[:ss[.ffffff]](Z|±hh[[:]mm])[ BC]`, `infinity` or `-infinity`.
  /// - Returns: nil when it is none of these, no such day, or beyond Postgres's range.
  public static func parse(_ text: String) -> Int64? {
    let lower = text.lowercased()
    if lower == "infinity" { return .max }
    if lower == "-infinity" { return .min }
    var scanner = Scanner(bytes: Array(text.utf8.prefix(64)))
    guard text.utf8.count <= 64,
      let writtenYear = scanner.number(4...6), scanner.take("-"), let month = scanner.number(2...2), scanner.take("-"),
      let day = scanner.number(2...2), scanner.take("T") || scanner.take("t") || scanner.take(" "),
      let hour = scanner.number(2...2), scanner.take(":"), let minute = scanner.number(2...2)
    else { return nil }
    var second = 0
    var fraction = 0
    if scanner.take(":") {
      guard let whole = scanner.number(2...2) else { return nil }
      second = whole
      if scanner.take(".") {
        let start = scanner.position
        guard var digits = scanner.number(1...6) else { return nil }
        for _ in (scanner.position - start)..<6 { digits *= 10 }
        fraction = digits
      }
    }
    var offsetMinutes = 0
    if !scanner.take("Z"), !scanner.take("z") {
      let isEast = scanner.take("+")
      guard isEast || scanner.take("-"), let hours = scanner.number(2...2) else { return nil }
      var minutes = 0
      if scanner.take(":") || !scanner.isAtEndOrSpace {
        guard let number = scanner.number(2...2) else { return nil }
        minutes = number
      }
      guard hours < 16, minutes < 60 else { return nil }
      offsetMinutes = (hours * 60 + minutes) * (isEast ? 1 : -1)
    }
    var year = writtenYear
    guard year > 0 else { return nil }
    if scanner.take(" ") {
      guard scanner.take("B"), scanner.take("C") else { return nil }
      year = 1 - year
    }
    guard scanner.isAtEnd, (1...12).contains(month), (1...daysInMonth(year, month)).contains(day), hour < 24,
      minute < 60, second < 60
    else { return nil }
    let seconds = hour * 3_600 + (minute - offsetMinutes) * 60 + second
    let (whole, overflows) = Int64(days(year, month, day)).multipliedReportingOverflow(by: dayMicroseconds)
    guard !overflows else { return nil }
    let (value, overflowsToo) = whole.addingReportingOverflow(Int64(seconds) * 1_000_000 + Int64(fraction))
    return !overflowsToo && (first..<end).contains(value) ? value : nil
  }

  private static func daysInMonth(_ year: Int, _ month: Int) -> Int {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  /// Days since 2000-01-01, in the Gregorian calendar for all times. Years begin in March, so that a leap day is a year's last.
  private static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
    let year = month > 2 ? year : year - 1
    let era = (year >= 0 ? year : year - 399) / 400
    let yearOfEra = year - era * 400
    let dayOfYear = (153 * ((month + 9) % 12) + 2) / 5 + day - 1
    return era * eraDays + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - epochDays
  }

  private static func date(_ days: Int) -> (year: Int, month: Int, day: Int) {
    let days = days + epochDays
    let era = (days >= 0 ? days : days - (eraDays - 1)) / eraDays
    let dayOfEra = days - era * eraDays
    let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
  }

  private static func padded(_ number: Int, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }

  private struct Scanner {
    let bytes: [UInt8]
    var position = 0

    var isAtEnd: Bool { position == bytes.count }
    var isAtEndOrSpace: Bool { isAtEnd || bytes[position] == UInt8(ascii: " ") }

    mutating func take(_ character: Unicode.Scalar) -> Bool {
      guard !isAtEnd, bytes[position] == UInt8(ascii: character) else { return false }
      position += 1
      return true
    }

    /// As many digits as there are and `counts` allows; nil when they are too few.
    mutating func number(_ counts: ClosedRange<Int>) -> Int? {
      var value = 0
      var count = 0
      while count < counts.upperBound, !isAtEnd, (0x30...0x39).contains(bytes[position]) {
        value = value * 10 + Int(bytes[position] - UInt8(ascii: "0"))
        position += 1
        count += 1
      }
      return count >= counts.lowerBound ? value : nil
    }
  }
}
