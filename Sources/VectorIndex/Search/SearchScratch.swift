// What one search thread owns: everything a search writes, allocated once, so that a warmed search allocates nothing.
//
// May use: CandidatePool, VisitedSet, ReaderPins.

/// The working memory of one thread's searches in one index. Not copyable: two searches never share one.
public struct SearchScratch: ~Copyable {
  var pool: CandidatePool
  var visited: VisitedSet
  let pins: ReaderPins
  let pin: ReaderPins.Pin
  /// `[width]`, 64-byte aligned, zero from the dimension on.
  let query: UnsafeMutablePointer<Float>
  /// The neighbours to be scored, and their distances: room for a block of a range scan.
  let batchSlots: UnsafeMutablePointer<UInt32>
  let batchDistances: UnsafeMutablePointer<Float>
  /// The results of the last search.
  var hitSlots: UnsafeMutablePointer<UInt32>
  var hitDistances: UnsafeMutablePointer<Float>
  private var hitCapacity: Int
  var hitCount = 0
  var distancesComputed = 0
  /// Whether the last walk met more hidden nodes than it makes sense to walk through.
  var isAbandoned = false

  /// Rows scored at once by a range scan, and the most neighbours of one node.
  static let batchMax = 256

  /// Room for searches in `index`. Belongs to it: using it with another index is a programmer's error.
  public init(for index: HNSWIndex) {
    self.init(store: index.store)
  }

  init(store: VectorStore) {
    pool = CandidatePool(capacity: 256)
    visited = VisitedSet(slots: store.slotsUsed.load(ordering: .acquiring))
    pins = store.pins
    pin = store.pins.take()
    query = Self.alignedFloats(store.width)
    query.initialize(repeating: 0, count: store.width)
    batchSlots = .allocate(capacity: Self.batchMax)
    batchDistances = .allocate(capacity: Self.batchMax)
    hitCapacity = 128
    hitSlots = .allocate(capacity: hitCapacity)
    hitDistances = .allocate(capacity: hitCapacity)
  }

  deinit {
    pins.giveBack(pin)
    UnsafeMutableRawPointer(query).deallocate()
    batchSlots.deallocate()
    batchDistances.deallocate()
    hitSlots.deallocate()
    hitDistances.deallocate()
  }

  private static func alignedFloats(_ count: Int) -> UnsafeMutablePointer<Float> {
    UnsafeMutableRawPointer.allocate(byteCount: count * 4, alignment: 64).bindMemory(to: Float.self, capacity: count)
  }

  /// Makes room for `count` results. Allocates only when there are more than ever before.
  mutating func reserveHits(_ count: Int) {
    hitCount = 0
    guard count > hitCapacity else { return }
    hitSlots.deallocate()
    hitDistances.deallocate()
    hitCapacity = count
    hitSlots = .allocate(capacity: count)
    hitDistances = .allocate(capacity: count)
  }
}
