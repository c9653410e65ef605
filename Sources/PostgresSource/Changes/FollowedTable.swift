// A table that is followed: what its load read, and of which types that was. A relation of the stream that is still so is bound to it; any other
// is refused, for Postgres sends no rows when an ALTER TABLE rewrites them.
//
// May use: SourceDescription, FollowFacts, PgOutputMessage.

internal import VectorIndex

/// What of a table is followed. Made when its rows are loaded, of what the catalog says at that moment.
package struct FollowedTable: Hashable, Sendable {
  package let description: SourceDescription
  /// Those that are needed, each once, by their names.
  let columns: [String: FollowFacts.Column]
  let payload: [PayloadText]
  /// For each attribute, nil where it is a column itself.
  let places: [JSONPlace?]

  /// - columns: all that the description names; others do no harm.
  /// - Throws: ``SourceError`` with `invalidArgument` (a query has no changes), `columnMissing`, or `attributeType` for payload of a type whose
  ///   text the stream cannot give.
  package init(_ description: SourceDescription, columns: [FollowFacts.Column]) throws(SourceError) {
    guard let table = description.table else {
      throw SourceError(
        .invalidArgument, "A query cannot be followed, because Postgres sends the changes of tables: name a table.")
    }
    let all = Dictionary(columns.map { ($0.name, $0) }) { first, _ in first }
    var needed: [String: FollowFacts.Column] = [:]
    for name in Self.names(in: description) {
      guard let column = all[name] else {
        throw SourceError(.columnMissing, "There is no column \(SQLText.identifier(name)) in \(table).")
      }
      needed[name] = column
    }
    var payload: [PayloadText] = []
    for name in description.payload {
      guard let text = needed[name].flatMap({ PayloadText(typeOID: $0.baseTypeOID) }) else {
        throw SourceError(
          .attributeType,
          "The payload column \(SQLText.identifier(name)) of \(table) is of a type whose text does not come with changes. Payload that is followed "
            + "is smallint, integer, bigint, boolean, uuid, text, varchar, char(n), json or jsonb: leave the column out of --payload, or add a "
            + "column with its text to the table.")
      }
      payload.append(text)
    }
    self.description = description
    self.columns = needed
    self.payload = payload
    places = description.attributes.map { attribute in
      attribute.path.isEmpty ? nil : JSONPlace(path: attribute.path, type: attribute.column.type)
    }
  }

  /// Every column that a description names, once.
  static func names(in description: SourceDescription) -> Set<String> {
    Set(
      description.keyColumns.map(\.name) + [description.vectorColumn] + description.attributes.map(\.sourceColumn)
        + description.payload)
  }
}

// MARK: Binding

extension FollowedTable {
  /// Finds the columns in a relation. More columns than are needed, and another order, do no harm.
  ///
  /// - Throws: ``SourceError`` with `sourceChanged`: the table has another name, lacks a needed column or has it with another type, or has another
  ///   replica identity. Its rows may then be others without a change that was sent: they must be loaded again.
  package func bind(_ relation: PgOutputMessage.Relation) throws(SourceError) -> TableBinding {
    // The stream writes pg_catalog as nothing.
    let name = SQLText.qualified(relation.schema.isEmpty ? "pg_catalog" : relation.schema, relation.name)
    guard name == description.table else {
      throw changed("it is called \(name) now")
    }
    var positions: [String: Int] = [:]
    for (position, column) in relation.columns.enumerated() where columns[column.name] != nil {
      guard positions.updateValue(position, forKey: column.name) == nil else {
        throw changed("its column \(SQLText.identifier(column.name)) comes twice")
      }
    }
    for wanted in columns.values.sorted(by: { $0.name < $1.name }) {
      let quoted = SQLText.identifier(wanted.name)
      guard let position = positions[wanted.name] else {
        throw changed("its column \(quoted) was dropped or renamed, or is not published any more")
      }
      let found = relation.columns[position]
      guard found.typeOID == wanted.typeOID else {
        throw changed("its column \(quoted) has another type (\(found.typeOID) in pg_type, not \(wanted.typeOID))")
      }
      guard found.typeModifier == wanted.typeModifier else {
        throw changed(
          "the type of its column \(quoted) has another modifier, such as a length or a dimension (\(found.typeModifier) in pg_attribute, not "
            + "\(wanted.typeModifier))")
      }
    }
    try checkIdentity(of: relation)
    // Every needed column has a position: it was looked for above.
    func position(_ name: String) -> Int { positions[name] ?? 0 }
    return TableBinding(
      table: self, fieldCount: relation.columns.count, isKey: relation.columns.map(\.isKey),
      keys: description.keyColumns.map { position($0.name) }, vector: position(description.vectorColumn),
      attributes: description.attributes.map { position($0.sourceColumn) },
      payload: description.payload.map(position))
  }

  private func checkIdentity(of relation: PgOutputMessage.Relation) throws(SourceError) {
    // All of an old row is more than its key.
    if relation.replicaIdentity == .full { return }
    let flagged = Set(relation.columns.lazy.filter(\.isKey).map(\.name))
    let missing = description.keyColumns.map(\.name).filter { !flagged.contains($0) }
    guard missing.isEmpty else {
      throw changed(
        "its replica identity lacks \(SQLText.identifiers(missing)), by which rows are known here; give it one that has them with "
          + "ALTER TABLE \(description.table ?? "") REPLICA IDENTITY …")
    }
    guard flagged.count == description.keyColumns.count else {
      throw changed(
        "its primary key or replica identity is \(SQLText.identifiers(flagged.sorted())) now, which is more than "
          + "\(SQLText.identifiers(description.keyColumns.map(\.name))), so that rows may have other names")
    }
  }

  private func changed(_ what: String) -> SourceError {
    SourceError(
      .sourceChanged,
      "The table \(description.table ?? "") was altered since its rows were loaded: \(what). Load it again.")
  }
}
