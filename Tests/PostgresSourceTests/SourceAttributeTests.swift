// The list of attributes as an operator writes it, and what it becomes in SQL.

import Testing
import VectorIndex

@testable import PostgresSource

struct SourceAttributeTests {
  @Test func listsAreRead() throws {
    let cases: [(String, [SourceAttribute])] = [
      ("tenant", [SourceAttribute("tenant")]),
      (" Tenant , lang=Language ", [SourceAttribute("Tenant"), SourceAttribute("lang", column: "Language")]),
      (
        "lang=meta->>lang:text,n = meta -> a->'b'->>\"c d\" : bigint",
        [
          SourceAttribute("lang", column: "meta", path: [.key("lang")], type: .keyword),
          SourceAttribute("n", column: "meta", path: [.key("a"), .key("b"), .key("c d")], type: .int64),
        ]
      ),
      (
        "first=tags->0:text, zero=tags->'0':text[]",
        [
          SourceAttribute("first", column: "tags", path: [.element(0)], type: .keyword),
          SourceAttribute("zero", column: "tags", path: [.key("0")], type: .keywordArray),
        ]
      ),
      (
        #""Odd, ""Name""="=a-b:UUID[]"#,
        [SourceAttribute("Odd, \"Name\"=", column: "a-b", type: .uuidArray)]
      ),
      ("ção:float4", [SourceAttribute("ção", type: .float64)]),
      ("k=m->'it''s':timestamptz", [SourceAttribute("k", column: "m", path: [.key("it's")], type: .timestamp)]),
    ]
    for (text, attributes) in cases { #expect(try SourceAttribute.list(parsing: text) == attributes, "\(text)") }
  }

  @Test func whatIsNoListSaysWhere() throws {
    let cases: [(String, String)] = [
      ("", "character 1, the name of an attribute"), ("a,", "character 3, the name of an attribute"),
      (",a", "character 1, "), ("a b", "character 3, a comma"), ("a=", "character 3, the name of a column"),
      ("a=m->:text", "character 6, a key"), ("a=m->k", "character 7, a colon and a type"),
      ("a:numeric", "character 3, one of the types bool, int8, float8"), ("a:bool[]", "one of the types"),
      ("a=m->99999999999:text", "a smaller number"), ("\"a", "character 1, a quote at the end"),
      ("\"\"", "character 1, the name"), ("a=m->'k:text", "character 6, a quote"),
      ("a=\"x\0y\"", "character 3, the name"),
      ("a=m->\0:text", "a key"), ("a::text", "character 3, a type"), ("a='b'", "character 3, the name of a column"),
    ]
    for (text, part) in cases {
      let error = #expect(throws: SourceError.self, "\(text)") { try SourceAttribute.list(parsing: text) }
      #expect(
        error?.code == .invalidArgument && error?.message.contains(part) == true, "\(text): \(error?.message ?? "")")
    }
  }

  /// Whatever a name or a key holds, it stays within its quotes.
  @Test func expressionsAreQuoted() {
    let odd = "x\" FROM secrets; -- '\\"
    #expect(AttributeSQL.expression(column: odd, path: [], type: .keyword) == "\"x\"\" FROM secrets; -- '\\\"")
    let placed = AttributeSQL.expression(column: odd, path: [.key("k' || '\\"), .element(3)], type: .keyword)
    let value = "(\"x\"\" FROM secrets; -- '\\\" ->  E'k'' || ''\\\\'::text -> 3)"
    #expect(placed == "CASE WHEN jsonb_typeof(\(value)) = 'string' THEN \(value) #>> '{}' END")
  }
}
