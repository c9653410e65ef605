// What makes two rows one group: the value that they have in a column.
//
// May use: AttributeCells, KeywordDictionary.

extension AttributeCells {
  /// A number that rows of one value have in common, and no others; nil for NULL, which equals nothing, itself neither.
  ///
  /// - Precondition: the column is not of arrays.
  func groupKey(_ row: UInt32) -> UInt128? {
    if isNull(row) { return nil }
    switch column.type {
    case .bool: return UInt128(cell(UInt8.self, row)[0])
    case .int64, .timestamp, .float64: return UInt128(UInt64(bitPattern: cell(Int64.self, row)[0]))
    case .uuid: return cell(UInt128.self, row)[0]
    case .keyword: return UInt128(cell(UInt32.self, row)[0])
    case .int64Array, .uuidArray, .keywordArray: preconditionFailure("groups by an array are refused")
    }
  }

  /// The value that a key stands for.
  func value(ofGroup key: UInt128) -> AttributeValue {
    let low = UInt64(truncatingIfNeeded: key)
    switch column.type {
    case .bool: return .bool(low == 1)
    case .int64: return .int64(Int64(bitPattern: low))
    case .timestamp: return .timestamp(Int64(bitPattern: low))
    case .float64: return .float64(Double(orderedBits: Int64(bitPattern: low)))
    case .uuid: return .uuid(high: UInt64(truncatingIfNeeded: key >> 64), low: low)
    case .keyword: return .keyword(dictionary?.text(UInt32(truncatingIfNeeded: low)) ?? "")
    case .int64Array, .uuidArray, .keywordArray: preconditionFailure("groups by an array are refused")
    }
  }
}
