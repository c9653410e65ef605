// What stands in the journal: the stream's messages as they came, and the points that it has reached.
//
//     1  message   one pgoutput message, byte for byte. A transaction is a B, its changes and a C. Where a segment begins stand the
//                  relations that are known, so that a reader can begin at any segment.
//     2  point     u64 system identifier, u64 LSN, u32 timeline, u64 epoch, u8 1 if it continues what stands before it, u16 length and UTF-8 of
//                  the database, the same of the slot; little-endian. If it continues, everything that was committed before the LSN stands
//                  before it, or came with no change to a followed table. Otherwise whoever has not reached the LSN has missed changes, and if the
//                  epoch is another, whoever followed before has: the server may have been set back, so that its LSNs say nothing.
//
// May use: VectorSnapshot's journal, PostgresSource's LSN.

import PostgresSource
import VectorSnapshot

extension JournalRecordKind {
  static let message = JournalRecordKind(1)
  static let point = JournalRecordKind(2)
}

/// A place in the life of one Postgres, as one slot of it tells it.
struct StreamPoint: Hashable, Sendable {
  var systemIdentifier: UInt64
  var timeline: UInt32
  var lsn: LSN
  /// Whether nothing is missing between what stands before and this.
  var continues = true
  /// A random number, drawn whenever a stream begins that does not go on where another ended; 0: not drawn yet.
  var epoch: UInt64
  var database: String
  /// Or ``outboxPrefix`` and the name of the outbox's reader: then the LSN is the id of a transaction, and everything below it stands before.
  var slot: String

  /// No slot's name has a blank.
  static let outboxPrefix = "outbox "

  func encoded() -> [UInt8] {
    var bytes: [UInt8] = []
    func append(_ value: some FixedWidthInteger) {
      withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
    append(systemIdentifier)
    append(lsn.rawValue)
    append(timeline)
    append(epoch)
    bytes.append(continues ? 1 : 0)
    for text in [database, slot] {
      let utf8 = Array(text.utf8.prefix(Int(UInt16.max)))
      append(UInt16(utf8.count))
      bytes.append(contentsOf: utf8)
    }
    return bytes
  }

  init(
    systemIdentifier: UInt64, timeline: UInt32, lsn: LSN, continues: Bool = true, epoch: UInt64 = 0,
    database: String, slot: String
  ) {
    self.systemIdentifier = systemIdentifier
    self.timeline = timeline
    self.lsn = lsn
    self.continues = continues
    self.epoch = epoch
    self.database = database
    self.slot = slot
  }

  /// - Returns: nil for what ``encoded()`` never gives.
  init?(_ bytes: RawSpan) {
    var offset = 0
    func take<Value: FixedWidthInteger & BitwiseCopyable>(_: Value.Type) -> Value? {
      let size = MemoryLayout<Value>.size
      guard bytes.byteCount - offset >= size else { return nil }
      defer { offset += size }
      return Value(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: Value.self))
    }
    func takeText() -> String? {
      guard let length = take(UInt16.self), bytes.byteCount - offset >= Int(length) else { return nil }
      defer { offset += Int(length) }
      return bytes.extracting(offset..<(offset + Int(length))).withUnsafeBytes { String(validating: $0, as: UTF8.self) }
    }
    guard let systemIdentifier = take(UInt64.self), let lsn = take(UInt64.self), let timeline = take(UInt32.self),
      let epoch = take(UInt64.self), let continues = take(UInt8.self), continues <= 1,
      let database = takeText(), let slot = takeText(), offset == bytes.byteCount
    else { return nil }
    self.init(
      systemIdentifier: systemIdentifier, timeline: timeline, lsn: LSN(rawValue: lsn),
      continues: continues == 1, epoch: epoch, database: database, slot: slot)
  }
}
