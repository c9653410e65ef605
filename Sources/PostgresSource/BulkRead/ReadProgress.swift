// How far a read has come, for a progress bar on another thread.
//
// May use: Synchronization.

internal import Synchronization

/// Counters of one ``BulkReader``. They only grow; each is exact when the read has ended.
public final class ReadProgress: Sendable {
  private let rowCount = Atomic(0)
  private let nullVectorCount = Atomic(0)
  private let byteCount = Atomic(0)
  private let doneRangeCount = Atomic(0)
  private let allRangeCount = Atomic(0)

  init() {}

  // All relaxed: each is a number of its own, and no other memory is read on the strength of it. The loads pair with the
  // additions in `add` and `finishRange` and the store in `begin`.

  /// Rows that the sink has taken.
  public var rows: Int { rowCount.load(ordering: .relaxed) }
  /// Rows left out because their vector is NULL.
  public var nullVectors: Int { nullVectorCount.load(ordering: .relaxed) }
  /// Bytes of COPY data received.
  public var bytes: Int { byteCount.load(ordering: .relaxed) }
  /// Ranges of blocks read to their end, of ``ranges``. As a fraction, right even where the row estimate is not.
  public var rangesDone: Int { doneRangeCount.load(ordering: .relaxed) }
  /// 0 until the read has begun.
  public var ranges: Int { allRangeCount.load(ordering: .relaxed) }

  func begin(ranges: Int) { allRangeCount.store(ranges, ordering: .relaxed) }
  func finishRange() { doneRangeCount.add(1, ordering: .relaxed) }
  func add(rows: Int, nullVectors: Int, bytes: Int) {
    rowCount.add(rows, ordering: .relaxed)
    nullVectorCount.add(nullVectors, ordering: .relaxed)
    byteCount.add(bytes, ordering: .relaxed)
  }
}
