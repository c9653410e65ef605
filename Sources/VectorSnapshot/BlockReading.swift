// The parallel loop over the blocks of a snapshot that loading and verifying share.
//
// May use: Synchronization, and Format and Files of this module.

import Synchronization

/// The state that the reading threads share.
///
/// `@unchecked Sendable`: the destinations are raw memory that the caller lends until all threads are joined, and each
/// block, so each part of a destination, is taken by one thread; all else is immutable or synchronised.
final class BlockReading: @unchecked Sendable {
  struct Job {
    var section: SectionEntry
    /// As long as the section; nil to check only.
    var destination: UnsafeMutableRawBufferPointer?
  }

  struct FailedBlock {
    /// Counted through all jobs.
    var order: Int
    var section: SectionEntry
    /// The index in the table.
    var block: Int
    var failure: BlockDecoder.Failure
  }

  let blockCount: Int
  /// The failed block that comes first in order. Blocks are taken in order and finished once taken, so the first bad
  /// block is always found, whatever the number of threads.
  let failure = Mutex<FailedBlock?>(nil)

  private let file: FileDescriptor
  private let blocks: [BlockEntry]
  private let blockBytes: Int
  private let jobs: [Job]
  private let next = Atomic<Int>(0)

  init(file: FileDescriptor, blocks: [BlockEntry], blockBytes: Int, jobs: [Job]) {
    self.file = file
    self.blocks = blocks
    self.blockBytes = blockBytes
    self.jobs = jobs
    blockCount = jobs.reduce(0) { $0 + $1.section.blocks.count }
  }

  /// Takes blocks until none is left or some thread has failed.
  func run() {
    let decoder = BlockDecoder(blockBytes: blockBytes)
    let scratch = UnsafeMutableRawBufferPointer.allocate(byteCount: blockBytes, alignment: 64)
    defer { scratch.deallocate() }
    var job = 0
    var jobStart = 0
    while failure.withLock({ $0 == nil }) {
      let order = next.add(1, ordering: .relaxed).oldValue
      guard order < blockCount else { return }
      while order - jobStart >= jobs[job].section.blocks.count {
        jobStart += jobs[job].section.blocks.count
        job += 1
      }
      let section = jobs[job].section
      let index = section.blocks.lowerBound + order - jobStart
      let block = blocks[index]
      // In bounds: the table's check ties the raw lengths of a section's blocks to its length, and the caller the
      // destination's to it.
      let start = (order - jobStart) * blockBytes
      let target =
        jobs[job].destination.map { UnsafeMutableRawBufferPointer(rebasing: $0[start..<(start + Int(block.rawBytes))]) }
        ?? UnsafeMutableRawBufferPointer(rebasing: scratch[0..<Int(block.rawBytes)])
      do throws(BlockDecoder.Failure) {
        try decoder.decode(block, elementSize: section.elementSize, from: file, into: target)
      } catch {
        failure.withLock { first in
          if let first, first.order < order { return }
          first = FailedBlock(order: order, section: section, block: index, failure: error)
        }
      }
    }
  }
}
