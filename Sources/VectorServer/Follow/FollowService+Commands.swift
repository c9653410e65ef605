// What an operator can ask of following: how it goes, a collection anew, a collection less.
//
// May use: FollowService, PostgresSource's slot facts.

import Foundation
import PostgresSource
import Synchronization
import VectorIndex
import VectorWire

extension FollowService {
  /// How following goes.
  func status() -> ControlReply {
    let (running, waiting, condition) = withState { ($0.followers, $0.waiting, $0.condition) }
    let journal = log.journal.statistics
    var values: [String: String] = [
      "journal_bytes": String(journal.bytes), "journal_segments": String(journal.segments),
      "journal_sync_microseconds": String(journal.lastSynchronizationMicroseconds),
      "received_lsn": "\(log.frontier.mark.lsn)", "durable_lsn": "\(log.durableLSN)",
    ]
    var lines: [String] = []
    switch condition {
    case .streaming: values["stream"] = "streaming"
    case .connecting: values["stream"] = "connecting"
    case .stalled(let reason): (values["stream"], values["stream_reason"]) = ("stalled", reason)
    case .broken(let reason): (values["stream"], values["stream_reason"]) = ("broken", reason)
    }
    lines.append(
      "stream: \(values["stream"] ?? "")\(values["stream_reason"].map { " (\($0))" } ?? ""), received \(values["received_lsn"] ?? ""), "
        + "durable \(values["durable_lsn"] ?? ""), journal \(journal.bytes.grouped) bytes")
    if configuration.followsOutbox {
      if let bytes = try? OutboxSize.bytes(on: statusConnection()) {
        values["outbox_bytes"] = String(bytes)
        lines.append("outbox, read as \(configuration.slot): \(bytes.grouped) bytes in Postgres")
      }
    } else if let slot = try? SlotFacts.read(configuration.slot, over: statusConnection()) {
      values["slot_retained_bytes"] = slot.retainedWALBytes.map { String($0) }
      values["slot_safe_bytes"] = slot.safeWALBytes.map { String($0) }
      values["slot_confirmed_lsn"] = slot.confirmedFlushLSN.map { "\($0)" }
      lines.append(
        "slot \(configuration.slot): Postgres keeps \((slot.retainedWALBytes ?? 0).grouped) bytes of its log for it"
          + (slot.safeWALBytes.map { ", \($0.grouped) more are safe" } ?? ""))
      if let alarm = Self.alarm(of: slot) {
        values["slot_alarm"] = alarm
        lines.append("slot \(configuration.slot): WARNING: \(alarm)")
      }
    }
    for name in Set(running.keys).union(waiting.keys).sorted() {
      guard let collection = catalog[name] else {
        values["\(name).state"] = "loading"
        lines.append("\(name): loading\(withState { $0.load?.progress }.map { ", \($0.text)" } ?? "")")
        continue
      }
      let state = collection.followState
      values["\(name).state"] = state.map { "\($0.phase.rawValue)" } ?? "none"
      values["\(name).applied_lsn"] = collection.position.lsnText
      values["\(name).lag_bytes"] = state.map { String($0.lagBytes) }
      values["\(name).lag_transactions"] = state.map { String($0.lagTransactions) }
      values["\(name).rows"] = String(collection.index.count)
      lines.append(
        "\(name): \(state?.phase.rawValue ?? "not followed")\(state.map { $0.reason.isEmpty ? "" : " (\($0.reason))" } ?? ""), "
          + "\(collection.index.count.grouped) rows, applied \(collection.position.lsnText), \((Int(clamping: state?.lagBytes ?? 0)).grouped) bytes behind"
      )
    }
    for (name, proof) in withState({ $0.proofs }) {
      values["\(name).proved_equal"] = proof.isEqual ? "true" : "false"
      values["\(name).proved_lsn"] = proof.lsn
      lines.append("\(name): last compared at \(proof.lsn): \(proof.isEqual ? "equal to its table" : "NOT equal")")
    }
    values["ready"] = isReady ? "true" : "false"
    return ControlReply(.done, lines.joined(separator: "\n"), values: values)
  }

  /// What Postgres does not tell soon is left out: whoever asks for the status is told the rest at once.
  private func statusConnection() throws(SourceError) -> Connection {
    try Connection(configuration.connection.setting("connect_timeout", to: "2"), stop: stop, patienceSeconds: 5)
  }

  /// Whether every collection is served and not farther behind than it may be, of what has come and of what is yet to.
  var isReady: Bool {
    let (running, waiting) = withState { ($0.followers, $0.waiting) }
    // Before the stream is there, nobody knows how far the log goes.
    guard waiting.isEmpty, outage == nil else { return false }
    let mark = log.frontier.mark
    return running.values.allSatisfy { one in
      let collection = one.follower.collection
      guard let phase = collection.followState?.phase, phase == .inStep || phase == .catchingUp else { return false }
      // One in the middle of a long step has said a while ago how far it is.
      return mark.unapplied(from: collection.position.appliedLSN) <= configuration.lagBytesReady
    }
  }

  /// Loads a collection anew beside the one that is served, and puts it in its place; or adds one. Blocks the calling thread until the new one is
  /// served and its snapshot is written. Searches go on all the while.
  ///
  /// - definition: nil = as it is defined now, but for what is chosen.
  /// - origin: whose rows are taken: Postgres's, or those of the collection that is served.
  /// - isCancelled: asked now and then. What is served stays as it is then.
  func rebuild(
    _ name: String, as definition: CollectionDefinition?, choosing choices: IndexChoices = IndexChoices(),
    from origin: RebuildOrigin = .postgres, isCancelled: @escaping @Sendable () -> Bool,
    progress: @escaping @Sendable (String) -> Void
  ) throws -> ControlReply {
    let asked = try planned(name, definition, choices)
    // Whatever else is under way may take long: what is clear is said at once.
    if origin == .engine { _ = try served(asked.definition) }
    let start = ContinuousClock.now
    let result = Mutex<Result<String?, any Error>?>(nil)
    // Whether the load that is under way, if one is, is this one's.
    let isAtWork = Mutex(false)
    addRebuild(progress) { [self] in
      isAtWork.withLock { $0 = true }
      defer { isAtWork.withLock { $0 = false } }
      // Whoever asked may have gone while another load was under way; and the collection may be gone, or defined otherwise.
      if isCancelled() { throw SourceError.rebuildCancelled }
      let plan = try planned(name, definition, choices)
      if asked.isKnown, !plan.isKnown { throw Self.superseded(name) }
      do { return try loadOnce(plan.definition, plan.claim, from: origin, progress: progress) } catch {
        guard isCurrent(plan.claim) else { throw Self.superseded(name) }
        throw error
      }
    } done: { outcome in
      result.withLock { $0 = outcome }
    }
    var last = ""
    while result.withLock({ $0 == nil }) {
      Thread.sleep(forTimeInterval: 0.1)
      if stop.isRaised { throw SourceError(.cancelled, "The server ends.") }
      let load = withState { $0.load }
      // It may be another's, of the same name. That one has ended before this is at work.
      if isAtWork.withLock({ $0 }), isCancelled(), load?.definition.name == name { load?.cancel() }
      if let text = load?.progress?.text, text != last {
        progress(text)
        last = text
      }
    }
    var unsaved: String?
    do { unsaved = try result.withLock { $0 }?.get() ?? nil } catch {
      logger.warning(
        "the rebuild ended before its time, and what is served is as it was: \(error)",
        metadata: ["collection": "\(name)"])
      throw error
    }
    if let unsaved {
      return ControlReply(.failed, "\(name): served, and not on disk, which is tried again every minute: \(unsaved)")
    }
    let collection = catalog[name]
    return ControlReply(
      .done,
      "\(name): \((collection?.index.count ?? 0).grouped) rows, proved equal to the table, in step with \(collection?.position.lsnText ?? ""), in "
        + String(format: "%.1f s", (ContinuousClock.now - start) / .seconds(1)),
      values: ["rows": String(collection?.index.count ?? 0), "applied_lsn": collection?.position.lsnText ?? ""])
  }

  /// Puts a rebuild on the list of work, and again as long as a transaction is open whose end it needs: others have their turn meanwhile.
  ///
  /// - done: told what came of it.
  private func addRebuild(
    after seconds: Double = 0, _ progress: @escaping @Sendable (String) -> Void,
    _ body: @escaping @Sendable () throws -> String?,
    done: @escaping @Sendable (Result<String?, any Error>) -> Void
  ) {
    jobs.add(after: seconds) { [self] in
      let outcome = Result { () throws -> String? in try body() }
      if case .failure(let failure) = outcome, let error = failure as? SourceError, error.code == .transactionsOpen {
        logger.warning("the rebuild waits: \(error)")
        progress(error.message)
        return addRebuild(after: 1, progress, body, done: done)
      }
      done(outcome)
    }
  }

  /// What a rebuild is to make, as its collection is defined by now.
  private func planned(
    _ name: String, _ definition: CollectionDefinition?, _ choices: IndexChoices
  ) throws(ServerError) -> (definition: CollectionDefinition, claim: Claim, isKnown: Bool) {
    let (known, claim, isLeaving) = withState { state in
      (state.followers[name]?.definition ?? state.waiting[name], state.claim(name), state.leaving.contains(name))
    }
    guard !isLeaving, var wanted = (definition ?? known?.choosing(choices))?.followed(by: configuration) else {
      throw ServerError(.notFollowed, "there is no collection \"\(name)\" that follows a table: say which with --table")
    }
    wanted.name = name
    return (wanted, claim, known != nil)
  }

  /// Takes a collection away, from memory and disk, whether it follows, is yet to, or cannot go on. The others are not disturbed.
  func drop(_ name: String) throws {
    let found = withState { state -> (running: Running?, load: CollectionLoad?)? in
      let running = state.followers.removeValue(forKey: name)
      let isWaiting = state.waiting.removeValue(forKey: name) != nil
      let load = state.load?.definition.name == name ? state.load : nil
      guard running != nil || isWaiting || load != nil else { return nil }
      state.resuming.remove(name)
      state.epochs[name] = nil
      state.proofs[name] = nil
      // What was planned for it comes to nothing, and nothing is planned until it is gone.
      state.generations[name, default: 0] += 1
      state.leaving.insert(name)
      return (running: running, load: load)
    }
    guard let found else {
      throw ServerError(.notFollowed, "there is no collection \"\(name)\" that follows a table")
    }
    defer { withState { _ = $0.leaving.remove(name) } }
    found.load?.cancel()
    if let running = found.running {
      running.follower.end(saves: false)
      running.thread.join()
    }
    catalog.remove(name)
    try directory.remove(name)
    collectJournal()
  }
}

extension RebuildProgress {
  /// For people.
  var text: String {
    switch self {
    case .reading(let rows, let estimated): "reading, \(rows.grouped) of about \(max(rows, estimated).grouped) rows"
    case .linking(let rows, let total): "linking, \(rows.grouped) of \(total.grouped) rows"
    case .calibrating: "calibrating"
    case .saving: "saving"
    }
  }
}
