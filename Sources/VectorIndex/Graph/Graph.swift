// The graph: who is linked to whom on which layer, and the rule by which one thread changes what others read.
//
//     ground  [slot][groundStride]           u32 slots, in no order, ended by `none`
//     upper   [row][upperStride]             the same for the layers above; a node of layer l has l rows in a run
//     nodes   [slot]  u32 first upper row | u8 layer + 1 (0 = not a node) | u8 lock | u16 unused
//
// Publication rule: a node's vector, lifetime and own links are written before the first edge to it is stored (release);
// readers load edges with acquire. A row that is rewritten while it is read shows a mix of old and new edges, which is
// still a set of edges. Writers of one row hold its lock.
//
// May use: SlotMemory, ReservedMemory, Synchronization; of CVectorKernels the most links that a hop takes.

internal import CVectorKernels
import Synchronization

/// The links of all layers.
final class Graph: @unchecked Sendable {
  // Proof of Sendable: see the publication rule; the free lists are behind a mutex.

  typealias Links = UnsafeMutablePointer<Atomic<UInt32>>

  static let none = UInt32.max
  /// `⌊−ln(2⁻⁵³) / ln 2⌋` = 53 would be possible at M = 2; 16 layers hold 2¹⁶ times the rows of the layer below them.
  static let layerMax = 15

  let degreeMax: Int
  let groundDegreeMax: Int
  let groundStride: Int
  let upperStride: Int
  /// The node where searches start, and its layer: `layer << 32 | slot`; `UInt64.max` when there is none.
  let entry = Atomic<UInt64>(.max)

  private let groundMemory: ReservedMemory
  private let upperMemory: ReservedMemory
  private let nodeMemory: ReservedMemory
  private let ground: Links
  private let upper: Links
  private let nodes: UnsafeMutableRawPointer

  private struct UpperRows {
    var used = 0
    /// Runs of rows given back, by length.
    var free: [Int: [UInt32]] = [:]
  }
  private let upperRows = Mutex(UpperRows())
  private let upperRowsMax: Int

  static let nodeBytes = 8

  /// Links a row: whole cache lines.
  static func stride(ofDegree degree: Int) -> Int { (degree + 15) / 16 * 16 }

  init(configuration: HNSWConfiguration, memory: SlotMemory) throws(IndexError) {
    precondition(configuration.groundDegreeMax <= VZ_DEGREE_MAX, "a hop has room for so many links")
    degreeMax = configuration.connectivity
    groundDegreeMax = configuration.groundDegreeMax
    groundStride = Self.stride(ofDegree: groundDegreeMax)
    upperStride = Self.stride(ofDegree: degreeMax)
    upperRowsMax = memory.slotsMax
    groundMemory = try memory.makeArray(slotBytes: groundStride * 4)
    // Committed with the slots, so that a full index has its upper layers too; chance decides whether a little more is needed.
    upperMemory = try memory.makeArray(
      slotBytes: configuration.upperSlotBytes, reserving: upperRowsMax * upperStride * 4)
    nodeMemory = try memory.makeArray(slotBytes: Self.nodeBytes)
    ground = groundMemory.base.bindMemory(to: Atomic<UInt32>.self, capacity: memory.slotsMax * groundStride)
    upper = upperMemory.base.bindMemory(to: Atomic<UInt32>.self, capacity: upperRowsMax * upperStride)
    nodes = nodeMemory.base
  }

  var bytes: Int { groundMemory.committedBytes + upperMemory.committedBytes + nodeMemory.committedBytes }
}

// MARK: - Nodes

extension Graph {
  /// The highest layer of a node, or −1 when the slot holds none.
  @inline(__always)
  func layer(of slot: UInt32) -> Int {
    Int(nodes.load(fromByteOffset: Int(slot) * Self.nodeBytes + 4, as: UInt8.self)) - 1
  }

  /// Asks for the cache line that ``layer(of:)`` and ``links(of:layer:)`` above the ground read.
  @inline(__always)
  func prefetchNode(_ slot: UInt32) { vz_prefetch(nodes + Int(slot) * Self.nodeBytes) }

  /// Makes `slot` a node without edges on the layers up to `layer`; on the ground alone where there is no memory for more, which a
  /// search hardly notices.
  func addNode(_ slot: UInt32, layerAtMost wanted: Int) {
    var firstRow: UInt32 = 0
    var layer = wanted
    if wanted > 0 {
      if let taken = takeUpperRows(wanted) { firstRow = taken } else { layer = 0 }
    }
    let node = nodes + Int(slot) * Self.nodeBytes
    node.storeBytes(of: firstRow, as: UInt32.self)
    node.storeBytes(of: UInt8(layer + 1), toByteOffset: 4, as: UInt8.self)
    for l in 0...layer { setLinks([], of: slot, layer: l) }
  }

  /// Forgets a node that no edge leads to and no reader can reach.
  func removeNode(_ slot: UInt32) {
    let layer = layer(of: slot)
    let node = nodes + Int(slot) * Self.nodeBytes
    if layer > 0 {
      let firstRow = node.load(as: UInt32.self)
      upperRows.withLock { $0.free[layer, default: []].append(firstRow) }
    }
    node.storeBytes(of: 0, toByteOffset: 4, as: UInt8.self)
  }

  private func takeUpperRows(_ count: Int) -> UInt32? {
    upperRows.withLock { rows in
      if let reused = rows.free[count]?.popLast() { return reused }
      guard rows.used + count <= upperRowsMax else { return nil }
      do { try upperMemory.commit((rows.used + count) * upperStride * 4) } catch { return nil }
      defer { rows.used += count }
      return UInt32(rows.used)
    }
  }
}

// MARK: - Links

extension Graph {
  @inline(__always)
  func degreeMax(onLayer layer: Int) -> Int { layer == 0 ? groundDegreeMax : degreeMax }

  /// The links of a node on the ground layer: `[groundDegreeMax]`, ended by `none` if there are fewer.
  @inline(__always)
  func groundLinks(of slot: UInt32) -> Links { ground + Int(slot) * groundStride }

  /// `[slot][groundStride]`: the links of all nodes on the ground layer.
  var groundLinks: UnsafeRawPointer { UnsafeRawPointer(ground) }

  /// The links of a node on `layer`: `[degreeMax(onLayer:)]`, ended by `none` if there are fewer.
  /// - Precondition: the node reaches up to `layer`.
  @inline(__always)
  func links(of slot: UInt32, layer: Int) -> Links {
    if layer == 0 { return groundLinks(of: slot) }
    let firstRow = nodes.load(fromByteOffset: Int(slot) * Self.nodeBytes, as: UInt32.self)
    return upper + (Int(firstRow) + layer - 1) * upperStride
  }

  /// Replaces the links of a node. The caller holds its lock, or the node cannot be reached yet.
  func setLinks(_ neighbours: [UInt32], of slot: UInt32, layer: Int) {
    let links = links(of: slot, layer: layer)
    for i in 0..<degreeMax(onLayer: layer) {
      links[i].store(i < neighbours.count ? neighbours[i] : Self.none, ordering: .releasing)
    }
  }

  /// The links of a node, as an array: for the parts that are not in a hurry.
  func neighbours(of slot: UInt32, layer: Int) -> [UInt32] {
    let links = links(of: slot, layer: layer)
    var result: [UInt32] = []
    for i in 0..<degreeMax(onLayer: layer) {
      let neighbour = links[i].load(ordering: .acquiring)
      if neighbour == Self.none { break }
      result.append(neighbour)
    }
    return result
  }

  /// Runs `body` while no other thread changes the links of `slot`. Held for a few microseconds, so it spins.
  @inline(__always)
  func withLock<R>(on slot: UInt32, _ body: () -> R) -> R {
    let lock = (nodes + Int(slot) * Self.nodeBytes + 5).assumingMemoryBound(to: Atomic<UInt8>.self)
    var spins = 0
    while !lock.pointee.compareExchange(expected: 0, desired: 1, ordering: .acquiring).exchanged {
      spins += 1
      if spins > 64 { yieldThread() }
    }
    defer { lock.pointee.store(0, ordering: .releasing) }
    return body()
  }
}

// MARK: - Entry point

extension Graph {
  static func pack(entry slot: UInt32, layer: Int) -> UInt64 { UInt64(layer) << 32 | UInt64(slot) }

  /// The entry point and its layer, or nil when the graph is empty.
  @inline(__always)
  func entryPoint() -> (slot: UInt32, layer: Int)? {
    let packed = entry.load(ordering: .acquiring)
    guard packed != .max else { return nil }
    return (UInt32(truncatingIfNeeded: packed), Int(packed >> 32))
  }
}
