// The rows: vectors, their ids and their lifetimes, by slot. Knows nothing of the graph.
//
//     fine      [slot][width]  what answers are scored with, and what a snapshot holds
//     codes     [slot][width]  4-bit codes of the fine rows, where the storage has them: what a search walks on
//     lifetimes [slot][2]      u64 born, u64 died: the versions between which the row is there
//
// Where vectors are rotated, both planes are of rotated ones: what comes in is turned, what goes out is turned back, and whatever
// goes from row to row in between is not.
//
// May use: SlotMemory, BlockNotes, RowPlane, Rotation, RecordIDColumn, RecordTable, ReaderPins.

internal import CVectorKernels
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
  /// A horizon: whatever has died at all died at or before it.
  static let now = never - 1
  static let lifetimeBytes = 16

  let dimension: Int
  /// The width of a vector that any scorer can take as a query.
  let width: Int
  let metric: Metric
  /// The memory of all slots, the graph's included.
  let memory: SlotMemory
  let ids: RecordIDColumn
  let table: RecordTable
  let pins = ReaderPins()
  let kernelsName: String

  /// What rows are turned by; nil = they are not.
  let rotation: Rotation?
  let fine: RowPlane
  let codes: RowPlane?
  /// What a search walks on.
  let walking: Scorer
  /// What answers are scored with.
  let answering: Scorer
  /// What rows are scored with against each other.
  let pairing: Scorer
  /// Whether answers are scored anew after a walk.
  let rescores: Bool

  private let lifetimeMemory: ReservedMemory
  private let lifetimes: Lifetime
  /// Where passes over all rows look first; nil: there are none such. Set before the index is shared.
  var blocks: BlockNotes?
  /// `[width]`, the writer's: a vector with its padding, and what became of it.
  private let padded: UnsafeMutablePointer<Float>
  private let decoded: UnsafeMutablePointer<Float>

  /// Slots below this have been used. Raised before a slot can be reached.
  let slotsUsed = Atomic<Int>(0)
  /// Rows that a search finds.
  let liveCount = Atomic<Int>(0)
  private var freeSlots: [UInt32] = []
  private var outgrownTables: [(table: OutgrownTable, version: UInt64)] = []

  init(configuration: HNSWConfiguration, kernels: DistanceKernels) throws(IndexError) {
    let storage = configuration.storage
    dimension = configuration.dimension
    width = RowFormat.padded(dimension, to: RowFormat.widthMultipleMax)
    metric = configuration.metric
    let bytes = storage.fineFormat.rowBytes(width: storage.fineFormat.width(ofDimension: dimension))
    // Twice what the machine's memory could hold: address space is free, and no index gets further than this anyway.
    memory = SlotMemory(
      slotsMax: min(Self.slotsMaxLimit, max(1 << 16, 2 * MachineMemory.physicalBytes / bytes)),
      budget: MemoryBudget(configuration))
    rotation = configuration.rotationVersion == nil ? nil : Rotation(dimension: dimension)
    fine = try RowPlane(format: storage.fineFormat, dimension: dimension, metric: metric, memory: memory)
    if let format = storage.codeFormat {
      codes = try RowPlane(format: format, dimension: dimension, metric: metric, memory: memory)
    } else {
      codes = nil
    }
    lifetimeMemory = try memory.makeArray(slotBytes: Self.lifetimeBytes)
    lifetimes = lifetimeMemory.base.bindMemory(to: Atomic<UInt64>.self, capacity: memory.slotsMax * 2)
    ids = try RecordIDColumn(kind: configuration.recordIDKind, memory: memory)
    table = try RecordTable(ids: ids, budget: memory.budget)
    kernelsName = kernels.name
    answering = Scorer(fine, form: .floats, kernels: kernels)
    pairing = Scorer(fine, form: fine.format == .int8 ? .int8 : .floats, kernels: kernels)
    if let codes {
      walking = Scorer(codes, form: .int8ForInt4, kernels: kernels)
    } else {
      walking = Scorer(fine, form: fine.format == .int8 ? .int8 : .floats, kernels: kernels)
    }
    rescores = fine.format == .int8 || codes != nil
    padded = Self.zeros(width)
    decoded = Self.zeros(width)
  }

  deinit {
    for outgrown in outgrownTables { outgrown.table.free() }
    for scorer in [walking, answering, pairing] { scorer.deallocate() }
    padded.deallocate()
    decoded.deallocate()
  }

  /// `count` zeros that a kernel can read.
  static func zeros(_ count: Int) -> UnsafeMutablePointer<Float> {
    let floats = UnsafeMutableRawPointer.allocate(byteCount: count * 4, alignment: 64)
      .bindMemory(to: Float.self, capacity: count)
    floats.initialize(repeating: 0, count: count)
    return floats
  }

  var slotsMax: Int { memory.slotsMax }
  var rowBytes: Int { fine.bytes + (codes?.bytes ?? 0) + lifetimeMemory.committedBytes }
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
  ///
  /// - horizon: deletions of later versions do not count.
  @inline(__always)
  func isCurrent(_ slot: UInt32, at horizon: UInt64 = now) -> Bool {
    horizon < lifetimes[2 * Int(slot) + 1].load(ordering: .acquiring)
  }

  /// Asks for the cache line that ``isCurrent(_:)`` reads.
  func prefetchLifetime(_ slot: UInt32) { vz_prefetch(lifetimes + 2 * Int(slot) + 1) }

  func isLive(_ slot: UInt32, at horizon: UInt64 = now) -> Bool { isCurrent(slot, at: horizon) && !isStaged(slot) }

  /// Whether the slot holds a row that is written and was not yet born.
  func isStaged(_ slot: UInt32) -> Bool { lifetimes[2 * Int(slot)].load(ordering: .acquiring) == Self.never }

  /// Whether two rows are of one vector, as it is kept.
  func isCopy(_ slot: UInt32, of other: UInt32) -> Bool {
    fine[side: slot] == fine[side: other] && memcmp(fine.row(slot), fine.row(other), fine.rowBytes) == 0
  }

  /// The row is there from version `version` on, as soon as that is published. The caller counts it.
  func bear(_ slot: UInt32, at version: UInt64) {
    lifetimes[2 * Int(slot)].store(version, ordering: .releasing)
    noteBirth(slot, at: version)
  }

  private func noteBirth(_ slot: UInt32, at version: UInt64) {
    guard let blocks, blocks.gain(slot) else { return }
    let block = Int(slot) / BlockNotes.slots
    let first = UInt32(block * BlockNotes.slots)
    guard (first..<(first + UInt32(BlockNotes.slots))).allSatisfy({ isVisible($0, at: version) }) else { return }
    blocks.setWhole(block, since: version)
  }

  /// The row is gone from version `version` on, as soon as that is published. The caller counts it.
  func retire(_ slot: UInt32, at version: UInt64) {
    blocks?.lose(slot, wasBorn: !isStaged(slot))
    lifetimes[2 * Int(slot) + 1].store(version, ordering: .releasing)
  }

  /// Makes staged rows ones that will never be born. Their slots are given back when no reader can be on them.
  func giveUp(_ slots: [UInt32]) {
    for slot in slots { lifetimes[2 * Int(slot) + 1].store(0, ordering: .releasing) }
  }
}

// MARK: - Vectors as they come

extension VectorStore {
  /// Copies a vector that came from outside, turned as rows are.
  ///
  /// - vector: `[dimension]`, checked.
  /// - target: `[width]`, zero from the dimension on.
  /// - Returns: what the copy is to be multiplied with: see ``Rotation/rotate(_:width:)``.
  private func take(_ vector: UnsafeBufferPointer<Float>, into target: UnsafeMutablePointer<Float>) -> Float {
    if let source = vector.baseAddress { target.update(from: source, count: dimension) }
    return rotation?.rotate(target, width: width) ?? 1
  }

  /// Copies a query that came from outside, turned as rows are. A row that is a query is turned already.
  ///
  /// - vector, target: as above.
  /// - inverseLength: of the vector, under cosine.
  /// - Returns: the inverse of the copy's length under cosine, else `inverseLength`.
  func takeQuery(
    _ vector: UnsafeBufferPointer<Float>, inverseLength: Float, into target: UnsafeMutablePointer<Float>
  ) -> Float {
    let power = take(vector, into: target)
    if power == 1 { return inverseLength }
    if metric == .cosine { return inverseLength * power }
    Rotation.scale(target, width, by: power)
    return inverseLength
  }
}

// MARK: - Slots (the writer's)

extension VectorStore {
  /// Takes a slot, writes a staged row into it, and makes room for its id in the table.
  ///
  /// - vector: `[dimension]`, checked.
  /// - previous: the slot of an older version of the same row, whose place in the table the new one will take.
  /// - Throws: `outOfMemory`; the rows are as they were then.
  func stage(
    _ id: RecordID, _ vector: UnsafeBufferPointer<Float>, inverseLength: Float, previous: UInt32?
  ) throws(IndexError) -> UInt32 {
    let slot = try takeSlot(for: id, previous: previous)
    let power = take(vector, into: padded)
    fine.write(padded, inverseLength: inverseLength, times: power, to: slot)
    finishStaging(slot)
    return slot
  }

  /// Whether a row of another store would be the same bytes here.
  func keepsRows(as other: VectorStore) -> Bool {
    fine.format == other.fine.format && dimension == other.dimension && metric == other.metric
      && (rotation == nil) == (other.rotation == nil)
  }

  /// The same of a row of another store, which is not changed meanwhile: its bytes as they are.
  /// - Precondition: ``keepsRows(as:)``.
  func stage(_ id: RecordID, copying source: UInt32, of other: VectorStore) throws(IndexError) -> UInt32 {
    let slot = try takeSlot(for: id, previous: nil)
    fine.copy(other.fine, from: source, to: slot)
    finishStaging(slot)
    return slot
  }

  /// A slot with an id and nothing else.
  private func takeSlot(for id: RecordID, previous: UInt32?) throws(IndexError) -> UInt32 {
    try reserve(1, newIDs: previous == nil ? 1 : 0)
    let isFresh = freeSlots.isEmpty
    let slot = freeSlots.last ?? UInt32(slotsUsed.load(ordering: .relaxed))
    try ids.set(slot, to: id)
    // Nothing after this fails, so the slot is taken only now.
    if isFresh { slotsUsed.store(Int(slot) + 1, ordering: .releasing) } else { freeSlots.removeLast() }
    return slot
  }

  /// Writes what follows from a slot's fine row, and makes it a row that was not born.
  private func finishStaging(_ slot: UInt32) {
    writeCodes(slot)
    lifetimes[2 * Int(slot)].store(Self.never, ordering: .releasing)
    lifetimes[2 * Int(slot) + 1].store(Self.never, ordering: .releasing)
  }

  /// Makes room for `count` more rows, the graph's nodes included, of which `newIDs` have ids that are not there yet.
  func reserve(_ count: Int, newIDs: Int) throws(IndexError) {
    try memory.commit(slots: slotsUsed.load(ordering: .relaxed) + max(0, count - freeSlots.count))
    guard let outgrown = try table.reserve(newIDs) else { return }
    // A reader that holds the old table has pinned a version before this one.
    let version = pins.current + 1
    pins.publish(version)
    outgrownTables.append((outgrown, version))
  }

  /// Makes the ids of some slots all that there are, from version `version` on, which is published next.
  /// - Precondition: room for those that are new is reserved.
  func replaceIDs(by slots: [UInt32], at version: UInt64) {
    // A reader that holds the old table has pinned a version before this one.
    outgrownTables.append((table.replace(by: slots), version))
  }

  /// Codes are made of the fine row, not of the vector that was given: so a snapshot need not hold them.
  private func writeCodes(_ slot: UInt32) {
    guard codes != nil else { return }
    fine.decode(slot, into: decoded)
    writeCodes(slot, of: decoded)
  }

  /// - vector: `[width]`, what the fine row stands for, turned as that is.
  func writeCodes(_ slot: UInt32, of vector: UnsafePointer<Float>) {
    guard let codes else { return }
    codes.write(vector, inverseLength: metric == .cosine ? inverseLength(slot) : 1, to: slot)
  }

  /// 1 / length of what a row stands for, under cosine.
  func inverseLength(_ slot: UInt32) -> Float {
    let side = fine[side: slot]
    return fine.format == .f32 ? side.scale : min(side.scale / side.bias, .greatestFiniteMagnitude)
  }

  /// Gives slots back that no edge leads to and no reader can see. What stood in them is wiped: a deleted row must not turn up
  /// in a snapshot.
  func free(_ slots: [UInt32]) {
    for slot in slots {
      // Born never, died at 0: no mix of this with the life before or after it is visible. A staged row that is given up
      // has no death yet, so a birth of 0 would show it to every scan.
      lifetimes[2 * Int(slot) + 1].store(0, ordering: .releasing)
      lifetimes[2 * Int(slot)].store(Self.never, ordering: .releasing)
      fine.wipe(slot)
      codes?.wipe(slot)
      ids.wipe(slot)
    }
    freeSlots.append(contentsOf: slots)
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
  /// Makes `count` free slots, to be filled by ``restore(_:id:)``.
  func restoreSlots(_ count: Int) throws(IndexError) {
    try reserve(count, newIDs: count)
    slotsUsed.store(count, ordering: .releasing)
  }

  /// Makes a slot live whose row bytes are already in place.
  /// - Returns: false when its id is taken.
  func restore(_ slot: UInt32, id: RecordID) throws(IndexError) -> Bool {
    guard table.slot(of: id) == nil else { return false }
    try ids.set(slot, to: id)
    lifetimes[2 * Int(slot)].store(1, ordering: .releasing)
    lifetimes[2 * Int(slot) + 1].store(Self.never, ordering: .releasing)
    noteBirth(slot, at: 1)
    liveCount.add(1, ordering: .relaxed)
    table.set(id, to: slot)
    return true
  }

  /// Checks a row whose bytes and side are in place, and makes what is derived from them: its codes, and the side where that is
  /// not saved. Safe to run on several threads for different slots.
  ///
  /// - vector: `[width]` of ``zeros(_:)``, to work with.
  /// - Returns: false when it is no row.
  func restoreRow(_ slot: UInt32, _ vector: UnsafeMutablePointer<Float>) -> Bool {
    guard fine.isSound(slot) else { return false }
    fine.decode(slot, into: vector)
    switch VectorCheck(UnsafeBufferPointer(start: vector, count: dimension)) {
    case .notFinite: return false
    case .zero where metric == .cosine: return false
    case .zero: if fine.format == .f32 { fine[side: slot] = RowSide(scale: 1, bias: 0) }
    case .ordinary(let inverseLength):
      let scale = metric == .cosine ? inverseLength : 1
      if fine.format == .f32 { fine[side: slot] = RowSide(scale: scale, bias: 0) }
    }
    writeCodes(slot, of: vector)
    return true
  }

  func restoreFree(_ slots: [UInt32]) { freeSlots = slots.reversed() }

  /// The vector that a row stands for.
  func vector(_ slot: UInt32) -> [Float] {
    let floats = Self.zeros(width)
    defer { floats.deallocate() }
    fine.decode(slot, into: floats)
    rotation?.unrotate(floats, width: width)
    return Array(UnsafeBufferPointer(start: floats, count: dimension))
  }
}
