// What the commands that measure an index in process take, and what they refuse in a sentence.

import ArgumentParser
import Testing
import VectorIndex

@testable import Bench

struct IndexOptionsTests {
  private func searches(_ arguments: [String]) throws -> [Sweep.Search] {
    try IndexCommand.parse(["--base", "b.npy", "--queries", "q.npy"] + arguments).searches()
  }

  @Test func listsBecomeSearches() throws {
    #expect(try searches([]).map(\.options.effort).first == 10)
    #expect(try searches([]).count == 12)
    #expect(try searches(["--ef", "16, 10000"]).map(\.options.effort) == [16, 10_000])
    // With recalls the efforts are left out unless given.
    let recalls = try searches(["--recall-targets", "0.8,0.999"])
    #expect(recalls.map(\.options.recallTarget) == [0.8, 0.999] && recalls.allSatisfy { $0.options.effort == 0 })
    let all = try searches(["--k", "5", "--ef", "16", "--recall-targets", "0.9", "--reach", "1.1"])
    #expect(all.count == 3 && all.allSatisfy { $0.options.k == 5 } && all[2].reach == 1.1)
  }

  @Test(arguments: [
    ["--ef", "20000"], ["--ef", "0"], ["--ef", "nan"], ["--ef", "inf"], ["--ef", "1e30"], ["--ef", "x"], ["--ef", ","],
    ["--recall-targets", "5"], ["--recall-targets", "0.7"], ["--recall-targets", "nan"], ["--reach", "nan"],
    ["--reach", "inf"], ["--k", "0"], ["--k", "10001"], ["--threads", "0"], ["--threads", "5000"],
    ["--build-threads", "0"],
  ])
  func whatIsOutOfRangeIsNamed(arguments: [String]) throws {
    let error = #expect(throws: ValidationError.self) { try searches(arguments) }
    #expect(try #require(error).message.contains(arguments[0]))
  }

  @Test func filesWithoutVectorsAreNamed() throws {
    func message(_ base: VectorFile, _ queries: VectorFile) throws -> String {
      let error = #expect(throws: ValidationError.self) { try IndexInput.check(base, "b.npy", queries, "q.npy") }
      return try #require(error).message
    }
    let some = VectorFile(count: 2, dimension: 2, values: [1, 2, 3, 4])
    let none = VectorFile(count: 0, dimension: 2, values: [])
    #expect(throws: Never.self) { try IndexInput.check(some, "b.npy", some, "q.npy") }
    #expect(try message(none, some) == "b.npy has no vectors")
    #expect(try message(some, none) == "q.npy has no vectors")
    #expect(try message(some, VectorFile(count: 1, dimension: 3, values: [1, 2, 3])).contains("3 dimensions"))
  }

  @Test func whatTheIndexRefusesIsSaidAndCountsAsNoSearch() throws {
    let base = VectorFile(count: 3, dimension: 2, values: [0, 1, 1, 0, 1, 1])
    let queries = VectorFile(count: 1, dimension: 2, values: [1, 2])
    let truth = try Truth(base: base, queries: queries, metric: .l2, k: 1, threads: 1)
    let sweep = try Sweep(
      base: base, queries: queries, truth: truth, configuration: HNSWConfiguration(dimension: 2, metric: .l2), k: 1,
      buildThreads: 1)
    let sound = Sweep.Search(options: SearchOptions(k: 1, effort: 10))
    let refused = Sweep.Search(options: SearchOptions(k: 1, effort: 20_000))
    #expect(throws: Never.self) { try sweep.check(sound) }
    let error = #expect(throws: IndexError.self) { try sweep.check(refused) }
    #expect(error?.code == .invalidEffort)
    #expect(sweep.measure(sound, threads: 1).qps > 0)
    #expect(sweep.measure(refused, threads: 1).qps == 0)
  }
}
