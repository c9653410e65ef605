// What a change says of a row, as far as it says it: Postgres leaves out what is stored out of line and was not changed.
//
// May use: VectorIndex for ids and values.

package import VectorIndex

/// What became of a row.
package enum RowEvent: Hashable, Sendable {
  /// It is there, new or changed.
  case write(RowWrite)
  /// It is there no more.
  case remove(RecordID)
}

/// A row as it is after a change.
package struct RowWrite: Hashable, Sendable {
  package var id: RecordID
  /// What it was called before, where its key was changed; never the same as ``id``. That row is there no more.
  package var previousID: RecordID?
  package var vector: FieldState<VectorValue>
  /// In the order of ``SourceDescription/attributes``.
  package var attributes: [FieldState<AttributeValue>]
  /// In the order of ``SourceDescription/payload``.
  package var payload: [FieldState<String?>]

  package init(
    id: RecordID, previousID: RecordID? = nil, vector: FieldState<VectorValue>,
    attributes: [FieldState<AttributeValue>] = [], payload: [FieldState<String?>] = []
  ) {
    self.id = id
    self.previousID = previousID
    self.vector = vector
    self.attributes = attributes
    self.payload = payload
  }

  /// Whether nothing was left out, so that the row can be written without knowing what it was.
  package var isWhole: Bool {
    !vector.isUnchanged && !attributes.contains(where: \.isUnchanged) && !payload.contains(where: \.isUnchanged)
  }
}

/// A value, or that it is what it was.
package enum FieldState<Value> {
  case unchanged
  case value(Value)

  package var isUnchanged: Bool {
    if case .unchanged = self { true } else { false }
  }

  /// nil: unchanged.
  package var value: Value? {
    if case .value(let value) = self { value } else { nil }
  }
}

extension FieldState: Equatable where Value: Equatable {}
extension FieldState: Hashable where Value: Hashable {}
extension FieldState: Sendable where Value: Sendable {}

/// What stands in the vector column.
package enum VectorValue: Hashable, Sendable {
  /// The index has no such row.
  case null
  /// All finite, as many as the source's dimension. `hash` is ``RowHasher/vectorHash(_:)`` of their bytes as they came.
  case components([Float], hash: UInt64)
}
