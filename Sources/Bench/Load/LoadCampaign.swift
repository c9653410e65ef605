// The steps of one `bench load`, one after the other, each with its floor: from a plan to a report.
//
// May use: LoadRunner, Saturation, ReportSink.

struct LoadCampaign: Sendable {
  enum Plan: Sendable, Equatable {
    /// An open loop at each of these rates.
    case rates([Double])
    /// A closed loop with each of these numbers of clients.
    case clients([Int])
    /// More and more clients until they bring no more, then rates below and about what that came to.
    case sweep
  }

  var plan: Plan
  var runner: LoadRunner
  var spacing: ArrivalSpacing
  /// Of an open loop.
  var connections: Int
  var inFlightMax: Int
  var warmUpSeconds: Double
  var seconds: Double
  var threads: Int
  var seed: UInt64
  /// In microseconds, of the 99th percentile.
  var latencyMax: Double

  /// The most clients of a sweep: servers allow 512 connections unless told otherwise.
  static let clientsMax = 256

  /// Blocks until all steps are done.
  /// - Throws: ``BenchError``, or what the sink throws where the run is to stop.
  func run(_ sink: ReportSink) throws {
    var steps: [(measurement: LoadMeasurement, isFull: Bool)] = []
    switch plan {
    case .rates(let rates):
      expect(rates.count, sink)
      steps = try runRates(rates, sink, stopsWhenFull: false)
    case .clients(let counts):
      expect(counts.count, sink)
      _ = try runClients(counts, sink, stopsWhenFull: false)
    case .sweep:
      let counts = Array(sequence(first: 1) { $0 < Self.clientsMax ? $0 * 2 : nil })
      // A small machine is full after some steps; how many there will be nobody knows.
      expect(counts.count / 2 + Saturation.shares.count, sink)
      let saturation = try runClients(counts, sink, stopsWhenFull: true)
      guard let best = saturation.best, best.rate > 0 else {
        throw BenchError(
          .engineRefused, "No search was answered, so there is nothing to sweep over: see the errors above.")
      }
      sink.say(
        "With \(Figure.count(best.connections, "client")) the server answered most, \(Figure.number(best.rate)) a second; "
          + "now at rates about that.")
      steps = try runRates(Saturation.rates(most: best.rate), sink, stopsWhenFull: true)
    }
    if let knee = Saturation.knee(steps) { try sink.add { $0.notes.append(knee) } }
  }

  private func expect(_ count: Int, _ sink: ReportSink) {
    let step = step(.closed, connections: 1)
    sink.expect(units: Double(count) * (step.expectedSeconds + step.asPings.expectedSeconds))
  }

  private func runRates(
    _ rates: [Double], _ sink: ReportSink, stopsWhenFull: Bool
  ) throws -> [(measurement: LoadMeasurement, isFull: Bool)] {
    let saturation = Saturation(latencyMax: latencyMax)
    var steps: [(measurement: LoadMeasurement, isFull: Bool)] = []
    for rate in rates.sorted() {
      let step = step(.open(rate: rate, spacing: spacing), connections: connections)
      steps.append(try measure(step, sink) { saturation.isFull(atRate: $0) })
      if stopsWhenFull, steps.last?.isFull == true { break }
    }
    return steps
  }

  private func runClients(_ counts: [Int], _ sink: ReportSink, stopsWhenFull: Bool) throws -> Saturation {
    var saturation = Saturation(latencyMax: latencyMax)
    for count in counts.sorted() {
      _ = try measure(step(.closed, connections: count), sink) { saturation.take(clients: $0) }
      if stopsWhenFull, saturation.isOver { break }
    }
    return saturation
  }

  func step(_ arrivals: LoadStep.Arrivals, connections: Int) -> LoadStep {
    LoadStep(
      question: .search, arrivals: arrivals, connections: connections,
      inFlightMax: arrivals == .closed ? 1 : inFlightMax, warmUpSeconds: warmUpSeconds, seconds: seconds,
      // A thread without a connection would have nothing to do.
      threads: min(threads, connections), seed: seed)
  }

  /// Pings, then searches.
  private func measure(
    _ step: LoadStep, _ sink: ReportSink, isFull: (LoadMeasurement) -> Bool
  ) throws -> (measurement: LoadMeasurement, isFull: Bool) {
    let floor = try run(step.asPings, sink)
    let found = try run(step, sink)
    let full = isFull(found)
    try sink.add { $0.load += [floor.point(isSaturated: false), found.point(isSaturated: full)] }
    return (found, full)
  }

  private func run(_ step: LoadStep, _ sink: ReportSink) throws -> LoadMeasurement {
    try sink.checkpoint()
    sink.begin(step.title, units: step.expectedSeconds)
    let found = try runner.run(
      step, progress: { sink.advance(to: $0) }, isInterrupted: { sink.isInterrupted })
    guard let found else {
      try sink.checkpoint()
      throw BenchError(.interrupted, "The step was stopped.")
    }
    return found
  }
}
