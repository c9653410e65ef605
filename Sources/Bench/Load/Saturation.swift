// When a server is full, and where the knee is: decisions over measurements, without any measuring.
//
// May use: LoadTally, Figure for its sentence; libc's logarithm.

import Glibc

/// Judges the steps of a load as they come, and says when to go no further.
struct Saturation: Sendable {
  /// In microseconds: a server whose 99th percentile is above this is full, whatever else it does.
  let latencyMax: Double
  /// The most answers a second of the steps with so many clients, and with how many at once.
  private(set) var best: (rate: Double, connections: Int)?
  /// Steps in a row that brought nothing more.
  private var idleSteps = 0

  /// More clients must bring this much more, or they bring nothing: a step's rate varies by some percent by itself.
  static let growth = 1.05
  /// So many of the requests that were due must be answered within the step.
  static let answeredShareMin = 0.98
  /// So many may be refused.
  static let failedShareMax = 0.001

  init(latencyMax: Double) { self.latencyMax = latencyMax }

  /// Whether a step at a rate was more than the server can do: it fell behind, refused, or took too long.
  func isFull(atRate measurement: LoadMeasurement) -> Bool {
    let due = Double(measurement.tally.due)
    return Double(measurement.tally.answered) < Self.answeredShareMin * due
      || Double(measurement.failures) > Self.failedShareMax * due
      || measurement.tally.latency.microseconds(atPercentile: 99) > latencyMax
  }

  /// Takes a step of so many clients; they come in ascending order.
  /// - Returns: whether the server is full: more clients than before brought no more answers, or it refused, or took too long.
  mutating func take(clients measurement: LoadMeasurement) -> Bool {
    let rate = measurement.rate
    let failed = Double(measurement.failures) > Self.failedShareMax * Double(measurement.tally.due)
    let late = measurement.tally.latency.microseconds(atPercentile: 99) > latencyMax
    guard let before = best else {
      best = (rate, measurement.step.connections)
      return failed || late
    }
    let grew = rate >= Self.growth * before.rate
    if rate > before.rate { best = (rate, measurement.step.connections) }
    idleSteps = grew ? 0 : idleSteps + 1
    // What is late or refused grows no better with more clients.
    if failed || late { idleSteps = 2 }
    return !grew || failed || late
  }

  /// Whether still more clients would tell nothing new: two steps in a row brought no more, since one may have been chance.
  var isOver: Bool { idleSteps >= 2 }

  /// The parts of what a server can do at which its latency is worth knowing.
  static let shares = [0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1]

  /// The rates of a sweep, ascending, once it is known what the server can do; three digits are enough.
  /// - Precondition: `most` is above 0.
  static func rates(most: Double) -> [Double] {
    shares.map { share in
      let unit = pow(10, floor(log10(most * share)) - 2)
      return (most * share / unit).rounded() * unit
    }
  }

  /// What the steps at rates come to, in a sentence; nil where there were none.
  static func knee(_ steps: [(measurement: LoadMeasurement, isFull: Bool)]) -> String? {
    let steps = steps.filter { $0.measurement.step.targetRate != nil && $0.measurement.step.question == .search }
    guard !steps.isEmpty else { return nil }
    func text(_ measurement: LoadMeasurement) -> String {
      let late = measurement.tally.latency.microseconds(atPercentile: 99)
      return
        "\(Figure.number(measurement.step.targetRate)) requests a second (99th percentile \(Figure.duration(microseconds: late)))"
    }
    // Up to the first that was too much: one beyond it that happened to do well is no place to be.
    let sorted = steps.sorted { ($0.measurement.step.targetRate ?? 0) < ($1.measurement.step.targetRate ?? 0) }
    let calm = sorted.prefix { !$0.isFull }.last
    let full = sorted.first { $0.isFull }
    switch (calm, full) {
    case (let calm?, let full?): return "The knee lies between \(text(calm.measurement)) and \(text(full.measurement))."
    case (let calm?, nil): return "No rate was too much: the knee lies beyond \(text(calm.measurement))."
    case (nil, let full?): return "Every rate was too much, from \(text(full.measurement)) on."
    case (nil, nil): return nil
    }
  }
}
