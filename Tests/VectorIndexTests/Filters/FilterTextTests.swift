// Filters as text: what is read, what is refused and where, and that reading undoes writing.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct FilterTextTests {
  static let schema: AttributeSchema = {
    do {
      return try AttributeSchema([
        AttributeColumn("tenant", .int64), AttributeColumn("lang", .keyword),
        AttributeColumn("title", .keyword, ordersBytewise: true), AttributeColumn("published", .bool),
        AttributeColumn("created", .timestamp), AttributeColumn("price", .float64), AttributeColumn("doc", .uuid),
        AttributeColumn("tags", .keywordArray), AttributeColumn("groups", .int64Array),
        AttributeColumn("Odd \"Name\"", .int64), AttributeColumn("owners", .uuidArray),
      ])
    } catch {
      fatalError("\(error)")
    }
  }()

  private func parse(_ text: String) throws -> Filter { try Filter(parsing: text, schema: Self.schema) }

  @Test func filtersAreRead() throws {
    let tenant = Filter.comparison("tenant", .equal, .int64(7))
    let cases: [(String, Filter)] = [
      ("tenant = 7", tenant), ("TENANT=7", tenant), ("(((tenant = +7)))", tenant),
      ("tenant != -7", .comparison("tenant", .notEqual, .int64(-7))),
      ("lang in ('pt','en')", .isIn("lang", [.keyword("pt"), .keyword("en")])),
      ("lang not in ('pt', null)", .not(.isIn("lang", [.keyword("pt"), .null]))),
      ("not (published is null)", .not(.isNull("published"))), ("published is not null", .not(.isNull("published"))),
      ("created >= '2000-01-01T00:00:00Z'", .comparison("created", .greaterOrEqual, .timestamp(0))),
      ("created < 'infinity'", .comparison("created", .less, .timestamp(.max))),
      ("tags @> {'a','b'}", .contains("tags", [.keyword("a"), .keyword("b")])), ("tags @> {}", .contains("tags", [])),
      ("groups && {1,NULL}", .overlaps("groups", [.int64(1), .null])),
      ("'a' = any (tags)", .anyEqual("tags", .keyword("a"))), ("null = any(groups)", .anyEqual("groups", .null)),
      ("title prefix 'Lin'", .hasPrefix("title", "Lin")),
      ("title between 'a' and 'b'", .between("title", .keyword("a"), .keyword("b"))),
      ("tenant not between 1 and 2", .not(.between("tenant", .int64(1), .int64(2)))),
      ("price > 1", .comparison("price", .greater, .float64(1))),
      ("price = 1.5e3", .comparison("price", .equal, .float64(1_500))),
      ("price <= 'nan'", .comparison("price", .lessOrEqual, .float64(.nan))),
      ("published = true", .comparison("published", .equal, .bool(true))),
      ("title = 'it''s'", .comparison("title", .equal, .keyword("it's"))),
      ("\"Odd \"\"Name\"\"\" = 1", .comparison("Odd \"Name\"", .equal, .int64(1))),
      (
        "doc = '00000000-0000-0001-0000-000000000002'", .comparison("doc", .equal, .uuid(high: 1, low: 2))
      ),
      ("tenant = 7 and true or false", .or([.and([tenant, .always(true)]), .always(false)])),
      ("not tenant = 7 and true", .and([.not(tenant), .always(true)])),
      ("tenant = 7 and (true or false)", .and([tenant, .or([.always(true), .always(false)])])),
      ("tenant between 1 and 2 and true", .and([.between("tenant", .int64(1), .int64(2)), .always(true)])),
    ]
    for (text, filter) in cases { #expect(try parse(text) == filter, "\(text)") }
  }

  @Test func whatIsWrongIsSaidWithItsPlace() {
    let cases: [(String, IndexError.Code, String)] = [
      ("", .invalidFilter, "at character 1"), ("tenant", .invalidFilter, "at character 7"),
      ("tenant =", .invalidFilter, "at character 9"), ("tenant = 7 8", .invalidFilter, "at character 12"),
      ("tenant = 'x'", .filterTypeMismatch, "at character 10"),
      ("tenant = 1.5", .filterTypeMismatch, "\"tenant\" is int64"),
      ("tenant = 9223372036854775808", .invalidFilter, "64 bits"), ("nobody = 1", .unknownAttribute, "\"nobody\""),
      ("é = 1", .unknownAttribute, "at character 1"), ("title = 'é' and lang < 'a'", .orderRefused, "at character 22"),
      ("lang between 'a' and 'b'", .orderRefused, "COLLATE \"C\""), ("tags = 'a'", .filterTypeMismatch, "@>"),
      ("lang @> {'a'}", .filterTypeMismatch, "no array"), ("tenant prefix 'a'", .filterTypeMismatch, "PREFIX"),
      ("lang in ()", .invalidFilter, "empty"), ("title = 'open", .invalidFilter, "no closing quote"),
      ("title = \"open\"", .invalidFilter, "a value is expected"), ("\"\" = 1", .invalidFilter, "empty"),
      ("tenant = 7 & true", .invalidFilter, "means nothing"), ("tenant = -", .invalidFilter, "sign"),
      ("tenant ? 1", .invalidFilter, "at character 8"), ("(tenant = 7", .invalidFilter, ") is expected"),
      ("tenant not = 7", .invalidFilter, "IN or BETWEEN"), ("tenant is 7", .invalidFilter, "NULL"),
      ("tenant between 1 or 2", .invalidFilter, "AND is expected"), ("7 = tenant", .invalidFilter, "ANY"),
      ("created > '2024-01-01'", .filterTypeMismatch, "offset"),
      ("created > '2024-02-30T00:00:00Z'", .filterTypeMismatch, "timestamp"),
      ("doc = '123'", .filterTypeMismatch, "UUID"),
      ("doc = '+0000000-0000-0001-0000-000000000002'", .filterTypeMismatch, "UUID"),
      ("price < 1e999", .invalidFilter, "too large"), ("published = 1", .filterTypeMismatch, "true or false"),
      ("title = 'a\0b'", .invalidFilter, "none of them zero"),
      ("tenant = any (7)", .invalidFilter, "a value is expected"),
      (String(repeating: "(", count: 1_000) + "true", .invalidFilter, "64 brackets"),
      (String(repeating: "not ", count: 1_000) + "true", .invalidFilter, "64 brackets"),
      (String(repeating: "not ", count: 17) + "true", .invalidFilter, "16 levels"),
      ((0..<300).map { "tenant = \($0)" }.joined(separator: " or "), .invalidFilter, "256 conditions"),
      ("tenant in (" + (0...10_000).map(String.init).joined(separator: ",") + ")", .invalidFilter, "10000 values"),
      ("title = '" + String(repeating: "x", count: 64 << 10) + "'", .invalidFilter, "65536"),
    ]
    for (text, code, part) in cases {
      do {
        let filter = try parse(text)
        Issue.record("\(text.prefix(80)) was read as \(filter)")
      } catch let error as IndexError {
        #expect(error.code == code && error.message.contains(part), "\(text.prefix(80)): \(error.code), \(error)")
      } catch {
        Issue.record("\(error)")
      }
    }
  }

  @Test(arguments: testSeeds) func readingUndoesWriting(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    for _ in 0..<3_000 {
      let schema = random.schema()
      let filter = random.filter(schema, depth: 6)
      let text = filter.description
      #expect(try Filter(parsing: text, schema: schema) == filter, "\(text), seed \(seed)")
      #expect(try filter.validated(against: schema) == filter)
    }
  }

  @Test(arguments: testSeeds) func noTextCrashes(seed: UInt64) throws {
    var random = SeededRandom(seed: seed)
    let alphabet = Array("andortiscl=<>@&{}()',\"\\ \n\t0123456789+-.eE'é\u{301}😀_$%".unicodeScalars)
    let words = [
      "and", "or", "not", "in", "is", "null", "between", "any", "true", "prefix", "tenant", "tags", "'a'", "7", "(",
      ")",
      "{", "}", ",", "=", "<", "@>", "&&", "title", "created", "'2024-01-01T00:00:00Z'",
    ]
    var read = 0
    for round in 0..<20_000 {
      var text: String
      switch round % 3 {
      case 0:
        text = ""
        for _ in 0..<Int.random(in: 0...40, using: &random) { text.unicodeScalars.append(random.pick(alphabet)) }
      case 1: text = (0..<Int.random(in: 0...14, using: &random)).map { _ in random.pick(words) }.joined(separator: " ")
      default:
        var bytes = Array(random.filter(Self.schema).description.utf8)
        for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
          let i = Int.random(in: 0..<bytes.count, using: &random)
          switch Int.random(in: 0..<3, using: &random) {
          case 0: bytes[i] = UInt8.random(in: 0...255, using: &random)
          case 1: bytes.remove(at: i)
          default: bytes.insert(contentsOf: bytes[i...].prefix(9), at: i)
          }
        }
        text = String(decoding: bytes, as: UTF8.self)
      }
      do {
        let filter = try parse(text)
        // What was read can be written, and read again.
        #expect(try parse(filter.description) == filter, "\(text), seed \(seed)")
        read += 1
      } catch let error as IndexError {
        #expect(!error.message.isEmpty)
      }
    }
    #expect(read > 100)
  }

  @Test func filtersAreWrittenAsSQL() throws {
    let cases: [(String, String)] = [
      ("tenant = 7", "\"tenant\" = '7'::int8"),
      ("title > 'it''s'", "\"title\" collate \"C\" > 'it''s'::text"),
      ("lang in ('pt', null)", "\"lang\" in ('pt'::text, null)"),
      ("lang = 'a\\'' or true'", "\"lang\" =  E'a\\\\'' or true'::text"),
      ("tags @> {'a', null}", "\"tags\"::text[] @> array['a'::text, null]::text[]"),
      ("groups && {}", "\"groups\" && '{}'"),
      ("1 = any (groups)", "'1'::int8 = any (\"groups\"::int8[])"),
      ("title prefix 'Lin'", "starts_with(\"title\", 'Lin'::text)"),
      ("price = 'NaN'", "\"price\" = 'NaN'::float8"),
      ("\"Odd \"\"Name\"\"\" is not null", "\"Odd \"\"Name\"\"\" is not null"),
      ("created = '2024-01-31T12:00:00Z'", "\"created\" = '2024-01-31T12:00:00Z'::timestamptz"),
      (
        "not (tenant = 1 or tenant between 2 and 3)",
        "not (\"tenant\" = '1'::int8 or (\"tenant\" between '2'::int8 and '3'::int8))"
      ),
    ]
    for (text, sql) in cases { #expect(try parse(text).sql == sql) }
  }

  @Test func timestampsAreReadAndWritten() {
    let cases: [(String, Int64)] = [
      ("2000-01-01T00:00:00Z", 0), ("1999-12-31T23:59:59.999999Z", -1), ("1970-01-01T00:00:00Z", -946_684_800_000_000),
      ("2024-02-29T12:34:56.5Z", 762_525_296_500_000),
      ("infinity", .max), ("-infinity", .min), ("294276-12-31T23:59:59.999999Z", TimestampText.end - 1),
      ("4714-11-24T00:00:00Z BC", TimestampText.first), ("1900-03-01T00:00:00Z", -3_150_576_000_000_000),
    ]
    for (text, value) in cases {
      #expect(TimestampText.parse(text) == value, "\(text)")
      #expect(TimestampText.text(value) == text)
    }
    let same = [
      "2000-01-01 01:00:00+01", "2000-01-01t00:00z", "1999-12-31T18:30:00-05:30", "2000-01-01T05:45:00.000+0545",
    ]
    for text in same { #expect(TimestampText.parse(text) == 0, "\(text)") }
    let wrong = [
      "", "2000", "2000-01-01", "2000-01-01T00:00:00", "2000-13-01T00:00:00Z", "2000-00-01T00:00:00Z",
      "2001-02-29T00:00:00Z",
      "1900-02-29T00:00:00Z", "2000-01-01T24:00:00Z", "2000-01-01T00:60:00Z", "2000-01-01T00:00:60Z",
      "2000-01-01T00:00:00.1234567Z",
      "2000-01-01T00:00:00+16:00", "2000-01-01T00:00:00+01:60", "0000-01-01T00:00:00Z", "294277-01-01T00:00:00Z",
      "4714-11-23T23:59:59Z BC", "2000-01-01T00:00:00Z AD", "2000-01-01T00:00:00Zx", "999999-01-01T00:00:00Z",
      "2000-1-01T00:00:00Z",
      "２０００-01-01T00:00:00Z", "2000-01-01T00:00:00.Z",
    ]
    for text in wrong { #expect(TimestampText.parse(text) == nil, "\(text)") }
    var random = SeededRandom(seed: 5)
    for _ in 0..<20_000 {
      let value = Int64.random(in: TimestampText.first..<TimestampText.end, using: &random)
      #expect(TimestampText.parse(TimestampText.text(value)) == value)
    }
  }
}
