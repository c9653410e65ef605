// When a walk has seen enough.
//
// May use: nothing but the standard library.

/// How many nearest a walk keeps, and how far beyond them it looks.
///
/// A node is expanded when its distance is below `(d + shift) · reach − shift + slack`, where `d` is the distance of the
/// `rank`-th nearest found so far. With `rank` = `limit` = ef and nothing beyond, that is the paper's Algorithm 2. With the
/// `rank` of the last result and a reach over 1 it is adaptive beam search (Al-Jazzazi et al., arXiv:2505.15636): an easy query
/// stops early, a hard one goes on.
struct StopRule {
  /// Nearest that are wanted in the end.
  var results: Int
  var limit: Int
  var rank: Int
  var reach: Float = 1
  /// Makes distances positive where they are not: under inner product.
  var shift: Float = 0
  var slack: Float = 0

  /// Algorithm 2's.
  static func effort(_ ef: Int, results: Int) -> StopRule { StopRule(results: results, limit: ef, rank: ef) }

  @inline(__always)
  func bound(_ nearest: borrowing NearestList) -> Float {
    guard nearest.count >= rank else { return .infinity }
    return (nearest.distance(at: rank &- 1) + shift) * reach - shift + slack
  }
}
