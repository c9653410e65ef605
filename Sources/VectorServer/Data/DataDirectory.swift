// The folder in which a server keeps its collections, and which one process owns.
//
//     LOCK                       held by the process that owns the directory
//     collections/NAME/          the snapshots of one collection (VectorSnapshot/SnapshotDirectory.swift), and a mark where
//                                those are not to be gone on from (VectorSnapshot/StaleMark.swift)
//     journal/                   the changes that came from Postgres (VectorSnapshot/Journal, Follow/StreamLog.swift)
//     control.sock               where an operator's commands come in while the directory is followed (Control/ControlSocket.swift)
//
// May use: VectorSnapshot; Foundation, for the clock and the listing of a folder.

import Foundation
import Synchronization
import VectorIndex
import VectorSnapshot
import VectorWire

/// A data directory that this process owns.
public final class DataDirectory: Sendable {
  public let path: String
  private let lock: DataDirectoryLock
  private let keeping: Int
  /// By collection.
  private let turns = Mutex<[String: SaveTurn]>([:])

  /// Held by whoever writes a snapshot of a collection. Two may want to: of an index, and of the one that will take its place.
  private final class SaveTurn: Sendable {
    let mutex = Mutex(())
  }

  /// Takes the directory.
  ///
  /// - create: makes it when it is missing; otherwise that is an error.
  /// - keeping: snapshots kept of each collection, at least 1.
  /// - Throws: ``SnapshotError`` (`locked`, `notFound`, `io`).
  public init(path: String, create: Bool, keeping: Int = 2) throws(SnapshotError) {
    if !create, !FileManager.default.fileExists(atPath: path) {
      throw SnapshotError(
        .notFound, path: path,
        message: "the data directory \(path) does not exist; check --data-dir, or make it with `vizinho rebuild`")
    }
    self.path = path
    self.keeping = keeping
    lock = try DataDirectoryLock(path: path)
    Self.sweep(path + "/collections")
  }

  /// Deletes what is left of collections that were removed by a process which died over it.
  private static func sweep(_ folder: String) {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    for name in names where name.hasPrefix(".") && name.hasSuffix(removedSuffix) {
      // It is in nobody's way; the next start tries again.
      try? FileManager.default.removeItem(atPath: "\(folder)/\(name)")
    }
  }

  private static let removedSuffix = ".removed"

  /// Whether a collection may be called that: its name is that of a folder, too.
  public static func isName(_ name: String) -> Bool {
    guard (1...128).contains(name.utf8.count), name.utf8.first != UInt8(ascii: ".") else { return false }
    return name.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
      case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."): true
      default: false
      }
    }
  }

  static func checkName(_ name: String) throws(ServerError) {
    guard !isName(name) else { return }
    throw ServerError(
      .invalidConfiguration,
      "collection is \"\(name)\"; a collection's name has 1 to 128 of A–Z, a–z, 0–9, _, - and ., not first a dot")
  }

  /// The names of the collections that have a folder, in ascending order.
  public func collectionNames() throws -> [String] {
    let folder = path + "/collections"
    guard FileManager.default.fileExists(atPath: folder) else { return [] }
    return try FileManager.default.contentsOfDirectory(atPath: folder).filter(Self.isName).sorted()
  }

  /// The folder of one collection's snapshots.
  public func snapshots(of collection: String) -> SnapshotDirectory {
    SnapshotDirectory(path: "\(path)/collections/\(collection)")
  }

  /// Whether a collection's snapshots are ones to go on from.
  func staleMark(of collection: String) -> StaleMark { StaleMark(in: snapshots(of: collection)) }

  /// Loads the newest snapshot of a collection, every block of it verified.
  ///
  /// Blocks the calling thread.
  /// - Returns: nil when it has none.
  /// - Throws: ``SnapshotError``; ``ServerError`` when the snapshot is that of another collection.
  public func load(_ name: String, threads: Int) throws -> Collection? {
    try loadWithOrigin(name, threads: threads)?.collection
  }

  /// A collection from disk, and what its snapshot says of where it came from.
  struct Loaded: Sendable {
    var collection: Collection
    var source: String
    /// nil: it is not followed.
    var followed: FollowedRecord?
  }

  func loadWithOrigin(_ name: String, threads: Int) throws -> Loaded? {
    guard let file = try snapshots(of: name).openNewest() else { return nil }
    let (index, origin) = try IndexSnapshot.load(file, threads: threads)
    guard origin.collection == name else {
      throw ServerError(
        .invalidConfiguration,
        "\(file.path) is a snapshot of the collection \"\(origin.collection)\"; move it to that collection's folder")
    }
    let collection = try Collection(
      name: name, index: index,
      position: Position(systemID: origin.systemID, appliedLSN: origin.appliedLSN, timeline: origin.timeline))
    let followed = try origin.definition.map { text throws(ServerError) in
      guard let followed = FollowedRecord(text: text) else {
        throw ServerError(
          .invalidConfiguration,
          "\(file.path) says how its collection is followed in a way that this program does not know: use a newer one, or "
            + "`vizinho rebuild`")
      }
      return followed
    }
    return Loaded(collection: collection, source: origin.source, followed: followed)
  }

  /// Deletes a collection's folder, for good when it returns. One that is there in part after a crash has no newest snapshot, or its older ones:
  /// it is renamed first.
  func remove(_ name: String) throws {
    let folder = "\(path)/collections/\(name)"
    guard FileManager.default.fileExists(atPath: folder) else { return }
    // A name that begins with a dot is no collection's.
    let gone = "\(path)/collections/.\(name)\(Self.removedSuffix)"
    try? FileManager.default.removeItem(atPath: gone)
    try lock.rename(folder, to: gone)
    try FileManager.default.removeItem(atPath: gone)
  }

  /// The collections that follow Postgres, by their newest snapshots.
  /// - Throws: ``SnapshotError``.
  public func followedCollectionNames() throws -> [String] {
    var names: [String] = []
    for name in try collectionNames() {
      guard let file = try snapshots(of: name).openNewest() else { continue }
      if try IndexSnapshot.origin(of: file).definition != nil { names.append(name) }
    }
    return names
  }

  /// Opens the journal of changes.
  ///
  /// - bytesMax: what its owner lets it grow to. Its segments are so small that most of it can be let go of.
  func openJournal(bytesMax: Int = .max) throws(SnapshotError) -> Journal {
    var options = JournalOptions()
    options.segmentBytes = min(options.segmentBytes, max(bytesMax / 8, 1))
    return try Journal(lock: lock, options: options)
  }

  /// Writes the newest snapshot of a collection.
  ///
  /// Blocks the calling thread.
  public func save(
    _ collection: Collection, source: String, definition: String? = nil, writer: String, threads: Int
  ) throws(SnapshotError) -> SnapshotPublisher.Publication {
    let publication = try save(
      collection, source: source, definition: definition, writer: writer, threads: threads, at: { collection.position })
    guard let publication else { preconditionFailure("there is a place") }
    // What was said of the snapshots before does not hold of this one.
    try staleMark(of: collection.name).remove()
    return publication
  }

  /// Writes the newest snapshot of a collection whose rows may change meanwhile.
  ///
  /// - place: asked at the moment whose rows are written, where they stand; nil: this is no moment to save.
  /// - Returns: nil where `place` did.
  func save(
    _ collection: Collection, source: String, definition: String?, writer: String, threads: Int,
    at place: () -> Position?
  ) throws(SnapshotError) -> SnapshotPublisher.Publication? {
    let turn = turns.withLock { turns in
      let turn = turns[collection.name] ?? SaveTurn()
      turns[collection.name] = turn
      return turn
    }
    // Before the index is frozen, and before the publisher is made, which takes another's unfinished file for a dead one's.
    return try turn.mutex.withLock { _ throws(SnapshotError) in
      try saveInTurn(
        collection, source: source, definition: definition, writer: writer, threads: threads, at: place)
    }
  }

  private func saveInTurn(
    _ collection: Collection, source: String, definition: String?, writer: String, threads: Int,
    at place: () -> Position?
  ) throws(SnapshotError) -> SnapshotPublisher.Publication? {
    // Makes the folder, and `collections` above it, durably.
    let publisher = try SnapshotPublisher(snapshots(of: collection.name), lock: lock, keeping: keeping)
    return try IndexSnapshot.publish(
      collection.index, to: publisher, options: SnapshotWriter.Options(threads: threads)
    ) {
      place().map { position in
        SnapshotOrigin(
          collection: collection.name, source: source, systemID: position.systemID, timeline: position.timeline,
          appliedLSN: position.appliedLSN, createdAt: Int64(Date().timeIntervalSince1970), writer: writer,
          definition: definition)
      }
    }
  }
}
