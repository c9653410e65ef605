// How long filtered searches take by the share of rows that match; run with VIZINHO_MEASURE=1.

import Glibc
import TestSupport
import Testing

@testable import VectorIndex

@Suite(.serialized, .enabled(if: environment("VIZINHO_MEASURE") == "1", "measures, and judges nothing"))
struct FilteredSearchSpeed {
  private static let rounds = 7

  @Test func byShareAndPlan() throws {
    let filtered = try FilteredSample(.measured(), storage: .int4x16, metric: .cosine, questions: 200)
    let rows = filtered.sample.baseCount
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
          let found = try answers(filtered, programs, options, &scratch)
          let time = try best(Array(filtered.questions.indices)) { i in
            let question = filtered.questions[i]
            try question.vector.withUnsafeBufferPointer {
              try filtered.index.search($0, options, matching: programs[question.direction], scratch: &scratch) { _ in }
            }
          }
          var right = 0
          for (hits, truth) in zip(found.hits, truth.hits) {
            right += hits.count { $0.distance <= (truth.last?.distance ?? 0) + 1e-6 }
          }
          let wanted = truth.hits.reduce(0) { $0 + $1.count }
          let count = filtered.questions.count
          print(
            "\(lie), \(share): \(plan.map { "\($0)" } ?? "chosen"): \(time / 1_000) µs a search, recall "
              + "\(Double(right) / Double(wanted)), \(found.distances / count) distances, \(found.plans)")
        }
      }
    }
  }

  /// What a row costs in each kind of scan, apart from the pass that finds which match, and what a distance costs in a walk: the constants of
  /// FilterCosts.
  @Test(arguments: [VectorStorage.int4x16, .int4x8, .f16, .int8]) func whatARowCosts(storage: VectorStorage) throws {
    let filtered = try FilteredSample(
      .measured(), storage: storage, metric: .cosine, questions: 200, calibrates: storage == .int4x16)
    let index = filtered.index
    let store = index.store
    var scratch = SearchScratch(for: index)
    var filterScratch = FilterScratch()
    let pin = store.pins.take(for: .search)
    defer { store.pins.giveBack(pin) }
    let version = store.pins.enter(pin)
    let all = Array(filtered.questions.indices)
    for (target, effort) in [(Float(0.95), 0), (0.99, 0), (0, 48), (0, 100)] where effort > 0 || storage == .int4x16 {
      let options = SearchOptions(k: 10, recallTarget: effort > 0 ? nil : target, effort: effort)
      var distances = 0
      let time = try best(all) { i in
        try filtered.questions[i].vector.withUnsafeBufferPointer {
          try index.search($0, options, scratch: &scratch) { distances += $0.distancesComputed }
        }
      }
      let each = Double(distances) / Double(Self.rounds * all.count)
      print("\(storage.name), a walk, recall \(target), ef \(effort): \(time / each) ns a distance, \(each) distances")
    }
    for lie in FilteredSample.Lie.allCases {
      let questions = lie == .anywhere ? all : all.filter { filtered.questions[$0].direction == 0 }
      for share in [0.005, 0.02, 0.1, 0.5] {
        let matching = Int(share * Double(filtered.sample.baseCount))
        let program = try index.compile(filtered.filter(lie, matching: matching, direction: 0))
        var matches = MatchSet(count: 0, form: .slots(UnsafeBufferPointer(start: nil, count: 0)))
        let pass = best(questions) { _ in matches = index.matching(program, version: version, into: &filterScratch) }
        let scan = MatchScan(matches: matches, store: store)
        var costs: [Double] = []
        var rescored = 0
        for isOnCodes in [false, true] where !isOnCodes || store.rescores {
          let time = best(questions) { i in
            filtered.questions[i].vector.withUnsafeBufferPointer {
              scratch.take($0, inverseLength: 1, store)
              scratch.rowsRescored = 0
              if isOnCodes { scan.runOnCodes(keeping: 10, &scratch) } else { scan.run(keeping: 10, &scratch) }
              rescored += scratch.rowsRescored
            }
          }
          costs.append(time / Double(matching))
        }
        print(
          "\(storage.name), \(lie), \(matching) match: pass \(pass / 1_000) µs, scans \(costs) ns a row, "
            + "\(Double(rescored) / Double(Self.rounds * questions.count)) rescored")
      }
    }
  }

  /// Processor time of this thread, in nanoseconds: others may use the machine.
  private func processorTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
  }

  /// Nanoseconds a question: the mean of each question's best.
  private func best(_ questions: [Int], _ body: (Int) throws -> Void) rethrows -> Double {
    var best = [Double](repeating: .infinity, count: questions.count)
    for _ in 0..<Self.rounds {
      for (place, question) in questions.enumerated() {
        let start = processorTime()
        try body(question)
        best[place] = min(best[place], processorTime() - start)
      }
    }
    return best.reduce(0, +) / Double(best.count)
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
