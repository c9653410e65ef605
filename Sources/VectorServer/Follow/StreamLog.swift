// The journal as the stream writes it: whole transactions, the relations they speak of, and which of it is durable.
//
// One thread writes (ChangeStream); one makes durable (`synchronize`); any number read. docs/FOLLOWING.md has the rules.
//
// May use: VectorSnapshot's journal.

import Foundation
import PostgresSource
import Synchronization
import VectorSnapshot

/// What has come from one slot, in order.
final class StreamLog: Sendable {
  let journal: Journal
  let frontier: Frontier
  private let state: Mutex<State>

  private struct State {
    /// The last point that stands in the journal; nil: nothing was followed yet.
    var point: StreamPoint?
    /// The relations that the stream has told of up to the frontier, by id: their messages.
    var relations: [UInt32: [UInt8]] = [:]
    /// Those that the transaction that is coming in tells of.
    var newRelations: [UInt32: [UInt8]] = [:]
    /// Where the transaction began that is coming in.
    var begin: JournalPosition?
    /// Which LSN is safe once the journal is durable up to a position; ascending.
    var pending: [(end: JournalPosition, lsn: LSN)] = []
    var durable = LSN.unknown
    /// Where the stream of the last point began, if that stands in the journal still; else the journal's beginning.
    var beginning: JournalPosition

    mutating func endTransaction() {
      begin = nil
      relations.merge(newRelations) { $1 }
      newRelations = [:]
    }

    mutating func dropTransaction() {
      begin = nil
      newRelations = [:]
    }
  }

  /// What a reader needs to begin at a position.
  struct Mark: Sendable {
    var position: JournalPosition
    var relations: [[UInt8]]
    var transactions: UInt64
    /// Of the stream that is read.
    var epoch: UInt64
    /// Whether everything before the position is known to be in what begins there.
    var continues = true
  }

  /// Reads the journal once, and drops a transaction at its end whose commit has not come.
  /// - Throws: ``SnapshotError``; ``ServerError`` (`journalUnusable`) for records that no program of this kind writes.
  init(_ journal: Journal) throws {
    self.journal = journal
    var state = State(beginning: journal.oldestPosition)
    var transactions: UInt64 = 0
    var fault: String?
    var last = LSN.unknown
    _ = try journal.read(from: journal.oldestPosition) { record, body in
      switch record.kind {
      case .point:
        guard let point = StreamPoint(body) else {
          fault = "a point at \(record.range.lowerBound.rawValue)"
          return false
        }
        state.point = point
        if point.continues {
          // One that opens a segment says again where the stream stood.
          last = max(last, point.lsn)
        } else {
          // The server may have been set back: nothing of what came before counts.
          last = point.lsn
          state.beginning = record.range.lowerBound
          (state.relations, state.newRelations) = ([:], [:])
        }
      case .message:
        do throws(SourceError) {
          switch body.byteCount > 0 ? body.unsafeLoad(fromByteOffset: 0, as: UInt8.self) : 0 {
          case UInt8(ascii: "B"):
            state.begin = record.range.lowerBound
          case UInt8(ascii: "C"):
            if case .commit(let commit) = try PgOutputMessage(body) { last = max(last, commit.endLSN) }
            state.endTransaction()
            transactions += 1
          case UInt8(ascii: "R"):
            if case .relation(let relation) = try PgOutputMessage(body) {
              state.newRelations[relation.id] = body.withUnsafeBytes { Array($0) }
            }
          default: break
          }
        } catch {
          fault = "a message at \(record.range.lowerBound.rawValue): \(error.message)"
          return false
        }
      default:
        fault = "a record of the unknown kind \(record.kind.rawValue)"
        return false
      }
      return true
    }
    if let fault {
      throw ServerError(
        .journalUnusable,
        "the journal in \(journal.path) holds \(fault). It is of a newer program, or damaged: use that program, or move the folder away, and "
          + "the collections are loaded anew")
    }
    if let begin = state.begin {
      try journal.truncate(to: begin)
      _ = try journal.synchronize()
      state.dropTransaction()
    } else {
      // Those that open a segment stand outside of transactions.
      state.endTransaction()
    }
    state.point?.lsn = last
    state.durable = last
    frontier = Frontier(
      Frontier.Mark(
        end: journal.endPosition, lsn: last, walEnd: last, transactions: transactions,
        systemIdentifier: state.point?.systemIdentifier ?? 0, timeline: state.point?.timeline ?? 0))
    self.state = Mutex(state)
  }

  /// Where the stream is to go on; nil: nothing was followed yet.
  var point: StreamPoint? {
    state.withLock { state in
      guard var point = state.point else { return nil }
      point.lsn = frontier.mark.lsn
      point.continues = true
      return point
    }
  }

  /// Changes whenever the stream begins anew: what began to follow before has missed changes. 0: nothing was followed yet.
  var epoch: UInt64 { state.withLock { $0.point?.epoch ?? 0 } }

  /// Up to where everything survives a crash.
  var durableLSN: LSN { state.withLock { $0.durable } }

  /// Where a reader begins that is to see everything from now on.
  func mark() -> Mark {
    state.withLock { state in
      let mark = frontier.mark
      return Mark(
        position: mark.end, relations: Array(state.relations.values), transactions: mark.transactions,
        epoch: state.point?.epoch ?? 0)
    }
  }

  /// Where a collection from disk begins to read that followed the stream of an epoch: where that stream began, as far as it is there.
  /// - Returns: nil: another stream has begun since.
  func mark(of epoch: UInt64) -> Mark? {
    state.withLock { state in
      guard state.point == nil || state.point?.epoch == epoch else { return nil }
      return Mark(
        position: max(state.beginning, journal.oldestPosition), relations: [], transactions: 0, epoch: epoch,
        continues: false)
    }
  }
}

// MARK: - The writer

extension StreamLog {
  /// Notes that the stream stands at a point, where no transaction is coming in.
  /// One that does not continue what came before begins another stream, of the epoch that it names or of a new one: what was told of relations,
  /// and what was durable, is forgotten.
  func reach(_ reached: StreamPoint) throws(SnapshotError) {
    var point = reached
    if point.continues {
      point.epoch = epoch
    } else if point.epoch == 0 {
      point.epoch = UInt64.random(in: 1...UInt64.max)
    }
    let range = try journal.append(.point, point.encoded())
    state.withLock { state in
      state.point = point
      if !point.continues {
        (state.relations, state.newRelations) = ([:], [:])
        // A server that was set back has not got there: it would take the one for changes that it may forget.
        (state.pending, state.durable) = ([], .unknown)
        state.beginning = range.lowerBound
      }
      state.pending.append((range.upperBound, point.lsn))
    }
    frontier.advance { mark in
      mark.end = range.upperBound
      mark.lsn = point.lsn
      mark.walEnd = point.continues ? max(mark.walEnd, point.lsn) : point.lsn
      mark.systemIdentifier = point.systemIdentifier
      mark.timeline = point.timeline
    }
  }

  /// Notes where Postgres's log ends, though not all of it has come: now, when it was asked on the connection on which changes come.
  func noteLogEnd(_ end: LSN) {
    frontier.advance { mark in mark.walEnd = max(mark.lsn, end) }
  }

  /// The same, where another connection was asked a while ago: what another stream, or another server, said of itself is passed over.
  /// - epoch: of the stream that was followed when it was asked.
  func noteLogEnd(_ end: LogEnd, of epoch: UInt64) {
    // Under the lock, so that no other stream begins meanwhile.
    state.withLock { state in
      guard let point = state.point, point.epoch == epoch, (end.timeline ?? point.timeline) == point.timeline
      else { return }
      frontier.advance { mark in mark.walEnd = max(mark.walEnd, end.lsn) }
    }
  }

  /// Takes a message of the stream.
  /// - Returns: the end of a transaction that is whole with it.
  /// - Throws: ``SnapshotError``: the message was not taken and may be given again. ``SourceError``: it is none.
  @discardableResult
  func take(_ bytes: UnsafeRawBufferPointer) throws -> LSN? {
    guard let letter = bytes.first else { throw SourceError(.malformedData, "Postgres sent an empty message.") }
    switch letter {
    case UInt8(ascii: "B"):
      let begin = journal.endPosition
      try append(bytes)
      state.withLock { $0.begin = begin }
    case UInt8(ascii: "C"):
      guard case .commit(let commit) = try PgOutputMessage(bytes) else { return nil }
      let range = try append(bytes)
      state.withLock { state in
        state.endTransaction()
        state.pending.append((range.upperBound, commit.endLSN))
      }
      frontier.advance { mark in
        mark.end = range.upperBound
        mark.lsn = max(mark.lsn, commit.endLSN)
        mark.walEnd = max(mark.walEnd, commit.endLSN)
        mark.transactions += 1
      }
      return commit.endLSN
    case UInt8(ascii: "R"):
      guard case .relation(let relation) = try PgOutputMessage(bytes) else { return nil }
      try append(bytes)
      state.withLock { $0.newRelations[relation.id] = Array(bytes) }
    case UInt8(ascii: "I"), UInt8(ascii: "U"), UInt8(ascii: "D"), UInt8(ascii: "T"):
      try append(bytes)
    default:
      // Types, origins, messages of other programs, and aborts that PG 18 sends without being asked: no change of a row.
      _ = try PgOutputMessage(bytes)
    }
    return nil
  }

  @discardableResult
  private func append(_ bytes: UnsafeRawBufferPointer) throws(SnapshotError) -> Range<JournalPosition> {
    try journal.append(.message, bytes.bytes)
  }

  /// Begins a new segment where it is time; between transactions.
  func rollIfDue() throws(SnapshotError) {
    _ = try journal.rollIfDue {
      state.withLock { state in
        var opening: [(kind: JournalRecordKind, body: [UInt8])] = []
        if var point = state.point {
          point.lsn = frontier.mark.lsn
          point.continues = true
          opening.append((.point, point.encoded()))
        }
        return opening + state.relations.values.map { (.message, $0) }
      }
    }
  }

  /// Whether a transaction is coming in.
  var isWithinTransaction: Bool { state.withLock { $0.begin != nil } }

  /// Drops the transaction that was coming in when the connection broke: it will come again.
  func dropUnfinished() throws(SnapshotError) {
    guard let begin = state.withLock({ $0.begin }) else { return }
    try journal.truncate(to: begin)
    state.withLock { $0.dropTransaction() }
  }

  /// Makes durable what has come.
  /// - Returns: whether there was something.
  @discardableResult
  func synchronize() throws(SnapshotError) -> Bool {
    let position = try journal.synchronize()
    return state.withLock { state in
      let count = state.pending.prefix { $0.end <= position }.count
      guard count > 0 else { return false }
      state.durable = max(state.durable, state.pending[count - 1].lsn)
      state.pending.removeFirst(count)
      return true
    }
  }

  var hasUndurable: Bool { state.withLock { !$0.pending.isEmpty } }
}
