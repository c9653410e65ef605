// From what is known of changed rows to what the index is told: values that a message left out are the row's own, and what neither the messages
// nor the index know is read from Postgres by key.
//
// May use: the index, PostgresSource's hashes.

import PostgresSource
import VectorIndex

/// Turns outcomes into changes of one index.
struct ChangeResolver {
  private let index: HNSWIndex
  private var hasher: RowHasher

  init(_ index: HNSWIndex, description: SourceDescription) {
    self.index = index
    hasher = RowHasher(description)
  }

  /// What to do to the index, and to the sums that prove it.
  struct Resolved {
    var changes: [RowChange] = []
    var deltas: [ProofLedger.Delta] = []
    /// Rows that have to be read.
    var unknown: [RecordID] = []
  }

  mutating func resolve(_ gathered: ChangeGatherer) -> Resolved {
    var resolved = Resolved()
    resolved.changes.reserveCapacity(gathered.count)
    for (id, outcome) in gathered.outcomes {
      switch outcome {
      case .removed: remove(id, wasEmptied: gathered.removesAll, &resolved)
      case .written(let write): resolve(id, write, wasEmptied: gathered.removesAll, &resolved)
      }
    }
    return resolved
  }

  /// Adds rows that were read, and takes away those that were not there.
  mutating func add(_ fetched: [FetchedRow], missing: [RecordID], wasEmptied: Bool, to resolved: inout Resolved) {
    for row in fetched {
      let hash = row.wire[row.vectorPlace].withUnsafeBytes { RowHasher.vectorHash($0) }
      write(
        row.id, row.vector, hash: hash, attributes: row.attributes, payload: row.payload,
        old: wasEmptied ? nil : index.stamp(of: row.id), &resolved)
    }
    for id in missing { remove(id, wasEmptied: wasEmptied, &resolved) }
    resolved.unknown = []
  }

  private mutating func remove(_ id: RecordID, wasEmptied: Bool, _ resolved: inout Resolved) {
    guard !wasEmptied, let old = index.stamp(of: id) else { return }
    resolved.changes.append(RowChange(id, .remove))
    resolved.deltas.append(.init(bucket: hasher.bucket(of: id), old: old.row, new: nil))
  }

  private mutating func resolve(
    _ id: RecordID, _ write: ChangeGatherer.Write, wasEmptied: Bool, _ resolved: inout Resolved
  ) {
    let old = wasEmptied ? nil : index.stamp(of: id)
    // A row without a vector is not in the index, whatever else it has.
    if case .value(.null) = write.vector { return remove(id, wasEmptied: wasEmptied, &resolved) }
    guard write.isWhole || (old != nil && !write.isPartOfUnknown) else {
      resolved.unknown.append(id)
      return
    }
    // Whole, or the index has the rest.
    let known = write.attributes.contains(.unchanged) ? index.attributes(of: id) ?? [] : []
    let attributes = write.attributes.enumerated().map { number, state in
      if case .value(let value) = state { value } else { known[number] }
    }
    let keptPayload = write.payload.contains(.unchanged) ? index.payload(of: id) ?? [] : []
    let payload = write.payload.enumerated().map { number, state in
      if case .value(let value) = state { value } else { keptPayload[number] }
    }
    switch write.vector {
    case .value(.components(let components, let hash)):
      self.write(id, components, hash: hash, attributes: attributes, payload: payload, old: old, &resolved)
    default:
      self.write(
        id, nil, hash: old?.vector ?? 0, attributes: attributes, payload: payload, old: old, &resolved)
    }
  }

  /// - vector: nil: the row's own.
  private mutating func write(
    _ id: RecordID, _ vector: [Float]?, hash: UInt64, attributes: [AttributeValue], payload: [String?], old: RowStamp?,
    _ resolved: inout Resolved
  ) {
    // pgvector's index under cosine leaves zero vectors out, and so does this one.
    if index.configuration.metric == .cosine, let vector, !vector.contains(where: { $0 != 0 }) {
      return remove(id, wasEmptied: old == nil, &resolved)
    }
    let stamp = RowStamp(
      vector: hash, row: hasher.row(id, vectorHash: hash, attributes: attributes, payload: payload))
    // Postgres sends a vector that lies within its row again with every change of that row.
    if stamp == old { return }
    let isSameVector = old?.vector == hash
    let keepsPayload = payload.isEmpty || (old != nil && index.payload(of: id) == payload)
    resolved.changes.append(
      RowChange(
        id,
        .write(
          vector: isSameVector ? nil : vector, attributes: attributes, payload: keepsPayload ? nil : payload,
          stamp: stamp)))
    resolved.deltas.append(.init(bucket: hasher.bucket(of: id), old: old?.row, new: stamp.row))
  }
}
