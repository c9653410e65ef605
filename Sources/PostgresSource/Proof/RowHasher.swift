// Hashes of rows that Postgres can compute as well, for a proof that two copies of a table are the same without sending them. docs/PROOF.md states
// the bytes; ProofSQL says them in SQL.
//
//     K      for each column of the key: i32 length, then the bytes
//     hv     the first 8 bytes of MD5(vector_send(v)), or halfvec_send
//     h      the first 8 bytes of MD5(K ‖ hv ‖ for each attribute and column of payload: 00 if NULL, else 01, i32 length, the bytes)
//     bucket the last 12 bits of the first 8 bytes of MD5(K)
//
// All integers are big-endian; a hash is the unsigned number that its 8 bytes are.
//
// May use: CChecksum for MD5; VectorIndex for ids and values.

internal import CChecksum
package import VectorIndex

/// Hashes the rows of one source. Not for several threads at once: it keeps a buffer.
package struct RowHasher: Sendable {
  /// Rows are compared by so many parts of them.
  package static let bucketCount = 4_096

  /// The names of attributes that take no part: those that JSON writes as text, a UUID or a time, whose reading here no SQL repeats.
  package let notCompared: [String]
  private let isCompared: [Bool]
  private var bytes: [UInt8] = []

  package init(_ description: SourceDescription) {
    isCompared = description.attributes.map(\.field.isCompared)
    notCompared = description.attributes.filter { !$0.field.isCompared }.map(\.column.name)
  }

  /// `h`: of all that a row has.
  ///
  /// - vectorHash: ``vectorHash(_:)`` of its vector.
  /// - attributes: as many as the source has, in its order; so is the payload.
  /// Complexity: O(bytes).
  package mutating func row(
    _ id: RecordID, vectorHash: UInt64, attributes: [AttributeValue], payload: [String?]
  ) -> UInt64 {
    precondition(attributes.count == isCompared.count, "a value for each attribute")
    takeKey(of: id)
    bytes.append(bigEndian: vectorHash)
    for (value, isCompared) in zip(attributes, isCompared) where isCompared { append(value) }
    for text in payload {
      if let text { append(present: text.utf8) } else { bytes.append(0) }
    }
    return MD5.first64(bytes.span.bytes)
  }

  /// Which part of the rows a row belongs to, 0 ..< ``bucketCount``.
  package mutating func bucket(of id: RecordID) -> Int {
    takeKey(of: id)
    return Int(MD5.first64(bytes.span.bytes) & UInt64(Self.bucketCount - 1))
  }

  /// `hv`: of a vector's bytes as its type's send function writes them, its dimension in front.
  package static func vectorHash(_ bytes: UnsafeRawBufferPointer) -> UInt64 { MD5.first64(bytes) }
}

extension AttributeField {
  /// Whether its value takes part in hashes.
  var isCompared: Bool { scalar != .uuidText && scalar != .timestampText }
}

// MARK: Bytes

extension RowHasher {
  private mutating func takeKey(of id: RecordID) {
    bytes.removeAll(keepingCapacity: true)
    guard case .composite(let columns) = id else { return appendKey(id) }
    for column in columns { appendKey(column) }
  }

  private mutating func appendKey(_ column: RecordID) {
    switch column {
    case .int64(let number):
      bytes.append(bigEndian: UInt32(8))
      bytes.append(bigEndian: number)
    case .uuid(let high, let low):
      bytes.append(bigEndian: UInt32(16))
      bytes.append(bigEndian: high)
      bytes.append(bigEndian: low)
    case .text(let text):
      bytes.append(bigEndian: UInt32(text.utf8.count))
      bytes.append(contentsOf: text.utf8)
    case .composite: preconditionFailure("composites do not nest")
    }
  }

  private mutating func append(_ value: AttributeValue) {
    switch value {
    case .null: bytes.append(0)
    case .bool(let bool): append(present: CollectionOfOne(bool ? 1 : 0))
    case .int64(let number), .timestamp(let number):
      appendLength(8)
      bytes.append(bigEndian: number)
    case .float64(let number):
      appendLength(8)
      // −0 is 0, and there is one NaN: as filters take them, and as an index keeps them.
      bytes.append(bigEndian: number.isNaN ? 0x7FF8_0000_0000_0000 : number == 0 ? 0 : number.bitPattern)
    case .uuid(let high, let low):
      appendLength(16)
      bytes.append(bigEndian: high)
      bytes.append(bigEndian: low)
    case .keyword(let text): append(present: text.utf8)
    case .array(let elements):
      appendLength(0)
      let start = bytes.count
      bytes.append(bigEndian: UInt32(elements.count))
      for element in elements { append(element) }
      // Its length is known only now.
      let length = UInt32(truncatingIfNeeded: bytes.count - start)
      for i in 0..<4 { bytes[start - 4 + i] = UInt8(truncatingIfNeeded: length >> (24 - 8 * UInt32(i))) }
    }
  }

  private mutating func append(present value: some Collection<UInt8>) {
    appendLength(value.count)
    bytes.append(contentsOf: value)
  }

  private mutating func appendLength(_ length: Int) {
    bytes.append(1)
    bytes.append(bigEndian: UInt32(truncatingIfNeeded: length))
  }
}

extension [UInt8] {
  fileprivate mutating func append(bigEndian value: some FixedWidthInteger & BitwiseCopyable) {
    Swift.withUnsafeBytes(of: value.bigEndian) { append(contentsOf: $0) }
  }
}

/// The C function, and what is kept of what it says.
enum MD5 {
  static func first64(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
    var digest = (UInt64(0), UInt64(0))
    return withUnsafeMutableBytes(of: &digest) { buffer in
      // 16 bytes, which is what it writes.
      if let target = buffer.baseAddress {
        vz_md5(bytes.baseAddress, bytes.count, target.assumingMemoryBound(to: UInt8.self))
      }
      return UnsafeRawBufferPointer(buffer).bigEndian(at: 0, as: UInt64.self)
    }
  }

  static func first64(_ bytes: RawSpan) -> UInt64 { bytes.withUnsafeBytes { first64($0) } }
}
