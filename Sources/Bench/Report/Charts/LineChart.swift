// Points over two axes, with lines through them.
//
// May use: Chart, Scale, SeriesStyle.

/// A chart of several series.
struct LineChart: Chart {
  struct Axis: Sendable {
    var title: String
    var scale: Scale
  }

  struct Point: Sendable, Equatable {
    var x: Double
    var y: Double
    /// From the least to the most of several rounds.
    var spread: ClosedRange<Double>?
    /// What the point says when it is pointed at.
    var words: String
    /// Whether the line goes through it; otherwise it is drawn faintly, beside it.
    var isOnLine = true
  }

  struct Line: Sendable {
    var name: String
    var style: SeriesStyle
    /// In the order of the line.
    var points: [Point]
  }

  var title: String
  var x: Axis
  var y: Axis
  var lines: [Line]

  private static let left = 62.0
  private static let right = 24.0
  private static let top = 26.0
  private static let plotHeight = 270.0
  /// Under the plot: ticks and the axis's title.
  private static let bottom = 46.0

  private var legend: Legend { Legend(lines.map { .init(name: $0.name, style: $0.style) }) }

  var height: Double { Self.top + Self.plotHeight + Self.bottom + legend.height }

  func drawing() -> Markup {
    "\(axes())\(lines.map(drawing(of:)))\(legend.drawing(top: Self.top + Self.plotHeight + Self.bottom))"
  }

  private func column(_ value: Double) -> Double {
    Self.left + x.scale.place(value) * (ChartStyle.width - Self.left - Self.right)
  }

  private func row(_ value: Double) -> Double { Self.top + (1 - y.scale.place(value)) * Self.plotHeight }

  private func axes() -> Markup {
    let foot = Self.top + Self.plotHeight
    let end = ChartStyle.width - Self.right
    var drawing: Markup = ""
    for tick in y.scale.ticks {
      let row = row(tick.value)
      drawing += """
        <path class="grid" d="M\(Self.left) \(row)H\(end)"/>\
        <text class="faint" x="\(Self.left - 8)" y="\(row + 4)" text-anchor="end">\(tick.label)</text>
        """
    }
    for tick in x.scale.ticks {
      let column = column(tick.value)
      drawing += """
        <path class="grid" d="M\(column) \(Self.top)V\(foot)"/>\
        <text class="faint" x="\(column)" y="\(foot + 17)" text-anchor="middle">\(tick.label)</text>
        """
    }
    drawing += """
      <path class="axis" d="M\(Self.left) \(Self.top)V\(foot)H\(end)"/>\
      <text x="0" y="12">\(y.title)</text>\
      <text x="\((Self.left + end) / 2)" y="\(foot + 36)" text-anchor="middle">\(x.title)</text>
      """
    return drawing
  }

  private func drawing(of line: Line) -> Markup {
    var path: Markup = ""
    for point in line.points where point.isOnLine {
      path += "\(path == "" ? "M" : "L")\(column(point.x)) \(row(point.y))"
    }
    var drawing: Markup = "<path class=\"line \(line.style.lineClass)\" d=\"\(path)\"/>"
    for point in line.points {
      let column = column(point.x)
      var marks: Markup = ""
      if let spread = point.spread, spread.upperBound > spread.lowerBound {
        marks += "<path class=\"spread\" d=\"M\(column) \(row(spread.lowerBound))V\(row(spread.upperBound))\"/>"
      }
      marks += """
        <g class="mark \(line.style.markClass)">\(line.style.mark(column, row(point.y), size: point.isOnLine ? 4.5 : 3.2))</g>
        """
      drawing += "<g class=\"at\(point.isOnLine ? "" : " off")\"><title>\(point.words)</title>\(marks)</g>"
    }
    return "<g class=\"\(line.style.className)\">\(drawing)</g>"
  }
}
