// What several rounds found at one point, until it becomes a figure of the report.
//
// May use: Report/Model, ClosedLoop's outcomes.

/// Rounds of one engine, with one number of clients, at one effort.
struct PointTally: Sendable {
  private var qps: [Double] = []
  private var latencies = LatencyHistogram()
  private(set) var errors = 0
  private(set) var firstError: String?
  private(set) var answered = 0
  private(set) var driverSeconds = 0.0
  private var engineSeconds: Double? = 0

  mutating func add(_ outcome: ClosedLoop.Outcome) {
    qps.append(outcome.qps)
    latencies.add(outcome.latencies)
    errors += outcome.errors
    firstError = firstError ?? outcome.firstError
    answered += outcome.answered
    driverSeconds += outcome.driverSeconds
    // A round without it would make the others' too small.
    engineSeconds = engineSeconds.flatMap { sum in outcome.engineSeconds.map { sum + $0 } }
  }

  var isEmpty: Bool { qps.isEmpty }
  /// - Precondition: there was a round.
  var spread: Spread { Spread(qps) }
  var allLatencies: Latencies { latencies.latencies }

  /// - Returns: nil before the first round.
  func point(_ effort: Contestant.Effort, recall: Double) -> CurvePoint? {
    guard !isEmpty else { return nil }
    let perQuery = effort.isWholeProcessorTime && answered > 0 ? engineSeconds.map { $0 / Double(answered) } : nil
    return CurvePoint(
      effort: effort.name, value: effort.value, recall: recall, qps: spread, latency: allLatencies, errors: errors,
      cpuSecondsPerQuery: perQuery, note: effort.note)
  }
}
