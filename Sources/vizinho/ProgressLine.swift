// A progress bar: one line that is drawn anew on a terminal, and a line now and then elsewhere.
//
// May use: Foundation, for the clock.

import Foundation
import VectorServer

/// Draws how far a rebuild has come.
struct ProgressLine {
  private let isTerminal = isatty(STDERR_FILENO) == 1
  private let clock = ContinuousClock()
  private var phase = ""
  private var phaseStart = ContinuousClock.now
  private var lastLine = ContinuousClock.now

  /// How often to call ``draw(_:)``, in milliseconds.
  static let intervalMilliseconds = 200

  mutating func draw(_ progress: RebuildProgress) {
    let (name, done, total): (String, Int, Int) =
      switch progress {
      case .reading(let rows, let estimated): ("reading", rows, max(rows, estimated))
      case .linking(let rows, let total): ("linking", rows, total)
      case .calibrating: ("calibrating", 0, 0)
      case .saving: ("saving", 0, 0)
      }
    if name != phase {
      phase = name
      phaseStart = clock.now
      lastLine = clock.now
    } else if !isTerminal, clock.now - lastLine < .seconds(5) {
      return
    }
    lastLine = clock.now
    write(Self.text(name, done, total, seconds: (clock.now - phaseStart) / .seconds(1)))
  }

  /// Leaves the line to what comes next.
  func end() { if isTerminal { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) } }

  private func write(_ text: String) {
    let line = isTerminal ? "\r\u{1B}[K" + text : text + "\n"
    FileHandle.standardError.write(Data(line.utf8))
  }

  /// `linking  [#####.....]  52 %  45,000 of 86,694 rows  6,120 rows/s  0:07 left`
  static func text(_ name: String, _ done: Int, _ total: Int, seconds: Double) -> String {
    guard total > 0 else { return name }
    let width = 24
    let filled = min(width, done * width / total)
    let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: width - filled)
    var text = "\(name)  [\(bar)]  \(done * 100 / total) %  \(done.grouped) of \(total.grouped) rows"
    guard done > 0, seconds > 0.1 else { return text }
    let rate = Double(done) / seconds
    let left = Int((Double(total - done) / rate).rounded(.up))
    text += "  \(Int(rate).grouped) rows/s  \(left / 60):\(left % 60 < 10 ? "0" : "")\(left % 60) left"
    return text
  }
}
