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
    print("section            raw bytes        stored    ratio   blocks   stored raw")
    for section in file.sections {
      let name = IndexPart(rawValue: section.id.rawValue)?.name ?? "section \(section.id)"
      print(
        name.padding(toLength: 14, withPad: " ", startingAt: 0)
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

  private static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }
}
