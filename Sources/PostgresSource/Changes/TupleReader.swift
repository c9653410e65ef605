// The fields of one changed row, read as the columns that they are bound to: with the checks, and the words, of a load's rows.
//
// May use: TableBinding, the fields of Copy/, JSONPlace, PayloadText, RowHasher. Unsafe, because values are read where the message lies: every range
// is compared with its length first.

internal import VectorIndex

/// A row of a message, or what is sent of it.
struct TupleReader {
  private enum Value {
    case null
    case unchanged
    case bytes(UnsafeRawBufferPointer)
  }

  private let binding: TableBinding
  private let message: UnsafeRawBufferPointer
  private let new: PgOutputMessage.Tuple?
  private let old: PgOutputMessage.Tuple?
  /// Whether the old row is there in full, not its key alone.
  private let isOldFull: Bool

  /// - new: nil for a row of which only what it was is asked.
  init(
    _ binding: TableBinding, _ message: UnsafeRawBufferPointer, new: PgOutputMessage.Tuple?,
    old: PgOutputMessage.OldRow?
  ) {
    self.binding = binding
    self.message = message
    self.new = new
    switch old {
    case .full(let tuple): (self.old, isOldFull) = (tuple, true)
    case .key(let tuple): (self.old, isOldFull) = (tuple, false)
    case nil: (self.old, isOldFull) = (nil, false)
    }
  }

  /// The value of a column: of the new row, and where that leaves it out, of the old one if it was sent there.
  private func value(_ position: Int, of name: String) throws(SourceError) -> Value {
    if let new {
      let value = try value(new, position, of: name)
      guard case .unchanged = value else { return value }
    }
    guard let old, isOldFull || binding.isKey[position] else { return .unchanged }
    return try value(old, position, of: name)
  }

  private func value(
    _ tuple: PgOutputMessage.Tuple, _ position: Int, of name: String
  ) throws(SourceError) -> Value {
    guard tuple.fields.count == binding.fieldCount else {
      throw malformed("a row has \(tuple.fields.count) fields, where its relation has \(binding.fieldCount)")
    }
    switch tuple.fields[position] {
    case .null: return .null
    case .unchanged: return .unchanged
    case .text:
      throw malformed(
        "the column \(SQLText.identifier(name)) comes as text, though binary values were asked for; its type has no send function"
      )
    case .binary(let range):
      guard range.lowerBound >= 0, range.upperBound <= message.count else {
        throw malformed("the column \(SQLText.identifier(name)) ends after its message")
      }
      return .bytes(UnsafeRawBufferPointer(rebasing: message[range]))
    }
  }

  private func malformed(_ what: String) -> SourceError {
    SourceError(
      .malformedData,
      "The changes of \(binding.table.description.table ?? "") cannot be read: \(what). Between Postgres and here something changes the bytes, "
        + "or the server is no PostgreSQL.")
  }
}

// MARK: Columns

extension TupleReader {
  func id() throws(SourceError) -> RecordID {
    let keyColumns = binding.table.description.keyColumns
    var columns: [RecordID] = []
    columns.reserveCapacity(keyColumns.count)
    for (column, position) in binding.keys.enumerated() {
      let (name, type) = (keyColumns[column].name, keyColumns[column].type)
      switch try value(position, of: name) {
      case .null: throw SourceError.nullKey(column: column)
      case .unchanged:
        throw malformed("the key column \(SQLText.identifier(name)) is left out, and so is the old key")
      case .bytes(let bytes):
        guard type.canHave(byteCount: bytes.count) else {
          if type == .text { throw SourceError.keyTooLong }
          throw malformed("the key column \(SQLText.identifier(name)), a \(type), has \(bytes.count) bytes")
        }
        guard let id = type.id(bytes) else {
          throw malformed("the key column \(SQLText.identifier(name)) is not UTF-8")
        }
        columns.append(id)
      }
    }
    guard columns.count != 1 else { return columns[0] }
    let id = RecordID.composite(columns)
    guard id.isEncodable else { throw SourceError.keyTooLong }
    return id
  }

  func vector(of id: RecordID) throws(SourceError) -> FieldState<VectorValue> {
    let description = binding.table.description
    switch try value(binding.vector, of: description.vectorColumn) {
    case .null: return .value(.null)
    case .unchanged: return .unchanged
    case .bytes(let bytes):
      guard bytes.count >= 4 else { throw malformed("the vector of the row with key \(id) has \(bytes.count) bytes") }
      let dimension = Int(bytes.bigEndian(at: 0, as: UInt16.self))
      guard dimension == description.dimension else {
        throw SourceError.wrongDimension(id, found: dimension, expected: description.dimension)
      }
      guard bytes.count == 4 + dimension * description.vectorType.bytesPerComponent, let base = bytes.baseAddress else {
        throw malformed("the vector of the row with key \(id), of \(dimension) dimensions, has \(bytes.count) bytes")
      }
      var isFinite = false
      let components = [Float](unsafeUninitializedCapacity: dimension) { buffer, count in
        // Room for `dimension` floats, and as many components in the bytes: compared above.
        guard let target = buffer.baseAddress else { return }
        isFinite =
          switch description.vectorType {
          case .vector: VectorBytes.readFloats(base + 4, count: dimension, into: target)
          case .halfvec: VectorBytes.readHalves(base + 4, count: dimension, into: target)
          }
        count = dimension
      }
      guard isFinite else { throw SourceError.vectorNotFinite(id) }
      return .value(.components(components, hash: RowHasher.vectorHash(bytes)))
    }
  }

  func attributes(of id: RecordID) throws(SourceError) -> [FieldState<AttributeValue>] {
    var values: [FieldState<AttributeValue>] = []
    values.reserveCapacity(binding.attributes.count)
    // Several places may stand in one document.
    var documents: [Int: [UInt8]] = [:]
    for (number, attribute) in binding.table.description.attributes.enumerated() {
      let position = binding.attributes[number]
      switch try value(position, of: attribute.sourceColumn) {
      case .null: values.append(.value(.null))
      case .unchanged: values.append(.unchanged)
      case .bytes(let bytes):
        do throws(AttributeField.Fault) {
          guard let place = binding.table.places[number] else {
            values.append(.value(try attribute.field.value(bytes)))
            continue
          }
          if documents[position] == nil {
            guard let text = PayloadText.document(bytes) else { throw .malformed("jsonb of another version than 1") }
            documents[position] = Array(text)
          }
          values.append(.value(try place.value(in: documents[position] ?? [])))
        } catch {
          switch error {
          case .malformed(let what):
            throw malformed("the attribute \"\(attribute.column.name)\" of the row with key \(id) is \(what)")
          case .tooLong(let what): throw SourceError.attributeTooLong(id, attribute.column.name, what)
          }
        }
      }
    }
    return values
  }

  func payload(of id: RecordID) throws(SourceError) -> [FieldState<String?>] {
    var values: [FieldState<String?>] = []
    values.reserveCapacity(binding.payload.count)
    var total = 0
    for (number, name) in binding.table.description.payload.enumerated() {
      switch try value(binding.payload[number], of: name) {
      case .null:
        total += 4
        values.append(.value(nil))
      case .unchanged: values.append(.unchanged)
      case .bytes(let bytes):
        // What is left out was within the limit, or is not; the index has the last word when the whole row is known.
        guard let text = binding.table.payload[number].text(bytes) else {
          throw malformed("the column \(SQLText.identifier(name)) of the row with key \(id) is no such value")
        }
        total += 4 + text.utf8.count
        values.append(.value(text))
      }
      guard total <= HNSWIndex.payloadBytesMax else { throw SourceError.payloadTooLong(id, name) }
    }
    return values
  }
}
