// What the stream does not tell: a table that was altered or rewritten without a change of a row, a publication that was dropped, a slot whose log
// is about to be thrown away. (That a follower makes no progress: FollowService+Lag.swift.)
//
// May use: FollowService, PostgresSource's preflights.

import Foundation
import Logging
import PostgresSource
import VectorIndex

extension FollowService {
  /// The watching thread's whole life.
  func watch() {
    // What follows may wait for the very follower that makes no progress.
    let measuring = WorkerThread("vizinho-lag") { [self] in watchLag() }
    defer { measuring.join() }
    var proved: [String: ContinuousClock.Instant] = [:]
    var next = ContinuousClock.now + configuration.watchInterval
    while !stop.isRaised {
      Thread.sleep(forTimeInterval: 0.1)
      guard ContinuousClock.now >= next else { continue }
      next = .now + configuration.watchInterval
      guard outage == nil else { continue }
      let running = withState { Array($0.followers.values) }
      for one in running where one.follower.fault == nil { look(at: one) }
      lookAtSlot()
      for name in timeToProve(running, &proved) { prove(name) }
    }
  }

  private func timeToProve(_ running: [Running], _ proved: inout [String: ContinuousClock.Instant]) -> [String] {
    guard let interval = configuration.proofInterval else { return [] }
    return running.map(\.definition.name).filter { name in
      let last = proved[name] ?? .now
      let isDue = ContinuousClock.now - last >= interval
      proved[name] = isDue ? .now : last
      return isDue
    }
  }

  /// Compares a collection with its table; one that differs is loaded anew.
  ///
  /// - files: those that the table was seen to lie in before; nil: nobody looked.
  func prove(_ name: String, files: String? = nil) {
    do {
      guard let running = withState({ $0.followers[name] }) else { return }
      let proof = try verify(name, repairs: false) { _ in }
      if proof.isEqual {
        if let files { running.follower.provedFiles.withLock { $0 = files } }
        return
      }
      running.follower.fail(
        "\(proof.differentBuckets) of its sums and \(proof.differentRows) rows differ from the table's\(proof.beyondText)"
      )
    } catch {
      logger.warning("could not be compared with its table: \(error)", metadata: ["collection": "\(name)"])
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
        prove(one.definition.name, files: found.files)
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
    case .connectionFailed, .connectionLost, .tooManyConnections, .lockTimeout, .serverError, .cancelled,
      .systemResources:
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
    let isShort = slot.safeWALBytes.map { $0 < Self.safeBytesMin } ?? false
    let isOld = slot.retainedWALBytes.map { $0 > Self.retainedBytesMax } ?? false
    guard isShort || isOld else { return }
    logger.warning(
      "Postgres keeps \(slot.retainedWALBytes ?? 0) bytes of its log for this slot\(slot.safeWALBytes.map { ", and throws them away after \($0) more" } ?? "")",
      metadata: ["slot": "\(configuration.slot)"])
  }

  /// For an answer of the catalogs. A connection whose other end is gone may not keep the others from being looked at.
  private static let patienceSeconds = 60.0
  private static let safeBytesMin = 256 << 20
  private static let retainedBytesMax = 4 << 30
}
