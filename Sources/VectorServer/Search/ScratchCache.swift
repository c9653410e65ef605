// Working memory of one search thread, an index at a time.
//
// May use: VectorIndex.

import VectorIndex

/// Keeps the scratches of the indexes that a thread has searched lately.
struct ScratchCache: ~Copyable {
  /// A scratch and whose it is. A class, because arrays do not hold what cannot be copied.
  final class Entry {
    /// Weak: an index that a rebuild has replaced must not live on in idle threads.
    private(set) weak var index: HNSWIndex?
    var scratch: SearchScratch

    init(_ index: HNSWIndex) {
      self.index = index
      scratch = SearchScratch(for: index)
    }
  }

  private static let entriesMax = 8
  /// The one used last comes first.
  private var entries: [Entry] = []

  /// The scratch for an index. Complexity: O(1) for the index of the last call.
  mutating func entry(for index: HNSWIndex) -> Entry {
    if let first = entries.first, first.index === index { return first }
    // An address may be used again, but a weak reference to the index before is nil by then.
    entries.removeAll { $0.index == nil }
    let entry: Entry
    if let found = entries.firstIndex(where: { $0.index === index }) {
      entry = entries.remove(at: found)
    } else {
      entry = Entry(index)
      if entries.count == Self.entriesMax { entries.removeLast() }
    }
    entries.insert(entry, at: 0)
    return entry
  }
}
