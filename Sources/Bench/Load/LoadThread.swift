// One thread of the load driver: sends each request when it is due and never waits for an answer to do so.
//
// A loop around one ppoll(2) over the connections that belong to the thread, so that what the driver costs is a few system calls a request
// or less: what is due at once goes out in one write, what came at once is taken in one read.
//
// May use: DriverConnection, ArrivalSchedule, LoadTally, PostgresSource's StopFlag; CTimedPoll.

import CTimedPoll
import Foundation
import PostgresSource

struct LoadThread {
  private let step: LoadStep
  private let frames: [[UInt8]]
  private let connections: [DriverConnection]
  private let stop: StopFlag
  /// When requests count that were due.
  private let window: Range<Int64>
  private let start: Int64
  private let drainEnd: Int64

  private var schedule: ArrivalSchedule?
  /// Of an open loop.
  private var nextDue: Int64 = 0
  /// Which query is next, and which connection is looked at first.
  private var turn: Int
  private var place = 0
  private var inFlight = 0
  /// Whether the request that is due next waits for room on a connection, which is the server's doing.
  private var isHeldBack = false
  private var tally = LoadTally()
  /// The thread's processor time, and the time, at both ends of the window.
  private var atBegin: (processor: Int64, clock: Int64)?
  private var atEnd: (processor: Int64, clock: Int64)?

  /// Requests that are sent before answers are looked at again: filling in their frames takes some microseconds.
  private static let batchMax = 32
  /// How long the thread sleeps at most: so soon it hears that it is to stop.
  private static let sleepMax: Int64 = 100_000_000

  /// - index: which of the step's threads it is.
  /// - start: when the schedule begins, by ``MonotonicClock``.
  /// - Precondition: there are frames and connections.
  init(
    _ step: LoadStep, index: Int, frames: [[UInt8]], connections: [DriverConnection], start: Int64, stop: StopFlag
  ) {
    self.step = step
    self.frames = frames
    self.connections = connections
    self.stop = stop
    self.start = start
    let countsFrom = start + Int64(step.warmUpSeconds * 1e9)
    window = countsFrom..<(countsFrom + Int64(step.seconds * 1e9))
    drainEnd = window.upperBound + Int64(LoadStep.drainSeconds * 1e9)
    // Threads do not ask the same at the same time.
    turn = index * frames.count / step.threads
    if case .open(let rate, let spacing) = step.arrivals {
      schedule = ArrivalSchedule(rate: rate, spacing: spacing, seed: step.seed, thread: index, threads: step.threads)
    }
  }

  /// Runs the step to its end, or until it is to stop.
  mutating func run() throws(BenchError) -> LoadTally {
    vz_wake_on_time()
    advanceSchedule()
    var polled = connections.map { pollfd(fd: $0.descriptor, events: Int16(POLLIN), revents: 0) }
    while !stop.isRaised {
      let now = MonotonicClock.nanoseconds()
      noteProcessorTime(now)
      let hasMore = sendDue(now)
      for connection in connections where connection.hasUnsent { try connection.flush() }
      let isOver = now >= window.upperBound && inFlight == 0
      if isOver || now >= drainEnd { break }
      for i in connections.indices {
        polled[i].events = Int16(connections[i].hasUnsent ? POLLIN | POLLOUT : POLLIN)
      }
      let ready = wait(&polled, until: hasMore ? now : wakeTime(now))
      guard ready > 0 else { continue }
      for i in connections.indices where polled[i].revents != 0 { try receive(from: connections[i]) }
    }
    countUnanswered()
    return tally
  }

  // MARK: Sending

  private mutating func advanceSchedule() {
    if let offset = schedule?.next() { nextDue = start + offset }
  }

  /// When the next request is due, which in a closed loop is at once; nil: there is none any more.
  private func due(_ now: Int64) -> Int64? {
    let due = schedule == nil ? now : nextDue
    return due < window.upperBound ? due : nil
  }

  /// - Returns: whether more is due than was sent.
  private mutating func sendDue(_ now: Int64) -> Bool {
    for _ in 0..<Self.batchMax {
      guard let due = due(now), due <= now else {
        isHeldBack = false
        return false
      }
      guard let connection = nextConnection() else {
        isHeldBack = true
        return false
      }
      connection.enqueue(frames[turn], due: due)
      turn = turn + 1 == frames.count ? 0 : turn + 1
      inFlight += 1
      if window.contains(due) {
        tally.due += 1
        if schedule != nil, !isHeldBack { tally.lateness.record(nanoseconds: now - due) }
      }
      advanceSchedule()
    }
    return true
  }

  /// The next in turn that has room.
  private mutating func nextConnection() -> DriverConnection? {
    for _ in connections.indices {
      let connection = connections[place]
      place = place + 1 == connections.count ? 0 : place + 1
      if connection.hasRoom { return connection }
    }
    return nil
  }

  // MARK: Waiting

  private func wakeTime(_ now: Int64) -> Int64 {
    var time = min(drainEnd, now + Self.sleepMax)
    // Processor times are taken at both ends of the window.
    for end in [window.lowerBound, window.upperBound] where end > now { time = min(time, end) }
    if !isHeldBack, let due = due(now) { time = min(time, due) }
    return time
  }

  private func wait(_ polled: inout [pollfd], until time: Int64) -> Int32 {
    let left = max(0, time - MonotonicClock.nanoseconds())
    // A signal ends it early, which does no harm.
    return polled.withUnsafeMutableBufferPointer { vz_timed_poll($0.baseAddress, UInt32($0.count), left) }
  }

  // MARK: Receiving

  private mutating func receive(from connection: DriverConnection) throws(BenchError) {
    try connection.receive { due, came, outcome in
      inFlight -= 1
      let counts = window.contains(due)
      switch outcome {
      case .refused(let error):
        if counts { tally.refuse(error) }
        return
      case .rows(let count): if counts, count == 0 { tally.empty += 1 }
      case .pong: break
      }
      if counts { tally.latency.record(nanoseconds: came - due) }
      if window.contains(came) { tally.answered += 1 }
    }
  }

  /// What had no answer in the end, or was not even sent for lack of room, has taken at least so long.
  private mutating func countUnanswered() {
    let now = MonotonicClock.nanoseconds()
    func count(_ due: Int64) {
      guard window.contains(due) else { return }
      tally.unanswered += 1
      tally.latency.record(nanoseconds: now - due)
    }
    for connection in connections { connection.pendingDueTimes.forEach(count) }
    guard schedule != nil else { return }
    while nextDue < window.upperBound, nextDue <= now {
      if window.contains(nextDue) { tally.due += 1 }
      count(nextDue)
      advanceSchedule()
    }
  }

  // MARK: Processor time

  private mutating func noteProcessorTime(_ now: Int64) {
    if atBegin == nil, now >= window.lowerBound { atBegin = (ProcessorTime.ofThisThread(), now) }
    guard atEnd == nil, now >= window.upperBound, let atBegin else { return }
    let processor = ProcessorTime.ofThisThread()
    atEnd = (processor, now)
    tally.processorSeconds = Double(processor - atBegin.processor) / 1e9
    tally.busiestShare = Double(processor - atBegin.processor) / Double(max(now - atBegin.clock, 1))
  }
}
