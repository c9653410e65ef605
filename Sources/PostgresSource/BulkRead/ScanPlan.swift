// Which connection reads which blocks: the work, cut into ranges. Pure.
//
// May use: SourceDescription.

/// A part of one leaf: the blocks `firstBlock ..< endBlock`, or all from `firstBlock` on when `endBlock` is nil.
package struct ScanRange: Hashable, Sendable {
  package var leaf: Int
  package var firstBlock: Int
  package var endBlock: Int?

  package init(leaf: Int, firstBlock: Int, endBlock: Int?) {
    self.leaf = leaf
    self.firstBlock = firstBlock
    self.endBlock = endBlock
  }
}

package enum ScanPlan {
  /// 2 to 8 MiB of heap: long enough that a statement's cost does not show, short enough that the workers end together.
  static let blocksPerRangeMin = 256
  static let blocksPerRangeMax = 1_024

  /// Every block of every leaf in exactly one range.
  ///
  /// The last range of a leaf is open-ended, because the leaf may have grown between its measurement and the snapshot.
  /// A leaf that is no heap is one range without a first block: its row addresses may mean something else.
  /// Complexity: O(ranges).
  package static func ranges(of leaves: [SourceDescription.Leaf], workers: Int) -> [ScanRange] {
    let blocks = leaves.reduce(0) { $0 + $1.blocks }
    let length = min(max(blocks / (workers * 8), blocksPerRangeMin), blocksPerRangeMax)
    var ranges: [ScanRange] = []
    for (number, leaf) in leaves.enumerated() {
      var first = 0
      while leaf.isHeap, leaf.blocks - first > length {
        ranges.append(ScanRange(leaf: number, firstBlock: first, endBlock: first + length))
        first += length
      }
      ranges.append(ScanRange(leaf: number, firstBlock: first, endBlock: nil))
    }
    return ranges
  }

  /// The `SELECT` of all rows of the source; of a table's, whatever its filter.
  package static func wholeSelect(_ source: RowSource, of description: SourceDescription) -> String {
    switch source {
    case .table: "SELECT \(columns(description)) FROM \(description.table ?? "")"
    case .query(let query): "SELECT \(columns(description)) FROM \(query.fromClause)"
    }
  }

  /// The statement that reads `range` of the source, or all of a query.
  package static func statement(_ range: ScanRange, _ source: RowSource, of description: SourceDescription) -> String {
    let select =
      switch source {
      case .table(let table): Self.select(range, of: description, filter: table.filter)
      case .query: wholeSelect(source, of: description)
      }
    return "COPY (\(select)) TO STDOUT (FORMAT binary)"
  }

  private static func select(_ range: ScanRange, of description: SourceDescription, filter: String?) -> String {
    var conditions: [String] = []
    if range.firstBlock > 0 { conditions.append("ctid >= '(\(range.firstBlock),0)'::tid") }
    if let end = range.endBlock { conditions.append("ctid < '(\(end),0)'::tid") }
    // The line breaks keep a comment at the filter's end from swallowing the parenthesis.
    if let filter { conditions.append("(\n\(filter)\n)") }
    let condition = conditions.isEmpty ? "" : " WHERE " + conditions.joined(separator: " AND ")
    return "SELECT \(columns(description)) FROM ONLY \(description.leaves[range.leaf].sqlName)\(condition)"
  }

  /// What is selected: the fields of ``SourceDescription/layout``.
  static func columns(_ description: SourceDescription) -> String {
    let names = SQLText.identifiers(description.keyColumns.map(\.name) + [description.vectorColumn])
    let payload = description.payload.map { SQLText.identifier($0) + "::text" }
    return ([names] + description.attributes.map(\.expression) + payload).joined(separator: ", ")
  }
}
