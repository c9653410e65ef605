// The second part: searches with a filter, over the share of the rows that match it.
//
// May use: ClosedLoop, PointTally, Truth, Selectivity, ReportSink, Figure.

import VectorIndex

/// An engine in one way of searching with a filter.
struct FilteredContestant {
  /// The engine's id in the report.
  var id: String
  /// The effort, and how the engine goes about the filter.
  var detail: String
  /// Clients that search with the filter of a share; and what is searched in, where that is not the index on vectors.
  var make: (_ share: Double) throws -> (make: ClientMaker, instead: String?)
}

struct FilteredPart {
  var contestants: [FilteredContestant]
  var selectivities: [Double]
  /// For each row its number.
  var shares: [Double]
  var pace: Pace
  var k: Int

  /// Judged by the exact answers among the rows that match.
  struct Judged {
    var recall: Double
    var short: Int
    var outside: Int
  }

  /// - answers: to questions that the truth knows.
  static func judge(_ answers: [(query: Int, rows: [Int64])], _ truth: Truth, shares: [Double], below share: Double)
    -> Judged
  {
    var judged = Judged(recall: truth.recall(of: answers), short: 0, outside: 0)
    for (query, rows) in answers {
      let rows = Set(rows)
      if rows.count < truth.owed[query] { judged.short += 1 }
      // A number that no row has breaks every filter.
      judged.outside += rows.count { row in
        !(shares.indices.contains(Int(row)) && Selectivity.matches(shares[Int(row)], share))
      }
    }
    return judged
  }

  var units: Double { Double(contestants.count * selectivities.count * pace.rounds) * pace.seconds }

  /// Measures with one client: what filters cost is the plan's business, not the number of clients'.
  /// - truth: for a share, the exact answers among the rows that match.
  func run(_ sink: ReportSink, queryCount: Int, truth: (_ rows: [Int]) throws -> Truth) throws {
    for share in selectivities {
      let matching = shares.indices.filter { Selectivity.matches(shares[$0], share) }
      guard !matching.isEmpty else {
        try sink.add { $0.notes.append("No row matches a share of \(share), so it was left out.") }
        continue
      }
      sink.begin("filter: \(share) of the rows match", units: units / Double(selectivities.count))
      let exact = try truth(matching)
      var measured: [(judged: Judged, tally: PointTally)] = []
      var instead: [String: [String]] = [:]
      do {
        var makers: [ClientMaker] = []
        for one in contestants {
          try sink.checkpoint()
          let (make, other) = try one.make(share)
          if let other { instead[other, default: []].append("\(one.id) (\(one.detail))") }
          let loop = ClosedLoop(clients: pace.threads, seconds: 0, queryCount: queryCount)
          let answers = try loop.answers(make) { sink.isInterrupted }
          try sink.checkpoint()
          makers.append(make)
          measured.append((Self.judge(answers, exact, shares: shares, below: share), PointTally()))
        }
        for round in 0..<pace.rounds {
          for i in contestants.indices {
            try sink.checkpoint()
            sink.advance(to: Double(round * contestants.count + i) / Double(pace.rounds * contestants.count))
            let loop = ClosedLoop(clients: 1, seconds: pace.seconds, queryCount: queryCount)
            let outcome = try loop.run(makers[i]) { sink.isInterrupted }
            // What was cut short is no round.
            try sink.checkpoint()
            measured[i].tally.add(outcome)
          }
        }
      } catch {
        try? report(measured, instead, share, sink)
        throw error
      }
      try report(measured, instead, share, sink)
    }
  }

  /// What failed while it was timed; nil: nothing did.
  static func errorNote(of tally: PointTally, id: String, detail: String, share: Double) -> String? {
    guard tally.errors > 0 else { return nil }
    let count = Figure.count(tally.errors, "timed search", plural: "timed searches")
    let first = tally.firstError.map { "; the first time it said: \($0)" } ?? ""
    return "Where a share of \(share) matches, \(count) of \(id) (\(detail)) failed\(first)"
  }

  private func report(
    _ measured: [(judged: Judged, tally: PointTally)], _ instead: [String: [String]], _ share: Double,
    _ sink: ReportSink
  ) throws {
    let points = zip(contestants, measured).compactMap { one, found -> FilteredPoint? in
      guard !found.tally.isEmpty else { return nil }
      return FilteredPoint(
        engine: one.id, selectivity: share, recall: found.judged.recall, qps: found.tally.spread,
        latency: found.tally.allLatencies, short: found.judged.short, outside: found.judged.outside,
        detail: one.detail)
    }
    guard !points.isEmpty else { return }
    let plans = instead.sorted { $0.key < $1.key }.map { scan, who in
      "Where a share of \(share) matches, Postgres chose \(scan) over the index on vectors, for: \(who.joined(separator: "; "))."
    }
    let errors = zip(contestants, measured).compactMap { one, found in
      Self.errorNote(of: found.tally, id: one.id, detail: one.detail, share: share)
    }
    let notes = plans + errors
    try sink.add { report in
      report.filtered += points
      report.notes += notes
    }
  }
}
