// Places in JSON: the scanner's grammar, and what is taken out. Against Postgres, document by document: JSONPlaceTwinTests.

import TestSupport
import Testing
import VectorIndex

@testable import PostgresSource

struct JSONPlaceTests {
  /// The tokens of a document; strings and keys as they are decoded.
  private func tokens(_ text: String) throws -> [String] {
    var scanner = JSONScanner(Array(text.utf8))
    var found: [String] = []
    while true {
      let token = try scanner.next()
      switch token {
      case .end:
        #expect(try scanner.next() == .end)
        return found
      case .objectStart: found.append("{")
      case .objectEnd: found.append("}")
      case .arrayStart: found.append("[")
      case .arrayEnd: found.append("]")
      case .key(let range): found.append(String(decoding: try scanner.decoded(range), as: UTF8.self) + ":")
      case .string(let range): found.append(String(decoding: try scanner.decoded(range), as: UTF8.self))
      case .number(let range): found.append("#" + String(decoding: scanner.bytes[range], as: UTF8.self))
      case .bool(let value): found.append(value ? "yes" : "no")
      case .null: found.append("-")
      }
    }
  }

  @Test func documentsAreRead() throws {
    let cases: [(String, [String])] = [
      ("1", ["#1"]), (" -0.50 ", ["#-0.50"]), ("\"\"", [""]), ("null", ["-"]), ("[]", ["[", "]"]),
      ("{}", ["{", "}"]),
      (
        "\t[1 , true,\n\r[ ],{ \"a\" : false , \"\":{} } ]",
        [
          "[", "#1", "yes", "[", "]", "{", "a:", "no", ":", "{", "}", "}", "]",
        ]
      ),
      (#""\"\\\/\b\f\n\r\t\u0041\u00e7\uD83D\uDC18ç""#, ["\"\\/\u{8}\u{C}\n\r\tAç🐘ç"]),
      (#"{"\"": "\u0001"}"#, ["{", "\":", "\u{1}", "}"]),
    ]
    for (text, expected) in cases { #expect(try tokens(text) == expected, "\(text)") }
    let deep = String(repeating: "[", count: 65_536) + String(repeating: "]", count: 65_536)
    #expect(try tokens(deep).count == 131_072)
  }

  @Test func whatIsNoJSONSaysWhere() throws {
    let cases: [(String, String)] = [
      ("", "ends too early, at byte 0"), ("[1", "ends too early, at byte 2"), ("{\"a\":", "ends too early"),
      ("1 2", "follows the value, at byte 2"), ("[1 2]", "neither a comma"), ("[1}", "neither a comma"),
      ("{\"a\":1]", "neither"),
      ("[,]", "no JSON value"), ("[1,]", "no JSON value"), ("{\"a\":1,}", "a key that is no string"),
      ("{1:2}", "a key that is no string"), ("{\"a\" 1}", "no colon"), ("{\"a\"", "no colon"), ("]", "no JSON value"),
      ("tru", "no JSON value"),
      ("01", "no JSON value"), ("-", "no JSON value"), ("1.", "no digits"), (".5", "no JSON value"),
      ("1e5", "exponent"),
      ("1.5E-3", "exponent"), ("\"a", "without an end"), ("\"a\\", "without an end"), ("\"a\nb\"", "control character"),
      (#""\x""#, "an escape"), (#""\u00""#, "an escape"), (#""\u00g0""#, "an escape"), (#""\u0000""#, "an escape"),
      (#""\uD83D""#, "an escape"), (#""\uDC18""#, "an escape"), (#""\uD83D\u0041""#, "an escape"),
      (#""\uD83D\uD8""#, "an escape"),
      (String(repeating: "[", count: 65_537), "more than 65536"),
    ]
    for (text, words) in cases {
      let fault = #expect(throws: JSONScanner.Fault.self, "\(text.prefix(40))") { try tokens(text) }
      #expect(fault?.description.contains(words) == true, "\(text.prefix(40)): \(fault?.description ?? "")")
    }
  }

  private func value(
    _ document: String, _ path: [SourceAttribute.Step], _ type: AttributeType
  ) throws -> AttributeValue {
    try JSONPlace(path: path, type: type).value(in: Array(document.utf8))
  }

  @Test func placesAreFound() throws {
    let document = #"{"a": [10, 20, [30, {"b": 40}]], "k\"ey": 1, "é": 2, "0": 3, "": 4, "z": {"a": {"a": 5}}}"#
    let cases: [([SourceAttribute.Step], AttributeValue)] = [
      ([.key("a"), .element(0)], .int64(10)), ([.key("a"), .element(1)], .int64(20)),
      ([.key("a"), .element(2), .element(0)], .int64(30)), ([.key("a"), .element(-1), .element(-2)], .int64(30)),
      ([.key("a"), .element(-1), .element(-1), .key("b")], .int64(40)), ([.key("a"), .element(-3)], .int64(10)),
      ([.key("a"), .element(-4)], .null), ([.key("a"), .element(3)], .null), ([.key("a"), .key("0")], .null),
      ([.key("k\"ey")], .int64(1)), ([.key("k\\\"ey")], .null), ([.key("é")], .int64(2)), ([.key("0")], .int64(3)),
      ([.element(0)], .null), ([.key("")], .int64(4)), ([.key("z"), .key("a"), .key("a")], .int64(5)),
      ([.key("b")], .null), ([.key("é"), .key("x")], .null),
      // A value by itself is an array of one.
      ([.key("é"), .element(0)], .int64(2)), ([.key("é"), .element(-1), .element(0)], .int64(2)),
      ([.key("é"), .element(1)], .null), ([.key("é"), .element(-2)], .null),
    ]
    for (path, expected) in cases { #expect(try value(document, path, .int64) == expected, "\(path)") }
    #expect(try value("7", [.element(0)], .int64) == .int64(7))
    #expect(try value("[]", [.element(-1)], .int64) == .null)
  }

  @Test func typesAreRead() throws {
    let uuid = AttributeValue.uuid(high: 0x6F1C_0A00_0000_4000, low: 0x8000_0000_0000_BEEF)
    let uuidText = #""6f1c0a00-0000-4000-8000-00000000beef""#
    let cases: [(String, AttributeType, AttributeValue)] = [
      ("true", .bool, .bool(true)), ("\"true\"", .bool, .null), ("1", .bool, .null), ("null", .bool, .null),
      ("9223372036854775807", .int64, .int64(.max)), ("9223372036854775808", .int64, .null),
      ("-9223372036854775808", .int64, .int64(.min)), ("-9223372036854775809", .int64, .null),
      ("99999999999999999999", .int64, .null), ("3.000", .int64, .int64(3)), ("3.001", .int64, .null),
      ("-0", .int64, .int64(0)), ("\"3\"", .int64, .null), ("0.5", .float64, .float64(0.5)),
      ("-1.25", .float64, .float64(-1.25)), ("true", .float64, .null), ("\"a\\u00e7\"", .keyword, .keyword("aç")),
      ("7", .keyword, .null),
      (uuidText, .uuid, uuid), ("\"none\"", .uuid, .null), ("7", .uuid, .null),
      ("\"2000-01-01T00:00:01Z\"", .timestamp, .timestamp(1_000_000)), ("\"yesterday\"", .timestamp, .null),
      ("[1, \"1\", 1.5, [1], null, 2]", .int64Array, .array([.int64(1), .null, .null, .null, .null, .int64(2)])),
      ("[\"a\", 1, {\"b\": [\"c\"]}, \"\"]", .keywordArray, .array([.keyword("a"), .null, .null, .keyword("")])),
      ("[\(uuidText), \"x\"]", .uuidArray, .array([uuid, .null])), ("[]", .keywordArray, .array([])),
      ("{}", .keywordArray, .null), ("\"a\"", .keywordArray, .null), ("null", .int64Array, .null),
    ]
    for (document, type, expected) in cases {
      #expect(try value(document, [], type) == expected, "\(document) \(type)")
    }
  }

  @Test func theEdgesOfDoubles() throws {
    let zeros = String(repeating: "0", count: 323)
    let cases: [(String, AttributeValue)] = [
      ("17976931348623157" + String(repeating: "0", count: 292), .float64(.greatestFiniteMagnitude)),
      ("-17976931348623157" + String(repeating: "0", count: 292) + ".000", .float64(-.greatestFiniteMagnitude)),
      // Nearer to the largest double than that, but more than the number that the SQL compares with.
      ("17976931348623157" + String(repeating: "0", count: 291) + "1", .null),
      ("17976931348623157" + String(repeating: "0", count: 292) + ".0001", .null),
      ("17976931348623158" + String(repeating: "0", count: 292), .null),
      ("1" + String(repeating: "0", count: 309), .null),
      ("17976931348623156" + String(repeating: "9", count: 292), .float64(.greatestFiniteMagnitude)),
      ("0." + zeros + "5", .float64(.leastNonzeroMagnitude)), ("-0." + zeros + "5", .float64(-.leastNonzeroMagnitude)),
      ("0." + zeros + "4999", .float64(0)), ("0." + zeros + "05", .float64(0)),
      ("0." + zeros.dropLast() + "01", .float64(0)),
      ("0." + zeros.dropLast() + "09", .float64(2 * Double.leastNonzeroMagnitude)), ("0", .float64(0)),
      ("-0.000", .float64(0)),
      ("0.1" + String(repeating: "0", count: 400) + "1", .float64(0.1)),
    ]
    for (document, expected) in cases { #expect(try value(document, [], .float64) == expected, "\(document)") }
  }

  @Test func whatIsTooLong() throws {
    let long = "\"" + String(repeating: "x", count: 65_536) + "\""
    #expect(throws: AttributeField.Fault.self) { try value(long, [], .keyword) }
    #expect(throws: AttributeField.Fault.self) { try value("[\(long)]", [], .keywordArray) }
    // As a time or a UUID it is none.
    #expect(try value(long, [], .uuid) == .null)
    let many = "[" + String(repeating: "1,", count: 65_535)
    #expect(throws: AttributeField.Fault.self) { try value(many + "1]", [], .int64Array) }
    #expect(
      try value(many.dropLast() + "]", [], .int64Array) == .array([AttributeValue](repeating: .int64(1), count: 65_535))
    )
  }

  @Test(arguments: testSeeds) func mutatedDocumentsEndInAFaultOrAValue(seed: UInt64) {
    print("mutated documents, seed \(seed)")
    var random = SeededRandom(seed: seed)
    let document = Array(#"{"a": [1, {"b": "x\u00e7\"", "c": [true, null]}, -2.5], "d": {"a": {}}, "e": "🐘"}"#.utf8)
    let paths: [[SourceAttribute.Step]] = [
      [.key("a"), .element(-2), .key("b")], [.key("d"), .key("a")], [.key("e")], [], [.key("nothing")],
    ]
    var faults = 0
    var values = 0
    for _ in 0..<20_000 {
      var bytes = document
      for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
        let place = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: bytes[place] = random.pick(Array("{}[]\",:\\u09.-tfn \u{1}".utf8) + [0xFF, 0xC3])
        case 1: bytes.remove(at: place)
        default: bytes.removeSubrange(place...)
        }
      }
      let place = JSONPlace(path: random.pick(paths), type: random.pick(AttributeType.allCases))
      do {
        _ = try place.value(in: bytes)
        values += 1
      } catch { faults += 1 }
    }
    #expect(faults > 3_000 && values > 3_000, "\(faults) faults, \(values) values")
  }
}
