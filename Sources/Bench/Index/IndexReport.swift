// The points of `bench index` as a report, for its page.
//
// May use: Report/Model, IndexCommand's points.

import Foundation

/// Makes a report of points; their JSON stays the list that it is.
enum IndexReport {
  /// What was measured in, and with what.
  struct Circumstances {
    var base: String
    var rows: Int
    var dimension: Int
    var metric: String
    var queries: Int
    var k: Int
    var connectivity: Int
    var constructionEffort: Int
    var buildThreads: Int
  }

  /// - points: each storage's one after the other.
  static func of(_ points: [IndexCommand.Point], _ circumstances: Circumstances) -> BenchReport {
    let data = DataDescription(
      source: URL(fileURLWithPath: circumstances.base).lastPathComponent, rows: circumstances.rows,
      dimension: circumstances.dimension, metric: circumstances.metric, queries: circumstances.queries,
      querySource: "file", k: circumstances.k)
    var report = BenchReport(command: "index", data: data)
    let settings = [
      ("M", circumstances.connectivity), ("efConstruction", circumstances.constructionEffort),
      ("threads that build", circumstances.buildThreads),
    ]
    report.settings = settings.map { Setting(group: "Index", name: $0, value: String($1)) }
    for point in points {
      let engine = "vizinho \(point.storage)"
      if !report.engines.contains(where: { $0.id == engine }) {
        report.engines.append(build(point, engine, rows: circumstances.rows))
      }
      let place = report.series.firstIndex { $0.engine == engine && $0.clients == point.threads }
      if place == nil { report.series.append(Series(engine: engine, clients: point.threads, points: [])) }
      report.series[place ?? report.series.count - 1].points.append(curvePoint(point))
    }
    report.matched = MatchedRecall.all(of: report.series)
    report.method = [
      "The index is searched in process; a client here is a thread that asks one query after the other, with no wire between.",
      "Recall is against exact answers; a row that is no farther than the k-th nearest counts as right, as ties do: within 1e-5 of the "
        + "distance, or 1e-5 where that is below 1.",
      "Each effort was measured once, for at least 0.3 s over all queries: there is no spread to show.",
    ]
    return report
  }

  private static func build(_ point: IndexCommand.Point, _ engine: String, rows: Int) -> EngineBuild {
    let calibration = point.calibrationSeconds.map { ", calibrated in \(Figure.seconds($0))" } ?? ""
    return EngineBuild(
      id: engine, family: .vizinho, buildSeconds: point.buildSeconds,
      indexBytes: Int((point.bytesPerVector * Double(rows)).rounded()), bytesPerVector: point.bytesPerVector,
      detail: "in process, from one call of all rows\(calibration)")
  }

  private static func curvePoint(_ point: IndexCommand.Point) -> CurvePoint {
    let effort: (String, Double) =
      if let target = point.recallTarget { ("recall_target", target) } else if let reach = point.reach {
        ("reach", reach)
      } else { ("ef", Double(point.effort)) }
    return CurvePoint(
      effort: effort.0, value: effort.1, recall: point.recall, qps: Spread([point.qps]), errors: 0,
      cpuSecondsPerQuery: point.processorMicroseconds / 1e6)
  }
}
