// In which order rows are read that lie at random.
//
// May use: vz_prefetch, SplitMix.

internal import CVectorKernels

/// All rows of a set in random order, in batches, round and round.
final class RowOrder {
  private var slots: [UInt32]
  private let batch: Int
  private var position = 0

  /// Batches between two looks at the clock.
  private static let batchesAtOnce = 64

  /// - Precondition: at least two batches of rows.
  init(rows: Int, batch: Int, _ random: inout SplitMix) {
    precondition(rows >= 2 * batch, "the batch after this one is another one")
    self.batch = batch
    slots = Array(0..<UInt32(rows)).shuffled(using: &random)
    slots.removeLast(rows % batch)
  }

  /// Calls `body` with some batches, and each time with the batch after.
  /// - Returns: how many rows there were.
  func batches(_ body: (_ now: UnsafeBufferPointer<UInt32>, _ next: UnsafeBufferPointer<UInt32>) -> Void) -> Int {
    slots.withUnsafeBufferPointer { slots in
      for _ in 0..<Self.batchesAtOnce {
        let after = position + batch == slots.count ? 0 : position + batch
        body(
          UnsafeBufferPointer(rebasing: slots[position..<(position + batch)]),
          UnsafeBufferPointer(rebasing: slots[after..<(after + batch)]))
        position = after
      }
    }
    return Self.batchesAtOnce * batch
  }
}

/// Asks for all lines of rows.
@inline(__always)
func prefetch(_ slots: UnsafeBufferPointer<UInt32>, _ base: UnsafeRawPointer, rowBytes: Int) {
  for slot in slots {
    let row = base + Int(slot) &* rowBytes
    for offset in stride(from: 0, to: rowBytes, by: RowMemory.line) { vz_prefetch(row + offset) }
  }
}
