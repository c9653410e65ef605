// `bench index` as a report.

import Testing

@testable import Bench

struct IndexReportTests {
  private func point(
    _ storage: String, effort: Int, target: Double? = nil, reach: Double? = nil, threads: Int = 1, _ recall: Double,
    _ qps: Double
  ) -> IndexCommand.Point {
    IndexCommand.Point(
      storage: storage, effort: effort, recallTarget: target, reach: reach, threads: threads, recall: recall, qps: qps,
      processorMicroseconds: 1e6 / qps, buildSeconds: 12.5, calibrationSeconds: 0.5, bytesPerVector: 787,
      distancesPerQuery: 500,
      expansionsPerQuery: 40)
  }

  @Test func pointsBecomeSeriesOfEachStorageAndThreads() {
    let report = IndexReport.of(
      [
        point("int4x8", effort: 16, 0.9, 4_000), point("int4x8", effort: 0, target: 0.95, 0.96, 2_000),
        point("int4x8", effort: 0, reach: 1.1, 0.97, 1_000), point("f32", effort: 16, 0.91, 900),
        point("int4x8", effort: 16, threads: 2, 0.9, 7_800),
      ],
      .init(
        base: "/somewhere/base.npy", rows: 10_000, dimension: 384, metric: "cosine", queries: 300, k: 10,
        connectivity: 16,
        constructionEffort: 200, buildThreads: 2))
    #expect(report.engines.map(\.id) == ["vizinho int4x8", "vizinho f32"])
    #expect(report.engines[0].indexBytes == 7_870_000 && report.engines[0].buildSeconds == 12.5)
    #expect(report.series.map(\.engine) == ["vizinho int4x8", "vizinho f32", "vizinho int4x8"])
    #expect(report.series.map(\.clients) == [1, 1, 2])
    #expect(report.series[0].points.map(\.effort) == ["ef", "recall_target", "reach"])
    #expect(report.series[0].points.map(\.value) == [16, 0.95, 1.1])
    #expect(report.data.source == "base.npy")
    #expect(
      report.matched.contains { $0.engine == "vizinho int4x8" && $0.clients == 1 && $0.recall == 0.95 && $0.reached })
  }
}
