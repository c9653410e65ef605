// What an engine's speed is at a recall that no point has exactly.
//
// May use: Report/Model.

import Foundation

/// One engine's points with so many clients, as a curve.
struct RecallCurve: Sendable, Equatable {
  /// Points than which none is both faster and finds as much, by falling speed and rising recall.
  let frontier: [CurvePoint]

  /// - points: in any order, of several kinds of effort. Those that answered nothing, or whose figures are no numbers, are left out.
  init(_ points: [CurvePoint]) {
    // Of equal recalls the fastest first, so that the others fall to it.
    let sorted = points.filter(\.isSound).sorted { ($0.recall, $0.qps.median) > ($1.recall, $1.qps.median) }
    var best: [CurvePoint] = []
    for point in sorted where point.qps.median > best.last?.qps.median ?? 0 { best.append(point) }
    frontier = best.reversed()
  }

  /// Queries a second at this recall: their logarithm is taken as linear in the recall between the two points of the frontier around it.
  /// nil outside: nothing is extrapolated.
  func qps(at recall: Double) -> Double? { interpolated(at: recall) { $0.qps.median } }

  /// The median latency at this recall in microseconds, interpolated in the same way between the same two points.
  func p50(at recall: Double) -> Double? { interpolated(at: recall) { $0.latency?.p50 } }

  /// The same of the 99th percentile.
  func p99(at recall: Double) -> Double? { interpolated(at: recall) { $0.latency?.p99 } }

  private func interpolated(at recall: Double, _ figure: (CurvePoint) -> Double?) -> Double? {
    guard let above = frontier.firstIndex(where: { $0.recall >= recall }) else { return nil }
    let upper = frontier[above]
    guard upper.recall > recall else { return figure(upper) }
    guard above > 0 else { return nil }
    let lower = frontier[above - 1]
    guard let left = figure(lower), let right = figure(upper), left > 0, right > 0 else { return nil }
    let share = (recall - lower.recall) / (upper.recall - lower.recall)
    return exp(log(left) + share * (log(right) - log(left)))
  }

  /// The point of the frontier with the least recall that is enough; nil where none is.
  func fastest(reaching recall: Double) -> CurvePoint? { frontier.first { $0.recall >= recall } }
}

extension CurvePoint {
  /// Whether it has a place on a curve.
  var isSound: Bool { recall.isFinite && qps.median.isFinite && qps.median > 0 }
}

extension MatchedRecall {
  /// The recalls at which engines are held against each other.
  static let recalls = [0.90, 0.95, 0.99]

  /// What the report's table of equal recalls has for these series, in their order.
  static func all(of series: [Series], at recalls: [Double] = Self.recalls) -> [MatchedRecall] {
    series.flatMap { series in
      let curve = RecallCurve(series.points)
      return recalls.map { recall in
        let point = curve.fastest(reaching: recall)
        let between = curve.qps(at: recall)
        return MatchedRecall(
          clients: series.clients, recall: recall, engine: series.engine, qps: between ?? point?.qps.median,
          p50: curve.p50(at: recall) ?? point?.latency?.p50, p99: curve.p99(at: recall) ?? point?.latency?.p99,
          reached: point != nil,
          isAtLeast: point != nil && between == nil)
      }
    }
  }
}
