// A table of a report, before it becomes text or markup.
//
// May use: nothing.

/// Cells are texts for people.
struct ReportTable: Sendable, Equatable {
  struct Column: Sendable, Equatable {
    var title: String
    var isNumber = false
    /// Too long for a terminal: on the page only.
    var isLong = false

    static func text(_ title: String) -> Column { Column(title: title) }
    static func number(_ title: String) -> Column { Column(title: title, isNumber: true) }
    static func long(_ title: String) -> Column { Column(title: title, isLong: true) }
  }

  var title: String
  var columns: [Column]
  /// Each as long as `columns`.
  var rows: [[String]]

  /// Without the columns that say nothing in any row; numbers of which all are zero or absent stay, since that is news.
  func withoutEmptyColumns() -> ReportTable {
    let kept = columns.indices.filter { column in
      rows.contains { !$0[column].isEmpty && (columns[column].isNumber || $0[column] != Figure.none) }
    }
    return ReportTable(
      title: title, columns: kept.map { columns[$0] }, rows: rows.map { row in kept.map { row[$0] } })
  }
}
