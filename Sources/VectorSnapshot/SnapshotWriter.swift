// Writes a snapshot file: blocks compressed on several threads, laid down in their order, published at once.
//
// The same metadata, sections and block length give the same bytes, whatever the number of threads: a thread that has
// compressed a block waits for its turn to be given an offset, and only then writes, beside the others.
// Memory: three blocks a thread and 24 bytes a block, whatever the size of the sections.
//
// May use: Synchronization, VectorIndex's worker threads, and Format, Files and Threads of this module.

import Synchronization
import VectorIndex

/// Writes snapshot files. ``SnapshotPublisher`` is the way to write one into a collection's folder.
public enum SnapshotWriter {
  public struct Options: Hashable, Sendable {
    /// How many threads compress and write, the caller's among them.
    public var threads: Int
    /// The length of a block before compression: a power of two from 4 KiB to 16 MiB.
    public var blockBytes: Int

    public init(threads: Int, blockBytes: Int = 1 << 20) {
      self.threads = threads
      self.blockBytes = blockBytes
    }
  }

  /// Writes a snapshot to `path`, whole or not at all, in the place of what was there.
  ///
  /// Blocks the calling thread.
  /// - Returns: the length of the file in bytes.
  /// - Throws: ``SnapshotError/Code/noSpace``, ``SnapshotError/Code/io``, or ``SnapshotError/Code/exceedsFormat`` when
  ///   the metadata is longer than 1 MiB or there are too many blocks.
  /// - Precondition: no two sections have the same id, and there are at most 1,024; the options are within their bounds.
  @discardableResult
  public static func write(
    to path: String, metadata: SnapshotMetadata, sections: [SnapshotSection], options: Options
  ) throws(SnapshotError) -> Int {
    try write(to: path, metadata: metadata, sections: sections, options: options, fileSystem: .posix)
  }

  static func write(
    to path: String, metadata: SnapshotMetadata, sections: [SnapshotSection], options: Options, fileSystem: FileSystem
  ) throws(SnapshotError) -> Int {
    precondition(options.threads >= 1, "a snapshot is written by at least one thread")
    let plan = try SnapshotPlan(path: path, metadata: metadata, sections: sections, blockBytes: options.blockBytes)
    var fileBytes = 0
    try AtomicFile.replace(path, bytesMax: plan.fileBytesMax, fileSystem: fileSystem) { file throws(SystemError) in
      fileBytes = try plan.write(to: file, threads: options.threads)
    }
    return fileBytes
  }
}

/// What is to be written: everything that is known before the first block is compressed.
private struct SnapshotPlan: Sendable {
  let sections: [SnapshotSection]
  let entries: [SectionEntry]
  let header: SnapshotHeader
  let metadata: [UInt8]

  var blockCount: Int { entries.last?.blocks.upperBound ?? 0 }

  /// The length of the file when nothing shrinks.
  var fileBytesMax: Int {
    SnapshotFormat.headerBytes + metadata.count + sections.reduce(0) { $0 + $1.byteCount }
      + SnapshotTable.encodedBytes(sections: entries.count, blocks: blockCount) + SnapshotFormat.footerBytes
  }

  init(
    path: String, metadata: SnapshotMetadata, sections: [SnapshotSection], blockBytes: Int
  ) throws(SnapshotError) {
    precondition(SnapshotFormat.isBlockBytes(blockBytes), "a block is a power of two from 4 KiB to 16 MiB long")
    precondition(sections.count <= SnapshotFormat.sectionsMax, "a snapshot has at most 1,024 sections")
    precondition(Set(sections.map(\.id)).count == sections.count, "a section id names one section")

    self.metadata = metadata.encode()
    guard self.metadata.count <= SnapshotFormat.metadataBytesMax else {
      throw SnapshotError(
        .exceedsFormat, path: path,
        message: "\(path) could not be written: its metadata has \(self.metadata.count) bytes, and the format allows "
          + "\(SnapshotFormat.metadataBytesMax). Shorten the texts in it.")
    }
    var entries: [SectionEntry] = []
    var next = 0
    for section in sections {
      let count = section.byteCount / blockBytes + (section.byteCount % blockBytes == 0 ? 0 : 1)
      let blocks = next..<(next + count)
      entries.append(
        SectionEntry(id: section.id, elementSize: section.elementSize, byteCount: section.byteCount, blocks: blocks))
      next += count
    }
    guard SnapshotTable.encodedBytes(sections: entries.count, blocks: next) <= SnapshotFormat.tableBytesMax else {
      throw SnapshotError(
        .exceedsFormat, path: path,
        message:
          "\(path) could not be written: \(next) blocks of \(blockBytes) bytes are more than its table can hold. "
          + "Use longer blocks.")
    }
    self.sections = sections
    self.entries = entries
    header = SnapshotHeader(
      blockBytes: blockBytes, metadataBytes: self.metadata.count, metadataChecksum: CRC32C.checksum(self.metadata))
  }

  /// Writes all parts.
  /// - Returns: the length of the file.
  func write(to file: OpenFile, threads: Int) throws(SystemError) -> Int {
    let (headerBytes, headerChecksum) = header.encode()
    try file.write(headerBytes + metadata, at: 0)

    let blocks = try writeBlocks(to: file, threads: threads)

    let table = SnapshotTable(sections: entries, blocks: blocks).encode()
    let footer = SnapshotFooter(
      tableOffset: blocks.last.map { $0.offset + Int($0.storedBytes) } ?? headerBytes.count + metadata.count,
      tableBytes: table.count, tableChecksum: CRC32C.checksum(table), headerChecksum: headerChecksum)
    try file.write(table + footer.encode(), at: footer.tableOffset)
    return footer.fileBytes
  }

  private func writeBlocks(to file: OpenFile, threads: Int) throws(SystemError) -> [BlockEntry] {
    let work = BlockWriting(plan: self, file: file)
    WorkerThreads.run(count: max(1, min(threads, blockCount))) { _ in work.run() }
    if let failure = work.failure.withLock({ $0 }) { throw failure }
    return work.blocks.finish()
  }
}

/// The state that the writing threads share.
private final class BlockWriting: Sendable {
  let plan: SnapshotPlan
  let file: OpenFile
  /// The next block that nobody has taken. Taken in order, so that whoever waits for its turn waits for a taken block.
  let next = Atomic<Int>(0)
  let blocks: Turnstile<[BlockEntry]>
  let failure = Mutex<SystemError?>(nil)

  init(plan: SnapshotPlan, file: OpenFile) {
    self.plan = plan
    self.file = file
    var blocks: [BlockEntry] = []
    blocks.reserveCapacity(plan.blockCount)
    self.blocks = Turnstile(blocks)
  }

  /// Takes blocks until none is left or some thread has failed. A block that was taken always passes the turnstile.
  func run() {
    let encoder = BlockEncoder(blockBytes: plan.header.blockBytes)
    let firstOffset = SnapshotFormat.headerBytes + plan.header.metadataBytes
    var section = 0
    while failure.withLock({ $0 == nil }) {
      let index = next.add(1, ordering: .relaxed).oldValue
      guard index < plan.blockCount else { return }
      while index >= plan.entries[section].blocks.upperBound { section += 1 }

      let start = (index - plan.entries[section].blocks.lowerBound) * plan.header.blockBytes
      let end = min(start + plan.header.blockBytes, plan.sections[section].byteCount)
      let stored = encoder.encode(plan.sections[section], start..<end)

      let offset = blocks.pass(ticket: index) { blocks in
        let offset = blocks.last.map { $0.offset + Int($0.storedBytes) } ?? firstOffset
        blocks.append(
          BlockEntry(
            offset: offset, storedBytes: UInt32(stored.bytes.count), rawBytes: UInt32(end - start),
            checksum: stored.checksum, codec: stored.codec))
        return offset
      }
      // Blocks pass in their order, each after it was read.
      if index + 1 == plan.entries[section].blocks.upperBound { plan.sections[section].wasRead() }
      do throws(SystemError) {
        try file.write(stored.bytes, at: offset)
      } catch {
        failure.withLock { $0 = $0 ?? error }
      }
    }
  }
}
