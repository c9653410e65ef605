// The values of a statement's parameters, in Postgres's binary form.
//
// May use: nothing but the standard library.

/// Values in the order of the parameters; made once, sent as often as wanted.
package struct BinaryParameters: Hashable, Sendable {
  /// One behind the other.
  private(set) var bytes: [UInt8] = []
  private(set) var lengths: [Int32] = []

  package init() {}

  /// As a `bigint`.
  package mutating func append(int64 value: Int64) { append { Self.write(value, into: &$0) } }

  /// As a `double precision`.
  package mutating func append(float64 value: Double) { append { Self.write(value.bitPattern, into: &$0) } }

  /// As pgvector's `vector`: i16 dimension, i16 zero, and so many f32.
  /// - Precondition: it has at most ``SourceDescription/dimensionMax`` components.
  package mutating func append(vector: some Collection<Float>) {
    append { bytes in
      bytes.reserveCapacity(bytes.count + 4 + 4 * vector.count)
      Self.write(Int16(vector.count), into: &bytes)
      Self.write(0 as Int16, into: &bytes)
      for value in vector { Self.write(value.bitPattern, into: &bytes) }
    }
  }

  /// The values as a row of a binary COPY: i16 number of fields, { i32 length, bytes }…
  package func writeCopyRow(into target: inout [UInt8]) {
    Self.write(Int16(lengths.count), into: &target)
    var start = 0
    for length in lengths {
      Self.write(length, into: &target)
      target += bytes[start..<(start + Int(length))]
      start += Int(length)
    }
  }

  private mutating func append(_ write: (inout [UInt8]) -> Void) {
    let before = bytes.count
    write(&bytes)
    lengths.append(Int32(bytes.count - before))
  }

  static func write(_ value: some FixedWidthInteger, into bytes: inout [UInt8]) {
    withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
  }
}
