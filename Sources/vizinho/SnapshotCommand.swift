// `vizinho snapshot inspect`: what is in a snapshot file.
//
// May use: VectorSnapshot; VectorServer, for grouped digits.

import ArgumentParser
import Foundation
import VectorIndex
import VectorServer
import VectorSnapshot

struct SnapshotCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "snapshot", abstract: "Looks into snapshot files.", subcommands: [SnapshotInspectCommand.self])
}

struct SnapshotInspectCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Prints what a snapshot holds: its facts, its sections and their sizes.",
    discussion: "Reads only; may run beside a server. With --verify every block is read and checked.")

  @Argument(help: "A snapshot file, or a collection's folder, of which the newest is taken.") var path: String
  @Flag(help: "Read and check every block.") var verify = false

  func run() async throws {
    var isFolder: ObjCBool = false
    let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isFolder)
    let file: SnapshotFile
    if exists, isFolder.boolValue {
      guard let newest = try SnapshotDirectory(path: path).openNewest() else {
        throw ValidationError(
          "the folder \(path) holds no snapshot; a collection's folder is DATA-DIR/collections/NAME")
      }
      file = newest
    } else {
      file = try SnapshotFile(path: path)
    }
    print("\(file.path)")
    print(
      "format version \(file.formatVersion), \(file.byteCount.grouped) bytes, blocks of \(file.blockBytes >> 10) KiB"
    )
    for entry in file.metadata.entries { print("  \(entry.name): \(entry.value)") }
    let attributes = (try? IndexSnapshot.configuration(of: file).attributes) ?? .empty
    let names = file.sections.map { Self.name(of: $0, attributes) }
    let width = max(14, names.map(\.count).max() ?? 0)
    print(Self.left("section", width) + "     raw bytes        stored    ratio   blocks   stored raw")
    for (section, name) in zip(file.sections, names) {
      print(
        Self.left(name, width)
          + Self.right(section.byteCount.grouped, 14)
          + Self.right(section.storedByteCount.grouped, 14)
          + Self.right(String(format: "%.3f", section.ratio), 9)
          + Self.right("\(section.blockCount)", 9) + Self.right("\(section.rawBlockCount)", 13))
    }
    if verify {
      let threads = ProcessInfo.processInfo.activeProcessorCount
      try await onOwnThread { [file] in try file.verify(threads: threads) }
      print("every block is as it was written")
    }
  }

  /// `attribute 3 (tags): elements`
  private static func name(of section: SnapshotSectionInfo, _ attributes: AttributeSchema) -> String {
    guard let part = IndexPart(rawValue: section.id.rawValue) else { return "section \(section.id)" }
    guard case .attribute(let own, let column) = part, column < attributes.columns.count else { return part.name }
    return "attribute \(column + 1) (\(attributes.columns[column].name)): \(own.name)"
  }

  private static func left(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  private static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }
}
