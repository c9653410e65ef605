// What one inserting thread owns, allocated once.
//
// May use: SearchScratch.

internal import CVectorKernels

/// The working memory of insertions. Not shared between threads.
final class BuildScratch {
  var search: SearchScratch
  /// ``HNSWIndex/Linking/horizon``.
  var horizon = VectorStore.now
  /// The neighbours chosen for the new node, layer by layer.
  var chosen: [[Neighbour]] = []
  /// Candidates of one selection.
  var candidates: [Neighbour] = []
  var selection: [Neighbour] = []

  /// A row as a query against the others, and its numbers where a kernel cannot read them in place.
  let rowQuery: UnsafeMutablePointer<vz_query>
  private let rowNumbers: UnsafeMutablePointer<Float>

  init(store: VectorStore, of reader: ReaderPins.Reader = .search) {
    search = SearchScratch(store: store, of: reader)
    rowQuery = .allocate(capacity: 1)
    rowNumbers = VectorStore.zeros(store.width)
  }

  deinit {
    rowQuery.deallocate()
    rowNumbers.deallocate()
  }

  /// Makes `slot` the row that others are scored against.
  @inline(__always)
  func compare(with slot: UInt32, _ store: VectorStore) {
    rowQuery.initialize(to: store.pairing.prepare(row: slot, numbers: rowNumbers))
  }

  /// Makes `slot` the row that is searched for.
  func aim(at slot: UInt32, _ store: VectorStore) {
    store.fine.decode(slot, into: search.vector)
    search.prepareQueries(inverseLength: store.metric == .cosine ? store.inverseLength(slot) : 1, store)
  }
}

/// A node and its distance from whatever is being looked at.
struct Neighbour {
  var distance: Float
  var slot: UInt32

  @inline(__always)
  static func < (a: Neighbour, b: Neighbour) -> Bool {
    a.distance < b.distance || (a.distance == b.distance && a.slot < b.slot)
  }
}
