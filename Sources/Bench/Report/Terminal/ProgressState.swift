// How far a run is, and how long it has still to go.
//
// May use: Figure.

/// Steps of known shares of the whole. Times are seconds since the run began.
struct ProgressState: Sendable {
  private var all = 0.0
  private var done = 0.0
  /// Units of the current step, and how much of them is done.
  private var step = 0.0
  private var share = 0.0
  private(set) var doing = ""

  /// Below these an estimate would be a guess.
  private static let shareMin = 0.02
  private static let secondsMin = 3.0

  mutating func expect(units: Double) { all += max(0, units) }

  mutating func begin(_ doing: String, units: Double) {
    done += step
    step = max(0, units)
    share = 0
    self.doing = doing
  }

  mutating func advance(to share: Double) { self.share = share.isFinite ? min(1, max(self.share, share)) : self.share }

  /// From 0 to 1; never beyond, also where more was begun than expected.
  var fraction: Double { all > 0 ? min(1, (done + step * share) / all) : 0 }

  /// nil where it is too early to tell.
  func secondsLeft(at seconds: Double) -> Double? {
    guard fraction >= Self.shareMin, seconds >= Self.secondsMin else { return nil }
    return seconds * (1 - fraction) / fraction
  }

  /// `[██████░░░░]  60 %, 2 min 5 s left: building pgvector hnsw`, no wider than `width`.
  func bar(at seconds: Double, width: Int) -> String {
    let cells = 24
    let full = Int(fraction * Double(cells))
    let bar = String(repeating: "█", count: full) + String(repeating: "░", count: cells - full)
    let line = "[\(bar)] \(text(at: seconds))"
    return line.count > width ? String(line.prefix(max(0, width - 1))) + "…" : line
  }

  /// The same without the bar.
  func text(at seconds: Double) -> String {
    let left = secondsLeft(at: seconds).map { ", \(Figure.seconds($0.rounded())) left" } ?? ""
    let percent = String(Int(fraction * 100))
    return String(repeating: " ", count: 3 - percent.count) + "\(percent) %\(left): \(doing)"
  }
}
