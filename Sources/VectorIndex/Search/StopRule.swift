// When a walk has seen enough.
//
// May use: nothing but the standard library.

/// How many nearest a walk keeps, and how far beyond them it looks.
///
/// A node is expanded when its distance is below `d + |d + shift| · (reach − 1)`, where `d` is the distance of the `rank`-th
/// nearest found so far. With `rank` = `limit` = ef and nothing beyond, that is the paper's Algorithm 2. With the `rank` of the last
/// result and a reach over 1 it is adaptive beam search (Al-Jazzazi et al., arXiv:2505.15636): an easy query stops early, a hard
/// one goes on.
struct StopRule {
  /// Nearest that are wanted in the end.
  var results: Int
  var limit: Int
  var rank: Int
  var reach: Float = 1
  /// What is added to a distance before the reach stretches it, so that one that is zero, or less, is stretched too
  /// (RecallCurve.swift). Where a row came later that is nearer than `−shift`, the size counts: the bound is never below `d`.
  var shift: Float = 0

  /// How many of the walk's nearest are scored with the fine rows, where it went by codes.
  @inline(__always)
  static func scored(results: Int) -> Int { max(2 * results, results + 10) }

  /// Algorithm 2's.
  static func effort(_ ef: Int, results: Int) -> StopRule { StopRule(results: results, limit: ef, rank: ef) }

  @inline(__always)
  func bound(_ nearest: borrowing NearestList) -> Float {
    bound(nearest, reach: reach)
  }

  /// The bound with another reach.
  @inline(__always)
  func bound(_ nearest: borrowing NearestList, reach: Float) -> Float {
    guard nearest.count >= rank else { return .infinity }
    let distance = nearest.distance(at: rank &- 1)
    return distance + abs(distance + shift) * (reach - 1)
  }
}
