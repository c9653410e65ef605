// What the driver's threads counted in one step, and what a report says of it.
//
// May use: LatencyHistogram, LoadStep, Report/Model, VectorWire for the names of codes.

import VectorWire

/// What one thread counted, or all together.
struct LoadTally: Sendable {
  /// Of requests that were due within the step, from when they were due. One without an answer counts with the time that was waited for it.
  var latency = LatencyHistogram()
  /// From when a request was due to when it was sent, of those that nothing but the driver kept from being sent.
  var lateness = LatencyHistogram()
  /// Requests that were due within the step.
  var due = 0
  /// Answers, errors left out, that came within the step.
  var answered = 0
  /// Answers without a row.
  var empty = 0
  /// Requests that were due within the step and had no answer at its end.
  var unanswered = 0
  /// Requests that were refused, by code, with what the first said.
  var refused: [WireError.Code: (count: Int, message: String)] = [:]
  /// Of the threads, within the step.
  var processorSeconds = 0.0
  /// Of one processor, that the thread took which took the most.
  var busiestShare = 0.0

  mutating func refuse(_ error: WireError) {
    refused[error.code, default: (0, error.message)].count += 1
  }

  mutating func add(_ other: LoadTally) {
    latency.add(other.latency)
    lateness.add(other.lateness)
    due += other.due
    answered += other.answered
    empty += other.empty
    unanswered += other.unanswered
    for (code, errors) in other.refused { refused[code, default: (0, errors.message)].count += errors.count }
    processorSeconds += other.processorSeconds
    busiestShare = max(busiestShare, other.busiestShare)
  }
}

/// A step and what came of it.
struct LoadMeasurement: Sendable {
  var step: LoadStep
  var tally: LoadTally
  /// Of the server's process, within the step; nil: not known.
  var serverProcessorSeconds: Double?

  /// Answers a second.
  var rate: Double { Double(tally.answered) / step.seconds }
  /// Requests that were refused or had no answer.
  var failures: Int { tally.refused.values.reduce(tally.unanswered) { $0 + $1.count } }

  /// From which share of a processor on a thread of the driver may be what is full.
  static let busyShareMax = 0.9
  /// How late the driver may be with one in a hundred requests before that is part of what it measures.
  static let latenessMicrosecondsMax = 1_000.0

  /// Whether the driver was what could not do more: a thread of it was at work nearly all the time, or it was late by a good part of the
  /// latency that it found.
  var isLimitedByDriver: Bool {
    let late = tally.lateness.microseconds(atPercentile: 99)
    return tally.busiestShare >= Self.busyShareMax
      || late > max(Self.latenessMicrosecondsMax, tally.latency.microseconds(atPercentile: 99) / 4)
  }

  /// - isSaturated: as ``Saturation`` judges.
  func point(isSaturated: Bool) -> LoadPoint {
    var errors = Dictionary(uniqueKeysWithValues: tally.refused.map { ($0.key.description, $0.value.count) })
    if tally.unanswered > 0 { errors["unanswered"] = tally.unanswered }
    let isClosed = step.arrivals == .closed
    // Whatever became of them, both sides worked for them.
    let handled = Double(max(tally.answered + tally.refused.values.reduce(0) { $0 + $1.count }, 1))
    return LoadPoint(
      kind: step.question.rawValue, targetRate: step.targetRate, inFlight: isClosed ? step.connections : nil,
      connections: step.connections, achievedRate: rate, latency: tally.latency.latencies, errors: errors,
      clientCPUSecondsPerQuery: tally.processorSeconds / handled,
      serverCPUSecondsPerQuery: serverProcessorSeconds.map { $0 / handled }, saturated: isSaturated,
      limitedByDriver: isLimitedByDriver, note: note)
  }

  /// What a reader must know of the point; nil: nothing.
  private var note: String? {
    var parts: [String] = []
    if isLimitedByDriver {
      let late = tally.lateness.microseconds(atPercentile: 99)
      parts.append(
        "a thread of the driver was at work \(Int((tally.busiestShare * 100).rounded())) % of the time"
          + (tally.lateness.count > 0 ? ", and it sent one in a hundred requests \(Int(late)) µs late or later" : ""))
    }
    if tally.unanswered > 0 {
      parts.append("requests without an answer count with the time that was waited for them")
    }
    if tally.empty > 0, step.question == .search { parts.append("\(tally.empty) answers had no row") }
    for (code, errors) in tally.refused.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
      parts.append("\(code): \(errors.message)")
    }
    return parts.isEmpty ? nil : parts.joined(separator: "; ")
  }
}
