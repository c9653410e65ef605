// Filters as they travel: a tree in prefix order with typed values, or text in the filter language.
//
// A request keeps its filters as the bytes that came, as it keeps its vectors: an event loop only cuts them out, and the search thread
// that wants them reads them, under the limits of `Filter`.
//
// May use: NIOCore's ByteBuffer.

import NIOCore
import VectorIndex

/// A filter of a request, in its byte form.
public struct WireFilter: Hashable, Sendable {
  /// What a filter is given as.
  public enum Form: Hashable, Sendable {
    case tree(Filter)
    /// To be read with `Filter(parsing:schema:)`.
    case text(String)
  }

  let bytes: ByteBuffer

  init(bytes: ByteBuffer) { self.bytes = bytes }

  public var byteCount: Int { bytes.readableBytes }

  /// Writes a filter's tree.
  /// - Throws: ``WireError/Code/invalidFilter`` for one that is over a limit of `Filter` or has no byte form.
  public init(_ filter: Filter) throws(WireError) {
    var coder = FilterWriter()
    try coder.write(filter, depth: 1)
    try Self.check(bytes: coder.buffer.readableBytes)
    bytes = coder.buffer
  }

  /// Takes a text as it is: the server reads it against the collection's attributes.
  /// - Throws: ``WireError/Code/invalidFilter`` for one that is over `Filter.textBytesMax`.
  public init(text: String) throws(WireError) {
    guard text.utf8.count <= Filter.textBytesMax else {
      throw WireError(
        .invalidFilter, "a filter's text has at most \(Filter.textBytesMax) bytes, not \(text.utf8.count)")
    }
    var buffer = ByteBuffer()
    buffer.writeField(FormCode.text)
    buffer.writeString(text)
    bytes = buffer
  }

  /// Reads it.
  ///
  /// Complexity: O(bytes); memory at most about 24 times the bytes, for a list of NULLs.
  /// - Throws: ``WireError/Code/malformedFrame``, ``WireError/Code/invalidFilter`` for one that is over a limit,
  ///   ``WireError/Code/unsupportedOption`` for a form, a condition or a type of value that is not known here.
  public func form() throws(WireError) -> Form {
    var reader = FilterReader(reader: BodyReader(bytes))
    return try reader.form()
  }

  static func check(bytes: Int) throws(WireError) {
    guard bytes <= WireProtocol.filterBytesMax else {
      throw WireError(
        .invalidFilter,
        "a filter of \(bytes) bytes; one has at most \(WireProtocol.filterBytesMax): ask in parts, with fewer values each"
      )
    }
  }
}

private enum FormCode {
  static let tree: UInt8 = 1
  static let text: UInt8 = 2
}

/// What a node of a tree begins with.
private enum NodeCode: UInt8 {
  case always = 1
  case comparison = 2
  case isIn = 3
  case between = 4
  case isNull = 5
  case contains = 6
  case overlaps = 7
  case anyEqual = 8
  case hasPrefix = 9
  case and = 10
  case or = 11
  case not = 12
}

/// What a value begins with: 0 for NULL, otherwise the attribute type whose values look like it.
private let nullCode: UInt8 = 0

// MARK: Writing

private struct FilterWriter {
  private(set) var buffer = ByteBuffer()
  private var nodes = 0
  private var listValues = 0

  init() { buffer.writeField(FormCode.tree) }

  mutating func write(_ filter: Filter, depth: Int) throws(WireError) {
    nodes += 1
    try FilterLimits.check(depth: depth)
    try FilterLimits.check(nodes: nodes)
    switch filter {
    case .always(let value):
      code(.always)
      buffer.writeField(value ? 1 as UInt8 : 0)
    case .comparison(let name, let comparison, let value):
      code(.comparison)
      buffer.writeField(comparison.rawValue)
      try text(name)
      try self.value(value)
    case .isIn(let name, let values): try list(.isIn, name, values)
    case .between(let name, let low, let high):
      code(.between)
      try text(name)
      try value(low)
      try value(high)
    case .isNull(let name):
      code(.isNull)
      try text(name)
    case .contains(let name, let values): try list(.contains, name, values)
    case .overlaps(let name, let values): try list(.overlaps, name, values)
    case .anyEqual(let name, let value):
      code(.anyEqual)
      try text(name)
      try self.value(value)
    case .hasPrefix(let name, let prefix):
      code(.hasPrefix)
      try text(name)
      try text(prefix)
    case .and(let parts): try self.parts(.and, parts, depth)
    case .or(let parts): try self.parts(.or, parts, depth)
    case .not(let part):
      code(.not)
      try write(part, depth: depth + 1)
    }
  }

  private mutating func code(_ code: NodeCode) { buffer.writeField(code.rawValue) }

  private mutating func parts(_ code: NodeCode, _ parts: [Filter], _ depth: Int) throws(WireError) {
    try FilterLimits.check(nodes: nodes + parts.count)
    self.code(code)
    buffer.writeField(UInt16(parts.count))
    for part in parts { try write(part, depth: depth + 1) }
  }

  private mutating func list(_ code: NodeCode, _ name: String, _ values: [AttributeValue]) throws(WireError) {
    listValues += values.count
    try FilterLimits.check(listValues: listValues)
    self.code(code)
    try text(name)
    buffer.writeCount(values.count)
    for value in values { try self.value(value) }
  }

  private mutating func text(_ text: String) throws(WireError) {
    guard text.utf8.count <= UInt16.max else {
      throw WireError(.invalidFilter, "a name or a text of a filter has at most \(UInt16.max) bytes")
    }
    buffer.writeField(text)
  }

  private mutating func value(_ value: AttributeValue) throws(WireError) {
    func type(_ type: AttributeType) { buffer.writeField(type.rawValue) }
    switch value {
    case .null: buffer.writeField(nullCode)
    case .bool(let value):
      type(.bool)
      buffer.writeField(value ? 1 as UInt8 : 0)
    case .int64(let value):
      type(.int64)
      buffer.writeField(value)
    case .float64(let value):
      type(.float64)
      buffer.writeField(value.bitPattern)
    case .timestamp(let value):
      type(.timestamp)
      buffer.writeField(value)
    case .uuid(let high, let low):
      type(.uuid)
      buffer.writeMultipleIntegers(high, low, endianness: .big)
    case .keyword(let value):
      type(.keyword)
      try text(value)
    case .array:
      throw WireError(
        .invalidFilter, "a filter compares with single values, not with an array: use contains, overlaps or anyEqual")
    }
  }
}

// MARK: Reading

private struct FilterReader {
  var reader: BodyReader
  private var nodes = 0
  private var listValues = 0

  init(reader: BodyReader) { self.reader = reader }

  mutating func form() throws(WireError) -> WireFilter.Form {
    let code: UInt8 = try reader.integer("form")
    switch code {
    case FormCode.tree:
      let filter = try node(depth: 1)
      try reader.end()
      return .tree(filter)
    case FormCode.text:
      guard reader.remainingBytes <= Filter.textBytesMax else {
        throw WireError(
          .invalidFilter, "a filter's text has at most \(Filter.textBytesMax) bytes, not \(reader.remainingBytes)")
      }
      guard let text = String(validating: reader.rest().readableBytesView, as: UTF8.self) else {
        throw BodyReader.malformed("a filter's text is not UTF-8")
      }
      return .text(text)
    default:
      throw WireError(.unsupportedOption, "a filter is a tree (1) or a text (2), not of form \(code)")
    }
  }

  /// The recursion is as deep as the tree may be, and no deeper.
  private mutating func node(depth: Int) throws(WireError) -> Filter {
    nodes += 1
    try FilterLimits.check(depth: depth)
    try FilterLimits.check(nodes: nodes)
    let raw: UInt8 = try reader.integer("condition")
    guard let code = NodeCode(rawValue: raw) else {
      throw WireError(.unsupportedOption, "a filter's condition of kind \(raw) is not known here")
    }
    switch code {
    case .always: return .always(try reader.flag("truth value"))
    case .comparison:
      let raw: UInt8 = try reader.integer("comparison")
      guard let comparison = FilterComparison(rawValue: raw) else {
        throw WireError(.unsupportedOption, "a filter's comparison \(raw) is not known here")
      }
      return .comparison(try name(), comparison, try value())
    case .isIn: return .isIn(try name(), try list())
    case .between: return .between(try name(), try value(), try value())
    case .isNull: return .isNull(try name())
    case .contains: return .contains(try name(), try list())
    case .overlaps: return .overlaps(try name(), try list())
    case .anyEqual: return .anyEqual(try name(), try value())
    case .hasPrefix: return .hasPrefix(try name(), try reader.string("prefix"))
    case .and: return .and(try parts(depth))
    case .or: return .or(try parts(depth))
    case .not: return .not(try node(depth: depth + 1))
    }
  }

  private mutating func name() throws(WireError) -> String { try reader.string("attribute") }

  private mutating func parts(_ depth: Int) throws(WireError) -> [Filter] {
    let count = Int(try reader.integer("parts", as: UInt16.self))
    try FilterLimits.check(nodes: nodes + count)
    var parts: [Filter] = []
    parts.reserveCapacity(count)
    for _ in 0..<count { parts.append(try node(depth: depth + 1)) }
    return parts
  }

  private mutating func list() throws(WireError) -> [AttributeValue] {
    let count = try reader.count("values")
    listValues += count
    try FilterLimits.check(listValues: listValues)
    // The shortest value is a NULL of one byte.
    guard count <= reader.remainingBytes else {
      throw BodyReader.malformed("a filter is too short for \(count) values")
    }
    var values: [AttributeValue] = []
    values.reserveCapacity(count)
    for _ in 0..<count { values.append(try value()) }
    return values
  }

  private mutating func value() throws(WireError) -> AttributeValue {
    let code: UInt8 = try reader.integer("type of a value")
    if code == nullCode { return .null }
    switch AttributeType(rawValue: code) {
    case .bool: return .bool(try reader.flag("value"))
    case .int64: return .int64(try reader.integer("value"))
    case .float64: return .float64(Double(bitPattern: try reader.integer("value")))
    case .timestamp: return .timestamp(try reader.integer("value"))
    case .uuid:
      let high: UInt64 = try reader.integer("value")
      let low: UInt64 = try reader.integer("value")
      return .uuid(high: high.byteSwapped, low: low.byteSwapped)
    case .keyword: return .keyword(try reader.string("value"))
    case .int64Array, .uuidArray, .keywordArray, nil:
      throw WireError(.unsupportedOption, "a filter's value of type \(code) is not known here")
    }
  }
}

/// The limits of `Filter`, held before anything is made.
private enum FilterLimits {
  static func check(depth: Int) throws(WireError) {
    guard depth <= Filter.depthMax else {
      throw WireError(
        .invalidFilter, "the filter is more than \(Filter.depthMax) levels deep; write it flatter (a AND b AND c)")
    }
  }

  static func check(nodes: Int) throws(WireError) {
    guard nodes <= Filter.nodesMax else {
      throw WireError(
        .invalidFilter, "the filter has more than \(Filter.nodesMax) conditions; use IN for many values of one column")
    }
  }

  static func check(listValues: Int) throws(WireError) {
    guard listValues <= Filter.listValuesMax else {
      throw WireError(
        .invalidFilter, "the filter's lists have more than \(Filter.listValuesMax) values together; ask in parts")
    }
  }
}
