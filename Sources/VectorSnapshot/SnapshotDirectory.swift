// The folder of one collection's snapshots, for reading: what is there, which is current, and no silent way back.
//
//     snapshot-<16 hex digits>.vzs       a snapshot; the number rises with each, the highest is current
//     snapshot-<16 hex digits>.vzs.tmp   one that is being written, or was when its writer died
//     SEQUENCE                           the highest number ever given out
//
// May use: Files of this module.

/// The folder of one collection's snapshots. Reading it changes nothing and needs no lock.
public struct SnapshotDirectory: Hashable, Sendable {
  /// A snapshot in the folder.
  public struct Entry: Hashable, Sendable {
    public let sequence: UInt64
    public let path: String
  }

  public let path: String

  public init(path: String) {
    self.path = path
  }

  /// The snapshots, newest first; none when the folder does not exist.
  public func list() throws(SnapshotError) -> [Entry] {
    try names().compactMap { name in
      guard let sequence = Self.sequence(of: name), name == Self.name(of: sequence) else { return nil }
      return Entry(sequence: sequence, path: "\(path)/\(name)")
    }.sorted { $0.sequence > $1.sequence }
  }

  /// Opens the newest snapshot.
  ///
  /// A newest file that cannot be used is an error, now or when its blocks are loaded; it names the previous snapshot
  /// and the deliberate way back to it. An older state is never served unasked.
  /// - Returns: nil when there is no snapshot.
  public func openNewest() throws(SnapshotError) -> SnapshotFile? {
    let entries = try list()
    guard let newest = entries.first else { return nil }
    return try open(newest, previous: entries.dropFirst().first)
  }

  /// Opens the snapshot of that number.
  /// - Throws: ``SnapshotError/Code/notFound``, or as ``SnapshotFile/init(path:)``.
  public func open(sequence: UInt64) throws(SnapshotError) -> SnapshotFile {
    let entry = Entry(sequence: sequence, path: "\(path)/\(Self.name(of: sequence))")
    return try open(entry, previous: try list().first { $0.sequence < sequence })
  }

  private func open(_ entry: Entry, previous: Entry?) throws(SnapshotError) -> SnapshotFile {
    var context = SnapshotErrorContext(path: entry.path)
    if let previous {
      context.advice =
        "The previous snapshot is \(previous.path). To go back to it, move the newer file away "
        + "(mv '\(entry.path)' '\(entry.path).damaged') and start again; or write a new one with `vizinho rebuild`."
    }
    return try SnapshotFile(context: context)
  }
}

// MARK: - Names

extension SnapshotDirectory {
  private static let prefix = "snapshot-"
  private static let suffix = ".vzs"
  static let sequenceFileName = "SEQUENCE"

  static func name(of sequence: UInt64) -> String { prefix + hex(sequence) + suffix }

  static func hex(_ sequence: UInt64) -> String {
    let digits = String(sequence, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }

  /// The number in a name that begins as a snapshot's, whatever its ending: unfinished and set-aside files count too,
  /// so that their numbers are not given out again.
  static func sequence(of name: String) -> UInt64? {
    guard name.hasPrefix(prefix) else { return nil }
    return parseHex(name.dropFirst(prefix.count).prefix(16))
  }

  static func parseHex(_ digits: Substring) -> UInt64? {
    guard digits.utf8.count == 16, !digits.hasPrefix("+"), !digits.hasPrefix("-") else { return nil }
    return UInt64(digits, radix: 16)
  }

  static func isLeftover(_ name: String) -> Bool {
    name.hasSuffix(AtomicFile.temporarySuffix)
      && (sequence(of: name) != nil || name == sequenceFileName + AtomicFile.temporarySuffix)
  }

  func names() throws(SnapshotError) -> [String] {
    do throws(SystemError) {
      return try FileSystem.names(in: path)
    } catch {
      throw SnapshotErrorContext(path: path).system(error)
    }
  }
}
