// Clients that ask one question after the other, as fast as they are answered.
//
// May use: SearchClient, LatencyHistogram, ProcessorTime, VectorIndex's threads.

import Foundation
import Synchronization
import VectorIndex

/// So many clients at once, each a thread with a connection of its own.
struct ClosedLoop: Sendable {
  var clients: Int
  var seconds: Double
  var queryCount: Int

  /// What all clients together saw.
  struct Outcome: Sendable {
    var answered = 0
    var errors = 0
    /// The first error, in its words.
    var firstError: String?
    /// From the moment all were ready to the last answer that was waited for.
    var seconds = 0.0
    var latencies = LatencyHistogram()
    /// Processor time of the clients' threads.
    var driverSeconds = 0.0
    /// Of the engine's processes; nil where it is not known.
    var engineSeconds: Double?

    var qps: Double { seconds > 0 ? Double(answered) / seconds : 0 }
  }

  /// Lets the clients connect, ask questions that do not count, and then, all at once, ask until the time is over.
  ///
  /// - isGivenUp: asked ten times a second; then the clients end early, and the outcome is that of a shorter time.
  /// - Throws: what a client throws while it connects. An error of a question is counted; after it the client goes on with a new connection.
  func run(_ make: @escaping ClientMaker, isGivenUp: @escaping @Sendable () -> Bool) throws -> Outcome {
    let (ready, done, told) = (Gate(clients), Gate(clients), Gate(clients))
    let processes = Shared<Set<Int32>>([])
    let total = Shared(Outcome())
    let failure = Shared<(any Error)?>(nil)
    WorkerThreads.run(count: clients) { number in
      do {
        var client = try make()
        warm(&client, number, make, isGivenUp)
        if let process = client.engineProcessID { processes.withLock { _ = $0.insert(process) } }
        let tells = ready.enter()
        guard !ready.isBroken else { return }
        let before = tells ? Self.processorSeconds(of: processes) : nil
        var outcome = loop(&client, number, make, isGivenUp)
        // Connections stay until the processor time of those who served them has been read.
        done.enter()
        if let before, let after = Self.processorSeconds(of: processes) { outcome.engineSeconds = after - before }
        total.withLock { $0.add(outcome) }
        told.enter()
        withExtendedLifetime(client) {}
      } catch {
        ready.breakOff()
        failure.withLock { $0 = $0 ?? error }
      }
    }
    if let error = failure.withLock({ $0 }) { throw error }
    return total.withLock { outcome in
      // With a connection its process went, and the time that it had.
      if outcome.errors > 0 { outcome.engineSeconds = nil }
      return outcome
    }
  }

  /// How long a client of a point that takes so many seconds asks before the clock starts, at most.
  static func warmSeconds(before seconds: Double) -> Double { min(1, seconds) }

  /// All questions once, or as many as there is time for. A process of Postgres that has just begun has no page of the shared memory
  /// mapped, so that its first searches are page faults more than anything; those who use it keep their connections.
  private func warm(_ client: inout any SearchClient, _ number: Int, _ make: ClientMaker, _ isGivenUp: () -> Bool) {
    let clock = ContinuousClock()
    let end = clock.now + .seconds(Self.warmSeconds(before: seconds))
    for i in 0..<queryCount {
      guard !isGivenUp() else { return }
      do {
        _ = try client.search((firstQuery(of: number) + i) % queryCount)
      } catch {
        // The old one's answers may be those to other questions now. Where there is no new one, the timed loop will count that.
        guard let again = try? make() else { return }
        client = again
      }
      guard clock.now < end else { return }
    }
  }

  private func firstQuery(of number: Int) -> Int { number * queryCount / clients }

  private static func processorSeconds(of processes: Shared<Set<Int32>>) -> Double? {
    let found = processes.withLock { $0 }.compactMap { ProcessorTime.ofProcess($0) }
    return found.isEmpty ? nil : Double(found.reduce(0, +)) / 1e9
  }

  /// One client's share: questions in their order, from a place of its own.
  private func loop(
    _ client: inout any SearchClient, _ number: Int, _ make: ClientMaker, _ isGivenUp: () -> Bool
  ) -> Outcome {
    var outcome = Outcome()
    var query = firstQuery(of: number)
    let clock = ContinuousClock()
    let driverStart = ProcessorTime.ofThisThread()
    let start = clock.now
    let end = start + .seconds(seconds)
    var asked = start
    var looks = start
    while asked < end {
      // By the clock that was read anyway.
      if asked >= looks {
        if isGivenUp() { break }
        looks = asked + Self.lookInterval
      }
      do {
        _ = try client.search(query)
        let now = clock.now
        outcome.latencies.record(nanoseconds: (now - asked).nanoseconds)
        outcome.answered += 1
        asked = now
      } catch {
        outcome.errors += 1
        outcome.firstError = outcome.firstError ?? String(describing: error)
        // Whatever was on its way would be taken for the answer to the next question.
        guard let again = try? make() else { break }
        client = again
        asked = clock.now
      }
      query = query + 1 == queryCount ? 0 : query + 1
    }
    outcome.seconds = (clock.now - start) / .seconds(1)
    outcome.driverSeconds = Double(ProcessorTime.ofThisThread() - driverStart) / 1e9
    return outcome
  }

  private static let lookInterval = Duration.milliseconds(100)

  /// Asks every question once, on as many threads as there are clients, and keeps the answers.
  /// - isGivenUp: asked before each question; then the others are left out.
  /// - Throws: the first error of any client.
  func answers(_ make: @escaping ClientMaker, isGivenUp: @escaping @Sendable () -> Bool) throws -> [(
    query: Int, rows: [Int64]
  )] {
    let found = Shared<[(query: Int, rows: [Int64])]>([])
    let failure = Shared<(any Error)?>(nil)
    WorkerThreads.run(count: clients) { number in
      do {
        let client = try make()
        var own: [(query: Int, rows: [Int64])] = []
        for query in stride(from: number, to: queryCount, by: clients) {
          guard !isGivenUp() else { break }
          own.append((query, try client.search(query)))
        }
        found.withLock { $0 += own }
      } catch {
        failure.withLock { $0 = $0 ?? error }
      }
    }
    if let error = failure.withLock({ $0 }) { throw error }
    return found.withLock { $0 }.sorted { $0.query < $1.query }
  }
}

extension ClosedLoop.Outcome {
  mutating func add(_ other: Self) {
    answered += other.answered
    errors += other.errors
    firstError = firstError ?? other.firstError
    seconds = max(seconds, other.seconds)
    latencies.add(other.latencies)
    driverSeconds += other.driverSeconds
    engineSeconds = engineSeconds ?? other.engineSeconds
  }
}

extension Duration {
  var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
  }
}

/// Lets threads go on when all have come, so that none measures while another still connects.
private final class Gate: Sendable {
  private let waiting: Atomic<Int>
  private let broken = Atomic<Bool>(false)

  init(_ count: Int) { waiting = Atomic(count) }

  /// Waits for the others.
  /// - Returns: whether this one was the last to come; one of them is.
  @discardableResult
  func enter() -> Bool {
    // Acquiring and releasing: what each has done before is there for the others.
    let left = waiting.subtract(1, ordering: .acquiringAndReleasing).newValue
    while waiting.load(ordering: .acquiring) > 0, !isBroken { usleep(50) }
    return left == 0
  }

  /// One will not come: nobody is to wait for it.
  func breakOff() { broken.store(true, ordering: .relaxed) }
  var isBroken: Bool { broken.load(ordering: .relaxed) }
}
