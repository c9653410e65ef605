// Amounts of memory, as people and Postgres write them.
//
// May use: Foundation, for formats.

import Foundation

extension Int {
  /// Bytes in words: `1.5 GB`, `640 MB`, by powers of 1024 as Postgres counts them.
  var asMemory: String {
    for (shift, unit) in [(30, "GB"), (20, "MB"), (10, "kB")] where self >= 1 << shift {
      let amount = Double(self) / Double(1 << shift)
      return String(format: amount < 10 ? "%.1f" : "%.0f", amount) + " " + unit
    }
    return "\(self) B"
  }

  /// Reads an amount as Postgres writes it: `2GB`, `512MB`, `65536kB`; without a unit kilobytes, as there.
  init?(memory text: String) {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    let unit = text.dropFirst(digits.count).trimmingPrefix { $0 == " " }
    let shifts = ["": 10, "kB": 10, "MB": 20, "GB": 30, "TB": 40]
    guard let number = Int(digits), let shift = shifts[String(unit)], number < 1 << (62 - shift) else { return nil }
    self = number << shift
  }
}
