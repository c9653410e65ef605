// What the preflight found: everything that the index and the snapshot must know before the first row arrives.
//
// May use: VectorIndex for the kinds of record ids and attributes.

public import VectorIndex

/// A source that has passed the preflight.
public struct SourceDescription: Hashable, Sendable {
  /// A column of the key.
  public struct KeyColumn: Hashable, Sendable {
    public var name: String
    public var type: KeyType
  }

  /// What is read beside the vectors.
  public struct Attribute: Hashable, Sendable {
    /// As the index has it.
    public var column: AttributeColumn
    /// The source's column that it is read from.
    public var sourceColumn: String
    /// Where in a jsonb column it stands; empty = it is the column itself.
    package var path: [SourceAttribute.Step]
    package var field: AttributeField
    /// What stands for it in a SELECT.
    package var expression: String
  }

  /// A table that holds rows itself: the table, or one of its leaf partitions.
  public struct Leaf: Hashable, Sendable {
    package var oid: UInt32
    public var schema: String
    public var name: String
    /// Its size in blocks (8 KiB on a stock server), without TOAST.
    public var blocks: Int
    /// Whether it is a heap, whose blocks can be read range by range.
    package var isHeap: Bool

    package init(oid: UInt32, schema: String, name: String, blocks: Int, isHeap: Bool) {
      self.oid = oid
      self.schema = schema
      self.name = name
      self.blocks = blocks
      self.isHeap = isHeap
    }

    package var sqlName: String { SQLText.qualified(schema, name) }
  }

  /// The table's quoted name, or nil for a query.
  public var table: String?
  public var keyColumns: [KeyColumn]
  public var vectorColumn: String
  public var vectorType: VectorType
  /// The number of components of every vector.
  public var dimension: Int
  /// In the order of the source's list, which is that of ``RowBatch/attributes``.
  public var attributes: [Attribute]
  /// Columns that are read as text, to be given back; the order of ``RowBatch/payload``.
  public var payload: [String]
  /// What is read, in the order of ``RowBatch/leaf``; empty for a query.
  public var leaves: [Leaf]
  /// About how many rows there are. For a table: without its filter. From the statistics, else from the size.
  public var estimatedRows: Int
  /// Whether ``estimatedRows`` is what Postgres has counted (by ANALYZE or VACUUM) of a table of which all rows are read: not a
  /// guess from its size, and not of a filter or a query. Rows whose vector is NULL are among them.
  public var isEstimateCounted: Bool
  /// As the server numbers itself: 180004 is 18.4.
  public var serverVersion: Int
  public var pgvectorVersion: String
  public var database: String
  /// Names the cluster through all its life. 0: the role may not ask.
  public var systemIdentifier: UInt64
  /// 0: not known.
  public var timeline: UInt32
  /// Whether the server is a hot standby.
  public var isStandby: Bool

  /// The kind of the records' ids: that of the one key column, or composite.
  public var recordIDKind: RecordIDKind {
    keyColumns.count == 1 ? keyColumns[0].type.recordIDKind : .composite
  }

  /// The attributes as an index's.
  /// - Throws: ``IndexError`` with `invalidConfiguration`; not for a description that a preflight made.
  public func attributeSchema() throws(IndexError) -> AttributeSchema {
    attributes.isEmpty ? .empty : try AttributeSchema(attributes.map(\.column))
  }

  package var layout: RowLayout {
    RowLayout(
      keyTypes: keyColumns.map(\.type), vectorType: vectorType, dimension: dimension,
      attributes: attributes.map(\.field), payload: payload)
  }
}

/// The types that a key column may have.
public enum KeyType: Hashable, Sendable, CaseIterable {
  case smallint, integer, bigint, uuid
  /// `text`, `varchar` or `char(n)`. A `char(n)` keeps the blanks that Postgres pads it with.
  case text

  public var recordIDKind: RecordIDKind {
    switch self {
    case .smallint, .integer, .bigint: .int64
    case .uuid: .uuid
    case .text: .text
    }
  }

  /// By the type's OID. Built-in types have the same one everywhere.
  package init?(typeOID: UInt32) {
    switch typeOID {
    case 21: self = .smallint
    case 23: self = .integer
    case 20: self = .bigint
    case 2950: self = .uuid
    case 25, 1043, 1042: self = .text
    default: return nil
    }
  }
}

/// The types that a vector column may have.
public enum VectorType: String, Hashable, Sendable, CaseIterable {
  /// f32 components.
  case vector
  /// f16 components. They are widened to f32, which is exact.
  case halfvec

  package var bytesPerComponent: Int { self == .vector ? 4 : 2 }
}

extension SourceDescription {
  /// The most components that pgvector stores in a `vector` or `halfvec`.
  public static let dimensionMax = 16_000
}
