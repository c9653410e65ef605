// Scales and their ticks, styles of series, and what is put into markup.

import Testing

@testable import Bench

struct ScaleTests {
  private func labels(_ scale: Scale) -> [String] { scale.ticks.map(\.label) }

  @Test func linearTicksAreRound() {
    #expect(labels(.linear([0, 61.2])) == ["0", "20", "40", "60", "80"])
    #expect(labels(.linear([3, 1_174]) { Figure.number($0) }) == ["0", "200", "400", "600", "800", "1,000", "1,200"])
    #expect(labels(.linear([0.55, 1], fromZero: false)) == ["0.5", "0.6", "0.7", "0.8", "0.9", "1"])
    #expect(labels(.linear([0.1, 0.3])) == ["0", "0.05", "0.1", "0.15", "0.2", "0.25", "0.3"])
    #expect(labels(.linear([5, 5], fromZero: false)).count > 1)
    #expect(labels(.linear([])) == ["0", "0.2", "0.4", "0.6", "0.8", "1"])
  }

  @Test func linearScaleHoldsAllValues() {
    for values in [[0.0, 61.2], [-3, 17], [1e9, 3e9], [1e-7, 2e-7]] {
      let scale = Scale.linear(values)
      for value in values + [0] {
        let first = scale.ticks[0].value
        let last = scale.ticks[scale.ticks.count - 1].value
        #expect(first <= value && value <= last)
        #expect(abs(scale.place(value) - (value - first) / (last - first)) < 1e-9)
      }
    }
  }

  @Test func logarithmicTicksFollowTheSpan() {
    #expect(labels(.logarithmic([120, 890])) == ["100", "200", "500", "1000"])
    #expect(labels(.logarithmic([100, 1_000])) == ["100", "200", "500", "1000"])
    #expect(labels(.logarithmic([21, 31_000]) { Figure.number($0) }) == ["100", "1,000", "10,000"])
    #expect(labels(.logarithmic([1, 1e9])) == ["1", "100", "10000", "1000000", "100000000"])
    #expect(labels(.logarithmic([200, 200])) == ["200", "500"])
    #expect(labels(.logarithmic([0, -4, .nan])) == ["1", "10"])
  }

  @Test func logarithmicPlacesAreInOrder() {
    let values = [21.0, 22, 400, 31_000]
    let places = values.map(Scale.logarithmic(values).place)
    #expect(zip(places, places.dropFirst()).allSatisfy { $0 < $1 })
    // Equal ratios are equal distances.
    let scale = Scale.logarithmic([1, 1_000])
    #expect(abs(scale.place(10) - 1 / 3.0) < 1e-9 && abs(scale.place(100) - 2 / 3.0) < 1e-9)
    #expect(scale.place(0) == 0)
  }

  @Test func recallsGoByWhatIsMissing() {
    let scale = Scale.recall([0.85, 0.9, 0.95, 0.99, 0.999])
    #expect(labels(scale).contains("0.9") && labels(scale).contains("0.99") && labels(scale).contains("0.999"))
    #expect(!labels(scale).contains("1"))
    let step = scale.place(0.99) - scale.place(0.9)
    #expect(abs((scale.place(0.999) - scale.place(0.99)) - step) < 1e-9)
  }

  @Test func aRecallOfOneHasAPlace() {
    let scale = Scale.recall([0.6, 0.995, 1])
    #expect(labels(scale).last == "1")
    #expect(scale.place(1) > scale.place(0.995) && scale.place(1) <= 1)
    #expect(Scale.recall([1, 1]).place(1) <= 1)
    #expect(!labels(.recall([])).isEmpty)
  }

  @Test func ticksOfRecallsDoNotCrowd() {
    for values in [[0.1, 0.99999], [0.97, 0.98], [0.5, 1], [0.0, 0.2], [0.9999, 1]] {
      let scale = Scale.recall(values)
      let places = scale.ticks.map { scale.place($0.value) }
      #expect(zip(places, places.dropFirst()).allSatisfy { $1 - $0 >= 0.07 })
      #expect(scale.place(values[0]) < scale.place(values[1]))
    }
  }

  @Test func namesStandApart() {
    let scale = Scale.named(["a", "b", "c", "d"])
    #expect([0, 1, 2, 3].map { scale.place($0) } == [0.125, 0.375, 0.625, 0.875])
  }
}

struct SeriesStyleTests {
  @Test func noTwoEnginesLookAlike() {
    let engines = (0..<24).map { i in
      EngineBuild(
        id: "\(i)", family: i % 2 == 0 ? .vizinho : .pgvector, buildSeconds: 1, indexBytes: 1, bytesPerVector: 1,
        detail: "")
    }
    let styles = SeriesStyle.of(engines)
    let looks = Set(styles.values.map { "\($0.className) \($0.marker)" })
    #expect(looks.count == engines.count)
  }
}

struct MarkupTests {
  @Test func textIsEscapedAndMarkupIsNot() {
    let bold: Markup = "<b>\("a & b")</b>"
    let words = "<\"'>\u{7}"
    let markup: Markup = "<p title=\"\(words)\">\(bold)\([bold, "x"])\(7) \(0.125)</p>"
    #expect(
      markup.text
        == "<p title=\"&lt;&quot;&#39;&gt;\u{FFFD}\"><b>a &amp; b</b><b>a &amp; b</b>x7 0.13</p>")
  }

  @Test func coordinatesAreAlwaysNumbers() {
    let markup: Markup = "\(Double.nan) \(Double.infinity) \(3.0) \(-2.346) \(1e12) \(1_234_567.89)"
    #expect(markup.text == "0 0 3 -2.35 0 1234567.89")
  }
}

struct LegendTests {
  @Test func nothingIsWiderThanTheChart() {
    let style = SeriesStyle(family: .pgvector, number: 0)
    let one = Legend([.init(name: "a", style: style)])
    #expect(Legend([]).height == 0)
    #expect(one.height > 0)
    let many = Legend((0..<8).map { .init(name: "pgvector hnsw number \($0)", style: style) })
    #expect(many.height >= 3 * one.height)
  }
}
