// What filters mean at the edges: three-valued logic, odd numbers, NULLs in arrays and lists, limits.

import TestSupport
import Testing

@testable import VectorIndex

@Suite struct FilterLogicTests {
  /// The ids of the rows that a filter is TRUE of, asked in each of the ways that there are.
  private func ids(_ index: HNSWIndex, _ filter: Filter) throws -> [Int64] {
    let program = try index.compile(filter)
    var scratch = FilterScratch()
    let pin = index.store.pins.take(for: .search)
    defer { index.store.pins.giveBack(pin) }
    let version = index.store.pins.enter(pin)
    let set = index.matching(program, version: version, into: &scratch)
    let used = UInt32(index.store.slotsUsed.load(ordering: .acquiring))
    let slots =
      switch set.form {
      case .slots(let slots): Array(slots)
      case .mask(let mask): (0..<used).filter { mask.contains($0) }
      }
    #expect(slots.count == set.count)
    var single: [UInt32] = []
    for slot in 0..<used where index.store.isVisible(slot, at: version) && index.matches(program, slot: slot, scratch) {
      single.append(slot)
    }
    #expect(single == slots, "\(filter)")
    return slots.map { if case .int64(let id) = index.store.ids[$0] { id } else { -1 } }
  }

  private func index(_ columns: [AttributeColumn], _ rows: [[AttributeValue]]) throws -> HNSWIndex {
    let index = try HNSWIndex(
      configuration: HNSWConfiguration(
        dimension: 1, metric: .l2, storage: .f32, attributes: try AttributeSchema(columns)))
    for (i, row) in rows.enumerated() { try index.insert(.int64(Int64(i)), [Float(i)], attributes: row) }
    return index
  }

  /// AND, OR and NOT of TRUE, FALSE and NULL, by SQL's tables, in both of their forms: rows, and constants.
  @Test func truthTables() throws {
    let truths: [Bool?] = [true, false, nil]
    func value(_ truth: Bool?) -> AttributeValue { truth.map { .bool($0) } ?? .null }
    var rows: [[AttributeValue]] = []
    for a in truths { for b in truths { rows.append([value(a), value(b)]) } }
    let index = try index([AttributeColumn("a", .bool), AttributeColumn("b", .bool, isIndexed: false)], rows)
    let a = Filter.comparison("a", .equal, .bool(true))
    let b = Filter.comparison("b", .equal, .bool(true))
    let ands: [[Bool?]] = [[true, false, nil], [false, false, false], [nil, false, nil]]
    let ors: [[Bool?]] = [[true, true, true], [true, false, nil], [true, nil, nil]]
    for (filter, table) in [
      (Filter.and([a, b]), ands), (.or([a, b]), ors), (.and([b, a]), ands), (.or([b, a]), ors),
    ] {
      for (wanted, tested) in [(true, filter), (false, Filter.not(filter))] {
        var expected: [Int64] = []
        for i in 0..<9 where table[i / 3][i % 3] == wanted { expected.append(Int64(i)) }
        #expect(try ids(index, tested) == expected, "\(tested)")
      }
      // Neither TRUE nor FALSE.
      let unknown = Filter.not(.or([filter, .not(filter)]))
      #expect(try ids(index, unknown).isEmpty)
    }
    #expect(try ids(index, .not(a)) == [3, 4, 5])
    #expect(try ids(index, .and([a, .always(true)])) == [0, 1, 2])
    #expect(try ids(index, .or([a, .comparison("b", .equal, .null)])) == [0, 1, 2])
    #expect(try ids(index, .not(.comparison("b", .equal, .null))).isEmpty)
    #expect(try ids(index, .always(true)).count == 9)
    #expect(try ids(index, .always(false)).isEmpty)
  }

  @Test func numbersAreOrderedAsInPostgres() throws {
    let values: [Double] = [-.infinity, -1, -0.0, 0, 1, .infinity, .nan]
    let floats = try index(
      [AttributeColumn("x", .float64)], values.map { [.float64($0)] } + [[.null], [.float64(-.nan)]])
    func ids(_ comparison: FilterComparison, _ value: Double) throws -> [Int64] {
      try self.ids(floats, .comparison("x", comparison, .float64(value)))
    }
    #expect(
      try ids(.equal, .nan) == [6, 8] && ids(.greater, .infinity) == [6, 8] && ids(.less, .nan) == [0, 1, 2, 3, 4, 5])
    #expect(try ids(.equal, 0) == [2, 3] && ids(.equal, -0.0) == [2, 3] && ids(.less, -0.0) == [0, 1])
    #expect(try ids(.less, -.infinity).isEmpty && ids(.greater, .nan).isEmpty && ids(.greaterOrEqual, .nan) == [6, 8])
    #expect(try ids(.notEqual, .nan) == [0, 1, 2, 3, 4, 5] && ids(.lessOrEqual, .nan).count == 8)
    #expect(try self.ids(floats, .isIn("x", [.float64(-.nan), .int64(0)])) == [2, 3, 6, 8])
    #expect(try self.ids(floats, .isNull("x")) == [7])
    let whole: [Int64] = [.min, .min + 1, -1, 0, 1, .max - 1, .max]
    let integers = try index([AttributeColumn("x", .int64)], whole.map { [.int64($0)] } + [[.null]])
    for bound in whole {
      for comparison in FilterComparison.allCases {
        let expected = whole.indices.filter { comparison.holds(whole[$0], bound) }.map { Int64($0) }
        #expect(try self.ids(integers, .comparison("x", comparison, .int64(bound))) == expected)
      }
      #expect(
        try self.ids(integers, .between("x", .int64(bound), .int64(0)))
          == whole.indices.filter { whole[$0] >= bound && whole[$0] <= 0 }.map { Int64($0) })
      #expect(
        try self.ids(integers, .not(.isIn("x", [.int64(bound)])))
          == whole.indices.filter { whole[$0] != bound }.map { Int64($0) })
    }
    #expect(try self.ids(integers, .not(.isIn("x", [.int64(0), .null]))).isEmpty)
    #expect(try self.ids(integers, .not(.between("x", .null, .int64(0)))) == [4, 5, 6], "x > 0 decides")
    #expect(try self.ids(integers, .between("x", .null, .int64(0))).isEmpty)
  }

  @Test func arraysAndTheirNULLs() throws {
    let rows: [[AttributeValue]] = [
      [.null], [.array([])], [.array([.int64(1)])], [.array([.int64(1), .null])], [.array([.null])],
      [.array([.int64(1), .int64(2), .int64(1)])], [.array([.int64(0)])],
    ]
    for isIndexed in [true, false] {
      let index = try index([AttributeColumn("x", .int64Array, isIndexed: isIndexed)], rows)
      let cases: [(Filter, [Int64])] = [
        (.contains("x", []), [1, 2, 3, 4, 5, 6]), (.contains("x", [.int64(1)]), [2, 3, 5]),
        (.contains("x", [.int64(1), .int64(2)]), [5]), (.contains("x", [.int64(1), .null]), []),
        (.not(.contains("x", [.int64(1), .null])), [1, 2, 3, 4, 5, 6]), (.overlaps("x", []), []),
        (.overlaps("x", [.int64(2), .null]), [5]), (.not(.overlaps("x", [.null])), [1, 2, 3, 4, 5, 6]),
        (.anyEqual("x", .int64(1)), [2, 3, 5]), (.not(.anyEqual("x", .int64(1))), [1, 6]),
        (.anyEqual("x", .null), []), (.not(.anyEqual("x", .null)), [1]), (.anyEqual("x", .int64(0)), [6]),
        (.isNull("x"), [0]), (.not(.isNull("x")), [1, 2, 3, 4, 5, 6]),
      ]
      for (filter, expected) in cases { #expect(try ids(index, filter) == expected, "\(filter)") }
    }
  }

  @Test func textIsItsBytes() throws {
    let words = ["", "a", "ab", "B", "é", "e\u{301}", "\u{10000}", "\u{FFFF}", "Linus", "Lina"]
    let index = try index(
      [AttributeColumn("x", .keyword, ordersBytewise: true), AttributeColumn("y", .keywordArray)],
      words.map { [.keyword($0), .array([.keyword($0), .null])] } + [[.null, .null]])
    for word in words {
      #expect(try ids(index, .comparison("x", .equal, .keyword(word))).count == 1)
      #expect(try ids(index, .contains("y", [.keyword(word)])).count == 1)
      let below = words.indices.filter { Array(words[$0].utf8).lexicographicallyPrecedes(Array(word.utf8)) }
      #expect(try ids(index, .comparison("x", .less, .keyword(word))) == below.map { Int64($0) })
    }
    #expect(try ids(index, .hasPrefix("x", "Lin")) == [8, 9] && ids(index, .hasPrefix("x", "")).count == 10)
    #expect(try ids(index, .hasPrefix("x", "e")) == [5] && ids(index, .not(.hasPrefix("x", "Lin"))).count == 8)
    #expect(try ids(index, .comparison("x", .notEqual, .keyword("nobody"))).count == 10)
    #expect(try ids(index, .contains("y", [.keyword("nobody")])).isEmpty)
    #expect(try ids(index, .not(.contains("y", [.keyword("nobody")]))).count == 10)
  }

  /// A program that is kept sees words that came after it was made, whichever way it looks.
  @Test func programsSeeWordsThatCameLater() throws {
    let index = try index(
      [AttributeColumn("x", .keyword, ordersBytewise: true, isIndexed: false), AttributeColumn("y", .keyword)],
      [[.keyword("a"), .keyword("a")]])
    let filters: [Filter] = [
      .comparison("x", .equal, .keyword("b")), .comparison("y", .equal, .keyword("b")), .hasPrefix("x", "b"),
      .isIn("y", [.keyword("b"), .keyword("c")]), .comparison("x", .greater, .keyword("a")),
    ]
    let programs = try filters.map { try index.compile($0) }
    let pin = index.store.pins.take(for: .search)
    defer { index.store.pins.giveBack(pin) }
    for program in programs {
      var scratch = FilterScratch()
      var version = index.store.pins.enter(pin)
      #expect(index.matching(program, version: version, into: &scratch).count == 0)
      // An update while the search is on: its word is not known to the scratch.
      let word = "b" + "\(version)"
      _ = try index.updateAttributes(of: .int64(0), [.keyword(word), .keyword(word)])
      var isSeen = index.matches(program, slot: 0, scratch)
      if case .hasPrefix = program.filter { #expect(isSeen) }
      _ = try index.updateAttributes(of: .int64(0), [.keyword("b"), .keyword("b")])
      isSeen = index.matches(program, slot: 0, scratch)
      #expect(isSeen, "\(program.filter)")
      version = index.store.pins.enter(pin)
      #expect(index.matching(program, version: version, into: &scratch).count == 1)
      index.store.pins.leave(pin)
      _ = try index.updateAttributes(of: .int64(0), [.keyword("a"), .keyword("a")])
    }
  }

  /// A thread that searches no more keeps no program, and so no index, alive.
  @Test func aScratchDoesNotKeepItsProgram() throws {
    let index = try index([AttributeColumn("x", .keyword)], [[.keyword("a")], [.keyword("b")]])
    var scratch = SearchScratch(for: index)
    func matching(_ program: FilterProgram) throws -> Int? {
      try [Float(0)].withUnsafeBufferPointer {
        try index.search($0, SearchOptions(k: 2), matching: program, scratch: &scratch) { $0.filter?.matchingRows }
      }
    }
    for (word, count) in [("a", 1), ("c", 0), ("b", 1), ("a", 1)] {
      var program: FilterProgram? = try index.compile(.isIn("x", [.keyword(word)]))
      weak let kept = program
      #expect(try program.map { try matching($0) } == count)
      #expect(try program.map { try matching($0) } == count)
      program = nil
      #expect(kept == nil)
    }
  }

  /// What `@>` asks for is looked for in each array, so it is bounded, and what is said twice counts once.
  @Test func containsIsBounded() throws {
    let many = (0..<Int64(Filter.containsValuesMax)).map { AttributeValue.int64($0) }
    let words = (0..<Filter.containsValuesMax).map { AttributeValue.keyword("w\($0)") }
    let index = try index(
      [AttributeColumn("x", .int64Array, isIndexed: false), AttributeColumn("y", .keywordArray, isIndexed: false)],
      [
        [.array(many), .array(words)], [.array(many.dropLast() + many.dropLast()), .array(words.dropLast() + [.null])],
      ])
    for (name, values, other) in [("x", many, AttributeValue.int64(-1)), ("y", words, .keyword("other"))] {
      #expect(try ids(index, .contains(name, values + values.reversed())) == [0])
      #expect(try ids(index, .contains(name, Array(values.dropLast()))) == [0, 1])
      #expect(try ids(index, .contains(name, Array(values.dropLast()) + [other])).isEmpty)
      let error = #expect(throws: IndexError.self) { try index.compile(.contains(name, values + [other])) }
      #expect(error?.code == .invalidFilter && error?.message.contains("@>") == true)
    }
    #expect(try ids(index, .not(.contains("x", [.int64(1), .int64(1), .null, .null]))) == [0, 1])
    // Different bytes are different words.
    #expect([AttributeValue.keyword("é"), .keyword("e\u{301}"), .keyword("é")].distinct.count == 2)
  }

  /// Lists that would all want one cell of a table whose hash is known lie as apart as any.
  @Test func keysDoNotCollideByDesign() {
    for family in 0..<5 {
      let keys = (0..<5_000 as Range<UInt64>).map { n -> UInt128 in
        switch family {
        case 0: UInt128(n)
        case 1: UInt128(n << 47)
        case 2: UInt128(high: n, low: n)
        case 3: UInt128(high: n << 40, low: 0)
        // Multiples of the inverse of 2⁶⁴ / φ, which stand side by side where that is what one multiplies with.
        default: UInt128(n &* 0xF1DE_83E1_9937_733D)
        }
      }
      let wide = KeySet<UInt128>.make(keys + [.max])
      let narrow = KeySet<Int64>.make(keys.map { Int64(truncatingIfNeeded: $0) } + [-1])
      #expect(wide.longestRun < 200 && narrow.longestRun < 200, "\(family): \(wide.longestRun), \(narrow.longestRun)")
      #expect(keys.allSatisfy { wide.contains($0) } && wide.contains(.max) && wide.count == 5_001)
      #expect(keys.allSatisfy { !wide.contains($0 ^ 1 << 127) && narrow.contains(Int64(truncatingIfNeeded: $0)) })
      wide.deallocate()
      narrow.deallocate()
    }
  }

  @Test func anIndexWithoutAttributesHasNone() throws {
    let index = try HNSWIndex(configuration: HNSWConfiguration(dimension: 1, metric: .l2, storage: .f32))
    for n in 0..<70 as Range<Int64> { try index.insert(.int64(n), [Float(n)]) }
    index.remove(.int64(3))
    #expect(index.attributes == nil && index.statistics().attributeBytes == 0)
    #expect(index.attributes(of: .int64(1)) == [] && index.attributes(of: .int64(99)) == nil)
    #expect(try ids(index, .always(true)).count == 69)
    #expect(try ids(index, .and([.not(.always(true)), .always(true)])).isEmpty)
    #expect(throws: IndexError.self) { try index.compile(.isNull("x")) }
    #expect(throws: IndexError.self) { try index.insert(.int64(100), [0], attributes: [.null]) }
    #expect(try index.updateAttributes(of: .int64(1), []) && !index.updateAttributes(of: .int64(3), []))
  }
}

extension KeySet {
  /// The most cells side by side that hold a number.
  fileprivate var longestRun: Int {
    var longest = 0
    var run = 0
    for i in 0...mask {
      run = cells?[i] == empty ? 0 : run + 1
      longest = max(longest, run)
    }
    return longest
  }
}
