// The changes of one transaction, or of several that follow each other, row by row: what becomes of each in the end.
//
// Postgres may change a row several times in a transaction, and leaves out of each message what did not change. A value that is left out is
// the one before it: of an earlier message here, or of the row in the index. Pure: no index, no I/O.
//
// May use: PostgresSource's events.

import PostgresSource
import VectorIndex

/// What is known of rows that changed.
struct ChangeGatherer {
  /// What becomes of a row.
  enum Outcome: Hashable, Sendable {
    case removed
    case written(Write)
  }

  /// A row's values as far as messages gave them.
  struct Write: Hashable, Sendable {
    var vector: FieldState<VectorValue>
    var attributes: [FieldState<AttributeValue>]
    var payload: [FieldState<String?>]
    /// Whether what is unchanged is in no row of the index under this id: only Postgres knows it.
    var isPartOfUnknown: Bool

    var isWhole: Bool {
      func isValue<Value>(_ state: FieldState<Value>) -> Bool {
        if case .value = state { return true }
        return false
      }
      return isValue(vector) && attributes.allSatisfy(isValue) && payload.allSatisfy(isValue)
    }
  }

  private(set) var outcomes: [RecordID: Outcome] = [:]
  /// Whether all rows went before ``outcomes`` (TRUNCATE).
  private(set) var removesAll = false
  /// About the memory that the rows take.
  private(set) var byteCount = 0

  var isEmpty: Bool { outcomes.isEmpty && !removesAll }
  var count: Int { outcomes.count }

  mutating func take(_ event: RowEvent) {
    switch event {
    case .remove(let id): outcomes[id] = .removed
    case .write(let write):
      byteCount += Self.bytes(of: write)
      if let previousID = write.previousID {
        let previous = outcomes.updateValue(.removed, forKey: previousID)
        outcomes[write.id] = .written(Self.merged(write, onto: previous, isElsewhere: true))
      } else {
        outcomes[write.id] = .written(Self.merged(write, onto: outcomes[write.id], isElsewhere: false))
      }
    }
  }

  mutating func removeAll() {
    outcomes = [:]
    byteCount = 0
    removesAll = true
  }

  /// - isElsewhere: whether the values before are those of a row of another id.
  private static func merged(_ write: RowWrite, onto previous: Outcome?, isElsewhere: Bool) -> Write {
    var result = Write(
      vector: write.vector, attributes: write.attributes, payload: write.payload, isPartOfUnknown: false)
    switch previous {
    case .written(let before):
      if case .unchanged = result.vector { result.vector = before.vector }
      for i in result.attributes.indices {
        if case .unchanged = result.attributes[i] { result.attributes[i] = before.attributes[i] }
      }
      for i in result.payload.indices {
        if case .unchanged = result.payload[i] { result.payload[i] = before.payload[i] }
      }
      result.isPartOfUnknown = !result.isWhole && (isElsewhere || before.isPartOfUnknown)
    case .removed: result.isPartOfUnknown = !result.isWhole
    case nil: result.isPartOfUnknown = !result.isWhole && isElsewhere
    }
    return result
  }

  private static func bytes(of write: RowWrite) -> Int {
    var bytes = 128
    if case .value(.components(let components, _)) = write.vector { bytes += 4 * components.count }
    for case .value(let value) in write.attributes { bytes += value.byteCount }
    for case .value(let text?) in write.payload { bytes += text.utf8.count }
    return bytes
  }
}

extension AttributeValue {
  /// About the memory that it takes.
  fileprivate var byteCount: Int {
    switch self {
    case .null, .bool, .int64, .float64, .timestamp, .uuid: 16
    case .keyword(let text): 16 + text.utf8.count
    case .array(let values): values.reduce(16) { $0 + $1.byteCount }
    }
  }
}
