// When a walk has seen enough.
//
// May use: nothing but the standard library.

/// How many nearest a walk keeps, and how far beyond them it looks.
///
/// A node is expanded when its distance is below `d + |d + shift| · (reach − 1)`, where `d` is the `rank`-th smallest of the distances
/// found so far. With `rank` = `limit` = ef and nothing beyond, that is the paper's Algorithm 2. With the `rank` of the last
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

  /// How many of one distance the walk's list keeps: all that may be scored. More would be of no use (NearestList.swift).
  @inline(__always)
  var copiesMax: Int { Self.scored(results: results) }

  /// Algorithm 2's.
  static func effort(_ ef: Int, results: Int) -> StopRule { StopRule(results: results, limit: ef, rank: ef) }

  @inline(__always)
  func bound(_ nearest: borrowing NearestList) -> Float {
    bound(nearest, reach: reach)
  }

  /// The bound with another reach.
  @inline(__always)
  func bound(_ nearest: borrowing NearestList, reach: Float) -> Float {
    // Copies of one vector count as one, or a few of them would draw the bound to themselves.
    var near = nearest.count
    if rank < limit, let found = nearest.entries(ofNearest: rank) {
      near = found
    } else if nearest.bound == Candidate.none {
      return .infinity
    }
    // A list that has enough has what is wanted, or there are so many that are as near that there is nothing else to wait for.
    let distance = nearest.distance(at: near &- 1)
    return distance + abs(distance + shift) * (reach - 1)
  }
}
