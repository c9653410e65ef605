// The hashes of RowHasher, said in SQL: the sums of a table's buckets, and the rows of some of them.
//
// SELECTs from each other. The first reads the table, with the row conditions and the expressions of a load; the second makes bytes of the values;
// the third hashes them, and for sums a fourth adds them up. OFFSET 0 keeps Postgres from merging them, which would evaluate an expression once for
// each time that its value is used; it costs no parallelism. No literal has a backslash, so nothing depends on standard_conforming_strings.
// Functions are named with their schema, so none that somebody made can take their place.
//
// Runs on PostgreSQL 15 and later, and pgvector 0.7 and later. Where md5() is forbidden (FIPS) the server says so.
//
// May use: SourceDescription, SQLText.

/// The statements of one source.
package struct ProofSQL: Hashable, Sendable {
  /// The bucket of rows without a vector, and of zero vectors where those are left out.
  static let nullBucket = -1
  static let zeroBucket = -2
  private static let two64 = "18446744073709551616"

  private let description: SourceDescription
  private let from: String
  private let filter: String?
  private let leavesOutZeroVectors: Bool
  private let vectorSchema: String

  /// - source: as it was loaded: the filter of a table is part of it.
  /// - leavesOutZeroVectors: whether the index has the cosine metric, under which a zero vector has no place.
  /// - vectorSchema: of the extension, by the catalog's name.
  package init(
    source: RowSource, description: SourceDescription, leavesOutZeroVectors: Bool, vectorSchema: String
  ) {
    self.description = description
    self.leavesOutZeroVectors = leavesOutZeroVectors
    self.vectorSchema = vectorSchema
    switch source {
    case .table(let table):
      from = description.table ?? ""
      filter = table.filter
    case .query(let query):
      from = query.fromClause
      filter = nil
    }
  }

  /// One pass over the source: a line for each bucket that has rows, with its number, their count, the XOR of their `h` (signed) and their sum
  /// modulo 2^64 (unsigned). Rows that an index leaves out have a bucket below 0; a NULL key has the bucket NULL.
  package var sums: String {
    let zero = leavesOutZeroVectors ? "WHEN NOT \(isNonzero) THEN \(Self.zeroBucket) " : ""
    let place = "CASE WHEN r.v IS NULL THEN \(Self.nullBucket) \(zero)ELSE \(bucket("r.k")) END"
    let read = "SELECT \(key) AS k, \(values)\nFROM \(from)\(condition([]))\nOFFSET 0"
    let bytes = "SELECT \(place) AS bucket, r.k, \(byteValues)\nFROM (\n\(read)\n) AS r\nOFFSET 0"
    let hashes = "SELECT b.bucket, \(row) AS h\nFROM (\n\(bytes)\n) AS b\nOFFSET 0"
    // A sum of int8 is numeric, and mod() has the sign of what it divides.
    let sum = "pg_catalog.mod(pg_catalog.sum(h.h), \(Self.two64))"
    return
      "SELECT h.bucket, pg_catalog.count(*), pg_catalog.bit_xor(h.h), pg_catalog.mod(\(sum) + \(Self.two64), \(Self.two64))\n"
      + "FROM (\n\(hashes)\n) AS h\nGROUP BY h.bucket"
  }

  /// The columns of the key, as text, and `h` (signed) of the rows of some buckets that an index has.
  package func rows(ofBuckets buckets: [Int]) -> String {
    let list = buckets.map(String.init).joined(separator: ",")
    let names = description.keyColumns.map(\.name)
    // Not ::text, which takes the blanks off a char(n).
    let texts = names.indices.map { "pg_catalog.concat(\(SQLText.identifier(names[$0]))) AS t\($0)" }
    let conditions = [
      "\(SQLText.identifier(description.vectorColumn)) IS NOT NULL", "\(bucket(key)) = ANY ('{\(list)}'::int4[])",
    ]
    let read =
      "SELECT \(texts.joined(separator: ", ")), \(key) AS k, \(values)\nFROM \(from)\(condition(conditions))\nOFFSET 0"
    let kept = names.indices.map { "r.t\($0)" }.joined(separator: ", ")
    let bytes =
      "SELECT \(kept), r.k, \(byteValues)\nFROM (\n\(read)\n) AS r\(leavesOutZeroVectors ? "\nWHERE \(isNonzero)" : "")\nOFFSET 0"
    return "SELECT \(names.indices.map { "b.t\($0)" }.joined(separator: ", ")), \(row)\nFROM (\n\(bytes)\n) AS b"
  }
}

// MARK: The first SELECT

extension ProofSQL {
  /// `K`.
  private var key: String {
    description.keyColumns.map { column in
      let name = SQLText.identifier(column.name)
      switch column.type {
      case .smallint, .integer, .bigint: return Self.bytes("00000008") + " || pg_catalog.int8send(\(name)::int8)"
      case .uuid: return Self.bytes("00000010") + " || pg_catalog.uuid_send(\(name))"
      // What a key of char(n) is padded with belongs to it: concat keeps it, a cast to text does not.
      case .text: return Self.lengthAndBytes("pg_catalog.convert_to(pg_catalog.concat(\(name)), 'UTF8')")
      }
    }.joined(separator: " || ")
  }

  /// The vector, and what stands beside it, as a load reads it.
  private var values: String {
    let attributes = compared.map { "\($0.attribute.expression) AS a\($0.number)" }
    let payload = description.payload.enumerated().map { "\(SQLText.identifier($1))::text AS p\($0)" }
    return (["\(SQLText.identifier(description.vectorColumn)) AS v"] + attributes + payload).joined(separator: ", ")
  }

  private var compared: [(number: Int, attribute: SourceDescription.Attribute)] {
    description.attributes.enumerated().compactMap { number, attribute in
      attribute.field.isCompared ? (number, attribute) : nil
    }
  }

  private func condition(_ conditions: [String]) -> String {
    // The line breaks keep a comment at the filter's end from swallowing the parenthesis.
    let all = (filter.map { ["(\n\($0)\n)"] } ?? []) + conditions
    return all.isEmpty ? "" : "\nWHERE " + all.joined(separator: " AND ")
  }
}

// MARK: The second

extension ProofSQL {
  /// The vector's hash, as bytes, and each value's bytes: NULL where the value is.
  private var byteValues: String {
    let send = description.vectorType == .vector ? "vector_send" : "halfvec_send"
    let hash = Self.first8("\(SQLText.qualified(vectorSchema, send))(r.v)")
    let attributes = compared.map { "\(Self.bytes(of: "r.a\($0.number)", $0.attribute.field)) AS b\($0.number)" }
    let payload = description.payload.indices.map { "pg_catalog.convert_to(r.p\($0), 'UTF8') AS q\($0)" }
    return (["\(hash) AS hv"] + attributes + payload).joined(separator: ", ")
  }

  /// pgvector sums the squares in double precision, in which the square of the smallest component is not 0: its length is 0 exactly where every
  /// component is, which is what an index calls zero.
  private var isNonzero: String {
    let length = description.vectorType == .vector ? "vector_norm" : "l2_norm"
    return "\(SQLText.qualified(vectorSchema, length))(r.v) > 0"
  }

  private static func bytes(of value: String, _ field: AttributeField) -> String {
    guard field.isArray else { return bytes(of: value, field.scalar) }
    // The cast is for arrays of domains and of smaller integers. Without it unnest would be one of several.
    let element =
      switch field.scalar {
      case .uuid: "uuid"
      case .text: "text"
      default: "int8"
      }
    let elements =
      "SELECT \(bytes(of: "u.element", field.scalar)) AS e, u.place FROM pg_catalog.unnest(\(value)::\(element)[]) "
      + "WITH ORDINALITY AS u (element, place) OFFSET 0"
    return "CASE WHEN \(value) IS NOT NULL THEN (SELECT pg_catalog.int4send(pg_catalog.count(*)::int4) || "
      + "coalesce(pg_catalog.string_agg(\(orNull("s.e")), \(Self.bytes("")) ORDER BY s.place), \(Self.bytes(""))) FROM (\(elements)) AS s) END"
  }

  private static func bytes(of value: String, _ scalar: AttributeField.Scalar) -> String {
    switch scalar {
    case .bool: "pg_catalog.boolsend(\(value))"
    case .smallint, .integer, .bigint: "pg_catalog.int8send(\(value)::int8)"
    case .real, .double:
      "CASE WHEN \(value)::float8 = 0 THEN \(bytes("0000000000000000")) WHEN \(value)::float8 = 'NaN' THEN \(bytes("7ff8000000000000")) "
        + "ELSE pg_catalog.float8send(\(value)::float8) END"
    case .timestamptz: "pg_catalog.timestamptz_send(\(value))"
    case .uuid: "pg_catalog.uuid_send(\(value))"
    case .text, .uuidText, .timestampText: "pg_catalog.convert_to(\(value)::text, 'UTF8')"
    }
  }
}

// MARK: The third

extension ProofSQL {
  /// `h`.
  private var row: String {
    let attributes = compared.map { Self.orNull("b.b\($0.number)") }
    let payload = description.payload.indices.map { Self.orNull("b.q\($0)") }
    return Self.first64((["b.k", "b.hv"] + attributes + payload).joined(separator: " || "))
  }

  private func bucket(_ key: String) -> String { "(\(Self.first64(key)) & \(RowHasher.bucketCount - 1))::int4" }

  /// 00 for NULL, else 01, the length, and the bytes.
  private static func orNull(_ value: String) -> String {
    "coalesce(\(bytes("01")) || \(lengthAndBytes(value)), \(bytes("00")))"
  }

  private static func lengthAndBytes(_ value: String) -> String {
    "pg_catalog.int4send(pg_catalog.octet_length(\(value))) || \(value)"
  }

  /// The first 8 bytes of the MD5.
  private static func first8(_ value: String) -> String {
    "pg_catalog.decode(pg_catalog.\"left\"(pg_catalog.md5(\(value)), 16), 'hex')"
  }

  /// The same as a number, signed.
  private static func first64(_ value: String) -> String {
    "('x' || pg_catalog.\"left\"(pg_catalog.md5(\(value)), 16))::bit(64)::int8"
  }

  /// A constant.
  private static func bytes(_ hex: String) -> String { "pg_catalog.decode('\(hex)', 'hex')" }
}
