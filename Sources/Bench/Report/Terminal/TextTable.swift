// A table as lines of text.
//
// May use: ReportTable.

/// Numbers stand to the right, text to the left, and nothing is wider than a terminal.
struct TextTable {
  private let table: ReportTable
  private let widths: [Int]

  static let widthMax = 120
  private static let gap = "  "
  /// To which a column of text may be shortened.
  private static let textWidthMin = 12

  init(_ table: ReportTable, widthMax: Int = Self.widthMax) {
    let shown = table.columns.indices.filter { !table.columns[$0].isLong }
    let columns = shown.map { table.columns[$0] }
    let rows = table.rows.map { row in shown.map { row[$0] } }
    var found = columns.indices.map { column in
      let widest = rows.map { $0[column].count }.max() ?? 0
      return max(widest, columns[column].title.count)
    }
    let gaps = Self.gap.count * max(0, found.count - 1)
    while found.reduce(gaps, +) > widthMax {
      // The widest column of text gives way; a table of numbers alone is as wide as it is.
      let texts = found.indices.filter { !columns[$0].isNumber && found[$0] > Self.textWidthMin }
      guard let widest = texts.max(by: { found[$0] < found[$1] }) else { break }
      found[widest] -= 1
    }
    self.table = ReportTable(title: table.title, columns: columns, rows: rows)
    self.widths = found
  }

  /// Under its title and the names of its columns, with an empty line behind.
  func text() -> String {
    let rule = widths.map { String(repeating: "─", count: $0) }.joined(separator: Self.gap)
    return ([table.title, line(table.columns.map(\.title)), rule] + table.rows.map(line)).joined(separator: "\n") + "\n"
  }

  private func line(_ cells: [String]) -> String {
    var line = zip(cells.indices, cells).map { column, cell in
      let width = widths[column]
      let cut = cell.count > width ? String(cell.prefix(max(0, width - 1))) + "…" : cell
      let space = String(repeating: " ", count: width - cut.count)
      return table.columns[column].isNumber ? space + cut : cut + space
    }.joined(separator: Self.gap)
    while line.last == " " { line.removeLast() }
    return line
  }
}
