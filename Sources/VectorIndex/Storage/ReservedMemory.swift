// The sole owner of large aligned memory: address space is reserved once for the most that the machine could ever hold,
// and pages are committed as rows arrive. So an array grows and its address never changes, which lets readers walk it
// without a lock and the hot loop address a row with one multiplication (docs/decisions/0003-reserved-memory.md).
//
// May use: mmap, mprotect, madvise.

import Glibc

/// A growable array's memory: reserved address space of which a prefix is committed. Fresh bytes are zero.
final class ReservedMemory: @unchecked Sendable {
  // Proof of Sendable: `base` is constant; `committedBytes` is changed by the index's one writer only.

  /// The start; aligned to 2 MiB, so that huge pages can back it.
  let base: UnsafeMutableRawPointer
  let reservedBytes: Int
  private(set) var committedBytes = 0
  private let mapping: UnsafeMutableRawPointer
  private let mappingBytes: Int

  private static let hugePage = 2 << 20
  private static let smallStep = 64 << 10

  /// Reserves `bytes` of address space; costs no memory.
  init(reserving bytes: Int) throws(IndexError) {
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

  deinit { munmap(mapping, mappingBytes) }

  /// Makes the first `bytes` bytes usable. Grows by an eighth of what is there, so that n rows cost O(log n) calls.
  func commit(_ bytes: Int) throws(IndexError) {
    guard bytes > committedBytes else { return }
    guard bytes <= reservedBytes else {
      throw IndexError(
        .outOfMemory,
        "the index is full: \(bytes >> 20) MiB are needed for one of its arrays and \(reservedBytes >> 20) MiB, twice "
          + "this machine's memory, are reserved; use a machine with more memory")
    }
    let wanted = max(bytes, committedBytes + committedBytes / 8)
    let step = wanted >= Self.hugePage ? Self.hugePage : Self.smallStep
    let target = min((wanted + step - 1) / step * step, reservedBytes)
    let start = base + committedBytes
    guard mprotect(start, target - committedBytes, PROT_READ | PROT_WRITE) == 0 else {
      throw IndexError(
        .outOfMemory,
        "the machine refused \((target - committedBytes) >> 10) KiB of memory (\(String(cString: strerror(errno)))); "
          + "free memory or use a machine with more")
    }
    // Advice only: without huge pages everything works, a little slower.
    if target >= Self.hugePage { madvise(base, target, MADV_HUGEPAGE) }
    committedBytes = target
  }
}
