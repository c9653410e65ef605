// One page that shows a report, or several, one after the other. It needs no network, and no script to be read.
//
// May use: ReportSections, PageStyle, Markup.

/// The page as HTML, of which every tag is closed.
struct ReportPage: Sendable {
  private let reports: [BenchReport]

  init(_ reports: [BenchReport]) { self.reports = reports }

  var html: Markup {
    let title = reports.count == 1 ? ReportSections(reports[0]).title : "Reports of bench"
    let bodies = reports.enumerated().map { i, report in
      "<article id=\"report-\(i + 1)\">\(ReportSections(report).html)</article>" as Markup
    }
    return """
      <!DOCTYPE html>
      <html lang="en">
      <head>
      <meta charset="utf-8"/>
      <meta name="viewport" content="width=device-width,initial-scale=1"/>
      <title>\(title)</title>
      <style>
      \(PageStyle.css)
      </style>
      </head>
      <body>
      <main>
      \(contents)\(bodies)
      <footer>Made by <code>bench</code> of Vizinho. Point at a mark to see its figures; the tables under the charts have them all.</footer>
      </main>
      <script>
      \(PageStyle.script)
      </script>
      </body>
      </html>

      """
  }

  /// Of several reports; one needs none.
  private var contents: Markup {
    guard reports.count != 1 else { return "" }
    guard !reports.isEmpty else { return "<p>There is no report.</p>" }
    let lines = reports.enumerated().map { i, report -> Markup in
      let sections = ReportSections(report)
      return "<li><a href=\"#report-\(i + 1)\">\(sections.title): \(report.data.source)</a>, \(report.created)</li>"
    }
    return "<nav><ul>\(lines)</ul></nav>"
  }
}
