// What to read: a table or a query, as the user names it.
//
// May use: SourceAttribute.

/// Where the rows come from.
public enum RowSource: Hashable, Sendable {
  /// A table, read by several connections at once, range by range; a partitioned one leaf by leaf.
  case table(TableSource)
  /// The result of a query, read as one stream.
  case query(QuerySource)
}

extension RowSource {
  var attributes: [SourceAttribute] {
    switch self {
    case .table(let table): table.attributes
    case .query(let query): query.attributes
    }
  }

  /// The same source, once its dimension is known: a query need not run again to tell it.
  func with(dimension: Int) -> RowSource {
    guard case .query(var query) = self else { return self }
    query.dimension = dimension
    return .query(query)
  }
}

/// A table with a `vector` or `halfvec` column. With inheritance children or partitions, their rows belong to it.
public struct TableSource: Hashable, Sendable {
  /// The name as SQL writes it: `documents`, `app.documents`, `"Odd Name"`. Without a schema, the role's search path
  /// decides.
  public var name: String
  /// The columns whose values name a row, exactly as the table spells them. Nil: the primary key, in its order.
  public var keyColumns: [String]?
  /// Nil: the only column of type `vector` or `halfvec`.
  public var vectorColumn: String?
  /// A boolean SQL expression over the table's columns; rows for which it is not true are left out. It is the
  /// operator's own SQL and goes into the statement as it stands.
  public var filter: String?
  /// The vectors' dimension, for a column that does not say it. Every row is checked against it.
  public var dimension: Int?
  /// What is read beside the vectors, at most ``AttributeSchema/columnsMax``.
  public var attributes: [SourceAttribute]
  /// Columns whose values, as text, are kept with the rows to be given back.
  public var payload: [String] = []

  public init(
    _ name: String, keyColumns: [String]? = nil, vectorColumn: String? = nil, filter: String? = nil,
    dimension: Int? = nil, attributes: [SourceAttribute] = []
  ) {
    self.name = name
    self.keyColumns = keyColumns
    self.vectorColumn = vectorColumn
    self.filter = filter
    self.dimension = dimension
    self.attributes = attributes
  }
}

/// One `SELECT` (or `VALUES`, `TABLE`, `WITH`) whose result holds the keys and the vectors.
public struct QuerySource: Hashable, Sendable {
  /// The statement. It is the operator's own SQL; it runs in a read-only transaction.
  public var sql: String
  /// The result's columns whose values name a row.
  public var keyColumns: [String]
  /// The result's column with the vectors. Nil: the only one of type `vector` or `halfvec`.
  public var vectorColumn: String?
  /// The vectors' dimension. Nil: as the column's type says it, else as the first row has it.
  public var dimension: Int?
  /// What is read beside the vectors, of the result's columns.
  public var attributes: [SourceAttribute]
  /// Columns whose values, as text, are kept with the rows to be given back.
  public var payload: [String] = []

  public init(
    _ sql: String, keyColumns: [String], vectorColumn: String? = nil, dimension: Int? = nil,
    attributes: [SourceAttribute] = []
  ) {
    self.sql = sql
    self.keyColumns = keyColumns
    self.vectorColumn = vectorColumn
    self.dimension = dimension
    self.attributes = attributes
  }

  /// A query for its vectors alone, whose rows have no names: they are numbered as they come. Its column with the vectors is the
  /// only one of type `vector` or `halfvec`.
  /// - rowsMax: no more of its rows are read.
  public static func vectors(of sql: String, rowsMax: Int) -> QuerySource {
    let number = "vizinho_row_number"
    let source = QuerySource(sql, keyColumns: [])
    return QuerySource(
      "SELECT *, row_number() OVER () AS \(number) FROM \(source.fromClause) LIMIT \(rowsMax)", keyColumns: [number])
  }
}
