// Rows on their way into the index.
//
// May use: VectorIndex for RecordID.

public import VectorIndex

/// Some rows of the source, all from one range of blocks.
public struct RowBatch: Sendable {
  public package(set) var ids: [RecordID] = []
  /// Row-major, without padding: row i is `vectors[i * dimension ..< (i + 1) * dimension]`.
  public package(set) var vectors: [Float] = []
  /// For each row a hash of its vector's bytes as Postgres sent them; empty unless the reader was asked for it.
  public package(set) var vectorHashes: [UInt64] = []
  /// For each row a value for each attribute of the source, in its order; empty when it has none.
  public package(set) var attributes: [[AttributeValue]] = []
  /// For each row the text of each column of payload, or nil for NULL; empty when the source has none.
  public package(set) var payload: [[String?]] = []
  /// The bytes that attributes and payload took on the wire.
  package var attributeBytes = 0
  /// The number of components of a row.
  public let dimension: Int
  /// Which of ``SourceDescription/leaves`` the rows are from; 0 for a query.
  public let leaf: Int
  /// The number of the range of blocks, ascending through all leaves; 0 for a query.
  public let range: Int
  /// The number of the batch within its range. (`range`, `ordinal`) orders all batches of one read in the same way,
  /// however many connections read them.
  public let ordinal: Int

  package init(dimension: Int, leaf: Int = 0, range: Int = 0, ordinal: Int = 0) {
    self.dimension = dimension
    self.leaf = leaf
    self.range = range
    self.ordinal = ordinal
  }

  /// The number of rows.
  public var count: Int { ids.count }
}
