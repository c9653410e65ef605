// What may become of a row.
//
// May use: nothing but the values that rows are made of.

/// What becomes of one row in ``HNSWIndex/apply(_:removingAllFirst:)``.
public struct RowChange: Sendable {
  public enum Action: Sendable {
    /// The row goes. Where there is none, nothing happens.
    case remove
    /// The row comes, or is written anew.
    ///
    /// - vector: `[dimension]`; nil = as the row has it, and then there must be one, whose place in the graph stays.
    /// - attributes: a value for each column of the configuration's schema; nil = as the row has them, NULLs where there is none.
    /// - payload: a text or nil for each column of the configuration's; nil = as the row has it, nothing where there is none.
    /// - stamp: kept where the configuration says so. With a vector of nil, the row keeps its stamp's ``RowStamp/vector``.
    case write(
      vector: [Float]?, attributes: [AttributeValue]? = nil, payload: [String?]? = nil, stamp: RowStamp = .unknown)
  }

  public var id: RecordID
  public var action: Action

  public init(_ id: RecordID, _ action: Action) {
    self.id = id
    self.action = action
  }
}

/// Changes of which everything holds that can be said without a look at the rows that are there, and what can be made of them without.
struct CheckedChanges: Sendable {
  let changes: [RowChange]
  /// By change: what ``HNSWIndex/checked(_:)`` says of its vector; 1 where it has none.
  private(set) var inverseLengths: [Float] = []
  /// The payload in blocks, where some change has one. Its places are by change.
  private(set) var payload: PayloadStore.Made?

  /// - Throws: `duplicateRecord`, `recordIDMismatch`, `dimensionMismatch`, `notFinite`, `zeroVector`, `attributeMismatch`,
  ///   `payloadMismatch`.
  init(_ changes: [RowChange], of index: HNSWIndex) throws(IndexError) {
    self.changes = changes
    inverseLengths.reserveCapacity(changes.count)
    for change in changes {
      do throws(IndexError) {
        inverseLengths.append(try Self.check(change, of: index))
      } catch {
        throw changes.count == 1 ? error : IndexError(error.code, "row \(change.id): \(error.message)")
      }
    }
    try checkDistinct()
    guard let store = index.payload else { return }
    let rows = changes.map { change -> [String?] in
      if case .write(_, _, let values?, _) = change.action { values } else { [] }
    }
    // A row of nothing has no place in a block.
    if rows.contains(where: { !$0.isEmpty }) { payload = PayloadStore.make(rows, codec: store.codec) }
  }

  private static func check(_ change: RowChange, of index: HNSWIndex) throws(IndexError) -> Float {
    try index.check(change.id)
    guard case .write(let vector, let attributes, let payload, _) = change.action else { return 1 }
    if let attributes { try index.configuration.attributes.check(attributes) }
    if let payload { try index.configuration.check(payload: payload) }
    return try vector?.withUnsafeBufferPointer { buffer throws(IndexError) in try index.checked(buffer) } ?? 1
  }

  private func checkDistinct() throws(IndexError) {
    guard changes.count > 1 else { return }
    var ids = Set<RecordID>(minimumCapacity: changes.count)
    for change in changes where !ids.insert(change.id).inserted {
      throw IndexError(
        .duplicateRecord, "the id \(change.id) stands twice among the changes; give one change for each row")
    }
  }
}
