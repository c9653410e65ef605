// The public face of the index. Read this first.
//
// A Hierarchical Navigable Small World graph (Yu. A. Malkov & D. A. Yashunin, "Efficient and robust approximate nearest
// neighbor search using Hierarchical Navigable Small World graphs", arXiv:1603.09320) over rows that Postgres owns.
//
//     Rows/        a row's representations: floats, halves, codes, the rotation before them, and the plane of each
//     Storage/     the rows: vectors, ids, lifetimes, and the memory they live in
//     Distance/    what "near" means, and the kernels that compute it
//     Graph/       who is linked to whom, and how one writer changes what readers walk
//     Search/      the hot loop (Algorithms 2 and 5) and what it writes
//     Copy/        the rows of an index that goes on changing, for another index
//     Build/       insertion (Algorithm 1), neighbour selection (Algorithm 4), bulk build, changes, removal and repair
//     Attributes/  what rows say beside their vectors, by column
//     Payload/     what rows bring back with a hit, compressed
//     Filters/     conditions on that: their text, what they mean, and which rows meet them
//     Retrieval/   what becomes of what a search finds: bounds, pages, groups, variety; and searches from examples
//     Exact/       brute force: the oracle and the safety net
//     Parts/       the parts that an index is saved as, and an index made of them again
//
// Readers never lock. One writer at a time changes the rows; every change publishes a version, and a search sees exactly the rows
// of the version it started with (Storage/ReaderPins.swift). A new row is searchable at once: it lies in a tail that searches look
// through (Storage/Tail.swift) until one linker at a time has tied it into the graph. The two do not wait for each other.
//
// May use: everything in this module; no NIO, no Foundation.

import Synchronization

/// A vector index in memory: insert, upsert, remove, apply, search.
///
/// Any number of threads may search, each with its own ``SearchScratch``, while one thread changes the index; changes from
/// several threads wait for each other.
public final class HNSWIndex: @unchecked Sendable {
  // Proof of Sendable: the store, the tail and the graph state theirs; the rest is touched under its mutex only.

  public let configuration: HNSWConfiguration
  let store: VectorStore
  let tail: Tail
  let graph: Graph
  /// nil when the rows have none.
  let attributes: AttributeStore?
  /// nil when the rows have none.
  let payload: PayloadStore?
  /// nil when the rows have none.
  let stamps: StampStore?
  let traversal: Traversal
  /// Nodes that some reader may meet and not see: staged ones that are linked already, and retired ones.
  let hiddenNodes = Atomic<Int>(0)
  /// What searches for a recall go by.
  let curveCell = RecallCurveCell()

  // Order of locks: links, changes, rows, then the entry point's and nodes'.
  /// Taken in turn, so that whoever saves the index gets it beside a linker that always has work; and held beyond a call by him.
  private let linkLock = TurnLock()
  private var linking = Linking()
  /// Held by a change, and for a moment by whoever wants none meanwhile.
  private let changeMutex = Mutex(())
  private let rowMutex = Mutex(())
  private var rowChanges = RowChanges()
  /// Held while the entry point moves up a layer, which happens once in M^layer insertions.
  let entryMutex = Mutex(())
  /// Who links the tail's rows; where there is none, whoever changes a row does.
  let maintainer = Maintainer()

  /// What belongs to the one who changes rows. Never held for longer than the rows of one change take to be written.
  struct RowChanges {
    /// Rows that are written but not born.
    var staged: [UInt32] = []
    /// Nodes whose row was deleted, still walked through.
    var retired: [UInt32] = []
    /// Rows that were linked since it was last proved that all can be reached.
    var linked = 0
    /// Rows that were removed, and not replaced, since the graph was last mended.
    var removed = 0
    /// So many of the retired nodes were left by the last mending: a search still saw their rows.
    var stayed = 0
    /// Any search that pinned this version or a later one sees none of those.
    var stayedFor: UInt64 = 0
    /// Slots that no edge leads to since a version; versions ascend.
    var unlinked: [(slots: [UInt32], version: UInt64)] = []

    /// Whether there is anything to mend.
    var hasChanged: Bool { linked > 0 || removed > 0 || !retired.isEmpty }

    /// Takes what the next mending goes by. What changes from now on is the business of the one after it.
    /// - Returns: the nodes that have to leave the graph.
    mutating func takeChanges() -> [UInt32] {
      defer {
        (linked, removed, stayed) = (0, 0, 0)
        retired = []
      }
      return retired
    }
  }

  /// What belongs to the one who changes the graph.
  struct Linking {
    /// Nodes inserted so far; decides the next one's layer. Wraps around: a snapshot may say any number.
    var insertions: UInt64 = 0
    /// Rows that died at or before this version are no places for edges to lead to. An earlier one than now is that of a moment that is being
    /// saved, or of a mending beside searches that may see what died since.
    var horizon = VectorStore.now
    /// When rows that cannot be reached were last looked for, and how long that took.
    var lastProof = (end: ContinuousClock.now, duration: Duration.zero)
    private var scratches: [BuildScratch] = []

    /// Working memory for `count` threads.
    mutating func scratches(_ count: Int, _ store: VectorStore) -> [BuildScratch] {
      while scratches.count < count { scratches.append(BuildScratch(store: store)) }
      for scratch in scratches[..<count] { scratch.horizon = horizon }
      return Array(scratches[..<count])
    }

    mutating func scratch(_ store: VectorStore) -> BuildScratch { scratches(1, store)[0] }
  }

  /// An empty index.
  /// - Throws: `invalidConfiguration`, `outOfMemory`.
  public convenience init(configuration: HNSWConfiguration) throws(IndexError) {
    try self.init(configuration: configuration, payloadCodec: nil)
  }

  /// - payloadCodec: compresses payload; nil = it stays as it is.
  package init(configuration: HNSWConfiguration, payloadCodec: (any PayloadCodec)?) throws(IndexError) {
    try configuration.validate()
    let kernels = try DistanceKernels.selected()
    self.configuration = configuration
    store = try VectorStore(configuration: configuration, kernels: kernels)
    tail = try Tail(memory: store.memory)
    graph = try Graph(configuration: configuration, memory: store.memory)
    attributes =
      configuration.attributes.isEmpty
      ? nil : try AttributeStore(schema: configuration.attributes, slots: store.memory, pins: store.pins)
    store.blocks = attributes?.blocks
    payload =
      configuration.payload.isEmpty
      ? nil : try PayloadStore(columns: configuration.payload.count, codec: payloadCodec, slots: store.memory)
    stamps = configuration.keepsStamps ? try StampStore(slots: store.memory) : nil
    traversal = Traversal(graph: graph, store: store, scorer: store.walking)
  }

  /// Runs `body` as the one who changes rows.
  func withRows<R: Sendable, E: Error>(_ body: (inout RowChanges) throws(E) -> R) throws(E) -> R {
    try rowMutex.withLock { _ throws(E) in try body(&rowChanges) }
  }

  /// Runs `body` as a change, after those before it.
  func withChanges<R: Sendable, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
    try changeMutex.withLock { _ throws(E) in try body() }
  }

  /// Runs `body` as the one who changes the graph. Not from inside ``withRows(_:)`` or ``withChanges(_:)``.
  func withLinks<R: Sendable, E: Error>(_ body: (inout Linking) throws(E) -> R) throws(E) -> R {
    linkLock.take()
    defer { linkLock.giveBack() }
    return try body(&linking)
  }

  /// Keeps everybody else from changing the graph until the hold is given back. Not from inside the others.
  func holdLinks() -> LockHold { LockHold(linkLock) }

  /// The same as ``withLinks(_:)``, for the one who holds them.
  func withLinks<R: Sendable>(heldBy hold: LockHold, _ body: (inout Linking) -> R) -> R {
    precondition(hold.isHeld, "the links were given back")
    return body(&linking)
  }

  /// Rows that a search can find.
  public var count: Int { store.liveCount.load(ordering: .relaxed) }

  public func contains(_ id: RecordID) -> Bool { withCurrentSlot(of: id) { _ in true } ?? false }

  /// The vector of a row, as the storage keeps it: bit for bit under `f32`, else rounded. nil when there is no such row.
  public func vector(of id: RecordID) -> [Float]? { withCurrentSlot(of: id) { store.vector($0) } }

  func withCurrentSlot<R>(of id: RecordID, _ body: (UInt32) -> R) -> R? {
    let pin = store.pins.take(for: .slots)
    defer { store.pins.giveBack(pin) }
    _ = store.pins.enter(pin)
    // The table knows staged rows too, to find duplicates.
    guard let slot = store.table.slot(of: id), !store.isStaged(slot) else { return nil }
    return body(slot)
  }
}

// MARK: - What comes in

extension HNSWIndex {
  /// Checks a vector by pgvector's rules.
  /// - Returns: the inverse of its length under cosine, else 1.
  @discardableResult
  func checked(_ vector: UnsafeBufferPointer<Float>) throws(IndexError) -> Float {
    guard vector.count == configuration.dimension else {
      throw IndexError(
        .dimensionMismatch, "the vector has \(vector.count) dimensions; this index holds \(configuration.dimension)")
    }
    switch VectorCheck(vector) {
    case .ordinary(let inverseLength):
      return configuration.metric == .cosine ? inverseLength : 1
    case .notFinite:
      throw IndexError(.notFinite, "the vector holds NaN or an infinity; every component must be finite")
    case .zero:
      guard configuration.metric == .cosine else { return 1 }
      throw IndexError(
        .zeroVector, "the vector is zero, and the cosine distance to a zero vector is undefined; leave the row out")
    }
  }

  func check(_ id: RecordID) throws(IndexError) {
    guard id.kind == configuration.recordIDKind else {
      throw IndexError(
        .recordIDMismatch,
        "the id \(id) is of kind \(id.kind); this index has ids of kind \(configuration.recordIDKind)")
    }
    guard id.isEncodable else {
      throw IndexError(
        .recordIDMismatch, "the id is longer than \(RecordID.encodedBytesMax) bytes, or a composite that nests")
    }
  }
}
