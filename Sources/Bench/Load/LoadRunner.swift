// Runs the steps of a load: starts the driver's threads, reads the server's processor time at both ends of what counts, and adds up.
//
// May use: LoadThread, LoadTally, ServerProcess, Foundation's threads.

import Foundation
import PostgresSource
import Synchronization
import VectorWire

struct LoadRunner: Sendable {
  var address: ServerAddress
  /// The searches, one of which is sent at a time, in their order.
  var searches: [[UInt8]]
  /// nil: not known, or on another machine.
  var server: ServerProcess?

  private static let ping = [UInt8](Ping().frame(requestID: 1).readableBytesView)
  /// From when all connections are there to when the first request is due.
  private static let beginNanoseconds: Int64 = 5_000_000

  /// What the threads of a step and the one that waits for them share.
  private final class Shared: Sendable {
    let stop = StopFlag()
    let connected = DispatchSemaphore(value: 0)
    let begins = DispatchSemaphore(value: 0)
    let ended = DispatchSemaphore(value: 0)
    let state = Mutex(State())

    struct State: Sendable {
      var start: Int64 = 0
      var tally = LoadTally()
      var failure: BenchError?
    }
  }

  /// Blocks for as long as the step takes.
  /// - Parameters:
  ///   - progress: is told now and then how much is done, from 0 to 1.
  ///   - isInterrupted: is asked now and then whether to stop.
  /// - Returns: nil when it was interrupted.
  /// - Throws: ``BenchError`` where a connection cannot be made or ends.
  func run(
    _ step: LoadStep, progress: (Double) -> Void, isInterrupted: () -> Bool
  ) throws(BenchError) -> LoadMeasurement? {
    let shared = Shared()
    for index in 0..<step.threads {
      let thread = Thread { work(step, index, shared) }
      thread.stackSize = 1 << 20
      thread.start()
    }
    // No thread sends before all are connected: connecting costs the server more than a search.
    for _ in 0..<step.threads { shared.connected.wait() }
    let failed = shared.state.withLock { $0.failure }
    if failed != nil { shared.stop.raise() }
    let start = MonotonicClock.nanoseconds() + Self.beginNanoseconds
    shared.state.withLock { $0.start = start }
    for _ in 0..<step.threads { shared.begins.signal() }

    let serverSeconds = watch(step, from: start, shared, progress, isInterrupted)
    for _ in 0..<step.threads { shared.ended.wait() }
    let (tally, failure) = shared.state.withLock { ($0.tally, $0.failure) }
    if let failure { throw failure }
    // An interruption while the last answers came: the step is whole.
    guard !shared.stop.isRaised else { return nil }
    return LoadMeasurement(step: step, tally: tally, serverProcessorSeconds: serverSeconds)
  }

  /// Waits until the step's window is over, or the threads are to stop.
  /// - Returns: the seconds of processor time of the server within the window.
  private func watch(
    _ step: LoadStep, from start: Int64, _ shared: Shared, _ progress: (Double) -> Void, _ isInterrupted: () -> Bool
  ) -> Double? {
    let begin = start + Int64(step.warmUpSeconds * 1e9)
    let end = begin + Int64(step.seconds * 1e9)
    var atBegin: Int64?
    while !shared.stop.isRaised {
      if isInterrupted() {
        shared.stop.raise()
        return nil
      }
      let now = MonotonicClock.nanoseconds()
      if now >= begin, atBegin == nil, let server { atBegin = ProcessorTime.ofProcess(server.id) }
      if now >= end {
        guard let server, let atBegin, let atEnd = ProcessorTime.ofProcess(server.id) else { return nil }
        return Double(atEnd - atBegin) / 1e9
      }
      progress(Double(now - start) / Double(end - start))
      let next = min(now < begin ? begin : end, now + 100_000_000)
      Thread.sleep(forTimeInterval: Double(next - now) / 1e9)
    }
    return nil
  }

  /// What a thread of the driver does.
  private func work(_ step: LoadStep, _ index: Int, _ shared: Shared) {
    defer { shared.ended.signal() }
    func note(_ error: BenchError) {
      shared.state.withLock { $0.failure = $0.failure ?? error }
      shared.stop.raise()
    }
    // The connections of all threads together are those of the step.
    let count = (index + 1) * step.connections / step.threads - index * step.connections / step.threads
    var connections: [DriverConnection] = []
    do throws(BenchError) {
      defer { shared.connected.signal() }
      for _ in 0..<count { connections.append(try DriverConnection(to: address, inFlightMax: step.inFlightMax)) }
    } catch {
      note(error)
    }
    shared.begins.wait()
    guard !shared.stop.isRaised else { return }
    let start = shared.state.withLock { $0.start }
    var thread = LoadThread(
      step, index: index, frames: step.question == .search ? searches : [Self.ping], connections: connections,
      start: start, stop: shared.stop)
    do throws(BenchError) {
      let tally = try thread.run()
      shared.state.withLock { $0.tally.add(tally) }
    } catch {
      note(error)
    }
  }
}
