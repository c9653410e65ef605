// What becomes an attribute, and what is refused: types, collations and generated columns.
//
// May use: Preflight, Catalog, AttributeSQL.

internal import VectorIndex

/// Where the columns are.
enum AttributeOrigin {
  case table(UInt32)
  /// The query as a table expression.
  case query(String)
}

extension Preflight {
  private static let jsonb: UInt32 = 3802
  private static let allowed =
    "An attribute is a boolean, smallint, integer, bigint, real, double precision, timestamptz, uuid, text or varchar, or an array "
    + "of integers, uuids or text."

  func attributes(
    _ wanted: [SourceAttribute], among columns: [Connection.ResultColumn], of what: String, _ origin: AttributeOrigin
  ) throws(SourceError) -> [SourceDescription.Attribute] {
    guard !wanted.isEmpty else { return [] }
    var found: [(attribute: SourceAttribute, field: AttributeField, type: AttributeType)] = []
    for attribute in wanted {
      let column = try find(attribute.column, among: columns, of: what)
      if attribute.path.isEmpty {
        let (field, type) = try plain(attribute, column, of: what)
        found.append((attribute, field, type))
      } else {
        let type = try placed(attribute, column, of: what)
        found.append((attribute, AttributeSQL.field(name: attribute.name, type: type), type))
      }
    }
    func names(_ attributes: [SourceAttribute]) -> [String] { Set(attributes.map(\.column)).sorted() }
    let texts = found.filter { $0.attribute.path.isEmpty && $0.type.element == .keyword }.map(\.attribute)
    let facts = try catalog.columnFacts(names(wanted), texts: names(texts), of: origin)
    let usual = try catalog.collation(Catalog.defaultCollation)
    var attributes: [SourceDescription.Attribute] = []
    for (attribute, field, type) in found {
      let column = facts[attribute.column]
      if column?.isGenerated == true { throw generated(attribute, of: what) }
      var ordersBytewise = false
      if type.element == .keyword {
        // What is taken out of JSON has the database's own collation.
        let collation = attribute.path.isEmpty ? column?.collation : usual
        if let collation, !collation.isDeterministic { throw nondeterministic(attribute, collation, of: what) }
        ordersBytewise = type == .keyword && collation?.ordersBytewise == true
      }
      attributes.append(
        SourceDescription.Attribute(
          column: AttributeColumn(attribute.name, type, ordersBytewise: ordersBytewise),
          sourceColumn: attribute.column, path: attribute.path, field: field,
          expression: AttributeSQL.expression(column: attribute.column, path: attribute.path, type: type)))
    }
    do throws(IndexError) {
      // Names that are there twice, too long ones, too many.
      _ = try AttributeSchema(attributes.map(\.column))
    } catch {
      throw SourceError(.invalidArgument, "--attributes: \(error.message).")
    }
    return attributes
  }

  /// Columns of any type, whose text is kept.
  func payload(
    _ names: [String], among columns: [Connection.ResultColumn], of what: String, _ origin: AttributeOrigin
  ) throws(SourceError) -> [String] {
    guard !names.isEmpty else { return [] }
    guard names.count <= HNSWConfiguration.payloadColumnsMax, Set(names).count == names.count else {
      throw SourceError(
        .invalidArgument,
        "--payload: 1 to \(HNSWConfiguration.payloadColumnsMax) different columns, not: \(SQLText.identifiers(names)).")
    }
    for name in names { _ = try find(name, among: columns, of: what) }
    let facts = try catalog.columnFacts(names, texts: [], of: origin)
    for name in names where facts[name]?.isGenerated == true { throw generated(SourceAttribute(name), of: what) }
    return names
  }

  /// A column that is the attribute itself.
  private func plain(
    _ attribute: SourceAttribute, _ column: Connection.ResultColumn, of what: String
  ) throws(SourceError) -> (AttributeField, AttributeType) {
    let scalar: AttributeField.Scalar?
    var isArray = false
    if let own = AttributeField.Scalar(typeOID: column.typeOID) {
      scalar = own
    } else {
      // An array's elements may be of a domain, which counts as what it is made of.
      let element = try catalog.elementType(ofArray: column.typeOID)
      scalar = element.flatMap { AttributeField.Scalar(typeOID: $0) }
      isArray = scalar != nil
    }
    guard let scalar, let type = scalar.attributeType(isArray: isArray) else {
      throw try unsupported(attribute, column, of: what)
    }
    if let stated = attribute.type, stated != type {
      let typeName = try catalog.typeNames([column]).first ?? "unknown"
      throw SourceError(
        .attributeType,
        "The attribute \(SQLText.identifier(attribute.name)) is stated to be \(SourceAttribute.typeName(stated)), but the column "
          + "\(SQLText.identifier(column.name)) of \(what) is of type \(typeName), which gives "
          + "\(SourceAttribute.typeName(type)). Leave the type out, or read a query that casts the column.")
    }
    return (AttributeField(name: attribute.name, scalar: scalar, isArray: isArray), type)
  }

  /// A place in a jsonb column.
  private func placed(
    _ attribute: SourceAttribute, _ column: Connection.ResultColumn, of what: String
  ) throws(SourceError) -> AttributeType {
    guard column.typeOID == Self.jsonb else {
      let typeName = try catalog.typeNames([column]).first ?? "unknown"
      throw SourceError(
        .attributeType,
        "The attribute \(SQLText.identifier(attribute.name)) is a place in the column \(SQLText.identifier(column.name)) of "
          + "\(what), which is of type \(typeName), not jsonb. "
          + (typeName == "json"
            ? "Read a query that casts it: \(SQLText.identifier(column.name))::jsonb." : "Name a jsonb column."))
    }
    guard let type = attribute.type else {
      throw SourceError(
        .invalidArgument,
        "--attributes: \(SQLText.identifier(attribute.name)) is a place in JSON, which does not tell what is meant: say its type, "
          + "one of \(SourceAttribute.typeNames.map(\.name).joined(separator: ", ")).")
    }
    return type
  }

  private func unsupported(
    _ attribute: SourceAttribute, _ column: Connection.ResultColumn, of what: String
  ) throws(SourceError) -> SourceError {
    let name = SQLText.identifier(column.name)
    let typeName = try catalog.typeNames([column]).first ?? "unknown"
    let cast =
      switch column.typeOID {
      case Self.jsonb:
        "Name a place in it, with its type: \(attribute.name)=\(column.name)->KEY:TYPE."
      case 1700: "Read a query that casts it: \(name)::float8 AS \(name), or ::int8 where it is whole."
      case 1082: "Read a query that says at which offset: \(name)::timestamp AT TIME ZONE 'UTC' AS \(name)."
      case 1114: "Read a query that says at which offset: \(name) AT TIME ZONE 'UTC' AS \(name)."
      case _ where typeName.hasSuffix("[]"): "Read a query that casts it: \(name)::text[] AS \(name)."
      default: "Read a query that casts it: \(name)::text AS \(name)."
      }
    return SourceError(
      .attributeType,
      "The column \(name) of \(what) is of type \(typeName), which no attribute has. \(Self.allowed) \(cast)")
  }

  private func generated(_ attribute: SourceAttribute, of what: String) -> SourceError {
    SourceError(
      .attributeGenerated,
      "The column \(SQLText.identifier(attribute.column)) of \(what) is generated, and generated columns are not in the changes that "
        + "Postgres sends. Name the columns that it is made of, or read a query.")
  }

  private func nondeterministic(
    _ attribute: SourceAttribute, _ collation: Catalog.Collation, of what: String
  ) -> SourceError {
    let name = SQLText.identifier(attribute.column)
    return SourceError(
      .attributeCollation,
      "The column \(name) of \(what) has the collation \(collation.name), which takes different texts for equal; filters compare "
        + "bytes. Read a query with another one: \(name) COLLATE \"C\" AS \(name).")
  }
}
