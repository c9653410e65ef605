// What `vizinho query` prints: for people, or as JSON.
//
// May use: VectorWire, Foundation's JSON encoder.

import Foundation
import VectorIndex
import VectorWire

struct QueryOutput {
  let isJSON: Bool

  private struct Row: Encodable {
    var id: String
    var distance: Float
    var group: UInt32?
  }

  private struct Answer: Encodable {
    var exact: Bool
    var distancesComputed: UInt32
    var matchingRows: UInt64?
    var plan: String?
    var shortfall: String?
    var explanation: [String]?
    var appliedLSN: String
    var results: [Row]
  }

  func results(_ reply: SearchReply) throws -> String {
    guard let answer = reply.answers.first else { return "" }
    let receipt = answer.receipt
    let rows = answer.results.map { Row(id: $0.id.description, distance: $0.distance, group: $0.group) }
    if isJSON {
      return try encoded(
        Answer(
          exact: receipt.isExact, distancesComputed: receipt.distancesComputed,
          matchingRows: receipt.filtering?.matchingRows, plan: receipt.filtering.map { "\($0.plan)" },
          shortfall: receipt.shortfall.map { "\($0)" },
          explanation: answer.explanation.map { $0.split(separator: "\n").map(String.init) },
          appliedLSN: reply.position.lsnText, results: rows))
    }
    let width = max(2, rows.map(\.id.count).max() ?? 2)
    let isGrouped = reply.parts.contains(.groups)
    let lines = rows.map { row in
      row.id.padding(toLength: width, withPad: " ", startingAt: 0) + String(format: "  %.6f", row.distance)
        + (row.group.map { "  \($0)" } ?? "")
    }
    let head =
      "id".padding(toLength: width, withPad: " ", startingAt: 0) + "  distance" + (isGrouped ? "  group" : "")
    var foot =
      "\(rows.count) rows, \(receipt.isExact ? "exact" : "approximate"), \(receipt.distancesComputed) distances"
    if let filtering = receipt.filtering {
      foot += ", \(filtering.matchingRows) rows match (\(filtering.plan))"
    }
    if let shortfall = receipt.shortfall { foot += ", \(Self.words(shortfall))" }
    foot += ", in step with \(reply.position.lsnText)"
    let explanation = answer.explanation.map { ["", $0] } ?? []
    return ([head] + lines + [foot] + explanation).joined(separator: "\n")
  }

  private static func words(_ shortfall: QueryReceipt.Shortfall) -> String {
    switch shortfall {
    case .fewMatch: "no more rows match"
    case .threshold: "the others are farther than the limit"
    case .groups: "there are no more groups"
    }
  }

  func collections(_ all: [CollectionDescription]) throws -> String {
    if isJSON {
      return try encoded(
        all.map {
          [
            "name": $0.name, "rows": String($0.rows), "dimension": String($0.dimension), "metric": $0.metric.name,
            "storage": $0.storage.name, "ids": "\($0.recordIDKind)", "applied_lsn": $0.position.lsnText,
          ]
        })
    }
    return all.map {
      "\($0.name): \($0.rows) rows, \($0.dimension) dimensions, \($0.metric.name), \($0.storage.name), \($0.recordIDKind) ids, "
        + "in step with \($0.position.lsnText)"
    }.joined(separator: "\n")
  }

  func numbers(_ all: [Statistic], _ attributes: AttributeSchema) throws -> String {
    let texts =
      all.map { ($0.name, $0.value.text) }
      + attributes.columns.map { column in
        let flags = (column.isIndexed ? ", found by value" : "") + (column.ordersBytewise ? ", ordered bytewise" : "")
        return ("attribute.\(column.name)", column.type.name + flags)
      }
    if isJSON { return try encoded(Dictionary(texts, uniquingKeysWith: { $1 })) }
    return texts.map { "\($0.0): \($0.1)" }.joined(separator: "\n")
  }

  private func encoded(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    return String(decoding: try encoder.encode(value), as: UTF8.self)
  }
}

extension Position {
  /// As Postgres prints it; "an unknown LSN" when it is not known.
  fileprivate var lsnText: String {
    guard appliedLSN != 0 else { return "an unknown LSN" }
    return String(appliedLSN >> 32, radix: 16, uppercase: true) + "/"
      + String(appliedLSN & 0xFFFF_FFFF, radix: 16, uppercase: true)
  }
}

extension Statistic.Value {
  fileprivate var text: String {
    switch self {
    case .integer(let value): String(value)
    case .real(let value): String(value)
    case .text(let value): value
    }
  }
}
