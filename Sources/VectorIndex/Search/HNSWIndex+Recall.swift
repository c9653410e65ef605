// From what a search is asked for to when its walk has seen enough.
//
// May use: RecallCurve, StopRule, ReaderPins.

import Synchronization

/// A stop rule's reach, with the shift that belongs to it (``RecallCurve/shift``).
package struct SearchReach: Hashable, Sendable {
  package var reach: Float
  var shift: Float = 0
}

extension HNSWIndex {
  /// How many queries a calibration needs, and of how many it takes a sample.
  public static var calibrationQueryRange: ClosedRange<Int> { calibrationQueriesMin...calibrationQueriesMax }

  /// The rule of one search. The reader is pinned.
  ///
  /// - wanted: rows that the walk must find.
  /// - among: the nearest rows that hold them, where a filter leaves others out.
  /// - live: rows that there are.
  /// - vector: `[width]`, the query.
  @inline(__always)
  func rule(
    _ options: SearchOptions, wanted: Int, among: Int? = nil, live: Int, _ vector: UnsafePointer<Float>
  ) -> StopRule {
    if let reach = options.reach { return rule(reach, wanted: wanted, vector) }
    let effort = effort(of: options)
    if effort > 0 { return .effort(max(effort, wanted), results: wanted) }
    let target = options.recallTarget ?? configuration.recallTarget
    guard let curve = currentCurve(live: live) else {
      return .effort(max(wanted, DefaultEffort.effort(target: target, results: wanted)), results: wanted)
    }
    var reach = SearchReach(
      reach: curve.pointee.reach(target: target, results: wanted), shift: curve.pointee.shift)
    if let among {
      // The k-th of the matching rows is about the among-th of all, unless the filter and the query agree: then it may be the
      // k-th. Enough for both; how much of it is needed, the walk sees (FilteredReach).
      reach.reach = max(reach.reach, curve.pointee.reach(target: target, results: among))
    }
    return rule(reach, wanted: wanted, vector)
  }

  /// What a walk with a filter goes by that is asked for a recall; nil where there is no measure of it.
  func filteredReach(target: Float, live: Int) -> FilteredReach? {
    currentCurve(live: live).map { FilteredReach(curve: $0, target: target) }
  }

  @inline(__always)
  private func currentCurve(live: Int) -> UnsafePointer<RecallCurve>? {
    guard let curve = curveCell.pointer, curve.pointee.isCurrent(rows: live) else { return nil }
    return curve
  }

  /// The effort that a search is to take; 0 where it goes by a recall.
  @inline(__always)
  func effort(of options: SearchOptions) -> Int {
    options.effort > 0 || options.recallTarget != nil ? options.effort : configuration.searchEffort
  }

  private func rule(_ reach: SearchReach, wanted: Int, _ vector: UnsafePointer<Float>) -> StopRule {
    let length = store.metric == .innerProduct ? store.answering.squaredLength(vector).squareRoot() : 1
    return StopRule(
      results: wanted, limit: StopRule.scored(results: wanted), rank: wanted, reach: reach.reach,
      shift: reach.shift * length)
  }

  /// A reach with the shift of the index's own curve: for measuring.
  package func reach(_ reach: Float) -> SearchReach {
    SearchReach(reach: reach, shift: withRows { _ in curveCell.current?.shift } ?? 0)
  }

  /// What searches for a recall go by; nil when the index was never calibrated. Called by who changes rows.
  func calibration() -> IndexCalibration? {
    curveCell.current.map { curve in
      IndexCalibration(
        basis: curve.basis, queryCount: Int(curve.queryCount), rows: Int(curve.rows),
        isCurrent: curve.isCurrent(rows: count))
    }
  }

  /// Makes searches go by `curve` from now on: by one that a snapshot held, or that was just measured.
  package func setRecallCurve(_ curve: RecallCurve) {
    changeRows { _ in
      let version = store.pins.current + 1
      curveCell.set(curve, version: version)
      store.pins.publish(version)
      curveCell.freeOutgrown(oldest: store.pins.oldest())
    }
  }
}

extension HNSWConfiguration {
  /// About how many nodes a search expands that gives no effort: for judging what it will cost. Rather too many, since it does
  /// not know the index's curve.
  ///
  /// - asked: the recall that the search gives; nil = none.
  package func expectedEffort(results: Int, recallTarget asked: Float? = nil) -> Int {
    if asked == nil, searchEffort > 0 { return max(results, searchEffort) }
    return max(results, DefaultEffort.effort(target: asked ?? recallTarget, results: results))
  }

  /// The recall target as the shortest decimal that names it, for people to read: 0.95, where the float's value is
  /// 0.949999988079071. The same float comes of it.
  package var recallTargetDecimal: Double { Double(recallTarget.description) ?? Double(recallTarget) }
}

/// Where searches find the curve. They read it in place, pinned; one that was replaced is freed when none of them can be on it.
final class RecallCurveCell: @unchecked Sendable {
  // Proof of Sendable: readers load the atomic only; the rest is the writer's.

  private let cell = Atomic<UnsafeMutablePointer<RecallCurve>?>(nil)
  private var outgrown: [(curve: UnsafeMutablePointer<RecallCurve>, version: UInt64)] = []

  deinit {
    freeOutgrown(oldest: .max)
    cell.load(ordering: .relaxed)?.deallocate()
  }

  /// Valid while its reader is pinned. Pairs with the releasing exchange of ``set(_:version:)``.
  @inline(__always)
  var pointer: UnsafePointer<RecallCurve>? { cell.load(ordering: .acquiring).map { UnsafePointer($0) } }

  /// The writer's.
  var current: RecallCurve? { cell.load(ordering: .relaxed)?.pointee }

  /// The writer's.
  /// - version: the one that is published next.
  func set(_ curve: RecallCurve, version: UInt64) {
    let fresh = UnsafeMutablePointer<RecallCurve>.allocate(capacity: 1)
    fresh.initialize(to: curve)
    if let old = cell.exchange(fresh, ordering: .acquiringAndReleasing) { outgrown.append((old, version)) }
  }

  /// Frees what no reader can be on: readers that have pinned `oldest` or a later version came after the exchange.
  func freeOutgrown(oldest: UInt64) {
    outgrown.removeAll { entry in
      guard oldest >= entry.version else { return false }
      entry.curve.deallocate()
      return true
    }
  }
}

/// What an index goes by that was never calibrated: Algorithm 2, whose effort has no measure of distance in it.
enum DefaultEffort {
  /// For ``RecallCurve/targets`` and 1, 10 and 100 results: one and a half times the efforts that kernel-minilm-384 takes (86,694
  /// rows, int4x16, the harder of two sets).
  private static let one = SIMD8<Float>(10, 24, 48, 100, 150, 240, 440, 540)
  private static let ten = SIMD8<Float>(16, 36, 70, 140, 240, 400, 900, 1_320)
  private static let hundred = SIMD8<Float>(120, 160, 250, 480, 700, 1_000, 1_750, 2_500)

  /// The effort for a recall and a number of results; beyond 100 results in proportion to them.
  static func effort(target: Float, results: Int) -> Int {
    let effort = RecallCurve.read(one, ten, hundred, target: target, results: results)
    return Int(effort * max(1, Float(results) / 100))
  }
}
