// The rules of attaching to a slot, one by one: each is broken alone, and each at its edge.

import PostgresSource
import Testing

struct AttachCheckTests {
  private static let applied: UInt64 = 1_000

  private var local: AttachCheck.Local {
    AttachCheck.Local(
      slot: "s", systemIdentifier: 7, timeline: 2, database: "app", applied: LSN(rawValue: Self.applied))
  }
  private var server: SystemIdentity {
    SystemIdentity(systemIdentifier: 7, timeline: 2, position: LSN(rawValue: 5_000), database: "app")
  }
  private var slot: SlotFacts {
    var slot = SlotFacts(name: "s")
    slot.plugin = "pgoutput"
    slot.database = "app"
    slot.confirmedFlushLSN = LSN(rawValue: Self.applied)
    slot.restartLSN = LSN(rawValue: 900)
    slot.walStatus = .reserved
    return slot
  }

  private func verdict(
    _ local: AttachCheck.Local? = nil, _ server: SystemIdentity? = nil, history: String = "", slot: SlotFacts?,
    isStandby: Bool = false
  ) throws -> AttachVerdict {
    AttachCheck.verdict(
      local: local ?? self.local, server: server ?? self.server, history: try TimelineHistory(parsing: history),
      slot: slot, isStandby: isStandby)
  }

  private func refusal(_ verdict: AttachVerdict) throws -> AttachRefusal {
    guard case .refuse(let refusal) = verdict else {
      Issue.record("not refused: \(verdict)")
      throw SourceError(.invalidArgument, "not refused")
    }
    return refusal
  }

  @Test func whatFitsIsAttachedWhereItStands() throws {
    #expect(try verdict(slot: slot) == .attach(at: LSN(rawValue: Self.applied), warnings: []))
    // Acknowledged less than what is kept, as after a crash of the server: it is still what is kept that counts.
    var behind = slot
    behind.confirmedFlushLSN = LSN(rawValue: 10)
    #expect(try verdict(slot: behind) == .attach(at: LSN(rawValue: Self.applied), warnings: []))
    var threatened = slot
    threatened.walStatus = .unreserved
    guard case .attach(_, let warnings) = try verdict(slot: threatened) else {
      Issue.record("refused")
      return
    }
    #expect(warnings.count == 1 && warnings[0].contains("max_slot_wal_keep_size"))
  }

  /// The one that Postgres would not say: it skips the transactions between without an error.
  @Test func acknowledgedBeyondWhatIsKept() throws {
    var ahead = slot
    ahead.confirmedFlushLSN = LSN(rawValue: Self.applied + 1)
    let refusal = try refusal(try verdict(slot: ahead))
    #expect(refusal.reason == .historyDiverged && refusal.remedy == .rebuild)
    #expect(refusal.message.contains("0/3E9") && refusal.message.contains("0/3E8"))
    #expect(refusal.error.code == .historyDiverged && refusal.error.message == refusal.message)
  }

  @Test func anotherServerOrDatabase() throws {
    var other = server
    other.systemIdentifier = 8
    var found = try refusal(try verdict(nil, other, slot: slot))
    #expect(found.reason == .historyDiverged && found.remedy == .configure && found.message.contains("8"))
    other = server
    other.database = "test"
    found = try refusal(try verdict(nil, other, slot: slot))
    #expect(found.reason == .historyDiverged && found.remedy == .configure && found.message.contains("\"test\""))
    // "Not known" is no identity, even when both do not know.
    var unknown = local
    unknown.systemIdentifier = 0
    other = server
    other.systemIdentifier = 0
    #expect(try refusal(try verdict(unknown, other, slot: slot)).remedy == .configure)
  }

  @Test func timelines() throws {
    var promoted = server
    promoted.timeline = 4
    // Left timeline 2 exactly where what is kept ends: nothing is lost.
    #expect(
      try verdict(nil, promoted, history: "1\t0/10\n2\t0/3E8\tpromoted\n3\t0/500\n", slot: slot)
        == .attach(at: LSN(rawValue: Self.applied), warnings: []))
    var found = try refusal(try verdict(nil, promoted, history: "1\t0/10\n2\t0/3E7\n3\t0/500\n", slot: slot))
    #expect(found.reason == .historyDiverged && found.remedy == .rebuild && found.message.contains("0/3E7"))
    // Timeline 2 is none of its ancestors.
    found = try refusal(try verdict(nil, promoted, history: "1\t0/10\n3\t0/500\n", slot: slot))
    #expect(found.reason == .historyDiverged && found.remedy == .rebuild && found.message.contains("timeline 2"))
    // A server that went back to the timeline before.
    var restored = server
    restored.timeline = 1
    found = try refusal(try verdict(nil, restored, slot: slot))
    #expect(found.remedy == .rebuild)
  }

  @Test func theServersLogEndsBeforeWhatIsKept() throws {
    var short = server
    short.position = LSN(rawValue: Self.applied)
    #expect(try verdict(nil, short, slot: slot) == .attach(at: LSN(rawValue: Self.applied), warnings: []))
    short.position = LSN(rawValue: Self.applied - 1)
    let found = try refusal(try verdict(nil, short, slot: slot))
    #expect(found.reason == .historyDiverged && found.remedy == .rebuild && found.message.contains("0/3E7"))
  }

  /// Power was lost: rows are on disk whose messages are not. What they hold counts, and the stream begins where the messages end.
  @Test func rowsThatAreFartherThanTheMessages() throws {
    var ahead = local
    ahead.reached = LSN(rawValue: Self.applied + 50)
    #expect(try verdict(ahead, slot: slot) == .attach(at: LSN(rawValue: Self.applied), warnings: []))
    var promoted = server
    promoted.timeline = 3
    // Left timeline 2 behind the messages, and before the rows.
    var found = try refusal(try verdict(ahead, promoted, history: "2\t0/3F0\n", slot: slot))
    #expect(found.reason == .historyDiverged && found.remedy == .rebuild && found.message.contains("0/41A"))
    #expect(
      try verdict(ahead, promoted, history: "2\t0/41A\n", slot: slot)
        == .attach(at: LSN(rawValue: Self.applied), warnings: []))
    var short = server
    short.position = LSN(rawValue: Self.applied + 49)
    found = try refusal(try verdict(ahead, short, slot: slot))
    #expect(found.reason == .historyDiverged && found.remedy == .rebuild)
    // Nothing is less far than the messages are.
    let behind = AttachCheck.Local(
      slot: "s", systemIdentifier: 7, timeline: 2, database: "app", applied: LSN(rawValue: Self.applied),
      reached: LSN(rawValue: 5))
    #expect(behind.reached == behind.applied)
  }

  /// It may be met in its primary's place for a moment: what it lacks is no reason to load anything.
  @Test func standbys() throws {
    var found = try refusal(try verdict(slot: nil, isStandby: true))
    #expect(found.remedy == .retry && found.message.contains("target_session_attrs"))
    var kept = slot
    kept.isSynced = true
    found = try refusal(try verdict(slot: kept, isStandby: true))
    #expect(found.remedy == .retry && found.message.contains("from its primary"))
    kept.walStatus = .lost
    #expect(try refusal(try verdict(slot: kept, isStandby: true)).remedy == .retry)
    var short = server
    short.position = LSN(rawValue: Self.applied - 1)
    #expect(try refusal(try verdict(nil, short, slot: slot, isStandby: true)).remedy == .retry)
    // Once it has taken over, the slot that it kept up is its own.
    kept.walStatus = .reserved
    #expect(try verdict(slot: kept) == .attach(at: LSN(rawValue: Self.applied), warnings: []))
    // One that is followed has a slot of its own, which can be lost.
    #expect(try verdict(slot: slot, isStandby: true) == .attach(at: LSN(rawValue: Self.applied), warnings: []))
    var lost = slot
    lost.walStatus = .lost
    found = try refusal(try verdict(slot: lost, isStandby: true))
    #expect(found.reason == .slotLost && found.remedy == .rebuild)
    // Another cluster's standby is not waited for.
    var other = server
    other.systemIdentifier = 8
    #expect(try refusal(try verdict(nil, other, slot: nil, isStandby: true)).remedy == .configure)
  }

  @Test func slots() throws {
    #expect(try refusal(try verdict(slot: nil)).reason == .slotMissing)
    #expect(try refusal(try verdict(slot: nil)).remedy == .rebuild)

    var other = slot
    other.plugin = "wal2json"
    var found = try refusal(try verdict(slot: other))
    #expect(found.reason == .slotUnfit && found.remedy == .configure && found.message.contains("wal2json"))
    other.plugin = nil
    found = try refusal(try verdict(slot: other))
    #expect(found.reason == .slotUnfit && found.message.contains("physical"))

    other = slot
    other.database = "test"
    found = try refusal(try verdict(slot: other))
    #expect(found.reason == .slotUnfit && found.remedy == .configure && found.message.contains("\"test\""))

    other = slot
    other.walStatus = .lost
    found = try refusal(try verdict(slot: other))
    #expect(found.reason == .slotLost && found.remedy == .rebuild)
    other = slot
    other.invalidationReason = "rows_removed"
    found = try refusal(try verdict(slot: other))
    #expect(found.reason == .slotLost && found.message.contains("rows_removed"))

    other = slot
    other.activePID = 4_711
    found = try refusal(try verdict(slot: other))
    #expect(found.reason == .slotInUse && found.remedy == .retry && found.message.contains("4711"))

    other = slot
    other.confirmedFlushLSN = nil
    found = try refusal(try verdict(slot: other))
    #expect(found.reason == .slotUnfit && found.remedy == .retry)
  }
}
