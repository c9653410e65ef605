// What one search thread owns: everything a search writes, allocated once, so that a warmed search allocates nothing.
//
// May use: NearestList, Frontier, VisitedSet, RefusedNodes, FilterScratch, RetrievalScratch, ReaderPins, Scorer.

internal import CVectorKernels

/// The working memory of one thread's searches in one index. Not copyable: two searches never share one.
public struct SearchScratch: ~Copyable {
  var nearest: NearestList
  /// The nearest of the rows that are not linked yet.
  var fresh: NearestList
  var frontier: Frontier
  var visited: VisitedSet
  /// The nodes that the last walk was not to find.
  var refused = RefusedNodes()
  /// What filters need; nil until there was one.
  private var filter: FilterScratch?
  /// What retrievals need; nil until there was one.
  var retrieval: RetrievalScratch?
  let pins: ReaderPins
  let pin: ReaderPins.Pin
  /// `[width]`, 64-byte aligned, zero from the dimension on: the vector that is searched for, turned as rows are.
  let vector: UnsafeMutablePointer<Float>
  /// `[width]`, 64-byte aligned: its 8-bit codes.
  private let codes: UnsafeMutablePointer<Int8>
  /// The vector as the walk's kernel takes it, and as the answer's does.
  let walkQuery: UnsafeMutablePointer<vz_query>
  let answerQuery: UnsafeMutablePointer<vz_query>
  /// What is scored at once, or kept of it, and its distances: room for a block of a range scan.
  let batchSlots: UnsafeMutablePointer<UInt32>
  let batchDistances: UnsafeMutablePointer<Float>
  /// `[VZ_KEPT_MAX]`: the candidates that a hop leaves.
  let hopCandidates: UnsafeMutablePointer<UInt64>
  /// What a hop takes candidates into: the list and the frontier.
  let queues: UnsafeMutablePointer<vz_queues>
  /// `[1]`: where a walk begins.
  let entrySlot: UnsafeMutablePointer<UInt32>
  /// The results of the last search.
  var hitSlots: UnsafeMutablePointer<UInt32>
  var hitDistances: UnsafeMutablePointer<Float>
  private var hitCapacity: Int
  var hitCount = 0
  var distancesComputed = 0
  /// Rows of a filtered search that were scored by their codes and then as answers are.
  var rowsRescored = 0
  var nodesExpanded = 0
  /// Whether the last walk met more hidden nodes than it makes sense to walk through.
  var isAbandoned = false

  /// Rows scored at once by a range scan, and the most neighbours of one node.
  static let batchMax = 256
  private static let nearestCapacity = 1_024
  private static let frontierCapacity = 8_192

  /// Room for searches in `index`. Belongs to it: using it with another index is a programmer's error.
  public init(for index: HNSWIndex) {
    self.init(store: index.store)
  }

  init(store: VectorStore, of reader: ReaderPins.Reader = .search) {
    nearest = NearestList(capacity: Self.nearestCapacity)
    fresh = NearestList(capacity: Self.nearestCapacity)
    frontier = Frontier(capacity: Self.frontierCapacity)
    visited = VisitedSet(slots: store.slotsUsed.load(ordering: .acquiring))
    pins = store.pins
    pin = store.pins.take(for: reader)
    vector = VectorStore.zeros(store.width)
    codes = UnsafeMutableRawPointer.allocate(byteCount: store.width, alignment: 64)
      .bindMemory(to: Int8.self, capacity: store.width)
    walkQuery = .allocate(capacity: 1)
    answerQuery = .allocate(capacity: 1)
    batchSlots = .allocate(capacity: Self.batchMax)
    batchDistances = .allocate(capacity: Self.batchMax)
    hopCandidates = .allocate(capacity: VZ_KEPT_MAX)
    queues = .allocate(capacity: 1)
    queues.initialize(
      to: vz_queues(nearest: nearest.state, frontier: frontier.state, links: nil, link_bytes: 0, has_asked: false))
    entrySlot = .allocate(capacity: 1)
    hitCapacity = 128
    hitSlots = .allocate(capacity: hitCapacity)
    hitDistances = .allocate(capacity: hitCapacity)
  }

  deinit {
    pins.giveBack(pin)
    vector.deallocate()
    codes.deallocate()
    walkQuery.deallocate()
    answerQuery.deallocate()
    batchSlots.deallocate()
    batchDistances.deallocate()
    hopCandidates.deallocate()
    queues.deallocate()
    entrySlot.deallocate()
    hitSlots.deallocate()
    hitDistances.deallocate()
  }

  /// Makes the queries of a vector as it came: `[dimension]`, checked.
  func take(_ query: UnsafeBufferPointer<Float>, inverseLength: Float, _ store: VectorStore) {
    prepareQueries(inverseLength: store.takeQuery(query, inverseLength: inverseLength, into: vector), store)
  }

  /// Makes the queries of ``vector``, where a row was decoded into it.
  func prepareQueries(inverseLength: Float, _ store: VectorStore) {
    store.walking.prepare(vector, inverseLength: inverseLength, codes: codes, into: walkQuery)
    store.answering.prepare(vector, inverseLength: inverseLength, codes: codes, into: answerQuery)
  }

  /// The rows that can be seen at `version` and of which a filter is TRUE; valid until the next search.
  mutating func matches(_ program: FilterProgram, in index: HNSWIndex, version: UInt64) -> MatchSet {
    if filter == nil { filter = FilterScratch() }
    // It is there since the line above.
    return index.matching(program, version: version, into: &filter!)
  }

  /// The same rows as a bit a slot.
  mutating func mask(of matches: MatchSet) -> SlotMask {
    // It is there: the matches are its.
    filter!.mask(of: matches)
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
