// Which versions readers still look at: what lets one writer reuse memory beside readers that never lock.
//
// May use: Synchronization.

import Synchronization

/// The index's version counter and the versions that readers have pinned.
///
/// Every change publishes a new version. A reader pins the version it starts with, and sees exactly the rows that were born
/// at or before it and died after it: one commit point, whatever the writer does meanwhile. Memory that was taken out of
/// the structure at version `v` may be reused once no reader has pinned a version below `v`.
///
/// Why that is sound: a reader stores its pin and *then* reads the structure; the writer unlinks, publishes `v` and *then*
/// reads the pins; all four in the one order of sequentially consistent operations. So either the writer sees the pin, or
/// the reader sees the structure without the memory in question.
final class ReaderPins: @unchecked Sendable {
  // Proof of Sendable: atomics only; the list of blocks is behind a mutex that readers take once in their life.

  typealias Pin = UnsafeMutablePointer<Atomic<UInt64>>

  /// What a pin's reader does.
  enum Reader: UInt64 {
    /// Walks the graph and looks through the tail: what it sees must be found there.
    case search
    /// Reads slot by slot, if for long: it needs the rows, and nothing that leads to them.
    case slots
  }

  static let idle = UInt64.max
  /// A pin has a cache line of its own, so that readers do not slow each other down: the version, and what its reader does.
  private static let lineCells = 8
  private static let blockPins = 64

  private struct Registry {
    var blocks: [Pin] = []
    var free: [UInt] = []
  }

  private let version = Atomic<UInt64>(1)
  private let registry = Mutex(Registry())

  deinit {
    registry.withLock { registry in
      for block in registry.blocks { block.deallocate() }
    }
  }

  /// The version that a new reader would see.
  var current: UInt64 { version.load(ordering: .acquiring) }

  /// Makes everything written so far visible to readers that come from now on. The writer's only.
  func publish(_ new: UInt64) { version.store(new, ordering: .sequentiallyConsistent) }

  /// A pin for one reader, to be given back with ``giveBack(_:)``.
  func take(for reader: Reader) -> Pin {
    registry.withLock { registry in
      let pin = takeAny(&registry)
      pin[1].store(reader.rawValue, ordering: .sequentiallyConsistent)
      return pin
    }
  }

  private func takeAny(_ registry: inout Registry) -> Pin {
    if let address = registry.free.popLast(), let pin = Pin(bitPattern: address) { return pin }
    let cells = Self.lineCells * Self.blockPins
    let block = UnsafeMutableRawPointer.allocate(byteCount: cells * 8, alignment: 64)
      .bindMemory(to: Atomic<UInt64>.self, capacity: cells)
    for i in 0..<cells { (block + i).initialize(to: Atomic(Self.idle)) }
    registry.blocks.append(block)
    for i in 1..<Self.blockPins { registry.free.append(UInt(bitPattern: block + i * Self.lineCells)) }
    return block
  }

  func giveBack(_ pin: Pin) {
    pin[0].store(Self.idle, ordering: .releasing)
    registry.withLock { $0.free.append(UInt(bitPattern: pin)) }
  }

  /// Starts a read. Two atomic operations, and again for each version that is published in between.
  @inline(__always)
  func enter(_ pin: Pin) -> UInt64 {
    var now = version.load(ordering: .sequentiallyConsistent)
    while true {
      pin[0].store(now, ordering: .sequentiallyConsistent)
      let again = version.load(ordering: .sequentiallyConsistent)
      if again == now { return now }
      now = again
    }
  }

  @inline(__always)
  func leave(_ pin: Pin) { pin[0].store(Self.idle, ordering: .releasing) }

  /// The oldest version that a reader has pinned; `idle` when nobody reads. The writer's only.
  func oldest() -> UInt64 { oldest { _ in true } }

  /// The oldest version that a search has pinned; `idle` when there is none. Of rows that died after it, some search may still have to
  /// find what leads to them.
  func oldestSearch() -> UInt64 {
    oldest { $0[1].load(ordering: .sequentiallyConsistent) == Reader.search.rawValue }
  }

  private func oldest(of isAsked: (Pin) -> Bool) -> UInt64 {
    registry.withLock { registry in
      var oldest = Self.idle
      for block in registry.blocks {
        for i in 0..<Self.blockPins where isAsked(block + i * Self.lineCells) {
          oldest = min(oldest, block[i * Self.lineCells].load(ordering: .sequentiallyConsistent))
        }
      }
      return oldest
    }
  }
}
