// Payload in the stream of changes: from a type's binary form to the text that `column::text` gives, which is what a load reads.
//
// Only types whose text follows from their bytes alone: what a setting of the session has a say in (dates, floats, bytea) is not among them.
//
//     smallint, integer, bigint   digits               boolean     true, false
//     uuid                        lower case           text, varchar, json   as they are
//     char(n)                     without the blanks at its end        jsonb   after its version, 1
//
// May use: VectorIndex for the text of a UUID. Unsafe, as BinaryCopyDecoder is: what is read was compared with the field's length.

internal import VectorIndex

/// A type whose values the stream can give as text.
enum PayloadText: Hashable, Sendable, CaseIterable {
  case smallint, integer, bigint, boolean, uuid, text, character, json, jsonb

  /// By the OID of a type that is no domain. Built-in types have the same one everywhere.
  init?(typeOID: UInt32) {
    switch typeOID {
    case 21: self = .smallint
    case 23: self = .integer
    case 20: self = .bigint
    case 16: self = .boolean
    case 2950: self = .uuid
    case 25, 1043: self = .text
    case 1042: self = .character
    case 114: self = .json
    case 3802: self = .jsonb
    default: return nil
    }
  }

  /// - Returns: nil for bytes that no Postgres sends.
  func text(_ bytes: UnsafeRawBufferPointer) -> String? {
    switch self {
    case .smallint: return bytes.count == 2 ? String(bytes.bigEndian(at: 0, as: Int16.self)) : nil
    case .integer: return bytes.count == 4 ? String(bytes.bigEndian(at: 0, as: Int32.self)) : nil
    case .bigint: return bytes.count == 8 ? String(bytes.bigEndian(at: 0, as: Int64.self)) : nil
    case .boolean: return bytes.count == 1 && bytes[0] <= 1 ? (bytes[0] == 1 ? "true" : "false") : nil
    case .uuid:
      return KeyType.uuid.canHave(byteCount: bytes.count) ? KeyType.uuid.id(bytes)?.description : nil
    case .text, .json: return String(validating: bytes, as: UTF8.self)
    case .character:
      let blanks = bytes.reversed().prefix { $0 == UInt8(ascii: " ") }.count
      return String(validating: bytes.dropLast(blanks), as: UTF8.self)
    case .jsonb: return Self.document(bytes).flatMap { String(validating: $0, as: UTF8.self) }
    }
  }

  /// The JSON text in the bytes of a jsonb; nil: there is none.
  static func document(_ bytes: UnsafeRawBufferPointer) -> Slice<UnsafeRawBufferPointer>? {
    bytes.first == 1 ? bytes.dropFirst() : nil
  }
}
