// With which question a shadow run waits for the engine.

import Testing

@testable import Bench

struct ShadowRunTests {
  @Test func theEngineIsWaitedForWithAnotherQuestion() {
    let queries = (0..<3).map { LoggedQuery(vector: [Float($0)], k: nil, filter: "tenant = \($0)") }
    #expect((0..<3).map { ShadowRun.other(than: $0, of: queries) } == [queries[2], queries[0], queries[1]])
    #expect(ShadowRun.other(than: 0, of: Array(queries[..<1])) == nil)
  }
}
