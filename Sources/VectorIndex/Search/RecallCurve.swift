// How far searches must look for the recall that is asked for: what a calibration measured of one index, as a value.
//
// A table of reaches (StopRule.swift) for eight recalls and three numbers of results. Between its recalls the logarithm of the
// share of misses is close to linear in the reach (measured: from 18 % to 0.1 % missed, kernel-minilm-384), so that is how it
// is read.
//
// May use: nothing but the standard library and `ln`.

/// The reaches that a search needs in one index, and the shift that they belong to.
///
/// A trivial value of a fixed size: a search reads it in place, without a lock or a reference count.
package struct RecallCurve: Hashable, Sendable {
  /// What it was measured with.
  package var basis: IndexCalibration.Basis
  /// Queries that it was measured with.
  package var queryCount: UInt32
  /// Rows that the index had.
  package var rows: UInt64
  /// What the stop rule adds to a distance, under inner product for a query of length 1: twice the distance at which rows
  /// typically are the 100th nearest; under inner product the length of the longest row besides, so that no distance is
  /// negative.
  ///
  /// A reach that stretches the bare distance does too little for a query whose answer is near, and too much for others. At
  /// recall@1 .99 that takes 1,981 distances a query, and 1,126 with this shift (.999: 8,117 and 6,591); at recall@10 .999 7,493 and
  /// 6,173 (kernel-minilm-384, cosine, shift 1). And what codes are wrong by is the same at any distance.
  package var shift: Float
  /// The reach for each of ``targets``, for 1, 10 and 100 results. Ascending; from 1 to infinity, which stands for scanning all
  /// rows.
  package var one: SIMD8<Float>
  package var ten: SIMD8<Float>
  package var hundred: SIMD8<Float>

  /// The recalls of the table.
  package static let targets: [Float] = [0.80, 0.90, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999]
  /// The recalls that can be asked for.
  static let targetRange: ClosedRange<Float> = 0.80...0.999
  /// ln(1 − target) of ``targets``.
  private static let logMisses = SIMD8<Float>(
    -1.609_438, -2.302_585, -2.995_732, -3.912_023, -4.605_170, -5.298_317, -6.214_608, -6.907_755)

  /// Rows that have come since the calibration make walks longer. Up to twice as many the curve is trusted.
  func isCurrent(rows now: Int) -> Bool { UInt64(max(0, now)) <= 2 * rows }

  /// The reach for a recall and a number of results; infinite where a scan of all rows takes less.
  ///
  /// More than 100 results need no more than 100 do.
  func reach(target: Float, results: Int) -> Float {
    Self.read(one, ten, hundred, target: target, results: results)
  }

  /// Reads three tables of ``targets`` at a recall, and between them by the logarithm of the number of results.
  static func read(
    _ one: SIMD8<Float>, _ ten: SIMD8<Float>, _ hundred: SIMD8<Float>, target: Float, results: Int
  ) -> Float {
    let decade = Float(naturalLogarithm(Double(max(1, results))) / naturalLogarithm(10))
    let lower = decade < 1 ? one : ten
    let upper = decade < 1 ? ten : hundred
    return between(read(lower, target), read(upper, target), min(1, decade < 1 ? decade : decade - 1))
  }

  private static func read(_ reaches: SIMD8<Float>, _ target: Float) -> Float {
    let misses = Float(naturalLogarithm(Double(1 - target)))
    var i = 0
    while i < 6, misses < logMisses[i + 1] { i += 1 }
    let place = (logMisses[i] - misses) / (logMisses[i] - logMisses[i + 1])
    return between(reaches[i], reaches[i + 1], min(max(place, 0), 1))
  }

  private static func between(_ a: Float, _ b: Float, _ place: Float) -> Float {
    if place == 0 { return a }
    if place == 1 { return b }
    // Not by arithmetic: infinity less infinity is no number.
    return a == .infinity || b == .infinity ? .infinity : a + (b - a) * place
  }
}

// MARK: - As bytes

extension RecallCurve {
  static let encodedVersion: UInt8 = 1
  /// The bytes of ``encoded()``.
  package static let encodedBytes = 116

  /// The curve as bytes, little-endian: u8 version, u8 basis, u16 zero, u32 queries, u64 rows, f32 shift, and 3 × 8 f32
  /// reaches.
  package func encoded() -> [UInt8] {
    var bytes: [UInt8] = [Self.encodedVersion, basis.rawValue, 0, 0]
    bytes.reserveCapacity(Self.encodedBytes)
    func write(_ value: some FixedWidthInteger) {
      withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
    write(queryCount)
    write(rows)
    write(shift.bitPattern)
    for table in [one, ten, hundred] {
      for i in 0..<8 { write(table[i].bitPattern) }
    }
    return bytes
  }

  /// Reads ``encoded()``. Whoever wrote it is not trusted.
  /// - Throws: `inconsistentParts` where the bytes are no curve.
  package init(decoding bytes: [UInt8]) throws(IndexError) {
    func damaged(_ what: String) -> IndexError { IndexError(.inconsistentParts, "the recall curve \(what)") }
    guard bytes.count == Self.encodedBytes else {
      throw damaged("has \(bytes.count) bytes; it must have \(Self.encodedBytes)")
    }
    guard bytes[0] == Self.encodedVersion, bytes[2] == 0, bytes[3] == 0 else {
      throw damaged("is of version \(bytes[0]); this program reads version \(Self.encodedVersion)")
    }
    guard let basis = IndexCalibration.Basis(rawValue: bytes[1]) else {
      throw damaged("was measured with something unknown (\(bytes[1]))")
    }
    func read<T: FixedWidthInteger>(_ offset: Int, as type: T.Type) -> T {
      bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: T.self)) }
    }
    func float(_ offset: Int) -> Float { Float(bitPattern: read(offset, as: UInt32.self)) }
    func table(_ offset: Int) throws(IndexError) -> SIMD8<Float> {
      var table = SIMD8<Float>()
      for i in 0..<8 {
        table[i] = float(offset + 4 * i)
        // No number is no reach, since it compares as false.
        guard table[i] >= (i == 0 ? 1 : table[i - 1]) else { throw damaged("holds a reach of \(table[i])") }
      }
      return table
    }
    self.basis = basis
    queryCount = read(4, as: UInt32.self)
    rows = read(8, as: UInt64.self)
    shift = float(16)
    guard queryCount > 0, rows > 0, rows <= UInt64(UInt32.max) else {
      throw damaged("was measured with \(queryCount) queries on \(rows) rows")
    }
    guard shift >= 0, shift.isFinite else { throw damaged("holds a shift of \(shift)") }
    one = try table(20)
    ten = try table(52)
    hundred = try table(84)
  }
}

/// What the searches of an index go by when they are asked for a recall, as statistics tell it.
public struct IndexCalibration: Hashable, Sendable {
  /// What a calibration searches for.
  public enum Basis: UInt8, Sendable {
    /// Rows of the index, each as if it were not there.
    case rows = 1
    /// Queries that the user gave.
    case queries = 2
  }

  public var basis: Basis
  /// Queries that it was measured with.
  public var queryCount: Int
  /// Rows that the index had then.
  public var rows: Int
  /// Whether searches use it: an index that has grown to more than twice those rows goes by the built-in efforts again.
  public var isCurrent: Bool
}
