// The memory of all rows in one representation.
//
// May use: SlotMemory, RowFormat, Scorer.

internal import CVectorKernels

/// Rows in one format, by slot, and their sides.
///
/// Sides are pairs, as snapshots hold them. Those of 4-bit codes are not saved, and the metrics that need no bias do without: the
/// fewer bytes lie beside the codes, the more of them a cache holds while a search walks.
final class RowPlane: @unchecked Sendable {
  // Proof of Sendable: pointers are constant; a row is written by the one writer before it can be reached.

  let format: RowFormat
  let dimension: Int
  let width: Int
  let rowBytes: Int
  let metric: Metric
  let rows: UnsafeMutableRawPointer
  /// `[slot · sideStride]`.
  let scales: UnsafeMutablePointer<Float>
  /// `[slot · sideStride]`; nil where all of them are 0 and not kept.
  let biases: UnsafeMutablePointer<Float>?
  /// 2 where sides are pairs, 1 where a scale stands alone.
  let sideStride: Int
  private let rowMemory: ReservedMemory
  private let sideMemory: ReservedMemory

  init(format: RowFormat, dimension: Int, metric: Metric, memory: SlotMemory) throws(IndexError) {
    self.format = format
    self.dimension = dimension
    self.metric = metric
    width = format.width(ofDimension: dimension)
    rowBytes = format.rowBytes(width: width)
    rowMemory = try memory.makeArray(slotBytes: rowBytes)
    sideStride = format.sideFloats(metric: metric)
    sideMemory = try memory.makeArray(slotBytes: sideStride * MemoryLayout<Float>.stride)
    rows = rowMemory.base
    scales = sideMemory.base.bindMemory(to: Float.self, capacity: memory.slotsMax * sideStride)
    biases = sideStride == 2 ? scales + 1 : nil
  }

  var bytes: Int { rowMemory.committedBytes + sideMemory.committedBytes }

  @inline(__always)
  func row(_ slot: UInt32) -> UnsafeMutableRawPointer { rows + Int(slot) * rowBytes }

  subscript(side slot: UInt32) -> RowSide {
    get {
      let place = Int(slot) * sideStride
      return RowSide(scale: scales[place], bias: biases?[place] ?? 0)
    }
    set {
      let place = Int(slot) * sideStride
      scales[place] = newValue.scale
      biases?[place] = newValue.bias
    }
  }

  /// `[slot]` pairs, for snapshots.
  var pairs: UnsafeMutableRawPointer {
    precondition(sideStride == 2, "sides that stand alone are not saved")
    return UnsafeMutableRawPointer(scales)
  }

  /// Writes a whole row, padding included: a reused slot has an older row in it.
  ///
  /// - vector: `[width]`, zero from the dimension on.
  /// - power: see ``RowFormat/encode(_:inverseLength:times:dimension:width:metric:into:)``.
  func write(_ vector: UnsafePointer<Float>, inverseLength: Float, times power: Float = 1, to slot: UInt32) {
    self[side: slot] = format.encode(
      vector, inverseLength: inverseLength, times: power, dimension: dimension, width: width, metric: metric,
      into: row(slot))
  }

  /// Writes a row of another plane of the same format, dimension and metric, bit for bit.
  func copy(_ other: RowPlane, from source: UInt32, to slot: UInt32) {
    row(slot).copyMemory(from: other.row(source), byteCount: rowBytes)
    self[side: slot] = other[side: source]
  }

  /// The vector that a row stands for: `[width]`.
  func decode(_ slot: UInt32, into vector: UnsafeMutablePointer<Float>) {
    format.decode(row(slot), side: self[side: slot], width: width, metric: metric, into: vector)
  }

  /// Whether a row that came from outside is one that ``write(_:inverseLength:times:to:)`` could have written. Zeroes its padding.
  func isSound(_ slot: UInt32) -> Bool {
    let used = format.rowBytes(width: dimension)
    (row(slot) + used).initializeMemory(as: UInt8.self, repeating: 0, count: rowBytes - used)
    guard format.isSound(row(slot), width: width) else { return false }
    let side = self[side: slot]
    if format == .f32 { return true }
    let unit = metric == .cosine ? side.bias : side.scale
    return unit.isFinite && unit > 0 && format.fineSide(row(slot), width: width, unit: unit, metric: metric) == side
  }

  func wipe(_ slot: UInt32) {
    row(slot).initializeMemory(as: UInt8.self, repeating: 0, count: rowBytes)
    self[side: slot] = RowSide(scale: 0, bias: 0)
  }
}
