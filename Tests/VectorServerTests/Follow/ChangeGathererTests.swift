// What becomes of rows that change several times, held against the rows themselves.

import Testing
import VectorIndex

@testable import PostgresSource
@testable import VectorServer

@Suite struct ChangeGathererTests {
  private func write(
    _ id: Int64, from previous: Int64? = nil, vector: Float?, attribute: Int64?, payload: String??
  ) -> RowEvent {
    .write(
      RowWrite(
        id: .int64(id), previousID: previous.map { .int64($0) },
        vector: vector.map { .value(.components([$0], hash: UInt64($0))) } ?? .unchanged,
        attributes: [attribute.map { .value(.int64($0)) } ?? .unchanged],
        payload: [payload.map { .value($0) } ?? .unchanged]))
  }

  @Test func whatALaterMessageLeavesOutIsTheEarlierOnes() throws {
    var gatherer = ChangeGatherer()
    gatherer.take(write(1, vector: 5, attribute: 7, payload: .some("a")))
    gatherer.take(write(1, vector: nil, attribute: 8, payload: nil))
    guard case .written(let row)? = gatherer.outcomes[.int64(1)] else { return #expect(Bool(false)) }
    #expect(row.vector == .value(.components([5], hash: 5)))
    #expect(row.attributes == [.value(.int64(8))])
    #expect(row.payload == [.value("a")])
    #expect(row.isWhole && !row.isPartOfUnknown)
  }

  @Test func whatNoMessageGaveStaysTheRows() {
    var gatherer = ChangeGatherer()
    gatherer.take(write(1, vector: nil, attribute: 8, payload: nil))
    guard case .written(let row)? = gatherer.outcomes[.int64(1)] else { return #expect(Bool(false)) }
    #expect(row.vector == .unchanged)
    #expect(!row.isPartOfUnknown, "the row in the index has the rest")
  }

  @Test func aRowThatWasRemovedAndComesInPartIsKnownToPostgresAlone() {
    var gatherer = ChangeGatherer()
    gatherer.take(.remove(.int64(1)))
    gatherer.take(write(1, vector: nil, attribute: 8, payload: .some(nil)))
    guard case .written(let row)? = gatherer.outcomes[.int64(1)] else { return #expect(Bool(false)) }
    #expect(row.isPartOfUnknown)
  }

  @Test func anotherKeyTakesWhatIsKnownWithIt() {
    var gatherer = ChangeGatherer()
    gatherer.take(write(1, vector: 5, attribute: 7, payload: .some("a")))
    gatherer.take(write(2, from: 1, vector: nil, attribute: 7, payload: nil))
    #expect(gatherer.outcomes[.int64(1)] == .removed)
    guard case .written(let row)? = gatherer.outcomes[.int64(2)] else { return #expect(Bool(false)) }
    #expect(row.isWhole && !row.isPartOfUnknown)
    #expect(row.vector == .value(.components([5], hash: 5)))
  }

  @Test func anotherKeyOfARowThatNobodyToldOfIsReadAnew() {
    var gatherer = ChangeGatherer()
    gatherer.take(write(2, from: 1, vector: nil, attribute: 7, payload: .some("a")))
    #expect(gatherer.outcomes[.int64(1)] == .removed)
    guard case .written(let row)? = gatherer.outcomes[.int64(2)] else { return #expect(Bool(false)) }
    #expect(row.isPartOfUnknown)
  }

  @Test func twoRowsThatChangePlaces() {
    var gatherer = ChangeGatherer()
    gatherer.take(write(3, from: 1, vector: 1, attribute: 1, payload: .some(nil)))
    gatherer.take(write(1, from: 2, vector: 2, attribute: 2, payload: .some(nil)))
    gatherer.take(write(2, from: 3, vector: nil, attribute: nil, payload: nil))
    #expect(gatherer.outcomes[.int64(3)] == .removed)
    guard case .written(let first)? = gatherer.outcomes[.int64(1)],
      case .written(let second)? = gatherer.outcomes[.int64(2)]
    else { return #expect(Bool(false)) }
    #expect(first.vector == .value(.components([2], hash: 2)))
    #expect(second.vector == .value(.components([1], hash: 1)))
    #expect(second.isWhole && !second.isPartOfUnknown)
  }

  @Test func aTruncateForgetsWhatWasBeforeIt() {
    var gatherer = ChangeGatherer()
    gatherer.take(write(1, vector: 5, attribute: 7, payload: .some("a")))
    gatherer.removeAll()
    gatherer.take(write(2, vector: 6, attribute: 7, payload: .some("b")))
    #expect(gatherer.removesAll)
    #expect(Set(gatherer.outcomes.keys) == [.int64(2)])
  }
}
