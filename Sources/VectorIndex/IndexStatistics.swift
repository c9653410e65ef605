// What an index says of itself.
//
// May use: the store and the graph.

import Synchronization

/// Counts and sizes of an index at one moment.
public struct IndexStatistics: Hashable, Sendable {
  /// Rows that a search finds.
  public var rows: Int
  /// Removed rows that are still walked through.
  public var retiredRows: Int
  /// Rows that a search finds by looking through them one by one: they are not linked yet.
  public var tailRows: Int
  /// Slots that are ready for reuse.
  public var freeSlots: Int
  /// The highest layer of the graph; −1 when it is empty.
  public var topLayer: Int
  /// Memory committed to the rows in all their representations, their sides, lifetimes and stamps.
  public var vectorBytes: Int
  /// Memory committed to the links, and to the list of rows that are not linked.
  public var linkBytes: Int
  /// Memory committed to the ids and the table that finds them.
  public var idBytes: Int
  /// Memory committed to the attributes, their words and the lists that find rows by value.
  public var attributeBytes: Int
  /// Memory committed to the payload.
  public var payloadBytes: Int
  /// The kernels in use: "avx512", "avx2", "neon", "portable" or "scalar".
  public var kernels: String
  /// What searches for a recall go by; nil when the index was never calibrated.
  public var calibration: IndexCalibration?
  /// What the index may commit: its own budget, or that of all indexes of the process that have none of their own.
  public var budgetBytes: Int

  public var bytes: Int { vectorBytes + linkBytes + idBytes + attributeBytes + payloadBytes }
}

extension HNSWIndex {
  public func statistics() -> IndexStatistics {
    withRows { rows in
      IndexStatistics(
        rows: count, retiredRows: rows.retired.count, tailRows: tailCount, freeSlots: store.freeSlotCount,
        topLayer: graph.entryPoint()?.layer ?? -1, vectorBytes: store.rowBytes + (stamps?.bytes ?? 0),
        linkBytes: graph.bytes + tail.bytes,
        idBytes: store.idBytes, attributeBytes: attributes?.bytes ?? 0,
        payloadBytes: payload?.bytes ?? 0, kernels: store.kernelsName,
        calibration: calibration(),
        budgetBytes: store.memory.budget.limit)
    }
  }
}
