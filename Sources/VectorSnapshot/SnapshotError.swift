// What can go wrong with snapshots and journals in operation, as one value with a growable code.
//
// May use: nothing but the standard library and Glibc's error texts.

import Glibc

/// An error of a snapshot file, a journal, their folder or the data directory: which file, what was wrong, and what to do next.
public struct SnapshotError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kind of error. A struct, so that adding a code breaks no caller's `switch`.
  public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }

    /// The file does not begin as a snapshot does.
    public static let notASnapshot = Code(rawValue: "notASnapshot")
    /// The file is whole, but of a format version that this program does not read.
    public static let unsupportedVersion = Code(rawValue: "unsupportedVersion")
    /// The file ends before it should, or does not end as it should.
    public static let truncated = Code(rawValue: "truncated")
    /// A checksum does not match, or parts of the file contradict each other.
    public static let corrupted = Code(rawValue: "corrupted")
    /// The file or folder does not exist.
    public static let notFound = Code(rawValue: "notFound")
    /// The system refused to read, write, synchronise or rename.
    public static let io = Code(rawValue: "io")
    /// The disk or the quota is full.
    public static let noSpace = Code(rawValue: "noSpace")
    /// Another process, or another part of this one, owns the data directory.
    public static let locked = Code(rawValue: "locked")
    /// The snapshot is whole but lacks a section, or has it in another size than its reader expects.
    public static let unexpectedSection = Code(rawValue: "unexpectedSection")
    /// The snapshot is whole but lacks a metadata entry, or has it in another type than its reader expects.
    public static let unexpectedMetadata = Code(rawValue: "unexpectedMetadata")
    /// The file is whole, but this program does not know what it holds, or its parts contradict each other.
    public static let unusable = Code(rawValue: "unusable")
    /// A file could not be made durable, and what holds it takes nothing more until it is opened again.
    public static let unsynchronized = Code(rawValue: "unsynchronized")
    /// What was to be written exceeds a limit of the format.
    public static let exceedsFormat = Code(rawValue: "exceedsFormat")
  }

  /// Where in the file the damage is.
  public struct Location: Hashable, Sendable {
    /// The section, when the damage is in one of its blocks.
    public var section: SnapshotSectionID?
    /// The block's number within its section.
    public var block: Int?
    /// Bytes from the beginning of the file.
    public var offset: Int
  }

  /// What a write would have needed.
  public struct Space: Hashable, Sendable {
    /// The most bytes that the file can take; what compresses takes fewer.
    public var neededBytes: Int
    /// The bytes that were free for this process after the unfinished file had been removed.
    public var freeBytes: Int
  }

  public var code: Code
  /// The file or folder.
  public var path: String
  /// A sentence for a person: which file, what was expected, what was found, what to do next.
  public var message: String
  /// Set for ``Code/corrupted``.
  public var location: Location?
  /// Set for ``Code/noSpace``.
  public var space: Space?
  /// The system's `errno`, where a system call failed.
  public var errorNumber: Int32?

  public init(
    _ code: Code, path: String, message: String, location: Location? = nil, space: Space? = nil,
    errorNumber: Int32? = nil
  ) {
    self.code = code
    self.path = path
    self.message = message
    self.location = location
    self.space = space
    self.errorNumber = errorNumber
  }

  public var description: String { message }
}

/// A system call that failed: which one, and its `errno`.
struct SystemError: Error, Hashable, Sendable {
  var call: String
  var number: Int32

  init(_ call: String, _ number: Int32 = errno) {
    self.call = call
    self.number = number
  }

  var text: String { "\(call): \(String(cString: strerror(number)))" }
}

/// Makes the errors of one file that is being read, so that each names the file and ends with what can be done.
struct SnapshotErrorContext: Sendable {
  let path: String
  /// What to do about a file that cannot be used.
  var advice = "Restore the file from a copy, or write a new one with `vizinho rebuild`."

  func notASnapshot(_ found: String) -> SnapshotError {
    SnapshotError(.notASnapshot, path: path, message: "\(path) is not a snapshot: \(found). \(advice)")
  }

  func unsupportedVersion(found: UInt32, supported: ClosedRange<UInt32>) -> SnapshotError {
    SnapshotError(
      .unsupportedVersion, path: path,
      message: "\(path) has snapshot format version \(found), and this program reads versions \(supported.lowerBound) "
        + "to \(supported.upperBound). "
        + "Use the release that wrote it. Otherwise: \(advice)")
  }

  func truncated(_ found: String) -> SnapshotError {
    SnapshotError(.truncated, path: path, message: "\(path) is truncated: \(found). \(advice)")
  }

  func corrupted(
    _ found: String, offset: Int, section: SnapshotSectionID? = nil, block: Int? = nil
  ) -> SnapshotError {
    var place = "at byte \(offset)"
    if let section, let block { place = "in section \(section), block \(block), \(place)" }
    return SnapshotError(
      .corrupted, path: path, message: "\(path) is damaged \(place): \(found). \(advice)",
      location: .init(section: section, block: block, offset: offset))
  }

  func unexpectedSection(_ found: String) -> SnapshotError {
    SnapshotError(.unexpectedSection, path: path, message: "\(path): \(found). \(advice)")
  }

  func unexpectedMetadata(_ found: String) -> SnapshotError {
    SnapshotError(.unexpectedMetadata, path: path, message: "\(path): \(found). \(advice)")
  }

  func unusable(_ found: String) -> SnapshotError {
    SnapshotError(.unusable, path: path, message: "\(path) cannot be used: \(found). \(advice)")
  }

  func system(_ error: SystemError) -> SnapshotError {
    if error.number == ENOENT {
      return SnapshotError(
        .notFound, path: path, message: "\(path) does not exist. Check the path, or run `vizinho rebuild`.",
        errorNumber: error.number)
    }
    return SnapshotError(
      .io, path: path,
      message: "\(path) could not be read (\(error.text)). Check its permissions and the health of the disk.",
      errorNumber: error.number)
  }
}
