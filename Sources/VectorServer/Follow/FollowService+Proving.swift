// Comparisons that nobody asks for: every so often (`--verify-every`), and where a table lies in other files than it did. They have a
// thread of their own, for each waits for its collection, and whoever watches Postgres may not.
//
// May use: FollowService, CollectionFollower.

import Foundation
import Logging
import PostgresSource
import Synchronization

extension FollowService {
  /// Has a collection compared with its table, soon.
  ///
  /// - files: those that the table was seen to lie in.
  func wantProof(of name: String, files: String) { withState { $0.proofsWanted[name] = files } }

  /// The proving thread's whole life.
  func proveWhatIsDue() {
    var proved: [String: ContinuousClock.Instant] = [:]
    while !stop.isRaised {
      Thread.sleep(forTimeInterval: 0.1)
      guard outage == nil else { continue }
      if let (name, files) = withState({ $0.proofsWanted.popFirst() }) { prove(name, files: files) }
      if let name = due(&proved) {
        proved[name] = Self.proved(prove(name), every: configuration.proofInterval ?? .zero, at: .now)
      }
    }
  }

  /// From when on the interval to the next comparison counts. One that could not be made is due again soon.
  static func proved(
    _ isCompared: Bool, every interval: Duration, at now: ContinuousClock.Instant
  ) -> ContinuousClock.Instant {
    isCompared ? now : now - max(.zero, interval - retryInterval)
  }

  private static let retryInterval = Duration.seconds(60)

  /// The collection that has not been compared for the longest, if that is long enough.
  private func due(_ proved: inout [String: ContinuousClock.Instant]) -> String? {
    guard let interval = configuration.proofInterval else { return nil }
    let running = withState { $0.followers }
    proved = proved.filter { running[$0.key] != nil }
    let now = ContinuousClock.now
    for name in running.keys where proved[name] == nil { proved[name] = now }
    let due = proved.filter { name, last in
      guard now - last >= interval, let follower = running[name]?.follower else { return false }
      // One that is stalled would only be waited for.
      return follower.fault == nil && follower.collection.followState?.phase != .stalled
    }
    return due.min { $0.value < $1.value }?.key
  }

  /// Compares a collection with its table; one that differs is loaded anew.
  ///
  /// - files: those that the table was seen to lie in before; nil: nobody looked.
  /// - Returns: whether they were compared.
  @discardableResult
  private func prove(_ name: String, files: String? = nil) -> Bool {
    guard let follower = withState({ $0.followers[name] })?.follower, follower.fault == nil else { return false }
    // It was seen twice before it was compared once.
    if let files, follower.provedFiles.withLock({ $0 == files }) { return false }
    do {
      let patience = ProofPatience(cancel: stop, seconds: ProofPatience.scheduled)
      let proof = try proof(of: follower, repairs: false, within: patience) { _ in }
      conclude(proof)
      if proof.isEqual {
        if let files { follower.provedFiles.withLock { $0 = files } }
        return true
      }
      follower.fail(
        "\(proof.differentBuckets) of its sums and \(proof.differentRows) rows differ from the table's\(proof.beyondText)"
      )
      return true
    } catch {
      logger.warning("could not be compared with its table: \(error)", metadata: ["collection": "\(name)"])
      return false
    }
  }
}
