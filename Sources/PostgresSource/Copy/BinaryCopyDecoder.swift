// From the bytes of `COPY … TO STDOUT (FORMAT binary)` to rows. A pure machine: bytes in, rows out, no I/O.
//
//     header    "PGCOPY\n\xFF\r\n\0"   i32 flags   i32 extension length   extension
//     row       i16 number of fields   { i32 length (-1: NULL)   bytes }…
//     trailer   i16 -1
//
//     smallint 2, integer 4, bigint 8 bytes · uuid 16 bytes · text UTF-8
//     vector    i16 dimension   i16 0   dimension × f32
//     halfvec   i16 dimension   i16 0   dimension × f16
//
// All integers are big-endian. A row's fields are its key columns in key order, then the vector, then its attributes (AttributeField.swift), then its payload as text.
//
// May use: VectorIndex for RecordID, RowHasher for the hash of a vector's bytes. Unsafe, because this is where bytes meet libpq: every read stands behind a
// comparison with the number of bytes at hand.

internal import VectorIndex

/// The fields of a row.
package struct RowLayout: Hashable, Sendable {
  package var keyTypes: [KeyType]
  package var vectorType: VectorType
  package var dimension: Int
  package var attributes: [AttributeField]
  /// Names of columns that come as text.
  package var payload: [String]
  /// Whether ``RowBatch/vectorHashes`` is wanted.
  package var hashesVectors: Bool

  package init(
    keyTypes: [KeyType], vectorType: VectorType, dimension: Int, attributes: [AttributeField] = [],
    payload: [String] = [], hashesVectors: Bool = false
  ) {
    precondition((1...RecordID.compositeColumnsMax).contains(keyTypes.count), "a key has 1 to 32 columns")
    precondition((1...SourceDescription.dimensionMax).contains(dimension), "a dimension that pgvector has")
    self.keyTypes = keyTypes
    self.vectorType = vectorType
    self.dimension = dimension
    self.attributes = attributes
    self.payload = payload
    self.hashesVectors = hashesVectors
  }

  var vectorBytes: Int { 4 + dimension * vectorType.bytesPerComponent }
}

/// Decodes one COPY stream, cut into chunks at any place.
///
/// The stream is whole when ``isComplete`` is true; whoever feeds the decoder checks that at the end.
package struct BinaryCopyDecoder: Sendable {
  private enum State { case header, rows, complete }

  private let layout: RowLayout
  private let fieldCount: Int
  private var state = State.header
  /// The front of a row (or of the header) whose end has not come yet. Never longer than one row and one chunk.
  private var carry: [UInt8] = []
  /// How many bytes `carry` must hold before another look at it is worth its while.
  private var bytesNeeded = 0

  /// Rows appended to batches so far.
  package private(set) var rowCount = 0
  /// Rows left out because their vector is NULL, as pgvector's indexes leave them out.
  package private(set) var nullVectorCount = 0

  package init(layout: RowLayout) {
    self.layout = layout
    fieldCount = layout.keyTypes.count + 1 + layout.attributes.count + layout.payload.count
  }

  /// Whether the trailer has come.
  package var isComplete: Bool { state == .complete }

  /// Appends the rows that `chunk` completes to `batch`.
  ///
  /// Complexity: O(bytes). A chunk that begins and ends with a row, as libpq delivers them, is parsed in place.
  /// - Throws: ``SourceError`` with `malformedData`, `nullKey`, `keyTooLong`, `dimensionMismatch`, `notFinite` or `attributeTooLong`. The
  ///   rows before the bad one are in `batch`; the decoder must not be used any more.
  package mutating func decode(_ chunk: UnsafeRawBufferPointer, into batch: inout RowBatch) throws(SourceError) {
    if carry.isEmpty {
      let used = try parse(chunk, into: &batch)
      if used < chunk.count { carry.append(contentsOf: chunk[used...]) }
      return
    }
    carry.append(contentsOf: chunk)
    guard carry.count >= bytesNeeded else { return }
    var bytes: [UInt8] = []
    swap(&bytes, &carry)
    let used = try parse(bytes.span.bytes, into: &batch)
    bytes.removeFirst(used)
    carry = bytes
  }

  private mutating func parse(_ bytes: RawSpan, into batch: inout RowBatch) throws(SourceError) -> Int {
    try bytes.withUnsafeBytes { (buffer) throws(SourceError) in try parse(buffer, into: &batch) }
  }

  /// - Returns: the number of bytes that whole rows (and the header, and the trailer) took. Sets `bytesNeeded` for the
  ///   rest.
  private mutating func parse(_ bytes: UnsafeRawBufferPointer, into batch: inout RowBatch) throws(SourceError) -> Int {
    var offset = 0
    if state == .header {
      guard let length = try parseHeader(bytes) else { return 0 }
      offset = length
      state = .rows
    }
    while state == .rows {
      let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
      guard let length = try parseRow(rest, into: &batch) else { return offset }
      offset += length
    }
    guard offset == bytes.count else { throw malformed("bytes follow the trailer") }
    return offset
  }

  private mutating func parseHeader(_ bytes: UnsafeRawBufferPointer) throws(SourceError) -> Int? {
    let signature: [UInt8] = [0x50, 0x47, 0x43, 0x4F, 0x50, 0x59, 0x0A, 0xFF, 0x0D, 0x0A, 0x00]
    guard zip(bytes, signature).allSatisfy({ $0 == $1 }) else { throw malformed("the stream has no COPY signature") }
    guard bytes.count >= 19 else { return incomplete(19) }
    let flags = bytes.bigEndian(at: 11, as: UInt32.self)
    // Bits 16 to 31 are critical: who does not know one must refuse the file. Bit 16, row OIDs, ended with Postgres 12.
    guard flags >> 16 == 0 else { throw malformed("the header has unknown critical flags") }
    let extensionBytes = Int(bytes.bigEndian(at: 15, as: Int32.self))
    guard (0...65_536).contains(extensionBytes) else { throw malformed("the header's extension has a bad length") }
    guard bytes.count >= 19 + extensionBytes else { return incomplete(19 + extensionBytes) }
    return 19 + extensionBytes
  }

  /// - Returns: the row's length, or nil when its end has not come.
  private mutating func parseRow(
    _ bytes: UnsafeRawBufferPointer, into batch: inout RowBatch
  ) throws(SourceError) -> Int? {
    guard bytes.count >= 2 else { return incomplete(2) }
    let fields = Int(bytes.bigEndian(at: 0, as: Int16.self))
    if fields == -1 {
      state = .complete
      return 2
    }
    guard fields == fieldCount else { throw malformed("a row has \(fields) fields, not \(fieldCount)") }

    var offset = 2
    let id: RecordID
    if layout.keyTypes.count == 1 {
      guard let key = try parseKey(0, bytes, &offset) else { return nil }
      id = key
    } else {
      var columns: [RecordID] = []
      columns.reserveCapacity(layout.keyTypes.count)
      for column in layout.keyTypes.indices {
        guard let key = try parseKey(column, bytes, &offset) else { return nil }
        columns.append(key)
      }
      id = .composite(columns)
      guard id.isEncodable else { throw SourceError.keyTooLong }
    }

    let vectorOffset: Int
    switch try parseVector(bytes, &offset, of: id) {
    case .incomplete: return nil
    case .null:
      guard try skipAttributes(bytes, &offset) else { return nil }
      nullVectorCount += 1
      return offset
    case .vector(let start): vectorOffset = start
    }
    var attributeBytes = 0
    guard let attributes = try parseAttributes(bytes, &offset, of: id, &attributeBytes) else { return nil }
    guard let payload = try parsePayload(bytes, &offset, of: id, &attributeBytes) else { return nil }
    guard appendVector(bytes, at: vectorOffset, to: &batch) else { throw SourceError.vectorNotFinite(id) }
    batch.ids.append(id)
    if layout.hashesVectors {
      // With its head of four bytes, as the type's send function writes it.
      let field = bytes[(vectorOffset - 4)..<(vectorOffset - 4 + layout.vectorBytes)]
      batch.vectorHashes.append(RowHasher.vectorHash(UnsafeRawBufferPointer(rebasing: field)))
    }
    if !layout.attributes.isEmpty { batch.attributes.append(attributes) }
    if !layout.payload.isEmpty { batch.payload.append(payload) }
    batch.attributeBytes += attributeBytes
    rowCount += 1
    return offset
  }

  private enum ParsedVector {
    case incomplete
    case null
    /// Its components begin here.
    case vector(at: Int)
  }

  /// Checks the vector's field and steps over it.
  private mutating func parseVector(
    _ bytes: UnsafeRawBufferPointer, _ offset: inout Int, of id: RecordID
  ) throws(SourceError) -> ParsedVector {
    func needing(_ count: Int) -> ParsedVector {
      bytesNeeded = count
      return .incomplete
    }
    guard bytes.count >= offset + 4 else { return needing(offset + 4) }
    let length = Int(bytes.bigEndian(at: offset, as: Int32.self))
    offset += 4
    if length == -1 { return .null }
    guard length >= 4, length <= 4 + SourceDescription.dimensionMax * 4 else {
      throw malformed("a vector has \(length) bytes")
    }
    guard bytes.count >= offset + 4 else { return needing(offset + 4) }
    let dimension = Int(bytes.bigEndian(at: offset, as: UInt16.self))
    guard dimension == layout.dimension else {
      throw SourceError.wrongDimension(id, found: dimension, expected: layout.dimension)
    }
    guard length == layout.vectorBytes else {
      throw malformed("a vector of \(dimension) dimensions has \(length) bytes, not \(layout.vectorBytes)")
    }
    guard bytes.count >= offset + length else { return needing(offset + length) }
    defer { offset += length }
    return .vector(at: offset + 4)
  }

  /// The length of an attribute's field, or -1 for NULL; nil when its end has not come. `offset` is then of no meaning, else where it begins.
  private mutating func parseLength(
    _ bytes: UnsafeRawBufferPointer, _ offset: inout Int, of name: String
  ) throws(SourceError) -> Int? {
    guard bytes.count >= offset + 4 else { return incomplete(offset + 4) }
    let length = Int(bytes.bigEndian(at: offset, as: Int32.self))
    offset += 4
    guard (-1...AttributeField.bytesMax).contains(length) else {
      throw malformed("the column \"\(name)\" has \(length) bytes")
    }
    guard bytes.count >= offset + max(length, 0) else { return incomplete(offset + length) }
    return length
  }

  /// - Returns: nil when their end has not come.
  private mutating func parseAttributes(
    _ bytes: UnsafeRawBufferPointer, _ offset: inout Int, of id: RecordID, _ byteCount: inout Int
  ) throws(SourceError) -> [AttributeValue]? {
    guard !layout.attributes.isEmpty else { return [] }
    var values: [AttributeValue] = []
    values.reserveCapacity(layout.attributes.count)
    for field in layout.attributes {
      guard let length = try parseLength(bytes, &offset, of: field.name) else { return nil }
      guard length >= 0 else {
        values.append(.null)
        continue
      }
      do throws(AttributeField.Fault) {
        values.append(try field.value(UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + length)])))
      } catch {
        switch error {
        case .malformed(let what): throw malformed("the attribute \"\(field.name)\" is \(what)")
        case .tooLong(let what): throw SourceError.attributeTooLong(id, field.name, what)
        }
      }
      offset += length
      byteCount += length
    }
    return values
  }

  /// - Returns: nil when its end has not come.
  private mutating func parsePayload(
    _ bytes: UnsafeRawBufferPointer, _ offset: inout Int, of id: RecordID, _ byteCount: inout Int
  ) throws(SourceError) -> [String?]? {
    var values: [String?] = []
    var total = 0
    for name in layout.payload {
      guard let length = try parseLength(bytes, &offset, of: name) else { return nil }
      total += 4 + max(length, 0)
      guard total <= HNSWIndex.payloadBytesMax else { throw SourceError.payloadTooLong(id, name) }
      guard length >= 0 else {
        values.append(nil)
        continue
      }
      let utf8 = UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + length)])
      guard let text = String(validating: utf8, as: UTF8.self) else {
        throw malformed("the column \"\(name)\" is not UTF-8")
      }
      values.append(text)
      offset += length
      byteCount += length
    }
    return values
  }

  /// - Returns: false when their end has not come.
  private mutating func skipAttributes(
    _ bytes: UnsafeRawBufferPointer, _ offset: inout Int
  ) throws(SourceError) -> Bool {
    for name in layout.attributes.map(\.name) + layout.payload {
      guard let length = try parseLength(bytes, &offset, of: name) else { return false }
      offset += max(length, 0)
    }
    return true
  }

  /// - Precondition: `bytes` holds the layout's number of components from `offset` on.
  private func appendVector(_ bytes: UnsafeRawBufferPointer, at offset: Int, to batch: inout RowBatch) -> Bool {
    guard let base = bytes.baseAddress else { return false }
    let dimension = layout.dimension
    var isFinite = false
    batch.vectors.append(addingCapacity: dimension) { span in
      span.withUnsafeMutableBufferPointer { buffer, initializedCount in
        // `addingCapacity` promises room for `dimension` floats after those that the span began with.
        guard let target = buffer.baseAddress else { return }
        let source = base + offset
        switch layout.vectorType {
        case .vector:
          isFinite = VectorBytes.readFloats(source, count: dimension, into: target + initializedCount)
        case .halfvec:
          isFinite = VectorBytes.readHalves(source, count: dimension, into: target + initializedCount)
        }
        if isFinite { initializedCount += dimension }
      }
    }
    return isFinite
  }

  /// - Returns: nil when the field's end has not come; `offset` is then of no meaning.
  private mutating func parseKey(
    _ column: Int, _ bytes: UnsafeRawBufferPointer, _ offset: inout Int
  ) throws(SourceError) -> RecordID? {
    guard bytes.count >= offset + 4 else { return incomplete(offset + 4) }
    let length = Int(bytes.bigEndian(at: offset, as: Int32.self))
    offset += 4
    guard length >= 0 else {
      guard length == -1 else { throw malformed("a field has the length \(length)") }
      throw SourceError.nullKey(column: column)
    }
    let type = layout.keyTypes[column]
    guard type.canHave(byteCount: length) else {
      if type == .text { throw SourceError.keyTooLong }
      throw malformed("key column \(column + 1), a \(type), has \(length) bytes")
    }
    guard bytes.count >= offset + length else { return incomplete(offset + length) }
    defer { offset += length }
    guard let id = type.id(UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + length)])) else {
      throw malformed("key column \(column + 1) is not UTF-8")
    }
    return id
  }

  private mutating func incomplete<Value>(_ count: Int) -> Value? {
    bytesNeeded = count
    return nil
  }

  private func malformed(_ what: String) -> SourceError {
    SourceError(
      .malformedData,
      "The server's binary COPY cannot be read: \(what), after \(rowCount + nullVectorCount) rows. "
        + "Between Postgres and here something changes the bytes, or the server is no PostgreSQL.")
  }
}

extension UnsafeRawBufferPointer {
  /// - Precondition: the value's bytes lie within the buffer (checked).
  func bigEndian<Value: FixedWidthInteger & BitwiseCopyable>(at offset: Int, as: Value.Type) -> Value {
    Value(bigEndian: loadUnaligned(fromByteOffset: offset, as: Value.self))
  }
}
