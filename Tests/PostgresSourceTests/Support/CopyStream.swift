// The slow twin of the decoder: writes binary COPY streams byte by byte, for tests of the decoder.

import PostgresSource
import VectorIndex

struct CopyStream {
  static let signature: [UInt8] = Array("PGCOPY\n".utf8) + [0xFF, 0x0D, 0x0A, 0x00]

  var bytes: [UInt8]

  init(flags: UInt32 = 0, extensionBytes: [UInt8] = []) {
    bytes = Self.signature + Self.bigEndian(flags) + Self.bigEndian(UInt32(extensionBytes.count)) + extensionBytes
  }

  static func bigEndian<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    withUnsafeBytes(of: value.bigEndian) { Array($0) }
  }

  /// A row with the fields as they are; nil is NULL.
  mutating func append(fields: [[UInt8]?]) {
    bytes += Self.bigEndian(Int16(fields.count))
    for field in fields {
      bytes += Self.bigEndian(Int32(field?.count ?? -1))
      bytes += field ?? []
    }
  }

  mutating func append(_ id: RecordID, _ vector: [Float]?, _ layout: RowLayout) {
    let columns = if case .composite(let columns) = id { columns } else { [id] }
    let keys = zip(columns, layout.keyTypes).map { Optional(Self.key($0, $1)) }
    append(fields: keys + [vector.map { Self.vector($0, layout.vectorType) }])
  }

  mutating func end() { bytes += [0xFF, 0xFF] }

  static func key(_ id: RecordID, _ type: KeyType) -> [UInt8] {
    switch id {
    case .int64(let value):
      switch type {
      case .smallint: bigEndian(Int16(value))
      case .integer: bigEndian(Int32(value))
      default: bigEndian(value)
      }
    case .uuid(let high, let low): bigEndian(high) + bigEndian(low)
    case .text(let text): Array(text.utf8)
    case .composite: []
    }
  }

  static func vector(_ components: [Float], _ type: VectorType) -> [UInt8] {
    bigEndian(UInt16(components.count)) + [0, 0]
      + components.flatMap { component in
        switch type {
        case .vector: bigEndian(component.bitPattern)
        case .halfvec: bigEndian(Float16(component).bitPattern)
        }
      }
  }
}

/// All that a decoder makes of the chunks, or the error that it ends with.
func decode(
  _ chunks: [ArraySlice<UInt8>], _ layout: RowLayout
) throws -> (batch: RowBatch, decoder: BinaryCopyDecoder) {
  var decoder = BinaryCopyDecoder(layout: layout)
  var batch = RowBatch(dimension: layout.dimension)
  for chunk in chunks {
    try chunk.withUnsafeBytes { try decoder.decode($0, into: &batch) }
  }
  return (batch, decoder)
}

// MARK: Attributes

extension CopyStream {
  /// An attribute as Postgres sends it; nil is NULL.
  static func attribute(_ value: AttributeValue, _ field: AttributeField) -> [UInt8]? {
    switch value {
    case .null: return nil
    case .bool(let bool): return [bool ? 1 : 0]
    case .int64(let number):
      switch field.scalar {
      case .smallint: return bigEndian(Int16(number))
      case .integer: return bigEndian(Int32(number))
      default: return bigEndian(number)
      }
    case .float64(let number):
      return field.scalar == .real ? bigEndian(Float(number).bitPattern) : bigEndian(number.bitPattern)
    case .timestamp(let microseconds): return bigEndian(microseconds)
    case .uuid(let high, let low): return bigEndian(high) + bigEndian(low)
    case .keyword(let text): return Array(text.utf8)
    case .array(let elements):
      let scalar = AttributeField(name: field.name, scalar: field.scalar)
      let hasNulls = elements.contains(.null)
      var bytes =
        bigEndian(Int32(elements.isEmpty ? 0 : 1)) + bigEndian(Int32(hasNulls ? 1 : 0)) + bigEndian(UInt32(25))
      if !elements.isEmpty { bytes += bigEndian(Int32(elements.count)) + bigEndian(Int32(1)) }
      for element in elements {
        let own = attribute(element, scalar)
        bytes += bigEndian(Int32(own?.count ?? -1)) + (own ?? [])
      }
      return bytes
    }
  }
}
