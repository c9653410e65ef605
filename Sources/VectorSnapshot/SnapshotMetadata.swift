// The small typed facts of a snapshot: configuration, counts, position in Postgres, where it came from.
//
// The container gives them a home and a byte form, and does not know their meaning.
// A reader ignores names that it does not know, so a later release may add some without a new format version.
//
// May use: nothing but the standard library.

/// A metadata value of one of the format's six types.
public enum SnapshotMetadataValue: Hashable, Sendable {
  case flag(Bool)
  case unsigned(UInt64)
  case signed(Int64)
  case real(Double)
  case text(String)
  case bytes([UInt8])
}

/// A Swift type that has a place among the metadata types.
public protocol SnapshotMetadataRepresentable: Sendable {
  init?(_ value: SnapshotMetadataValue)
  var snapshotMetadataValue: SnapshotMetadataValue { get }
}

/// The name of a metadata entry and the type of its value.
///
///     extension SnapshotMetadataKey where Value == UInt64 {
///       static let dimension = SnapshotMetadataKey("dimension")
///     }
public struct SnapshotMetadataKey<Value: SnapshotMetadataRepresentable>: Hashable, Sendable {
  public let name: String

  /// - Precondition: `name` has 1 to 64 characters of `a`–`z`, `0`–`9`, `_`, `.` and `-`.
  public init(_ name: String) {
    precondition(SnapshotMetadata.isName(name), "a metadata name has 1 to 64 of a-z, 0-9, _, . and -")
    self.name = name
  }
}

/// The metadata of a snapshot, by name.
public struct SnapshotMetadata: Hashable, Sendable {
  private var values: [String: SnapshotMetadataValue] = [:]

  public init() {}

  /// The value, or nil when there is none of that name and type.
  public subscript<Value>(key: SnapshotMetadataKey<Value>) -> Value? {
    get { values[key.name].flatMap(Value.init) }
    set { values[key.name] = newValue?.snapshotMetadataValue }
  }

  /// All entries in the order of their names, which is their order in the file.
  public var entries: [(name: String, value: SnapshotMetadataValue)] {
    values.sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value) }
  }

  static func isName(_ name: String) -> Bool {
    (1...64).contains(name.utf8.count)
      && name.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        case UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"): true
        default: false
        }
      }
  }
}

// MARK: - The byte form

extension SnapshotMetadata {
  /// The byte form: the same metadata always gives the same bytes.
  func encode() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.append(littleEndian: UInt32(values.count))
    for (name, value) in entries {
      bytes.append(UInt8(name.utf8.count))
      bytes.append(contentsOf: name.utf8)
      bytes.append(value.typeCode)
      switch value {
      case .flag(let flag):
        bytes.append(flag ? 1 : 0)
      case .unsigned(let number):
        bytes.append(littleEndian: number)
      case .signed(let number):
        bytes.append(littleEndian: UInt64(bitPattern: number))
      case .real(let number):
        bytes.append(littleEndian: number.bitPattern)
      case .text(let text):
        bytes.append(littleEndian: UInt32(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
      case .bytes(let content):
        bytes.append(littleEndian: UInt32(content.count))
        bytes.append(contentsOf: content)
      }
    }
    return bytes
  }

  /// Reads the byte form, whole.
  /// - Returns: nil unless the bytes are exactly what ``encode()`` gives for some metadata.
  static func decode(_ bytes: [UInt8]) -> SnapshotMetadata? {
    var reader = ByteReader(bytes)
    guard let count = reader.read(UInt32.self) else { return nil }
    var metadata = SnapshotMetadata()
    var previous = ""
    for _ in 0..<count {
      guard let nameLength = reader.read(UInt8.self), let nameBytes = reader.read(bytes: Int(nameLength)),
        let name = String(validating: nameBytes, as: UTF8.self), isName(name), name > previous,
        let value = SnapshotMetadataValue(from: &reader)
      else { return nil }
      metadata.values[name] = value
      previous = name
    }
    return reader.isAtEnd ? metadata : nil
  }
}

extension SnapshotMetadataValue {
  fileprivate var typeCode: UInt8 {
    switch self {
    case .flag: 1
    case .unsigned: 2
    case .signed: 3
    case .real: 4
    case .text: 5
    case .bytes: 6
    }
  }

  fileprivate init?(from reader: inout ByteReader) {
    switch reader.read(UInt8.self) {
    case 1:
      guard let byte = reader.read(UInt8.self), byte <= 1 else { return nil }
      self = .flag(byte == 1)
    case 2:
      guard let number = reader.read(UInt64.self) else { return nil }
      self = .unsigned(number)
    case 3:
      guard let number = reader.read(UInt64.self) else { return nil }
      self = .signed(Int64(bitPattern: number))
    case 4:
      guard let pattern = reader.read(UInt64.self) else { return nil }
      self = .real(Double(bitPattern: pattern))
    case 5:
      guard let length = reader.read(UInt32.self), let content = reader.read(bytes: Int(length)),
        let text = String(validating: content, as: UTF8.self)
      else { return nil }
      self = .text(text)
    case 6:
      guard let length = reader.read(UInt32.self), let content = reader.read(bytes: Int(length)) else { return nil }
      self = .bytes(Array(content))
    default:
      return nil
    }
  }
}

extension SnapshotMetadataValue: CustomStringConvertible {
  /// As `vizinho snapshot inspect` prints it; bytes as hex digits.
  public var description: String {
    switch self {
    case .flag(let flag): String(flag)
    case .unsigned(let number): String(number)
    case .signed(let number): String(number)
    case .real(let number): String(number)
    case .text(let text): text
    case .bytes(let bytes): bytes.map { String(UInt16($0) | 0x100, radix: 16).dropFirst() }.joined()
    }
  }
}

// MARK: - The Swift types

extension Bool: SnapshotMetadataRepresentable {
  public init?(_ value: SnapshotMetadataValue) {
    guard case .flag(let flag) = value else { return nil }
    self = flag
  }
  public var snapshotMetadataValue: SnapshotMetadataValue { .flag(self) }
}

extension UInt64: SnapshotMetadataRepresentable {
  public init?(_ value: SnapshotMetadataValue) {
    guard case .unsigned(let number) = value else { return nil }
    self = number
  }
  public var snapshotMetadataValue: SnapshotMetadataValue { .unsigned(self) }
}

extension Int64: SnapshotMetadataRepresentable {
  public init?(_ value: SnapshotMetadataValue) {
    guard case .signed(let number) = value else { return nil }
    self = number
  }
  public var snapshotMetadataValue: SnapshotMetadataValue { .signed(self) }
}

extension Double: SnapshotMetadataRepresentable {
  public init?(_ value: SnapshotMetadataValue) {
    guard case .real(let number) = value else { return nil }
    self = number
  }
  public var snapshotMetadataValue: SnapshotMetadataValue { .real(self) }
}

extension String: SnapshotMetadataRepresentable {
  public init?(_ value: SnapshotMetadataValue) {
    guard case .text(let text) = value else { return nil }
    self = text
  }
  public var snapshotMetadataValue: SnapshotMetadataValue { .text(self) }
}

extension [UInt8]: SnapshotMetadataRepresentable {
  public init?(_ value: SnapshotMetadataValue) {
    guard case .bytes(let bytes) = value else { return nil }
    self = bytes
  }
  public var snapshotMetadataValue: SnapshotMetadataValue { .bytes(self) }
}
