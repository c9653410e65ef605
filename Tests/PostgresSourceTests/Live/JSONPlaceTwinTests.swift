// The twin of JSONPlace: the SQL by which a load takes attributes out of jsonb. Random documents, the same value of each place both ways.

import TestSupport
import Testing
import VectorIndex

@testable import PostgresSource

@Suite(.serialized)
struct JSONPlaceTwinTests {
  private static let keys = ["a", "b", "0", "", "é", "qu\"ote", "back\\slash", "new\nline", "\u{1}", "🐘"]
  private static let numbers = [
    "0", "-0", "-0.0", "1", "1.0", "1.50", "10e-1", "0.1", "1e400", "-1e400", "1e-400", "1.7976931348623157e308",
    "1.7976931348623158e308",
    "1.79769313486231570001e308", "-1.7976931348623157e308", "1.7976931348623156999e308", "5e-324", "-5e-324",
    "4.9e-324", "4.9406564584124654e-324",
    "9e-324", "2.2250738585072011e-308", "2.2250738585072014e-308", "9223372036854775807", "9223372036854775807.0",
    "9223372036854775808",
    "-9223372036854775808", "-9223372036854775809", "9223372036854775807.5", "1e18", "1e19",
    "12345678901234567890123456789", "3e0", "0.30000000000000004",
    "9007199254740993", "9007199254740992.99999999999999999999", "1e23", "8.5e22", "6.02214076e23", "123456.789e-3",
  ]
  private static let strings = [
    "", "a", "pt", "ção", "🐘", "qu\"ote", "back\\slash", "/", "tab\there", "\u{8}\u{C}\r\n", "\u{1F}\u{7F}\u{80}",
    "\u{2028}", "e\u{301}", "true", "7", "null",
    "6f1c0a00-0000-4000-8000-00000000beef", "6F1C0A00000040008000 00000000beef",
    "{6f1c0a00-0000-4000-8000-00000000beef}",
    "2024-01-31T12:00:00Z", "2024-02-30T12:00:00Z", "2024-01-31 12:00:00.5+05:30", "infinity", "-infinity",
    "0044-03-15T12:00:00Z BC", "now",
  ]

  private static func quoted(_ text: String, _ random: inout SeededRandom) -> String {
    var written = "\""
    for scalar in text.unicodeScalars {
      // Written in one of the ways that JSON has; Postgres writes each in its own.
      let unit = String(scalar.value, radix: 16)
      if scalar == "\"" || scalar == "\\" {
        written += "\\" + String(scalar)
      } else if scalar.value < 0x20 || scalar.value < 0x1_0000 && random.chance(10) {
        written += "\\u" + String(repeating: "0", count: 4 - unit.count) + unit
      } else {
        written.unicodeScalars.append(scalar)
      }
    }
    return written + "\""
  }

  /// Mostly one of the first, so that places meet values.
  private static func key(_ random: inout SeededRandom) -> String {
    random.pick(random.chance(80) ? Array(keys.prefix(2)) : keys)
  }

  private static let depthMax = 4

  private static func document(_ random: inout SeededRandom, depth: Int) -> String {
    // Nearly all documents are objects or arrays, and few are deep.
    let least = depth == depthMax && random.chance(95) ? 5 : 0
    switch Int.random(in: least..<(depth == depthMax ? 10 : depth > 0 ? 7 : 5), using: &random) {
    case 0: return random.pick(["true", "false", "null"])
    case 1, 2:
      guard random.chance(70) else {
        let digits = (0..<Int.random(in: 1...40, using: &random)).map { _ in
          String(Int.random(in: 0...9, using: &random))
        }
        let fraction = random.chance(50) ? "." + digits.reversed().joined() : ""
        return random.pick(["", "-"]) + "1" + digits.joined() + fraction
          + random.pick(["", "", "e-30", "e300", "e-350"])
      }
      return random.pick(numbers)
    case 3, 4: return quoted(random.pick(strings), &random)
    case 5, 6:
      let count = Int.random(in: 0...4, using: &random)
      return "[" + (0..<count).map { _ in document(&random, depth: depth - 1) }.joined(separator: ", ") + "]"
    default:
      let members = (0..<Int.random(in: 1...5, using: &random)).map { _ in
        quoted(key(&random), &random) + ":" + document(&random, depth: depth - 1)
      }
      return "{" + members.joined(separator: ",") + "}"
    }
  }

  private static func path(_ random: inout SeededRandom) -> [SourceAttribute.Step] {
    (0..<Int.random(in: 1...(random.chance(50) ? 1 : 3), using: &random)).map { _ in
      random.chance(70) ? .key(key(&random)) : .element(Int.random(in: -4...4, using: &random))
    }
  }

  @Test(arguments: testSeeds) func everyPlaceIsWhatTheSQLSays(seed: UInt64) throws {
    print("places in JSON, seed \(seed)")
    var random = SeededRandom(seed: seed)
    var documents = (0..<400).map { _ in Self.document(&random, depth: Self.depthMax) }
    for value in Self.numbers + Self.strings.map({ Self.quoted($0, &random) }) {
      documents.append("{\"a\": \(value), \"b\": [null, \(value)]}")
    }
    let types = SourceAttribute.typeNames.map(\.type)
    try LiveDatabase.with { database in
      let connection = try database.connect()
      try connection.query("CREATE TABLE t (id int PRIMARY KEY, v vector(1), doc jsonb)")
      try connection.query(
        "INSERT INTO t SELECT i, '[1]', d::jsonb FROM unnest($1::text[]) WITH ORDINALITY AS x (d, i)",
        [SQLText.textArray(documents)])
      let written = try connection.query("SELECT id, doc::text FROM t")
      #expect(written.count == documents.count)
      var found = 0
      for round in 0..<6 {
        // One place as every type, and many places as some type.
        let known: [[SourceAttribute.Step]] = [[.element(0)], [.element(-1)], [.key("a")], [.key("b")]]
        let shared = round < known.count ? known[round] : Self.path(&random)
        let attributes =
          types.map { SourceAttribute("s\($0)", column: "doc", path: shared, type: $0) }
          + (0..<50).map {
            SourceAttribute("p\($0)", column: "doc", path: Self.path(&random), type: random.pick(types))
          }
        let loaded = try AttributeReadTests.read(database, .table(TableSource("t", attributes: attributes))).rows
        for row in written {
          let id = try #require(Int64(row.text(0)))
          let document = Array(row.text(1).utf8)
          for (number, attribute) in attributes.enumerated() {
            let type = try #require(attribute.type)
            let value = try JSONPlace(path: attribute.path, type: type).value(in: document)
            #expect(value == loaded[id]?[number], "\(attribute.path) as \(type) of \(row.text(1)), seed \(seed)")
            if value != .null { found += 1 }
          }
        }
      }
      print("\(found) of \(6 * (50 + types.count) * documents.count) places had a value")
      #expect(found > 4_000)
    }
  }
}
