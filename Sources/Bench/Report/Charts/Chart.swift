// What all charts share: their size, their style sheet, a legend, and how one becomes a file of its own.
//
// May use: Markup, SeriesStyle.

/// A picture of figures, as SVG.
protocol Chart: Sendable {
  var title: String { get }
  var height: Double { get }
  /// What is drawn, from the corner (0, 0) on.
  func drawing() -> Markup
}

/// Sizes and colours of charts.
enum ChartStyle {
  /// Of all charts, in units of the drawing; a page shows one at about as many pixels.
  static let width = 560.0
  static let fontSize = 12.0

  /// About how wide a text is: no font is at hand to ask. A little too much rather than too little.
  static func width(of text: String, size: Double = fontSize) -> Double { Double(text.count) * size * 0.62 }

  /// Rules for what charts are made of. A page gives the variables `--ink`, `--faint`, `--grid` and `--ground`.
  static let css: Markup = """
    .chart text{fill:var(--ink);font:12px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif}
    .chart .faint{fill:var(--faint)}
    .chart .grid{stroke:var(--grid);stroke-width:1;fill:none}
    .chart .axis{stroke:var(--faint);stroke-width:1;fill:none}
    .chart .line{stroke:var(--c);stroke-width:2.2;fill:none;stroke-linejoin:round}
    .chart .spread{stroke:var(--c);stroke-width:1.2;fill:none}
    .chart .mark{stroke:var(--c);stroke-width:1.6;fill:var(--c)}
    .chart .p{stroke-dasharray:6 3}
    .chart .hollow{fill:var(--ground)}
    .chart .off{opacity:.45}
    .chart .bar{fill:var(--c)}
    .chart .second{opacity:.5}
    .chart .on{paint-order:stroke;stroke:var(--ground);stroke-width:3px;stroke-linejoin:round}
    """

  static let light: Markup = "--ink:#1b1f24;--faint:#57606a;--grid:#e3e6ea;--ground:#ffffff;"
  static let dark: Markup = "--ink:#e6edf3;--faint:#9aa5b1;--grid:#2c333b;--ground:#0f1318;"
}

extension Chart {
  /// As a part of a page, which has the style sheet.
  func figure() -> Markup {
    """
    <svg class="chart" viewBox="0 0 \(ChartStyle.width) \(height)" role="img" aria-label="\(title)">\(drawing())</svg>
    """
  }

  /// As a file, with its own style sheet and its own ground: light, or dark where the reader's system is. It can be read on both, wherever
  /// it is put.
  func standalone() -> Markup {
    let top = 40.0
    let size = (width: ChartStyle.width + 24, height: height + top + 12)
    return """
      <svg class="chart" xmlns="http://www.w3.org/2000/svg" width="\(size.width * 1.5)" height="\(size.height * 1.5)" \
      viewBox="0 0 \(size.width) \(size.height)" role="img" aria-label="\(title)">
      <style>
      .chart{\(ChartStyle.light)}\(SeriesStyle.css(isDark: false))
      @media (prefers-color-scheme:dark){.chart{\(ChartStyle.dark)}\(SeriesStyle.css(isDark: true))}
      \(ChartStyle.css)
      .chart .ground{fill:var(--ground)}.chart .title{font-size:14px;font-weight:600}
      </style>
      <rect class="ground" width="\(size.width)" height="\(size.height)" rx="6"/>
      <text class="title" x="12" y="24">\(title)</text>
      <g transform="translate(12 \(top))">\(drawing())</g>
      </svg>

      """
  }
}

/// Names of series with their markers, in as many lines as they need.
struct Legend: Sendable {
  struct Entry: Sendable, Equatable {
    var name: String
    var style: SeriesStyle
  }

  private let lines: [[(entry: Entry, x: Double)]]
  private static let lineHeight = 20.0
  /// For the marker and the line through it.
  private static let symbolWidth = 34.0
  private static let gap = 18.0

  init(_ entries: [Entry], width: Double = ChartStyle.width) {
    var lines: [[(entry: Entry, x: Double)]] = []
    var x = Double.infinity
    for entry in entries {
      let needed = Self.symbolWidth + ChartStyle.width(of: entry.name)
      if x + needed > width {
        lines.append([])
        x = 0
      }
      lines[lines.count - 1].append((entry, x))
      x += needed + Self.gap
    }
    self.lines = lines
  }

  var height: Double { Double(lines.count) * Self.lineHeight }

  func drawing(top: Double) -> Markup {
    var drawing: Markup = ""
    for (i, line) in lines.enumerated() {
      let y = top + (Double(i) + 0.5) * Self.lineHeight
      for (entry, x) in line {
        drawing += """
          <g class="\(entry.style.className)"><path class="line \(entry.style.lineClass)" d="M\(x + 2) \(y)H\(x + 28)"/>\
          <g class="mark \(entry.style.markClass)">\(entry.style.mark(x + 15, y))</g>\
          <text x="\(x + Self.symbolWidth)" y="\(y + 4)">\(entry.name)</text></g>
          """
      }
    }
    return drawing
  }
}

extension SeriesStyle {
  var lineClass: String { family == .pgvector ? "p" : "" }
  var markClass: String { family == .pgvector ? "hollow" : "" }
}
