// Bars from zero, side by side with their names and figures.
//
// May use: Chart, Scale, SeriesStyle.

/// Lying bars, since names of indexes are long. Each has its figure at its end, so that the axis needs no reading.
struct BarChart: Chart {
  struct Bar: Sendable, Equatable {
    var value: Double
    /// The figure with its unit.
    var text: String
  }

  struct Group: Sendable {
    var name: String
    var style: SeriesStyle
    /// One, or several of the same kind, of which all but the first are drawn paler.
    var bars: [Bar]
  }

  var title: String
  /// What is measured, with its unit, and which way is better.
  var axisTitle: String
  var groups: [Group]

  private static let barHeight = 14.0
  private static let nameHeight = 19.0
  private static let groupGap = 9.0
  private static let top = 8.0
  /// For ticks and the axis's title.
  private static let bottom = 44.0
  /// Beyond the bars, for their figures.
  private static let right = 120.0

  private var scale: Scale {
    Scale.linear(groups.flatMap { $0.bars.map(\.value) }) { Figure.tick($0) }
  }

  private static func height(of group: Group) -> Double {
    nameHeight + Double(group.bars.count) * (barHeight + 2) + groupGap
  }

  private var foot: Double { groups.reduce(Self.top) { $0 + Self.height(of: $1) } }

  var height: Double { foot + Self.bottom }

  func drawing() -> Markup {
    let scale = scale
    let end = ChartStyle.width - Self.right
    var drawing: Markup = ""
    for tick in scale.ticks {
      let column = 1 + scale.place(tick.value) * (end - 1)
      drawing += """
        <path class="grid" d="M\(column) \(Self.top)V\(foot)"/>\
        <text class="faint" x="\(column)" y="\(foot + 16)" text-anchor="\(tick.value == 0 ? "start" : "middle")">\(tick.label)</text>
        """
    }
    var y = Self.top
    for group in groups {
      // Text and figures lie on the ground's colour where a line of the grid would run through them.
      drawing += "<text x=\"6\" y=\"\(y + 13)\" class=\"on\">\(group.name)</text>"
      var row = y + Self.nameHeight
      for (i, bar) in group.bars.enumerated() {
        let length = bar.value.isFinite ? scale.place(bar.value) * (end - 1) : 0
        drawing += """
          <g class="\(group.style.className) at"><title>\(group.name): \(bar.text)</title>\
          <rect class="bar\(i == 0 ? "" : " second")" x="1" y="\(row)" width="\(max(1, length))" height="\(Self.barHeight)" rx="2"/></g>\
          <text class="on" x="\(1 + length + 6)" y="\(row + 11.5)">\(bar.text)</text>
          """
        row += Self.barHeight + 2
      }
      y += Self.height(of: group)
    }
    drawing += """
      <path class="axis" d="M1 \(Self.top)V\(foot)"/>\
      <text x="0" y="\(foot + 35)">\(axisTitle)</text>
      """
    return drawing
  }
}
