// How one answer of the engine stands beside the exact one: pure reckoning.
//
// All of it is in the distances that Postgres computed, for rows of both answers, so that no rounding of ours decides what is right. Rows at
// one distance have no order: which of them is among the k, and where, is nobody's error.
//
// May use: VectorIndex for ids.

import VectorIndex

/// A row of an answer.
struct RankedRow: Sendable, Equatable {
  var id: RecordID
  var distance: Double
}

/// What two answers to one query have in common.
struct Agreement: Sendable, Equatable {
  /// The share of the rows that there were to find: those that the engine found of the exact answer, or in their place others that are as near.
  var overlap: Double
  /// By how many places the rows that both have stand apart, on average, counted among those rows; 0 where both have them in one order.
  var rankDistance: Double
  /// The absolute difference of the engine's distances from Postgres's, over the rows of the engine's answer that there are.
  var scoreErrors: [Double]
  /// The same over the distance, of rows that are not nearer than ``nearMin``.
  var relativeScoreErrors: [Double]
  /// Rows of the exact answer that the engine has not, nearest first, without those whose place a row as near has taken.
  var missing: [RecordID]
  /// Rows of the engine's answer that are farther than the exact answer's last, or that the table, under the filter, has not.
  var extra: [RecordID]

  /// Distances that differ by no more are one, as far as answers are compared: what two ways of adding up floats differ by.
  static let tie = 1e-5
  /// Below this distance an error has no meaning as a share of it: of a row that is the question itself the distance is rounding and no more.
  static let nearMin = 1e-3

  var isComplete: Bool { missing.isEmpty && extra.isEmpty }

  /// - Parameters:
  ///   - exact: the k nearest that there are, nearest first.
  ///   - answer: the engine's, in its order.
  ///   - known: Postgres's distance of each row of `answer` that it has.
  ///   - k: how many rows were asked for.
  /// - Complexity: O(k log k).
  init(exact: [RankedRow], answer: [RankedRow], known: [RecordID: Double], k: Int) {
    let exactIDs = Set(exact.map(\.id))
    // Where fewer rows came than were asked for, they are all that there are.
    let radius = exact.count < k ? nil : exact.last.map { $0.distance + Self.slack(at: $0.distance) }
    var right = 0
    var extra: [RecordID] = []
    var scoreErrors: [Double] = []
    var relativeScoreErrors: [Double] = []
    var common: [Double] = []
    var seen: Set<RecordID> = []
    for row in answer {
      guard seen.insert(row.id).inserted, let distance = known[row.id] else {
        extra.append(row.id)
        continue
      }
      let error = abs(row.distance - distance)
      scoreErrors.append(error)
      if abs(distance) >= Self.nearMin { relativeScoreErrors.append(error / abs(distance)) }
      if exactIDs.contains(row.id) { common.append(distance) }
      if exactIDs.contains(row.id) || radius.map({ distance <= $0 }) ?? false {
        right += 1
      } else {
        extra.append(row.id)
      }
    }
    right = min(right, exact.count)
    overlap = exact.isEmpty ? (answer.isEmpty ? 1 : 0) : Double(right) / Double(exact.count)
    missing = Array(exact.lazy.map(\.id).filter { !seen.contains($0) }.prefix(exact.count - right))
    self.extra = extra
    self.scoreErrors = scoreErrors
    self.relativeScoreErrors = relativeScoreErrors
    rankDistance = Self.meanDisplacement(common)
  }

  /// What counts as one distance, there. L2 distances and inner products may be large, and their rounding is in proportion.
  private static func slack(at distance: Double) -> Double { tie * max(1, abs(distance)) }

  /// How many places the values are from where they would be in order, on average. One that ties with others may be anywhere among them.
  static func meanDisplacement(_ distances: [Double]) -> Double {
    guard !distances.isEmpty else { return 0 }
    let sorted = distances.sorted()
    var total = 0
    for (place, distance) in distances.enumerated() {
      let slack = Self.slack(at: distance)
      let first = Self.count(of: sorted) { $0 < distance - slack }
      let last = Self.count(of: sorted) { $0 <= distance + slack } - 1
      total += max(0, first - place, place - last)
    }
    return Double(total) / Double(distances.count)
  }

  /// How many values at the beginning meet a condition that the others do not.
  private static func count(of sorted: [Double], _ isBefore: (Double) -> Bool) -> Int {
    var range = 0..<sorted.count
    while !range.isEmpty {
      let middle = (range.lowerBound + range.upperBound) / 2
      range = isBefore(sorted[middle]) ? (middle + 1)..<range.upperBound : range.lowerBound..<middle
    }
    return range.lowerBound
  }
}
