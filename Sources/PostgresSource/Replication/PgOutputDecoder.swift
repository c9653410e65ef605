// From the bytes of one message of pgoutput to its value. A pure machine: bytes in, a value or an error out, no I/O, no state.
//
//     B  u64 final LSN   i64 time   u32 xid
//     C  u8 0   u64 commit LSN   u64 end LSN   i64 time
//     R  u32 relation   string schema   string name   u8 identity   i16 n   { u8 is key   string column   u32 type   i32 modifier }…
//     Y  u32 type   string schema   string name
//     O  u64 LSN   string name
//     I  u32 relation   'N' row
//     U  u32 relation   [ 'K' row | 'O' row ]   'N' row
//     D  u32 relation   'K' row | 'O' row
//     T  u32 n   u8 options (1 cascade, 2 restart identity)   u32 relation…
//     M  u8 is transactional   u64 LSN   string prefix   i32 length   bytes
//     A  u32 xid   u32 subxid   [ u64 LSN   i64 time ]
//     row     i16 n   { 'n' | 'u' | 't' i32 length bytes | 'b' i32 length bytes }…
//     string  UTF-8 bytes   u8 0
//
// All integers are big-endian; times are microseconds since 2000-01-01 UTC. Nothing may follow a message's end.
//
// May use: PgOutputMessage. Unsafe, because this is where bytes meet libpq: every read stands behind a comparison with the number of bytes at
// hand.

extension PgOutputMessage {
  /// Reads one message.
  ///
  /// Complexity: O(fields); the bytes of values are not looked at.
  /// - Parameter bytes: all of the message, from its kind on. The ranges in the result count from there.
  /// - Throws: ``SourceError`` with `malformedData`.
  package init(_ bytes: UnsafeRawBufferPointer) throws(SourceError) {
    var reader = PgOutputReader(bytes)
    self = try reader.message()
    try reader.end()
  }

  /// Reads one message.
  /// - Throws: ``SourceError`` with `malformedData`.
  package init(_ bytes: RawSpan) throws(SourceError) {
    self = try bytes.withUnsafeBytes { (buffer) throws(SourceError) in try PgOutputMessage(buffer) }
  }

  /// Reads one message.
  /// - Throws: ``SourceError`` with `malformedData`.
  package init(_ bytes: [UInt8]) throws(SourceError) {
    self = try PgOutputMessage(bytes.span.bytes)
  }
}

/// A cursor over a message.
private struct PgOutputReader {
  private let bytes: UnsafeRawBufferPointer
  private var offset = 0

  init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  mutating func message() throws(SourceError) -> PgOutputMessage {
    let kind: UInt8 = try integer("a kind")
    switch kind {
    case UInt8(ascii: "B"):
      return .begin(
        PgOutputMessage.Begin(
          finalLSN: try lsn(), commitMicroseconds: try integer("a time"), transactionID: try integer("a transaction")))
    case UInt8(ascii: "C"):
      let flags: UInt8 = try integer("flags")
      guard flags == 0 else { throw malformed("a commit has the flags \(flags)") }
      return .commit(
        PgOutputMessage.Commit(commitLSN: try lsn(), endLSN: try lsn(), commitMicroseconds: try integer("a time")))
    case UInt8(ascii: "R"): return .relation(try relation())
    case UInt8(ascii: "Y"):
      return .type(
        PgOutputMessage.TypeName(oid: try integer("a type"), schema: try string("a schema"), name: try string("a name"))
      )
    case UInt8(ascii: "O"):
      return .origin(PgOutputMessage.Origin(commitLSN: try lsn(), name: try string("an origin's name")))
    case UInt8(ascii: "I"):
      let relation: UInt32 = try integer("a relation")
      try expect(UInt8(ascii: "N"), "an insertion's row")
      return .insert(PgOutputMessage.Insert(relation: relation, new: try tuple()))
    case UInt8(ascii: "U"): return .update(try update())
    case UInt8(ascii: "D"):
      let relation: UInt32 = try integer("a relation")
      let mark: UInt8 = try integer("a row's mark")
      guard let old = try oldRow(mark) else { throw malformed("a deletion's row is marked \(mark)") }
      return .delete(PgOutputMessage.Delete(relation: relation, old: old))
    case UInt8(ascii: "T"): return .truncate(try truncate())
    case UInt8(ascii: "M"): return .message(try logicalMessage())
    case UInt8(ascii: "A"):
      let abort = PgOutputMessage.StreamAbort(
        transactionID: try integer("a transaction"), subtransactionID: try integer("a subtransaction"))
      // Where streams are applied in parallel, the abort's position and time follow.
      if offset < bytes.count { _ = try take(16, "an abort's position and time") }
      return .streamAbort(abort)
    default:
      throw malformed("a message is of the unknown kind \(kind)")
    }
  }

  func end() throws(SourceError) {
    guard offset == bytes.count else { throw malformed("\(bytes.count - offset) bytes follow the message's end") }
  }
}

// MARK: Parts

extension PgOutputReader {
  private mutating func relation() throws(SourceError) -> PgOutputMessage.Relation {
    let id: UInt32 = try integer("a relation")
    let schema = try string("a schema")
    let name = try string("a table's name")
    let letter: UInt8 = try integer("a replica identity")
    guard let identity = PgOutputMessage.ReplicaIdentity(rawValue: letter) else {
      throw malformed("the table \(name) has the unknown replica identity \(letter)")
    }
    // A column has its flag, its name's end, its type and its modifier.
    let count = try self.count("columns", bytesEachMin: 10)
    var columns: [PgOutputMessage.Column] = []
    columns.reserveCapacity(count)
    for _ in 0..<count {
      let flags: UInt8 = try integer("a column's flags")
      columns.append(
        PgOutputMessage.Column(
          isKey: flags & 1 != 0, name: try string("a column's name"), typeOID: try integer("a column's type"),
          typeModifier: try integer("a column's modifier")))
    }
    return PgOutputMessage.Relation(
      id: id, schema: schema, name: name, replicaIdentity: identity, columns: columns)
  }

  private mutating func update() throws(SourceError) -> PgOutputMessage.Update {
    let relation: UInt32 = try integer("a relation")
    var mark: UInt8 = try integer("a row's mark")
    let old = try oldRow(mark)
    if old != nil { mark = try integer("a row's mark") }
    guard mark == UInt8(ascii: "N") else { throw malformed("an update's new row is marked \(mark)") }
    return PgOutputMessage.Update(relation: relation, old: old, new: try tuple())
  }

  /// - Returns: nil when the mark is no old row's.
  private mutating func oldRow(_ mark: UInt8) throws(SourceError) -> PgOutputMessage.OldRow? {
    switch mark {
    case UInt8(ascii: "K"): .key(try tuple())
    case UInt8(ascii: "O"): .full(try tuple())
    default: nil
    }
  }

  private mutating func tuple() throws(SourceError) -> PgOutputMessage.Tuple {
    let count = try self.count("fields", bytesEachMin: 1)
    var fields: [PgOutputMessage.Field] = []
    fields.reserveCapacity(count)
    for _ in 0..<count {
      let kind: UInt8 = try integer("a field's kind")
      switch kind {
      case UInt8(ascii: "n"): fields.append(.null)
      case UInt8(ascii: "u"): fields.append(.unchanged)
      case UInt8(ascii: "t"): fields.append(.text(try content("a field")))
      case UInt8(ascii: "b"): fields.append(.binary(try content("a field")))
      default: throw malformed("a field is of the unknown kind \(kind)")
      }
    }
    return PgOutputMessage.Tuple(fields)
  }

  private mutating func truncate() throws(SourceError) -> PgOutputMessage.Truncate {
    let count: UInt32 = try integer("a number of tables")
    let options: UInt8 = try integer("options")
    guard options & ~3 == 0 else { throw malformed("a truncation has the options \(options)") }
    guard Int(count) * 4 == bytes.count - offset else {
      throw malformed("a truncation of \(count) tables has \(bytes.count - offset) bytes for their names")
    }
    var relations: [UInt32] = []
    relations.reserveCapacity(Int(count))
    for _ in 0..<count { relations.append(try integer("a relation")) }
    return PgOutputMessage.Truncate(
      relations: relations, cascades: options & 1 != 0, restartsIdentity: options & 2 != 0)
  }

  private mutating func logicalMessage() throws(SourceError) -> PgOutputMessage.LogicalMessage {
    let flags: UInt8 = try integer("flags")
    return PgOutputMessage.LogicalMessage(
      isTransactional: flags & 1 != 0, lsn: try lsn(), prefix: try string("a message's prefix"),
      content: try content("a message"))
  }
}

// MARK: Atoms

extension PgOutputReader {
  /// The place of the next `count` bytes, which are there.
  private mutating func take(_ count: Int, _ what: String) throws(SourceError) -> Range<Int> {
    guard count <= bytes.count - offset else {
      throw malformed("\(what) of \(count) bytes is cut off after \(bytes.count - offset)")
    }
    defer { offset += count }
    return offset..<(offset + count)
  }

  private mutating func integer<Value: FixedWidthInteger & BitwiseCopyable>(
    _ what: String
  ) throws(SourceError) -> Value {
    let place = try take(MemoryLayout<Value>.size, what)
    return bytes.bigEndian(at: place.lowerBound, as: Value.self)
  }

  private mutating func lsn() throws(SourceError) -> LSN { LSN(rawValue: try integer("a position")) }

  private mutating func expect(_ mark: UInt8, _ what: String) throws(SourceError) {
    let found: UInt8 = try integer("a row's mark")
    guard found == mark else { throw malformed("\(what) is marked \(found)") }
  }

  /// A number of things of which each takes so many bytes at least: never more than there is room for.
  private mutating func count(_ what: String, bytesEachMin: Int) throws(SourceError) -> Int {
    let count: Int16 = try integer("a number of \(what)")
    guard count >= 0, Int(count) * bytesEachMin <= bytes.count - offset else {
      throw malformed("\(count) \(what) are in \(bytes.count - offset) bytes")
    }
    return Int(count)
  }

  /// Bytes behind their length.
  private mutating func content(_ what: String) throws(SourceError) -> Range<Int> {
    let length: Int32 = try integer("a length")
    guard length >= 0 else { throw malformed("\(what) has the length \(length)") }
    return try take(Int(length), what)
  }

  private mutating func string(_ what: String) throws(SourceError) -> String {
    let rest = UnsafeRawBufferPointer(rebasing: bytes[offset...])
    guard let length = rest.firstIndex(of: 0) else { throw malformed("\(what) has no end") }
    guard let text = String(validating: rest[..<length], as: UTF8.self) else { throw malformed("\(what) is not UTF-8") }
    offset += length + 1
    return text
  }

  private func malformed(_ what: String) -> SourceError {
    SourceError(
      .malformedData,
      "The server's stream of changes cannot be read: \(what), at byte \(offset) of a message of \(bytes.count). "
        + "Between Postgres and here something changes the bytes, or the server is no PostgreSQL.")
  }
}
