// The sole owner of large aligned memory: address space is reserved once for the most that the machine could ever hold,
// and pages are committed as rows arrive. So an array grows and its address never changes, which lets readers walk it
// without a lock and the hot loop address a row with one multiplication (docs/decisions/0003-reserved-memory.md).
//
// May use: MemoryBudget; mmap, mprotect, madvise.

import Glibc
import Synchronization

/// A growable array's memory: reserved address space of which a prefix is committed. Fresh bytes are zero.
final class ReservedMemory: @unchecked Sendable {
  // Proof of Sendable: the pointers are constant; `committed` is atomic, and changed under the mutex only.

  /// The start; aligned to 2 MiB, so that huge pages can back it.
  let base: UnsafeMutableRawPointer
  let reservedBytes: Int
  private let committed = Atomic<Int>(0)
  private let growing = Mutex(())
  private let budget: MemoryBudget
  private let mapping: UnsafeMutableRawPointer
  private let mappingBytes: Int

  private static let hugePage = 2 << 20
  static let page = sysconf(Int32(_SC_PAGESIZE))
  /// What an array that grows by itself grows by at least: few calls for small ones.
  private static let spareMin = 16 << 10

  /// Reserves `bytes` of address space; costs no memory.
  init(reserving bytes: Int, _ budget: MemoryBudget) throws(IndexError) {
    self.budget = budget
    reservedBytes = (bytes + Self.hugePage - 1) / Self.hugePage * Self.hugePage
    mappingBytes = reservedBytes + Self.hugePage
    guard
      let mapping = mmap(nil, mappingBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0),
      mapping != MAP_FAILED
    else {
      throw IndexError(
        .outOfMemory,
        "could not reserve \(mappingBytes >> 20) MiB of address space (\(String(cString: strerror(errno)))); "
          + "raise the address-space limit (ulimit -v) of this process")
    }
    self.mapping = mapping
    let address = UInt(bitPattern: mapping)
    let aligned = (address + UInt(Self.hugePage) - 1) & ~UInt(Self.hugePage - 1)
    base = mapping + Int(aligned - address)
  }

  deinit {
    munmap(mapping, mappingBytes)
    budget.giveBack(committedBytes)
  }

  // Pairs with the releasing store of `growLocked`: what is told of is usable.
  var committedBytes: Int { committed.load(ordering: .acquiring) }

  /// What is committed for `bytes`: whole pages, and whole huge pages for a large array unless memory is short.
  static func rounded(_ bytes: Int, toHugePages: Bool = true) -> Int {
    let step = toHugePages && bytes >= hugePage ? hugePage : page
    return (bytes + step - 1) / step * step
  }

  /// Makes the first `bytes` bytes usable. Grows by an eighth of what is there, so that n bytes cost O(log n) calls; by less
  /// where the budget does not allow that.
  func commit(_ bytes: Int) throws(IndexError) {
    guard bytes > committedBytes else { return }
    guard bytes <= reservedBytes else {
      throw IndexError(
        .outOfMemory,
        "the index is full: \(MemoryBudget.text(bytes)) are needed for one of its arrays and "
          + "\(MemoryBudget.text(reservedBytes)) are reserved; use a machine with more memory")
    }
    try growing.withLock { _ throws(IndexError) in
      let committed = committedBytes
      guard bytes > committed else { return }
      var spare = max(committed / 8, Self.spareMin)
      while true {
        let target = min(Self.rounded(bytes + spare, toHugePages: spare > 0), reservedBytes)
        if budget.take(target - committed) { return try growLocked(to: target) }
        if spare == 0 { throw budget.refusal(of: target - committed) }
        spare = spare < Self.page ? 0 : spare / 2
      }
    }
  }

  /// Commits up to `target` bytes, whole pages, for which `taken` were taken from the budget. What turns out not to be needed, or
  /// is refused by the machine, is given back to it.
  func grow(to target: Int, taken: Int) throws(IndexError) {
    try growing.withLock { _ throws(IndexError) in
      let needed = max(0, target - committedBytes)
      budget.giveBack(taken - needed)
      if needed > 0 { try growLocked(to: target) }
    }
  }

  private func growLocked(to target: Int) throws(IndexError) {
    let committed = committedBytes
    guard mprotect(base + committed, target - committed, PROT_READ | PROT_WRITE) == 0 else {
      let reason = String(cString: strerror(errno))
      budget.giveBack(target - committed)
      throw IndexError(
        .outOfMemory,
        "the machine refused \(MemoryBudget.text(target - committed)) of memory (\(reason)), "
          + "\(MemoryBudget.text(budget.committedBytes)) are committed; free memory or use a machine with more")
    }
    // Advice only: without huge pages everything works, a little slower.
    if target >= Self.hugePage { madvise(base, target, MADV_HUGEPAGE) }
    self.committed.store(target, ordering: .releasing)
  }
}
