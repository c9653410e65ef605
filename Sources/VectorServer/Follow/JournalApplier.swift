// From the journal into an index, step by step: what a follower's thread holds while it reads.
//
// A step is all of a transaction, or several that follow each other. It becomes visible at once. A transaction that is too large for that is
// applied in several.
//
// May use: CollectionFollower, ChangeGatherer, ChangeResolver, MissingRows.

import Foundation
import PostgresSource
import VectorIndex
import VectorSnapshot
import VectorWire

/// Reads and applies, for one follower.
struct JournalApplier {
  /// Something outside keeps a step from being made; it is tried again.
  struct Stall: Error, CustomStringConvertible {
    var reason: String
    var description: String { reason }
  }

  /// What the last relation message makes of the table.
  private enum Described {
    /// None has come.
    case nothing
    case bound(TableBinding)
    /// Another table than the one that was loaded: no change of a row may be taken.
    case altered(SourceError)
  }

  private let follower: CollectionFollower
  private var resolver: ChangeResolver
  private var described = Described.nothing
  /// The same where the collection stands, from where on a step that failed is read again.
  private var describedBefore = Described.nothing
  private var gathered = ChangeGatherer()
  /// The transaction that is being read, and whether it is in the collection already.
  private var transaction: PgOutputMessage.Begin?
  private var isKnown = false
  /// Of what is gathered: the first and the last commit.
  private var first: LSN?
  private var last = LSN.unknown
  private var lastEnd = LSN.unknown
  private var lastTime: Int64 = 0
  private var isSplit = false
  private var rows: MissingRows
  /// The transactions that changed what is gathered, one after the other.
  private var gatheredIDs: [UInt32] = []
  /// Those whose changes are in the index, as far as nobody has seen that others see them.
  private var appliedIDs: [UInt32] = []
  /// Whether something of the journal was read, or what stands before is known to be there.
  private var hasBegun: Bool
  /// Of messages that are gathered.
  private var gatheredBytes = 0
  /// Transactions that are read, and not applied.
  private var readTransactions: UInt64 = 0

  /// A step has about so many rows, or bytes, unless one transaction has more.
  private static let rowsPerStep = 1_000
  private static let bytesPerStep = 16 << 20
  /// A transaction of more than that is applied in several steps.
  private static let rowsMax = 20_000
  private static let bytesMax = 64 << 20
  /// Others see a transaction that lies so many back, but where its session waits for a standby.
  private static let appliedIDsMax = 50_000

  init(_ follower: CollectionFollower) {
    self.follower = follower
    hasBegun = follower.continues
    rows = MissingRows(follower)
    resolver = ChangeResolver(follower.collection.index, description: follower.table.description)
  }

  /// Applies the journal up to the mark, where a transaction ends.
  mutating func applyAll(until mark: Frontier.Mark) throws {
    let start = follower.state.withLock { $0.position }
    if case .nothing = describedBefore { try bindKnown() }
    guard start < mark.end else { return }
    // What is left of a step that failed is read again. That changes nothing twice: a row's last state is what counts, and what a message left
    // out is taken from the row as it is, or from Postgres.
    (gathered, gatheredBytes, first, isSplit, lastEnd) = (ChangeGatherer(), 0, nil, false, .unknown)
    (gatheredIDs, readTransactions) = ([], 0)
    described = describedBefore
    var failure: (any Error)?
    do throws(SnapshotError) {
      _ = try follower.log.journal.read(from: start, to: mark.end) { record, body in
        do {
          if follower.stop.isRaised { throw SourceError(.cancelled, "The server ends.") }
          try take(record, body)
          return true
        } catch {
          failure = error
          return false
        }
      }
    } catch {
      guard Self.isPassing(error.code) else { throw error }
      throw Stall(reason: error.message)
    }
    if let failure { throw failure }
    try apply(at: mark.end, reaching: mark)
  }

  /// Whether an error of the journal says nothing about the rows: what it has in memory finds no room on the disk, or the disk does not answer.
  private static func isPassing(_ code: SnapshotError.Code) -> Bool {
    code == .noSpace || code == .io || code == .unsynchronized
  }

  private mutating func bindKnown() throws {
    described = .nothing
    for message in follower.relations {
      guard case .relation(let relation) = try PgOutputMessage(message) else { continue }
      bind(relation)
    }
    describedBefore = described
  }

  /// One that does not fit is no fault yet: the journal still has those of before an ALTER TABLE when a collection is loaded after it, and
  /// says them again wherever a segment begins. Postgres sends another before the next change.
  private mutating func bind(_ relation: PgOutputMessage.Relation) {
    guard relation.id == follower.facts.relationOID else { return }
    do throws(SourceError) {
      described = .bound(try follower.table.bind(relation))
    } catch {
      described = .altered(error)
    }
  }

  /// Whether everything before a point is in the collection or stands before it in the journal.
  private mutating func check(_ point: StreamPoint, at position: JournalPosition) throws {
    defer { hasBegun = true }
    // What opens a segment says again what stands before; where reading begins, nothing does.
    let isOther = point.epoch != follower.epoch
    guard isOther || !point.continues || !hasBegun else { return }
    try applyGathered(until: position)
    // Positions of two streams cannot be compared: between them the server may have been set back.
    guard !isOther, point.lsn.rawValue <= max(follower.collection.position.appliedLSN, lastEnd.rawValue) else {
      throw ServerError(
        .journalUnusable,
        "changes between \(LSN(rawValue: follower.collection.position.appliedLSN)) and \(point.lsn) were missed: the slot was lost and made anew"
      )
    }
  }

  private mutating func take(_ record: JournalRecord, _ body: RawSpan) throws {
    if record.kind == .point, let point = StreamPoint(body) {
      return try check(point, at: record.range.lowerBound)
    }
    hasBegun = true
    guard record.kind == .message, body.byteCount > 0 else { return }
    try body.withUnsafeBytes { bytes in
      switch bytes[0] {
      case UInt8(ascii: "B"):
        guard case .begin(let begin) = try PgOutputMessage(bytes) else { return }
        transaction = begin
        // Only commits are ordered, so only they say what the collection has.
        isKnown = begin.finalLSN.rawValue < follower.collection.position.appliedLSN
      case UInt8(ascii: "C"):
        guard case .commit(let commit) = try PgOutputMessage(bytes) else { return }
        try end(commit, at: record.range.upperBound)
      case UInt8(ascii: "R"):
        guard case .relation(let relation) = try PgOutputMessage(bytes) else { return }
        bind(relation)
      case _ where isKnown: break
      case UInt8(ascii: "I"), UInt8(ascii: "U"), UInt8(ascii: "D"):
        try takeRow(bytes, until: record.range.upperBound)
      case UInt8(ascii: "T"):
        guard case .truncate(let truncate) = try PgOutputMessage(bytes),
          truncate.relations.contains(follower.facts.relationOID)
        else { return }
        gathered.removeAll()
      default: break
      }
    }
  }

  private mutating func takeRow(_ bytes: UnsafeRawBufferPointer, until position: JournalPosition) throws {
    // The relation's number stands first in all three: others need not be decoded.
    guard bytes.count >= 5 else { throw SourceError(.malformedData, "A change of \(bytes.count) bytes.") }
    let relation = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 1, as: UInt32.self))
    guard relation == follower.facts.relationOID else { return }
    let binding: TableBinding
    switch described {
    case .bound(let bound): binding = bound
    case .altered(let error): throw error
    case .nothing:
      throw SourceError(.malformedData, "Postgres sent a change of a table that it has not described.")
    }
    switch try PgOutputMessage(bytes) {
    case .insert(let insert): gathered.take(try binding.event(insert, in: bytes))
    case .update(let update): gathered.take(try binding.event(update, in: bytes))
    case .delete(let delete): gathered.take(try binding.event(delete, in: bytes))
    default: break
    }
    gatheredBytes += bytes.count
    // Of a transaction with parts of its own (savepoints) it is the whole's, as it is in what a statement sees.
    if let id = transaction?.transactionID, id != gatheredIDs.last { gatheredIDs.append(id) }
    if gathered.count >= Self.rowsMax || gathered.byteCount >= Self.bytesMax {
      // Too large to become visible at once. Its position rises when all of it is there.
      isSplit = true
      noteCommit(transaction?.finalLSN ?? last)
      try applyGathered(until: position)
    }
  }

  private mutating func noteCommit(_ lsn: LSN) {
    if first == nil { first = lsn }
    last = max(last, lsn)
  }

  private mutating func end(_ commit: PgOutputMessage.Commit, at position: JournalPosition) throws {
    readTransactions += 1
    if !isKnown {
      noteCommit(commit.commitLSN)
      lastEnd = max(lastEnd, commit.endLSN)
      lastTime = commit.commitMicroseconds
    }
    if isSplit || gathered.count >= Self.rowsPerStep || gathered.byteCount >= Self.bytesPerStep {
      try apply(at: position)
    }
  }

  /// Makes what is gathered visible; at a transaction's end.
  ///
  /// - known: a mark that is reached with it.
  private mutating func apply(at position: JournalPosition, reaching known: Frontier.Mark? = nil) throws {
    let mark = known ?? follower.log.frontier.mark
    let lsn = max(lastEnd, known?.lsn ?? .unknown)
    let transactions = readTransactions
    try applyGathered(until: position) { state in
      state.reach(position, lsn > .unknown ? lsn : nil, on: mark)
      state.transactions += transactions
    }
    readTransactions = 0
    describedBefore = described
    isSplit = false
    guard lastEnd > .unknown else { return }
    follower.tellPosition()
    follower.applied(lastTime, follower.log.frontier.mark)
    lastEnd = .unknown
  }

  /// - position: up to where the journal was read.
  /// - note: what else becomes of the follower's state with it.
  private mutating func applyGathered(
    until position: JournalPosition, noting note: (inout CollectionFollower.State) -> Void = { _ in }
  ) throws {
    guard !gathered.isEmpty else {
      first = nil
      // The rows are those that they were, and the collection stands at one place as well as at the other.
      return follower.state.withLock { note(&$0) }
    }
    var resolved = resolver.resolve(gathered)
    var isEmptied = gathered.removesAll
    var unknown = resolved.unknown[...]
    var fetchedBytes = 0
    while !unknown.isEmpty {
      let read = try rows.read(unknown, seeing: gatheredIDs)
      resolver.add(read.found.rows, missing: read.found.missing, wasEmptied: isEmptied, to: &resolved)
      unknown = unknown.dropFirst(read.count)
      fetchedBytes += read.bytes
      guard fetchedBytes >= follower.configuration.fetchedBytesMax, !unknown.isEmpty else { continue }
      // Too large to become visible at once, which no message has told. The position rises when all of it is there.
      try publish(resolved, removingAllFirst: isEmptied, until: position, bytes: 0) { _ in }
      (resolved, isEmptied, fetchedBytes) = (ChangeResolver.Resolved(), false, 0)
    }
    try publish(resolved, removingAllFirst: isEmptied, until: position, bytes: gatheredBytes, noting: note)
    appliedIDs += gatheredIDs
    if appliedIDs.count > 2 * Self.appliedIDsMax { appliedIDs.removeFirst(appliedIDs.count - Self.appliedIDsMax) }
    (gathered, gatheredBytes, gatheredIDs) = (ChangeGatherer(), 0, [])
    first = nil
  }

  /// - bytes: of messages that are applied with it.
  private func publish(
    _ resolved: ChangeResolver.Resolved, removingAllFirst wasEmptied: Bool, until position: JournalPosition, bytes: Int,
    noting note: (inout CollectionFollower.State) -> Void
  ) throws {
    let (first, last) = (self.first ?? self.last, self.last)
    do throws(IndexError) {
      try follower.collection.index.apply(resolved.changes, removingAllFirst: wasEmptied) { [follower] in
        follower.state.withLock { state in
          if wasEmptied { state.ledger.reset(at: last) }
          state.ledger.apply(resolved.deltas, first: first, last: last)
          state.appliedBytes += bytes
          state.touched = max(state.touched, position)
          note(&state)
        }
      }
    } catch {
      // Memory may come back; everything else will not.
      guard error.code == .outOfMemory else { throw error }
      // What replaced rows took does when the graph is mended, which is otherwise done when more has changed, and so never.
      follower.collection.index.consolidate()
      throw Stall(reason: "there is no memory for the next rows: \(error.message)")
    }
  }

  /// Reads rows anew, and applies what differs from the index if asked: some after the other, since each is right by itself.
  /// - Returns: the rows that differ.
  mutating func revise(_ ids: [RecordID], repairs: Bool) throws -> [RecordID] {
    var different: [RecordID] = []
    var rest = ids[...]
    while !rest.isEmpty {
      if follower.stop.isRaised { throw SourceError(.cancelled, "The server ends.") }
      // A row of before what is applied would be taken for what is right.
      let read = try rows.read(rest, seeing: appliedIDs)
      // What one statement sees, later ones do.
      appliedIDs = []
      rest = rest.dropFirst(read.count)
      var resolved = ChangeResolver.Resolved()
      resolver.add(read.found.rows, missing: read.found.missing, wasEmptied: false, to: &resolved)
      different += resolved.changes.map(\.id)
      if repairs, !resolved.changes.isEmpty { try mend(resolved) }
    }
    return different
  }

  private func mend(_ resolved: ChangeResolver.Resolved) throws {
    try follower.collection.index.apply(resolved.changes) { [follower] in
      follower.state.withLock { state in
        state.appliedBytes += resolved.changes.count
        state.mendedRows += UInt64(resolved.changes.count)
        state.ledger.reconcile(resolved.deltas, at: LSN(rawValue: state.applied.appliedLSN))
      }
    }
  }
}
