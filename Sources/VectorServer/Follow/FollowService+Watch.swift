// What the stream does not tell: a table that was altered or rewritten without a change of a row, a publication that was dropped, a slot whose log
// is about to be thrown away. (That a follower makes no progress: FollowService+Lag.swift. Comparisons: FollowService+Proving.swift.)
//
// May use: FollowService, PostgresSource's preflights.

import Foundation
import Logging
import PostgresSource
import VectorIndex

extension FollowService {
  /// The watching thread's whole life.
  func watch(_ stream: ChangeStream) {
    // What follows may wait for Postgres, and a comparison for the very follower that makes no progress.
    let measuring = WorkerThread("vizinho-lag") { [self] in watchLag(stream) }
    let proving = WorkerThread("vizinho-prove") { [self] in proveWhatIsDue() }
    defer { for thread in [measuring, proving] { thread.join() } }
    var next = ContinuousClock.now + configuration.watchInterval
    while !stop.isRaised {
      Thread.sleep(forTimeInterval: 0.1)
      guard ContinuousClock.now >= next else { continue }
      next = .now + configuration.watchInterval
      // While nothing is taken, Postgres keeps more and more.
      lookAtSlot()
      guard outage == nil else { continue }
      let running = withState { Array($0.followers.values) }
      for one in running where one.follower.fault == nil { look(at: one) }
    }
  }

  private func look(at one: Running) {
    do {
      let plan = try one.definition.plan(configuration)
      let found = try CollectionLoad.look(plan, configuration, stop: stop, patienceSeconds: Self.patienceSeconds)
      if let reason = one.follower.followed.difference(from: found) {
        one.follower.fail(reason)
      } else if found.files != one.follower.provedFiles.withLock({ $0 }) {
        // A rewrite sends nothing. (TRUNCATE and VACUUM FULL look the same from here.)
        wantProof(of: one.definition.name, files: found.files)
      }
    } catch let error as SourceError where Self.isPassing(error.code) {
      logger.warning("the table could not be looked at: \(error)", metadata: ["collection": "\(one.definition.name)"])
    } catch {
      // Changes may have been lost already: what comes after may not be taken for all.
      one.follower.fail("\(error)")
    }
  }

  /// Whether an error says nothing about the table.
  static func isPassing(_ code: SourceError.Code) -> Bool {
    switch code {
    case .connectionFailed, .connectionLost, .tooManyConnections, .lockTimeout, .transactionsOpen, .serverError,
      .cancelled, .systemResources:
      true
    default: false
    }
  }

  private func lookAtSlot() {
    guard !configuration.followsOutbox else { return }
    guard
      let slot = try? SlotFacts.read(
        configuration.slot,
        over: Connection(configuration.connection, stop: stop, patienceSeconds: Self.patienceSeconds))
    else { return }
    guard let alarm = Self.alarm(of: slot) else { return }
    logger.warning("\(alarm)", metadata: ["slot": "\(configuration.slot)"])
  }

  /// What is to be told of what Postgres keeps for the slot; nil: nothing.
  static func alarm(of slot: SlotFacts) -> String? {
    let isShort = slot.safeWALBytes.map { $0 < safeBytesMin } ?? false
    let isOld = slot.retainedWALBytes.map { $0 > retainedBytesMax } ?? false
    guard isShort || isOld else { return nil }
    return "Postgres keeps \(slot.retainedWALBytes ?? 0) bytes of its log for this slot"
      + (slot.safeWALBytes.map { ", and throws them away after \($0) more" } ?? "")
  }

  /// For an answer of the catalogs. A connection whose other end is gone may not keep the others from being looked at.
  private static let patienceSeconds = 60.0
  private static let safeBytesMin = 256 << 20
  private static let retainedBytesMax = 4 << 30
}
