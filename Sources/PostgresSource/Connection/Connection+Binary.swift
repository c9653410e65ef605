// Statements whose values come in binary: a few rows at a time, each as a binary COPY would have it.
//
// May use: libpq. Unsafe, because this is where C hands out its buffers.

internal import CPostgres

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Musl)
  internal import Musl
#endif

extension Connection {
  /// A row of a result.
  struct BinaryRow {
    /// The first fields, as bytes; nil is NULL.
    var head: [[UInt8]?]
    /// The others as binary COPY has a row: i16 number of fields, { i32 length (-1: NULL), bytes }…
    var wire: [UInt8]
  }

  /// Runs one statement, by the extended protocol; all values come in binary.
  ///
  /// The whole result is held, twice for a moment: for statements that say how many rows they give.
  /// - headCount: how many of the first fields are no part of the row.
  /// - Throws: what ``query(_:_:)`` throws.
  func binaryRows(_ sql: String, _ parameters: [String], headCount: Int) throws(SourceError) -> [BinaryRow] {
    let values = parameters.map { strdup($0) }
    defer { for value in values { free(value) } }
    let pointers = values.map { UnsafePointer($0) as UnsafePointer<CChar>? }
    // The last argument: results in binary.
    guard PQsendQueryParams(handle, sql, Int32(parameters.count), nil, pointers, nil, nil, 1) == 1 else { throw lost() }
    return try takeLastResult { result in
      let fieldCount = Int(PQnfields(result))
      let head = 0..<min(headCount, fieldCount)
      return (0..<PQntuples(result)).map { row in
        var wire: [UInt8] = []
        Self.append(Int16(fieldCount - head.count), to: &wire)
        for column in head.upperBound..<fieldCount {
          let bytes = Self.field(result, row, column)
          Self.append(Int32(bytes?.count ?? -1), to: &wire)
          if let bytes { wire.append(contentsOf: bytes) }
        }
        return BinaryRow(head: head.map { Self.field(result, row, $0).map { [UInt8]($0) } }, wire: wire)
      }
    }
  }

  /// Valid as long as the result; nil for NULL.
  private static func field(_ result: OpaquePointer, _ row: Int32, _ column: Int) -> UnsafeRawBufferPointer? {
    guard PQgetisnull(result, row, Int32(column)) == 0 else { return nil }
    return UnsafeRawBufferPointer(
      start: PQgetvalue(result, row, Int32(column)), count: Int(PQgetlength(result, row, Int32(column))))
  }

  private static func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
    withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
  }
}
