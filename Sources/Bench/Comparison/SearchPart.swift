// The first part: recall against speed and latency, over efforts and numbers of clients, in rounds in which the engines take turns.
//
// May use: Contestant, ClosedLoop, PointTally, Truth, ReportSink.

import Foundation
import VectorIndex

/// How long and how often something is measured.
struct Pace: Sendable {
  var rounds: Int
  /// Of a point in a round.
  var seconds: Double
  /// Numbers of clients.
  var clients: [Int]
  /// Threads that ask while nothing is timed.
  var threads: Int
}

/// What all parts know of the questions.
struct Questions: Sendable {
  var count: Int
  var k: Int
  var truth: Truth
  /// For each question a row to be passed over in answers.
  var own: [Int]?

  /// What is judged of an answer: k rows, without the one that the question was made of.
  func judged(_ answers: [(query: Int, rows: [Int64])]) -> [(query: Int, rows: [Int64])] {
    guard let own else { return answers }
    return answers.map { answer in
      (answer.query, Array(answer.rows.filter { $0 != Int64(own[answer.query]) }.prefix(k)))
    }
  }
}

final class SearchPart {
  let contestants: [Contestant]
  private let pace: Pace
  private let questions: Questions
  /// By contestant, number of clients, effort.
  private var tallies: [[[PointTally]]]
  /// By contestant and effort; nil before it was judged.
  private(set) var recalls: [[Double?]]

  init(_ contestants: [Contestant], _ pace: Pace, _ questions: Questions) {
    self.contestants = contestants
    self.pace = pace
    self.questions = questions
    tallies = contestants.map { one in
      pace.clients.map { _ in [PointTally](repeating: PointTally(), count: one.efforts.count) }
    }
    recalls = contestants.map { [Double?](repeating: nil, count: $0.efforts.count) }
  }

  /// Measures. After each round the report has what was found until then, also where the next is interrupted.
  func run(_ sink: ReportSink) throws {
    do {
      for round in 0..<pace.rounds {
        for engine in contestants.indices {
          let name = contestants[engine].id
          let share = Double(contestants[engine].efforts.count * pace.clients.count) * pace.seconds
          sink.begin("round \(round + 1) of \(pace.rounds): \(name)", units: share)
          if round == 0 { try judge(engine, sink) } else { try warm(engine, sink) }
          try turn(engine, sink)
        }
        try report(to: sink)
      }
    } catch {
      try? report(to: sink)
      try? conclude(sink)
      throw error
    }
    try conclude(sink)
  }

  /// Answers to all questions at every effort, not timed: they are judged, and caches are warm afterwards.
  func judge(_ engine: Int, _ sink: ReportSink) throws {
    let one = contestants[engine]
    for effort in one.efforts.indices {
      try sink.checkpoint()
      let loop = ClosedLoop(clients: pace.threads, seconds: 0, queryCount: min(questions.count, one.judgedQueries))
      let answers = try loop.answers(one.efforts[effort].make) { sink.isInterrupted }
      try sink.checkpoint()
      recalls[engine][effort] = questions.truth.recall(of: questions.judged(answers))
    }
  }

  /// All questions once, at the largest effort of the first kind: the engine before may have taken the caches. Each client's connection is
  /// warmed beside that, before its clock starts.
  private func warm(_ engine: Int, _ sink: ReportSink) throws {
    let one = contestants[engine]
    guard let first = one.efforts.first, let most = one.efforts.last(where: { $0.name == first.name }) else { return }
    let loop = ClosedLoop(clients: pace.threads, seconds: 0, queryCount: min(questions.count, one.judgedQueries))
    let end = ContinuousClock.now + .seconds(Self.warmSecondsMax)
    _ = try loop.answers(most.make) { sink.isInterrupted || ContinuousClock.now > end }
  }

  /// An engine that is slow is warm after so long.
  static let warmSecondsMax = 10.0

  /// Every number of clients at every effort.
  private func turn(_ engine: Int, _ sink: ReportSink) throws {
    let one = contestants[engine]
    let points = pace.clients.count * one.efforts.count
    for (c, clients) in pace.clients.enumerated() {
      for (e, effort) in one.efforts.enumerated() {
        try sink.checkpoint()
        sink.advance(to: Double(c * one.efforts.count + e) / Double(points))
        let loop = ClosedLoop(clients: clients, seconds: pace.seconds, queryCount: questions.count)
        let outcome = try loop.run(effort.make) { sink.isInterrupted }
        // What was cut short is no round.
        try sink.checkpoint()
        tallies[engine][c][e].add(outcome)
      }
    }
  }

  // MARK: Figures

  private func report(to sink: ReportSink) throws {
    let found = series
    guard !found.isEmpty else { return }
    try sink.add { report in
      report.series = found
      report.matched = MatchedRecall.all(of: found)
    }
  }

  /// What is said once, of all rounds.
  private func conclude(_ sink: ReportSink) throws {
    let notes = errorNotes
    let method = driverSentence
    guard !notes.isEmpty || method != nil else { return }
    try sink.add { report in
      report.notes += notes
      if let method { report.method.append(method) }
    }
  }

  private var series: [Series] {
    contestants.indices.flatMap { engine in
      pace.clients.enumerated().compactMap { c, clients in
        let points = contestants[engine].efforts.enumerated().compactMap { e, effort in
          recalls[engine][e].flatMap { tallies[engine][c][e].point(effort, recall: $0) }
        }
        return points.isEmpty ? nil : Series(engine: contestants[engine].id, clients: clients, points: points)
      }
    }
  }

  private var errorNotes: [String] {
    contestants.indices.compactMap { engine in
      let first = tallies[engine].joined().lazy.compactMap(\.firstError).first
      return first.map { "\(contestants[engine].id) failed now and then; the first time it said: \($0)" }
    }
  }

  /// What the clients themselves cost, for those who suspect that one side's are dearer.
  private var driverSentence: String? {
    let costs = contestants.indices.compactMap { engine -> String? in
      // At one effort the driver does what it does at all.
      let all = tallies[engine].joined()
      let answered = all.reduce(0) { $0 + $1.answered }
      guard answered > 0 else { return nil }
      let microseconds = all.reduce(0) { $0 + $1.driverSeconds } / Double(answered) * 1e6
      return "\(contestants[engine].id) \(String(format: "%.0f", microseconds)) µs"
    }
    return costs.isEmpty
      ? nil : "The clients themselves took, of processor time a query: \(costs.joined(separator: ", "))."
  }
}
