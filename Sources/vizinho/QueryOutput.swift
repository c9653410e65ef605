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
    var payload: [String: String?]?
  }

  private struct Answer: Encodable {
    var exact: Bool
    var distancesComputed: UInt32
    var matchingRows: UInt64?
    var plan: String?
    var shortfall: String?
    var explanation: [String]?
    var appliedLSN: String
    var stale: Bool?
    var results: [Row]
  }

  func results(_ reply: SearchReply) throws -> String {
    guard let answer = reply.answers.first else { return "" }
    let receipt = answer.receipt
    let columns = reply.payloadColumns
    let hasPayload = reply.parts.contains(.payload)
    let rows = answer.results.map { result in
      Row(
        id: result.id.description, distance: result.distance, group: result.group,
        payload: hasPayload ? Dictionary(zip(columns, result.payload), uniquingKeysWith: { $1 }) : nil)
    }
    if isJSON {
      return try encoded(
        Answer(
          exact: receipt.isExact, distancesComputed: receipt.distancesComputed,
          matchingRows: receipt.filtering?.matchingRows, plan: receipt.filtering.map { "\($0.plan)" },
          shortfall: receipt.shortfall.map { "\($0)" },
          explanation: answer.explanation.map { $0.split(separator: "\n").map(String.init) },
          appliedLSN: reply.position.words, stale: reply.isStale ? true : nil, results: rows))
    }
    let width = max(2, rows.map(\.id.count).max() ?? 2)
    let isGrouped = reply.parts.contains(.groups)
    var lines: [String] = []
    for (row, result) in zip(rows, answer.results) {
      let id = row.id.padding(toLength: width, withPad: " ", startingAt: 0)
      let group = row.group.map { "  \($0)" } ?? ""
      lines.append(id + String(format: "  %.6f", row.distance) + group)
      for (column, value) in zip(columns, result.payload) {
        lines.append("    \(column): \(value.map(Self.line) ?? "NULL")")
      }
    }
    let head =
      "id".padding(toLength: width, withPad: " ", startingAt: 0) + "  distance" + (isGrouped ? "  group" : "")
    var foot =
      "\(rows.count) rows, \(receipt.isExact ? "exact" : "approximate"), \(receipt.distancesComputed) distances"
    if let filtering = receipt.filtering {
      foot += ", \(filtering.matchingRows) rows match (\(filtering.plan))"
    }
    if let shortfall = receipt.shortfall { foot += ", \(Self.words(shortfall))" }
    foot += ", in step with \(reply.position.words)"
    if reply.isStale { foot += ", stale: the collection follows Postgres no more" }
    let explanation = answer.explanation.map { ["", $0] } ?? []
    return ([head] + lines + [foot] + explanation).joined(separator: "\n")
  }

  /// A text as one line, without what would steer a terminal.
  private static func line(_ text: String) -> String {
    String(String.UnicodeScalarView(text.unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
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
            "storage": $0.storage.name, "ids": "\($0.recordIDKind)", "applied_lsn": $0.position.words,
          ]
        })
    }
    return all.map {
      "\($0.name): \($0.rows) rows, \($0.dimension) dimensions, \($0.metric.name), \($0.storage.name), \($0.recordIDKind) ids, "
        + "in step with \($0.position.words)"
    }.joined(separator: "\n")
  }

  func numbers(_ all: [Statistic], _ described: Described) throws -> String {
    let texts =
      all.map { ($0.name, $0.value.text) }
      + described.attributes.columns.map { column in
        let flags =
          (column.isIndexed ? ", found by value" : "") + (column.ordersBytewise ? ", ordered bytewise" : "")
          + (column.isTenant ? ", the tenant" : "")
        return ("attribute.\(column.name)", column.type.name + flags)
      }
      + (described.payload.isEmpty ? [] : [("payload", described.payload.joined(separator: ", "))])
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
  fileprivate var words: String { appliedLSN == 0 ? "an unknown LSN" : lsnText }
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
