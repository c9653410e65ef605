// Reads the modifiers of Golden/protocol-vectors.json: a filter is a text, or a list that begins with its condition's name.

import Foundation
import VectorIndex

@testable import VectorWire

struct GoldenModifiers: Decodable {
  struct Grouping: Decodable { var attribute: String, perGroup: Int }
  struct Diversity: Decodable { var lambda: Float, candidates: Int }
  struct NotOlder: Decodable { var position: GoldenPosition, waitMilliseconds: Int }
  struct Strong: Decodable { var waitMilliseconds: Int }

  var filter: GoldenFilter?
  var filters: [GoldenFilter?]?
  var distanceMax: Float?
  var offset: Int?
  var grouping: Grouping?
  var diversity: Diversity?
  var explain: Bool?
  /// Empty: all.
  var payload: [String]?
  var notOlder: NotOlder?
  var strong: Strong?

  func value() throws -> SearchModifiers {
    var modifiers = SearchModifiers()
    if let filter { modifiers.filters = .all(try filter.value()) }
    if let filters { modifiers.filters = .each(try filters.map { try $0?.value() }) }
    modifiers.distanceMax = distanceMax
    modifiers.offset = offset ?? 0
    modifiers.grouping = grouping.map { .init(attribute: $0.attribute, perGroup: $0.perGroup) }
    modifiers.diversity = diversity.map { .init(lambda: $0.lambda, candidates: $0.candidates) }
    modifiers.explains = explain ?? false
    modifiers.payload = payload.map { $0.isEmpty ? .all : .columns($0) }
    if let notOlder {
      modifiers.freshness = .position(notOlder.position.value, waitMilliseconds: notOlder.waitMilliseconds)
    }
    if let strong { modifiers.freshness = .strong(waitMilliseconds: strong.waitMilliseconds) }
    return modifiers
  }
}

enum GoldenFilter: Decodable {
  case text(String)
  case tree(Filter)

  func value() throws -> WireFilter {
    switch self {
    case .text(let text): try WireFilter(text: text)
    case .tree(let filter): try WireFilter(filter)
    }
  }

  init(from decoder: any Decoder) throws {
    if let text = try? decoder.singleValueContainer().decode(String.self) {
      self = .text(text)
    } else {
      self = .tree(try GoldenNode(from: decoder).filter)
    }
  }
}

private struct GoldenNode: Decodable {
  var filter: Filter

  init(from decoder: any Decoder) throws {
    var list = try decoder.unkeyedContainer()
    func text() throws -> String { try list.decode(String.self) }
    func value() throws -> AttributeValue { try list.decode(GoldenValue.self).value }
    func values() throws -> [AttributeValue] { try list.decode([GoldenValue].self).map(\.value) }
    func nodes() throws -> [Filter] { try list.decode([GoldenNode].self).map(\.filter) }
    switch try text() {
    case "always": filter = .always(try list.decode(Bool.self))
    case "comparison":
      let column = try text()
      let symbol = try text()
      guard let comparison = FilterComparison.allCases.first(where: { $0.symbol == symbol }) else {
        throw GoldenError.unknown(symbol)
      }
      filter = .comparison(column, comparison, try value())
    case "isIn": filter = .isIn(try text(), try values())
    case "between": filter = .between(try text(), try value(), try value())
    case "isNull": filter = .isNull(try text())
    case "contains": filter = .contains(try text(), try values())
    case "overlaps": filter = .overlaps(try text(), try values())
    case "anyEqual": filter = .anyEqual(try text(), try value())
    case "hasPrefix": filter = .hasPrefix(try text(), try text())
    case "and": filter = .and(try nodes())
    case "or": filter = .or(try nodes())
    case "not": filter = .not(try list.decode(GoldenNode.self).filter)
    case let other: throw GoldenError.unknown(other)
    }
  }
}

private struct GoldenValue: Decodable {
  var value: AttributeValue

  init(from decoder: any Decoder) throws {
    var pair = try decoder.unkeyedContainer()
    switch try pair.decode(String.self) {
    case "null": value = .null
    case "bool": value = .bool(try pair.decode(Bool.self))
    case "int64": value = .int64(try pair.decode(Int64.self))
    case "float64": value = .float64(try pair.decode(Double.self))
    case "timestamp": value = .timestamp(try pair.decode(Int64.self))
    case "uuid":
      guard case .uuid(let high, let low)? = RecordID(try pair.decode(String.self), kind: .uuid) else {
        throw GoldenError.unknown("uuid")
      }
      value = .uuid(high: high, low: low)
    case "keyword": value = .keyword(try pair.decode(String.self))
    case let other: throw GoldenError.unknown(other)
    }
  }
}
