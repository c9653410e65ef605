// Which columns, or places in jsonb columns, become attributes: as a program says it, and as an operator writes it.
//
// May use: VectorIndex for the types of attributes.

public import VectorIndex

/// An attribute of the rows that is read with them.
public struct SourceAttribute: Hashable, Sendable {
  /// A step into a jsonb value.
  public enum Step: Hashable, Sendable {
    /// The value of an object's key.
    case key(String)
    /// An array's element, from 0.
    case element(Int)
  }

  /// What filters call it.
  public var name: String
  /// The column that it is read from, exactly as the table or the query spells it.
  public var column: String
  /// Where in a jsonb column it stands; empty = it is the column itself.
  public var path: [Step]
  /// Its type. With a path, it must be there: a JSON value of another type counts as NULL. Without one, it follows from the column's,
  /// and the two must agree.
  public var type: AttributeType?

  /// - column: nil = called as the attribute.
  public init(_ name: String, column: String? = nil, path: [Step] = [], type: AttributeType? = nil) {
    self.name = name
    self.column = column ?? name
    self.path = path
    self.type = type
  }
}

extension SourceAttribute {
  /// What an attribute's type is called, in Postgres's words, and as which it is taken.
  static let typeNames: [(name: String, type: AttributeType)] = [
    ("bool", .bool), ("int8", .int64), ("float8", .float64), ("timestamptz", .timestamp), ("uuid", .uuid),
    ("text", .keyword), ("int8[]", .int64Array), ("uuid[]", .uuidArray), ("text[]", .keywordArray),
  ]
  /// Other names that Postgres has for them.
  private static let synonyms: [String: String] = [
    "boolean": "bool", "bigint": "int8", "int": "int8", "integer": "int8", "int4": "int8", "smallint": "int8",
    "int2": "int8", "float4": "float8", "real": "float8", "varchar": "text",
  ]

  static func typeName(_ type: AttributeType) -> String { typeNames.first { $0.type == type }?.name ?? type.name }

  fileprivate static func type(named name: String) -> AttributeType? {
    var scalar = name.lowercased()
    let isArray = scalar.hasSuffix("[]")
    if isArray { scalar.removeLast(2) }
    let canonical = (synonyms[scalar] ?? scalar) + (isArray ? "[]" : "")
    return typeNames.first { $0.name == canonical }?.type
  }

  /// Reads a list such as `tenant, lang=metadata->>lang:text, "Odd, Name"`.
  ///
  ///     list       attribute { "," attribute }
  ///     attribute  name [ "=" column { ("->" | "->>") step } ] [ ":" type ]
  ///     step       digits (an array's element), or a key
  ///
  /// Names and keys stand bare, or in double quotes, in which two quotes are one; keys in single quotes as well. `->` and `->>` mean the
  /// same: what is taken out is the type's to say.
  /// - Throws: ``SourceError`` with `invalidArgument`, which says at which character.
  public static func list(parsing text: String) throws(SourceError) -> [SourceAttribute] {
    var parser = AttributeListParser(text)
    return try parser.list()
  }
}

private struct AttributeListParser {
  private let scalars: [Unicode.Scalar]
  private var position = 0

  init(_ text: String) { scalars = Array(text.unicodeScalars) }

  mutating func list() throws(SourceError) -> [SourceAttribute] {
    var attributes: [SourceAttribute] = []
    repeat { attributes.append(try attribute()) } while take(",")
    guard position == scalars.count else { throw fault("a comma") }
    return attributes
  }

  private mutating func attribute() throws(SourceError) -> SourceAttribute {
    var attribute = SourceAttribute(try word("the name of an attribute").text)
    if take("=") {
      attribute.column = try word("the name of a column").text
      while take("->") {
        _ = take(">")
        let step = try word("a key, or the number of an element", quotes: ["\"", "'"])
        if !step.isQuoted, step.text.unicodeScalars.allSatisfy({ ("0"..."9").contains($0) }) {
          guard let number = Int32(step.text) else { throw fault("a smaller number") }
          attribute.path.append(.element(Int(number)))
        } else {
          attribute.path.append(.key(step.text))
        }
      }
    }
    if take(":") {
      let start = position
      let name = try word("a type").text
      guard let type = SourceAttribute.type(named: name) else {
        position = start
        throw fault("one of the types \(SourceAttribute.typeNames.map(\.name).joined(separator: ", "))")
      }
      attribute.type = type
    }
    guard attribute.path.isEmpty || attribute.type != nil else {
      throw fault("a colon and a type, since JSON does not tell what is meant")
    }
    return attribute
  }

  private mutating func skipSpace() {
    while position < scalars.count, scalars[position].properties.isWhitespace { position += 1 }
  }

  private mutating func take(_ symbol: String) -> Bool {
    skipSpace()
    let wanted = Array(symbol.unicodeScalars)
    guard scalars[position...].starts(with: wanted) else { return false }
    position += wanted.count
    return true
  }

  private mutating func word(
    _ what: String, quotes: [Unicode.Scalar] = ["\""]
  ) throws(SourceError) -> (text: String, isQuoted: Bool) {
    skipSpace()
    let start = position
    guard position < scalars.count else { throw fault(what) }
    var text = String.UnicodeScalarView()
    let quote = scalars[position]
    guard quotes.contains(quote) else {
      while position < scalars.count, isBare(position) {
        text.append(scalars[position])
        position += 1
      }
      guard !text.isEmpty else { throw fault(what) }
      return (String(text), false)
    }
    position += 1
    while position < scalars.count {
      let scalar = scalars[position]
      position += 1
      if scalar == quote {
        guard position < scalars.count, scalars[position] == quote else {
          guard !text.isEmpty, !text.contains("\0") else {
            position = start
            throw fault(what)
          }
          return (String(text), true)
        }
        position += 1
      }
      text.append(scalar)
    }
    position = start
    throw fault("a quote at the end of what begins here")
  }

  private func isBare(_ position: Int) -> Bool {
    let scalar = scalars[position]
    if scalar == "-", position + 1 < scalars.count, scalars[position + 1] == ">" { return false }
    return !scalar.properties.isWhitespace && !["\0", ",", "=", ":", "\"", "'"].contains(scalar)
  }

  private func fault(_ expected: String) -> SourceError {
    SourceError(
      .invalidArgument,
      "--attributes: at character \(position + 1), \(expected) is expected. An attribute is NAME, NAME=COLUMN or "
        + "NAME=COLUMN->KEY:TYPE; commas separate them, and names with other than letters, digits and _ stand in double "
        + "quotes.")
  }
}
