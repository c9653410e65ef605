// The rows: vectors, their scales, their ids and their lifetimes, by slot. Knows nothing of the graph.
//
//     rows      [slot][width]  f32, padded with zeros to a multiple of 16
//     scales    [slot]         f32, 1 / length under cosine, else 1
//     lifetimes [slot][2]      u64 born, u64 died: the versions between which the row is there
//
// May use: ReservedMemory, RecordIDColumn, RecordTable, ReaderPins.

import Glibc
import Synchronization

/// The rows of an index.
///
/// A slot goes through: free → staged (written, born = never) → live (born = v) → retired (died = v) → free again, once no
/// edge leads to it and no reader can see it. Only the one writer changes anything; readers hold a pin.
final class VectorStore: @unchecked Sendable {
  // Proof of Sendable: pointers are constant; cells that readers can reach are atomic or written before they are
  // reachable; the rest is the writer's.

  typealias Lifetime = UnsafeMutablePointer<Atomic<UInt64>>
  /// Slots have 31 bits: the candidate pool packs one beside a flag.
  static let slotsMaxLimit = Int(Int32.max) - 1
  static let never = UInt64.max

  let dimension: Int
  let width: Int
  let metric: Metric
  let slotsMax: Int
  let ids: RecordIDColumn
  let table: RecordTable
  let pins = ReaderPins()
  let scorer: Scorer
  let kernelsName: String

  private let rowMemory: ReservedMemory
  private let scaleMemory: ReservedMemory
  private let lifetimeMemory: ReservedMemory
  private let rows: UnsafeMutablePointer<Float>
  private let scales: UnsafeMutablePointer<Float>
  private let lifetimes: Lifetime

  /// Slots below this have been used. Raised before a slot can be reached.
  let slotsUsed = Atomic<Int>(0)
  /// Rows that a search finds.
  let liveCount = Atomic<Int>(0)
  private var freeSlots: [UInt32] = []
  private var outgrownTables: [(table: OutgrownTable, version: UInt64)] = []

  init(configuration: HNSWConfiguration, kernels: DistanceKernels) throws(IndexError) {
    dimension = configuration.dimension
    width = DistanceKernels.width(ofDimension: dimension)
    metric = configuration.metric
    // Twice what the machine's memory could hold: address space is free, and no index gets further than this anyway.
    let memory = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
    slotsMax = min(Self.slotsMaxLimit, max(1 << 16, 2 * memory / (width * 4)))
    rowMemory = try ReservedMemory(reserving: slotsMax * width * 4)
    scaleMemory = try ReservedMemory(reserving: slotsMax * 4)
    lifetimeMemory = try ReservedMemory(reserving: slotsMax * 16)
    rows = rowMemory.base.bindMemory(to: Float.self, capacity: slotsMax * width)
    scales = scaleMemory.base.bindMemory(to: Float.self, capacity: slotsMax)
    lifetimes = lifetimeMemory.base.bindMemory(to: Atomic<UInt64>.self, capacity: slotsMax * 2)
    ids = try RecordIDColumn(kind: configuration.recordIDKind, slotsMax: slotsMax)
    table = RecordTable(ids: ids)
    kernelsName = kernels.name
    scorer = Scorer(rows: rows, scales: scales, width: width, metric: metric, kernels: kernels)
  }

  deinit {
    for outgrown in outgrownTables { outgrown.table.free() }
  }

  var rowBytes: Int { rowMemory.committedBytes + scaleMemory.committedBytes + lifetimeMemory.committedBytes }
  var idBytes: Int { ids.committedBytes + table.bytes }
  var freeSlotCount: Int { freeSlots.count }
}

// MARK: - Lifetimes

extension VectorStore {
  /// Whether the row is there at version `now`.
  @inline(__always)
  func isVisible(_ slot: UInt32, at now: UInt64) -> Bool {
    let lifetime = lifetimes + 2 * Int(slot)
    // The death first. A life that ends after `now` cannot give its slot back while this reader is pinned, so the birth is
    // that of the same life, or of none: `stage` and `free` never leave an old birth beside a new death. The other way
    // round, the birth of a life that is over and the death of the next would make a row that nobody may see.
    // Pair with the releasing stores of `stage`, `bear`, `retire` and `free`.
    return now < lifetime[1].load(ordering: .acquiring) && lifetime[0].load(ordering: .acquiring) <= now
  }

  /// Whether the slot holds a row that nobody has deleted: live, or staged and on its way.
  @inline(__always)
  func isCurrent(_ slot: UInt32) -> Bool { lifetimes[2 * Int(slot) + 1].load(ordering: .acquiring) == Self.never }

  func isLive(_ slot: UInt32) -> Bool { isCurrent(slot) && !isStaged(slot) }

  /// Whether the slot holds a row that is written and was not yet born.
  func isStaged(_ slot: UInt32) -> Bool { lifetimes[2 * Int(slot)].load(ordering: .acquiring) == Self.never }

  /// The row is there from version `version` on, as soon as that is published.
  func bear(_ slot: UInt32, at version: UInt64) {
    lifetimes[2 * Int(slot)].store(version, ordering: .releasing)
    liveCount.add(1, ordering: .relaxed)
  }

  /// The row is gone from version `version` on, as soon as that is published.
  func retire(_ slot: UInt32, at version: UInt64) {
    lifetimes[2 * Int(slot) + 1].store(version, ordering: .releasing)
    liveCount.subtract(1, ordering: .relaxed)
  }
}

// MARK: - Slots (the writer's)

extension VectorStore {
  /// Takes a slot and writes a staged row into it.
  ///
  /// - vector: `[dimension]`, checked.
  /// - previous: the slot of an older version of the same row, whose id is taken over.
  func stage(
    _ id: RecordID, _ vector: UnsafeBufferPointer<Float>, scale: Float, previous: UInt32?
  ) throws(IndexError) -> UInt32 {
    let slot: UInt32
    let isFresh = freeSlots.isEmpty
    if let reused = freeSlots.last {
      slot = reused
    } else {
      let next = slotsUsed.load(ordering: .relaxed)
      guard next < slotsMax else {
        throw IndexError(.outOfMemory, "the index is full at \(next) rows; use a machine with more memory")
      }
      try commit(slots: next + 1)
      slot = UInt32(next)
    }
    if let previous { ids.copy(from: previous, to: slot) } else { try ids.set(slot, to: id) }
    // Nothing below fails, so the slot is taken only now.
    if isFresh { slotsUsed.store(Int(slot) + 1, ordering: .releasing) } else { freeSlots.removeLast() }
    write(vector, scale: scale, to: slot)
    lifetimes[2 * Int(slot)].store(Self.never, ordering: .releasing)
    lifetimes[2 * Int(slot) + 1].store(Self.never, ordering: .releasing)
    return slot
  }

  /// Makes memory for `slots` rows usable.
  func commit(slots: Int) throws(IndexError) {
    try rowMemory.commit(slots * width * 4)
    try scaleMemory.commit(slots * 4)
    try lifetimeMemory.commit(slots * 16)
    try ids.commit(slots: slots)
  }

  /// Writes a whole row, padding included: a reused slot has an older row's floats in it.
  private func write(_ vector: UnsafeBufferPointer<Float>, scale: Float, to slot: UInt32) {
    let row = rows + Int(slot) * width
    if let source = vector.baseAddress { row.update(from: source, count: dimension) }
    (row + dimension).update(repeating: 0, count: width - dimension)
    scales[Int(slot)] = scale
  }

  /// Gives slots back that no edge leads to and no reader can see. What stood in them is wiped: a deleted row must not turn up
  /// in a snapshot.
  func free(_ slots: [UInt32]) {
    for slot in slots {
      // Born never, died at 0: no mix of this with the life before or after it is visible. A staged row that is given up
      // has no death yet, so a birth of 0 would show it to every scan.
      lifetimes[2 * Int(slot) + 1].store(0, ordering: .releasing)
      lifetimes[2 * Int(slot)].store(Self.never, ordering: .releasing)
      (rows + Int(slot) * width).update(repeating: 0, count: width)
      ids.wipe(slot)
    }
    freeSlots.append(contentsOf: slots)
  }

  /// Points `id` at `slot` for readers, and keeps what that outgrew until nobody can hold it.
  func setCurrent(_ id: RecordID, to slot: UInt32) {
    if let outgrown = table.set(id, to: slot) { outgrownTables.append((outgrown, pins.current + 1)) }
  }

  /// Frees outgrown tables whose last reader is gone.
  func freeOutgrownTables() {
    guard !outgrownTables.isEmpty else { return }
    let oldest = pins.oldest()
    outgrownTables.removeAll { outgrown in
      guard oldest >= outgrown.version else { return false }
      outgrown.table.free()
      return true
    }
  }
}

// MARK: - Restoring (the writer's)

extension VectorStore {
  /// Makes `count` free slots, to be filled by ``restore(_:id:scale:)``.
  func restoreSlots(_ count: Int) throws(IndexError) {
    guard count <= slotsMax else {
      throw IndexError(.outOfMemory, "\(count) rows do not fit: this machine has memory for at most \(slotsMax)")
    }
    try commit(slots: count)
    slotsUsed.store(count, ordering: .releasing)
  }

  /// Makes a slot live whose row bytes are already in place.
  /// - Returns: false when its id is taken.
  func restore(_ slot: UInt32, id: RecordID, scale: Float) throws(IndexError) -> Bool {
    guard table.slot(of: id) == nil else { return false }
    try ids.set(slot, to: id)
    scales[Int(slot)] = scale
    lifetimes[2 * Int(slot)].store(1, ordering: .releasing)
    lifetimes[2 * Int(slot) + 1].store(Self.never, ordering: .releasing)
    liveCount.add(1, ordering: .relaxed)
    setCurrent(id, to: slot)
    return true
  }

  func restoreFree(_ slots: [UInt32]) { freeSlots = slots.reversed() }

  /// The memory of a row, for reading and for restoring: `[width]`.
  func rowPointer(_ slot: UInt32) -> UnsafeMutablePointer<Float> { rows + Int(slot) * width }

  /// The row without its padding.
  func vector(_ slot: UInt32) -> UnsafeBufferPointer<Float> {
    UnsafeBufferPointer(start: scorer.row(slot), count: dimension)
  }

  func scale(_ slot: UInt32) -> Float { scales[Int(slot)] }
}
