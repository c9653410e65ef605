// When an event loop may answer by itself: while one connection is the only one that asks.

import NIOCore
import Testing

@testable import VectorServer

@Suite struct LoneConnectionTests {
  private final class Connection {}
  private let a = Connection()
  private let b = Connection()

  /// Feeds requests at times in milliseconds; returns who was alone.
  private func alone(_ requests: [(Connection, Int64)]) -> [Bool] {
    var lone = LoneConnection()
    let start = NIODeadline.now()
    return requests.map { lone.asks(ObjectIdentifier($0.0), now: start + .milliseconds($0.1)) }
  }

  @Test func theFirstIsAlone() {
    #expect(alone([(a, 0), (a, 1), (a, 2), (a, 500)]) == [true, true, true, true])
  }

  @Test func twoAtATimeAreNot() {
    #expect(alone([(a, 0), (b, 1), (a, 2), (b, 3), (b, 4), (a, 5)]) == [true, false, false, false, false, false])
  }

  @Test func theOneThatGoesOnIsAloneAgain() {
    #expect(alone([(a, 0), (b, 1), (b, 10), (b, 20), (b, 21), (b, 22)]) == [true, false, false, false, true, true])
  }

  @Test func onesThatTakeTurnsAreEachAlone() {
    #expect(alone([(a, 0), (b, 20), (a, 40), (b, 59)]) == [true, true, true, false])
  }
}
