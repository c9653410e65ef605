// How far walks with a filter go: as far as the rank of the last wanted row among all rows asks for.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct FilteredReachTests {
  @Test(arguments: testSeeds) func refusedNodesAreCountedUpToADistance(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    var refused = RefusedNodes()
    #expect(refused.count(below: Candidate.none) == 0)
    refused.reserve()
    for count in [0, 1, 100, RefusedNodes.max, RefusedNodes.max + 1, 3 * RefusedNodes.max + 17] {
      refused.reset()
      #expect(refused.count(below: Candidate.none) == 0)
      let candidates = (0..<count).map { Candidate.pack(Float.random(in: -1...1, using: &random), UInt32($0)) }
      for candidate in candidates { refused.append(candidate) }
      // Of more than it holds it knows the last.
      let known = candidates.suffix(RefusedNodes.max)
      for bound: Float in [-2, -0.5, 0, 0.25, 2] {
        #expect(refused.count(below: Candidate.pack(bound, 0)) == known.count { Candidate.distance($0) < bound })
      }
    }
  }

  /// Distances of walks that were made to end, and how many of the wanted rows they found.
  private func walks(
    _ filtered: FilteredSample, _ lie: FilteredSample.Lie, matching: Int, _ reach: SearchReach?
  ) throws -> (distances: Int, recall: Double) {
    var scratch = SearchScratch(for: filtered.index)
    var options = SearchOptions(k: FilteredSample.k)
    options.filterPlan = .walk
    options.reach = reach
    var distances = 0
    var right = 0
    for question in filtered.questions {
      let program = try filtered.index.compile(
        filtered.filter(lie, matching: matching, direction: question.direction))
      let exact = try filtered.index.search(
        question.vector, SearchOptions(k: FilteredSample.k, exact: true), matching: program)
      try question.vector.withUnsafeBufferPointer {
        try filtered.index.search($0, options, matching: program, scratch: &scratch) { hits in
          distances += hits.distancesComputed
          right += hits.copied().count { $0.distance <= exact[exact.count - 1].distance + 1e-5 }
        }
      }
    }
    return (distances, Double(right) / Double(filtered.questions.count * FilteredSample.k))
  }

  @Test func aFilterThatHasNothingToDoWithTheQueryTakesLessThanItsNearestWould() throws {
    let filtered = try FilteredSample(.debian, storage: .int4x16, metric: .cosine, questions: 100)
    let curve = try #require(filtered.index.curveCell.current)
    let target = filtered.index.configuration.recallTarget
    // What ten of all rows need; applied to the tenth that matches, about the hundredth of all.
    let told = filtered.index.reach(curve.reach(target: target, results: FilteredSample.k))
    let byTold = try walks(filtered, .anywhere, matching: 1_000, told)
    let bySight = try walks(filtered, .anywhere, matching: 1_000, nil)
    print("a tenth matches: told \(byTold), by sight \(bySight)")
    #expect(bySight.recall >= Double(target) - 0.03)
    #expect(Double(bySight.distances) < 0.8 * Double(byTold.distances))
    // Where the tenth that matches is the tenth of all, it needs what it always needs.
    let near = try walks(filtered, .near, matching: 1_000, nil)
    let nearTold = try walks(filtered, .near, matching: 1_000, told)
    print("the nearest match: told \(nearTold), by sight \(near)")
    #expect(near.recall >= Double(target) - 0.03)
  }
}
