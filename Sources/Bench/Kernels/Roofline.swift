// What this machine's memory gives at most: nothing that reads rows can be faster.
//
// Reads alone, with as little computed as keeps a compiler from leaving them out.
//
// May use: RowMemory, RowOrder, Timing; vz_prefetch, memchr.

internal import CVectorKernels
import Glibc

/// Where rows lie, and in which order they are read.
enum Place: String, Codable, CaseIterable {
  /// The same few rows again and again, in the first or second level of the cache.
  case cached
  /// Row after row of a set much larger than the last level of the cache.
  case sequential
  /// Random rows of a set that the last level of the cache holds, each batch asked for while the one before is read.
  case randomInCache = "random_in_cache"
  /// The same over a set that it does not hold.
  case randomInMemory = "random_in_memory"
}

/// Reads of one memory.
final class Roofline {
  private let memory: RowMemory
  private var base: UnsafeRawPointer { UnsafeRawPointer(memory.base) }
  /// Where sums go, so that they have to be made.
  private let sink = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)

  /// Bytes that are read at once, and at least between two looks at the clock.
  private static let stepBytesMax = 4 << 20
  private static let passBytesMin = 1 << 20
  /// As many lines as a core can wait for at once, and some more.
  private static let aheadBytes = 4 << 10

  init(_ memory: RowMemory) {
    self.memory = memory
    sink.initialize(to: 0)
  }

  deinit { sink.deallocate() }

  /// Reads the first `byteCount` bytes from front to back, again and again; a unit is a byte. Two ways, the faster of which counts: a
  /// sum in Swift's SIMD, which has the loads that every CPU of this kind has, and the C library's search for a byte that is not there,
  /// which has the widest that this one has.
  func sequential(byteCount: Int) -> [Timing.Pass] {
    [
      frontToBack(byteCount, Self.sum),
      frontToBack(byteCount) { memchr($0, 0, $1) == nil ? 1 : 0 },
    ]
  }

  private func frontToBack(_ byteCount: Int, _ read: @escaping (UnsafeRawPointer, Int) -> UInt64) -> Timing.Pass {
    // Whole pieces of what `sum` reads at once.
    let all = (byteCount + 127) / 128 * 128
    let step = min(all, Self.stepBytesMax)
    var offset = 0
    return { [self] in
      var bytes = 0
      repeat {
        if offset + step > all { offset = 0 }
        sink.pointee &+= read(base + offset, step)
        offset += step
        bytes += step
      } while bytes < Self.passBytesMin
      return bytes
    }
  }

  private static func sum(_ bytes: UnsafeRawPointer, _ count: Int) -> UInt64 {
    var sums = (SIMD4<UInt64>(), SIMD4<UInt64>(), SIMD4<UInt64>(), SIMD4<UInt64>())
    for offset in stride(from: 0, to: count, by: 128) {
      sums.0 &+= (bytes + offset).load(as: SIMD4<UInt64>.self)
      sums.1 &+= (bytes + offset + 32).load(as: SIMD4<UInt64>.self)
      sums.2 &+= (bytes + offset + 64).load(as: SIMD4<UInt64>.self)
      sums.3 &+= (bytes + offset + 96).load(as: SIMD4<UInt64>.self)
    }
    return (sums.0 &+ sums.1 &+ sums.2 &+ sums.3).wrappedSum()
  }

  /// Goes from a random line to the one that it names; a unit is a line.
  ///
  /// - Precondition: the memory's lines were tied (``RowMemory/tieLines(_:)``).
  func chase() -> Timing.Pass {
    var offset: UInt64 = 0
    return { [self] in
      for _ in 0..<1_024 { offset = (base + Int(offset)).load(as: UInt64.self) }
      sink.pointee &+= offset
      return 1_024
    }
  }

  /// Touches all lines of blocks of `byteCount` bytes at random places that are known beforehand; a unit is a block. Three ways, the
  /// fastest of which counts: a batch is asked for while the one before is read; lines are asked for some kilobytes before they are read;
  /// and nothing is asked for, so that the processor looks ahead.
  func blocks(byteCount: Int, _ order: RowOrder) -> [Timing.Pass] {
    [
      { [self] in
        order.batches { now, next in
          prefetch(next, base, rowBytes: byteCount)
          sink.pointee &+= touch(now, byteCount)
        }
      },
      { [self] in
        order.batches { now, next in sink.pointee &+= touch(now, byteCount, asking: next) }
      },
      { [self] in order.batches { now, _ in sink.pointee &+= touch(now, byteCount) } },
    ]
  }

  /// Touches blocks, and asks for those that come ``aheadBytes`` later, line by line.
  @inline(__always)
  private func touch(
    _ slots: UnsafeBufferPointer<UInt32>, _ byteCount: Int, asking next: UnsafeBufferPointer<UInt32>
  ) -> UInt64 {
    var sum: UInt64 = 0
    let ahead = max(1, Self.aheadBytes / byteCount)
    for i in 0..<slots.count {
      let later = i + ahead < slots.count ? slots[i + ahead] : next[min(i + ahead - slots.count, next.count - 1)]
      let (block, laterBlock) = (base + Int(slots[i]) &* byteCount, base + Int(later) &* byteCount)
      for offset in stride(from: 0, to: byteCount, by: RowMemory.line) {
        vz_prefetch(laterBlock + offset)
        sum &+= (block + offset).load(as: UInt64.self)
      }
    }
    return sum
  }

  @inline(__always)
  private func touch(_ slots: UnsafeBufferPointer<UInt32>, _ byteCount: Int) -> UInt64 {
    var sum: UInt64 = 0
    for slot in slots {
      let block = base + Int(slot) &* byteCount
      for offset in stride(from: 0, to: byteCount, by: RowMemory.line) {
        sum &+= (block + offset).load(as: UInt64.self)
      }
    }
    return sum
  }
}
