// The folder of a journal: its names, and the errors that speak of it.
//
//     journal-<16 hex digits>.vzj        a segment; numbers follow one another
//     journal-<16 hex digits>.vzj.tmp    one that is being begun, or was when its writer died
//
// May use: Files of this module.

import Glibc

struct JournalFolder: Sendable {
  /// What the folder is called in its data directory.
  static let name = "journal"
  private static let prefix = "journal-"
  private static let suffix = ".vzj"

  let path: String
  let fileSystem: FileSystem

  func path(of number: UInt64) -> String { "\(path)/\(Self.prefix)\(SnapshotDirectory.hex(number))\(Self.suffix)" }
  func temporaryPath(of number: UInt64) -> String { path(of: number) + AtomicFile.temporarySuffix }

  /// What is there: the segments' numbers, ascending, and the paths of what never became one.
  func list() throws(SnapshotError) -> (numbers: [UInt64], leftovers: [String]) {
    let names: [String]
    do throws(SystemError) {
      names = try FileSystem.names(in: path)
    } catch {
      throw SnapshotErrorContext(path: path).system(error)
    }
    let leftovers = names.filter {
      $0.hasSuffix(AtomicFile.temporarySuffix)
        && Self.number(of: $0.dropLast(AtomicFile.temporarySuffix.count)) != nil
    }
    return (names.compactMap { Self.number(of: $0[...]) }.sorted(), leftovers.map { "\(path)/\($0)" })
  }

  /// Nil for a name that no segment has.
  private static func number(of name: Substring) -> UInt64? {
    guard name.hasPrefix(prefix), name.hasSuffix(suffix),
      let number = SnapshotDirectory.parseHex(name.dropFirst(prefix.count).dropLast(suffix.count)),
      number <= JournalFormat.numberMax, name == "\(prefix)\(SnapshotDirectory.hex(number))\(suffix)"
    else { return nil }
    return number
  }
}

// MARK: - Errors

extension JournalFolder {
  /// What to do about a journal that cannot be used.
  var advice: String {
    "Restore the folder from a copy, or give the journal up: remove \(path), drop the replication slot of this data "
      + "directory, and rebuild its collections."
  }

  func context(of number: UInt64) -> SnapshotErrorContext {
    SnapshotErrorContext(path: path(of: number), advice: advice)
  }

  /// A call that changes files failed, and nothing is lost by it.
  func failure(_ error: SystemError, path file: String, neededBytes: Int) -> SnapshotError {
    guard error.number == ENOSPC || error.number == EDQUOT else {
      return SnapshotError(
        .io, path: file,
        message: "\(file) could not be written (\(error.text)). What was durable is untouched, and the journal goes "
          + "on when this is mended. Check the permissions of \(path) and the health of the disk.",
        errorNumber: error.number)
    }
    let free = FileSystem.freeBytes(at: path)
    return SnapshotError(
      .noSpace, path: file,
      message: "\(file) could not be written (\(error.text)): it needs \(neededBytes) bytes and \(free) are free in "
        + "\(path). What was durable is untouched, and the journal goes on when there is room. Free some space, or "
        + "move the data directory.",
      space: .init(neededBytes: neededBytes, freeBytes: free), errorNumber: error.number)
  }

  /// The disk did not confirm what was written, after which only the disk itself knows what it has.
  func synchronizationFailure(_ error: SystemError, path file: String) -> SnapshotError {
    SnapshotError(
      .unsynchronized, path: file,
      message: "\(file) could not be made durable (\(error.text)). The system forgets what it could not write, so "
        + "the journal takes and confirms nothing more until it is opened again and has read what the disk holds. "
        + "Check the health and the free space of the disk under \(path), and start again.",
      errorNumber: error.number)
  }
}
