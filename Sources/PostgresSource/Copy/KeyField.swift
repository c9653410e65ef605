// A column of a key as binary COPY and the stream of changes have it.
//
// May use: VectorIndex for RecordID. Unsafe, as BinaryCopyDecoder is: the caller has compared the length with the bytes at hand.

internal import VectorIndex

extension KeyType {
  /// Whether a field of so many bytes can be one. Text may be as long as an id's byte form lets it.
  func canHave(byteCount: Int) -> Bool {
    switch self {
    case .smallint: byteCount == 2
    case .integer: byteCount == 4
    case .bigint: byteCount == 8
    case .uuid: byteCount == 16
    case .text: byteCount <= RecordID.encodedBytesMax - 3
    }
  }

  /// - Precondition: ``canHave(byteCount:)`` (checked, but for text).
  /// - Returns: nil for a text that is not UTF-8.
  func id(_ bytes: UnsafeRawBufferPointer) -> RecordID? {
    switch self {
    case .smallint: .int64(Int64(bytes.bigEndian(at: 0, as: Int16.self)))
    case .integer: .int64(Int64(bytes.bigEndian(at: 0, as: Int32.self)))
    case .bigint: .int64(bytes.bigEndian(at: 0, as: Int64.self))
    case .uuid: .uuid(high: bytes.bigEndian(at: 0, as: UInt64.self), low: bytes.bigEndian(at: 8, as: UInt64.self))
    case .text: String(validating: bytes, as: UTF8.self).map { .text($0) }
    }
  }
}
