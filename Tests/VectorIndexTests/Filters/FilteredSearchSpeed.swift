// How long filtered searches take by the share of rows that match; run with VIZINHO_MEASURE=1.

import TestSupport
import Testing

@testable import VectorIndex

@Suite(.enabled(if: environment("VIZINHO_MEASURE") == "1", "measures, and judges nothing"))
struct FilteredSearchSpeed {
  @Test func byShareAndPlan() throws {
    let filtered = try FilteredSample(.measured(), storage: .int4x16, metric: .cosine, questions: 200)
    let rows = filtered.sample.baseCount
    let clock = ContinuousClock()
    var scratch = SearchScratch(for: filtered.index)
    for lie in FilteredSample.Lie.allCases {
      for share in [0.0001, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 0.9] {
        let programs = try (0..<FilteredSample.directions).map {
          try filtered.index.compile(filtered.filter(lie, matching: Int(share * Double(rows)), direction: $0))
        }
        let truth = try answers(filtered, programs, SearchOptions(k: FilteredSample.k, exact: true), &scratch)
        for plan: FilterReceipt.Plan? in [nil, .walk, .codeScan, .exactScan] {
          var options = SearchOptions(k: FilteredSample.k)
          options.filterPlan = plan
          var found = try answers(filtered, programs, options, &scratch)
          var best = Duration.seconds(1_000)
          for _ in 0..<3 {
            best = min(best, try clock.measure { found = try answers(filtered, programs, options, &scratch) })
          }
          var right = 0
          for (hits, truth) in zip(found.hits, truth.hits) {
            right += hits.count { $0.distance <= (truth.last?.distance ?? 0) + 1e-6 }
          }
          let wanted = truth.hits.reduce(0) { $0 + $1.count }
          let count = filtered.questions.count
          print(
            "\(lie), \(share): \(plan.map { "\($0)" } ?? "chosen"): \(best / count) a search, recall "
              + "\(Double(right) / Double(wanted)), \(found.distances / count) distances, \(found.plans)")
        }
      }
    }
  }

  private struct Answers {
    var hits: [[SearchHit]] = []
    var distances = 0
    var plans: [FilterReceipt.Plan: Int] = [:]
  }

  private func answers(
    _ filtered: FilteredSample, _ programs: [FilterProgram], _ options: SearchOptions, _ scratch: inout SearchScratch
  ) throws -> Answers {
    var answers = Answers()
    for question in filtered.questions {
      try question.vector.withUnsafeBufferPointer {
        try filtered.index.search($0, options, matching: programs[question.direction], scratch: &scratch) { hits in
          answers.hits.append(hits.copied())
          answers.distances += hits.distancesComputed
          if let plan = hits.filter?.plan { answers.plans[plan, default: 0] += 1 }
        }
      }
    }
    return answers
  }
}
