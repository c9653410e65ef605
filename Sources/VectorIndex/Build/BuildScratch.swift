// What one inserting thread owns, allocated once.
//
// May use: SearchScratch.

/// The working memory of insertions. Not shared between threads.
final class BuildScratch {
  var search: SearchScratch
  /// The neighbours chosen for the new node, layer by layer.
  var chosen: [[Neighbour]] = []
  /// Candidates of one selection.
  var candidates: [Neighbour] = []
  var selection: [Neighbour] = []

  init(store: VectorStore) {
    search = SearchScratch(store: store)
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
