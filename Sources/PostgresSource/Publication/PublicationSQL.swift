// The statements about a publication, as an operator would write them. Pure.
//
// May use: SQLText, FollowCatalog's values.

enum PublicationSQL {
  /// What is published of a table: its name, columns (nil: all) and condition (nil: every row).
  static func entry(_ table: String, columns: [String]?, filter: String?) -> String {
    var text = table
    if let columns { text += " (\(SQLText.identifiers(columns)))" }
    // The line breaks keep a comment at the filter's end from swallowing the parenthesis.
    if let filter { text += filter.contains("--") ? " WHERE (\n\(filter)\n)" : " WHERE (\(filter))" }
    return text
  }

  static func create(_ publication: String, _ entries: [String]) -> String {
    "CREATE PUBLICATION \(SQLText.identifier(publication)) FOR TABLE \(entries.joined(separator: ", ")) WITH "
      + "(publish_via_partition_root = true)"
  }

  static func add(_ entry: String, to publication: String) -> String {
    "ALTER PUBLICATION \(SQLText.identifier(publication)) ADD TABLE \(entry)"
  }

  /// `SET TABLE` would drop the others, so a table's entry is replaced by leaving it out and adding it again.
  static func drop(_ table: String, from publication: String) -> String {
    "ALTER PUBLICATION \(SQLText.identifier(publication)) DROP TABLE \(table)"
  }

  static func publishEverything(_ publication: String) -> String {
    "ALTER PUBLICATION \(SQLText.identifier(publication)) SET (publish = 'insert, update, delete, truncate')"
  }

  static func usePartitionRoot(_ publication: String) -> String {
    "ALTER PUBLICATION \(SQLText.identifier(publication)) SET (publish_via_partition_root = true)"
  }

  static func publishGenerated(_ publication: String) -> String {
    "ALTER PUBLICATION \(SQLText.identifier(publication)) SET (publish_generated_columns = stored)"
  }

  static let walLevel = "ALTER SYSTEM SET wal_level = logical"
}

extension SourceDescription {
  /// The table's columns that following needs, each once: key, vector, attributes, payload.
  var columnsNeeded: [String] {
    var seen = Set<String>()
    return (keyColumns.map(\.name) + [vectorColumn] + attributes.map(\.sourceColumn) + payload)
      .filter { seen.insert($0).inserted }
  }
}
