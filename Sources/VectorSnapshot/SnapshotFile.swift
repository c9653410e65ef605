// A snapshot that is open for reading. Read first: the public face of the format's reading side.
//
// Opening checks everything but the blocks; loading checks each block before a byte of it is decompressed. What does not
// check is refused with an error that says where; nothing is ever skipped or repaired.
//
// May use: Synchronization, VectorIndex's worker threads, and Format, Files and Threads of this module.

import Synchronization
import VectorIndex

/// A snapshot file whose header, metadata, table and footer have been checked.
///
/// It may be read from any thread. The file stays readable when it is deleted while this object lives.
public final class SnapshotFile: Sendable {
  public let path: String
  public let formatVersion: UInt32
  /// The length of the file.
  public let byteCount: Int
  /// The length of a block before compression.
  public let blockBytes: Int
  public let metadata: SnapshotMetadata
  /// The sections in the order of the file.
  public let sections: [SnapshotSectionInfo]

  private let file: FileDescriptor
  private let table: SnapshotTable
  private let context: SnapshotErrorContext

  /// Opens a snapshot. Reads its first and last bytes, metadata and table: at most 65 MiB, whatever the file claims.
  ///
  /// - Throws: ``SnapshotError/Code/notFound``, ``SnapshotError/Code/notASnapshot``,
  ///   ``SnapshotError/Code/unsupportedVersion``, ``SnapshotError/Code/truncated``, ``SnapshotError/Code/corrupted`` or
  ///   ``SnapshotError/Code/io``.
  public convenience init(path: String) throws(SnapshotError) {
    try self.init(context: SnapshotErrorContext(path: path))
  }

  init(context: SnapshotErrorContext) throws(SnapshotError) {
    do throws(SystemError) {
      file = try FileDescriptor(reading: context.path)
    } catch {
      throw context.system(error)
    }
    let opened = OpenedParts(file: file, context: context)
    byteCount = file.byteCount
    let (header, headerChecksum) = try SnapshotHeader.decode(
      opened.bytes(at: 0, count: min(SnapshotFormat.headerBytes, byteCount)), context: context)
    // In bounds: a header is longer than a footer. Where the two would overlap, the footer's checks refuse it, and so
    // they do when header, metadata, table and footer do not fit into the file.
    let footer = try SnapshotFooter.decode(
      opened.bytes(at: byteCount - SnapshotFormat.footerBytes, count: SnapshotFormat.footerBytes),
      fileBytes: byteCount, header: header, headerChecksum: headerChecksum, context: context)

    let metadataBytes = try opened.bytes(
      at: SnapshotFormat.headerBytes, count: header.metadataBytes, checksum: header.metadataChecksum, name: "metadata")
    guard let metadata = SnapshotMetadata.decode(metadataBytes) else {
      throw context.corrupted("the metadata cannot be decoded", offset: SnapshotFormat.headerBytes)
    }
    let tableBytes = try opened.bytes(
      at: footer.tableOffset, count: footer.tableBytes, checksum: footer.tableChecksum, name: "table")
    let table = try SnapshotTable.decode(tableBytes, header: header, footer: footer, context: context)

    self.path = context.path
    self.context = context
    self.table = table
    self.metadata = metadata
    formatVersion = header.version
    blockBytes = header.blockBytes
    sections = table.sections.map { section in
      let blocks = table.blocks[section.blocks]
      return SnapshotSectionInfo(
        id: section.id, elementSize: section.elementSize, byteCount: section.byteCount,
        storedByteCount: blocks.reduce(0) { $0 + Int($1.storedBytes) }, blockCount: blocks.count,
        rawBlockCount: blocks.count { $0.codec == .raw })
    }
  }

  /// The section of that id, or nil.
  public func section(_ id: SnapshotSectionID) -> SnapshotSectionInfo? {
    sections.first { $0.id == id }
  }

  /// The metadata value, which a reader cannot do without.
  /// - Throws: ``SnapshotError/Code/unexpectedMetadata`` when there is none of that name and type.
  public func require<Value>(_ key: SnapshotMetadataKey<Value>) throws(SnapshotError) -> Value {
    guard let value = metadata[key] else {
      throw context.unexpectedMetadata("its metadata has no `\(key.name)` of type \(Value.self)")
    }
    return value
  }

  /// The metadata value, or nil when there is none of that name: files of earlier releases lack what was added since.
  /// - Throws: ``SnapshotError/Code/unexpectedMetadata`` when there is one of another type.
  public func optional<Value>(_ key: SnapshotMetadataKey<Value>) throws(SnapshotError) -> Value? {
    guard metadata.entries.contains(where: { $0.name == key.name }) else { return nil }
    return try require(key)
  }
}

extension SnapshotFile {
  /// The error of a reader that cannot make sense of what is in the file.
  func unusable(_ found: String) -> SnapshotError { context.unusable(found) }

  func missing(_ section: SnapshotSectionID) -> SnapshotError {
    context.unexpectedSection("it has no section \(section)")
  }
}

/// Reads the parts of a file that is being opened.
private struct OpenedParts {
  let file: FileDescriptor
  let context: SnapshotErrorContext

  func bytes(at offset: Int, count: Int) throws(SnapshotError) -> [UInt8] {
    let bytes: [UInt8]
    do throws(SystemError) {
      bytes = try file.read(at: offset, count: count)
    } catch {
      throw context.system(error)
    }
    guard bytes.count == count else { throw context.truncated("it became shorter while it was read") }
    return bytes
  }

  func bytes(at offset: Int, count: Int, checksum: UInt32, name: String) throws(SnapshotError) -> [UInt8] {
    let bytes = try bytes(at: offset, count: count)
    guard CRC32C.checksum(bytes) == checksum else {
      throw context.corrupted("the \(name) does not match its checksum", offset: offset)
    }
    return bytes
  }
}

// MARK: - Blocks

extension SnapshotFile {
  /// Loads a section into memory that the caller owns.
  ///
  /// Blocks the calling thread. When this throws, the content of `destination` is undefined and must not be used.
  /// - Parameters:
  ///   - destination: exactly as long as the section.
  ///   - threads: how many threads read and decompress, the caller's among them.
  /// - Throws: ``SnapshotError/Code/unexpectedSection`` when the snapshot has no such section or it has another length;
  ///   ``SnapshotError/Code/corrupted``, ``SnapshotError/Code/truncated`` or ``SnapshotError/Code/io``.
  public func load(
    _ id: SnapshotSectionID, into destination: UnsafeMutableRawBufferPointer, threads: Int
  ) throws(SnapshotError) {
    try load([(id, destination)], threads: threads)
  }

  /// Loads several sections at once, so that small ones do not leave threads idle. As ``load(_:into:threads:)``.
  /// - Precondition: the destinations do not overlap.
  public func load(
    _ parts: [(id: SnapshotSectionID, destination: UnsafeMutableRawBufferPointer)], threads: Int
  ) throws(SnapshotError) {
    var jobs: [BlockReading.Job] = []
    for (id, destination) in parts {
      guard let section = table.sections.first(where: { $0.id == id }) else {
        throw context.unexpectedSection("it has no section \(id)")
      }
      guard section.byteCount == destination.count else {
        throw context.unexpectedSection(
          "its section \(id) has \(section.byteCount) bytes where \(destination.count) are expected")
      }
      jobs.append(.init(section: section, destination: destination))
    }
    try read(jobs, threads: threads)
  }

  /// Loads a section into an array.
  ///
  /// The section's length is at most 255 times that of the file: ask ``section(_:)`` before, where memory matters.
  public func load(_ id: SnapshotSectionID, threads: Int) throws(SnapshotError) -> [UInt8] {
    guard let section = section(id) else { throw context.unexpectedSection("it has no section \(id)") }
    var failure: SnapshotError?
    let bytes = [UInt8](unsafeUninitializedCapacity: section.byteCount) { buffer, initialized in
      do throws(SnapshotError) {
        // The array's buffer may be longer than what was asked for.
        let destination = UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: section.byteCount)
        try load(id, into: destination, threads: threads)
        initialized = section.byteCount
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Reads, checks and decompresses every block, and keeps nothing.
  /// - Throws: the error of the first block that is not as it was written.
  public func verify(threads: Int) throws(SnapshotError) {
    try read(table.sections.map { .init(section: $0, destination: nil) }, threads: threads)
  }

  private func read(_ jobs: [BlockReading.Job], threads: Int) throws(SnapshotError) {
    precondition(threads >= 1, "a snapshot is read by at least one thread")
    let work = BlockReading(file: file, blocks: table.blocks, blockBytes: blockBytes, jobs: jobs)
    WorkerThreads.run(count: max(1, min(threads, work.blockCount))) { _ in work.run() }
    guard let failed = work.failure.withLock({ $0 }) else { return }
    throw describe(failed)
  }

  private func describe(_ failed: BlockReading.FailedBlock) -> SnapshotError {
    let block = table.blocks[failed.block]
    func corrupted(_ found: String) -> SnapshotError {
      context.corrupted(
        found, offset: block.offset, section: failed.section.id, block: failed.block - failed.section.blocks.lowerBound)
    }
    switch failed.failure {
    case .system(let error): return context.system(error)
    case .endOfFile: return context.truncated("it became shorter while it was read")
    case .checksum(let expected, let found):
      return corrupted(
        "the block's checksum is \(String(found, radix: 16)) where \(String(expected, radix: 16)) is expected")
    case .compression: return corrupted("the block cannot be decompressed")
    }
  }
}
