// Filters and modifiers on the wire: what goes in comes out, the limits of `Filter` hold, and no bytes do harm.

import NIOCore
import TestSupport
import Testing
import VectorIndex

@testable import VectorWire

@Suite struct FilterCodingTests {
  private func tree(_ filter: WireFilter) throws -> Filter {
    guard case .tree(let tree) = try filter.form() else { throw GoldenError.unknown("form") }
    return tree
  }

  @Test func everyTreeComesBack() throws {
    for seed in UInt64(1)...500 {
      var random = SeededRandom(seed: seed)
      let filter = Self.filter(&random, depth: 1)
      #expect(try tree(WireFilter(filter)) == filter, "seed \(seed)")
    }
  }

  @Test(arguments: ["", "tenant = 7", "größe > 1 and title prefix '✓'"]) func textsComeBack(text: String) throws {
    #expect(try WireFilter(text: text).form() == .text(text))
  }

  @Test func floatsKeepTheirBits() throws {
    for value in [0, -0.0, .nan, .infinity, -.infinity, .leastNonzeroMagnitude] as [Double] {
      let filter = try tree(WireFilter(.comparison("x", .equal, .float64(value))))
      guard case .comparison(_, _, .float64(let read)) = filter else {
        Issue.record("\(filter)")
        continue
      }
      #expect(read.bitPattern == value.bitPattern)
    }
  }

  // MARK: Limits

  private func nested(_ depth: Int) -> Filter {
    (1..<depth).reduce(.isNull("a")) { filter, _ in .not(filter) }
  }

  @Test func limitsHoldWhereFiltersAreWritten() throws {
    let many = Filter.and(Array(repeating: .always(true), count: Filter.nodesMax - 1))
    let long = Filter.isIn("a", Array(repeating: .int64(1), count: Filter.listValuesMax))
    for filter in [nested(Filter.depthMax), many, long] { #expect(try tree(WireFilter(filter)) == filter) }
    let text = AttributeValue.keyword(String(repeating: "x", count: 65_535))
    for filter: Filter in [
      nested(Filter.depthMax + 1), nested(5_000), .or([many, .always(false)]),
      .and(Array(repeating: .always(true), count: 100_000)), .and([long, .isIn("b", [.null])]),
      .comparison("a", .equal, .array([.int64(1)])),
      .comparison("a", .equal, .keyword(String(repeating: "x", count: 65_536))),
      .isNull(String(repeating: "x", count: 65_536)), .isIn("a", Array(repeating: text, count: 17)),
    ] {
      let error = #expect(throws: WireError.self) { try WireFilter(filter) }
      #expect(error?.code == .invalidFilter && error?.message.isEmpty == false)
    }
    #expect(throws: WireError.self) { try WireFilter(text: String(repeating: "x", count: Filter.textBytesMax + 1)) }
    #expect(try WireFilter(text: String(repeating: "x", count: Filter.textBytesMax)).form() != .text(""))
  }

  /// As a client would write them that knows no limits.
  @Test func limitsHoldWhereFiltersAreRead() {
    let isTrue: [UInt8] = [1, 1]
    for (bytes, allowed) in [
      ([1] + [UInt8](repeating: 12, count: 15) + isTrue, true),
      ([1] + [UInt8](repeating: 12, count: 16) + isTrue, false),
      ([1] + [UInt8](repeating: 12, count: 1_000_000), false),
      ([1, 10, 255, 0] + (0..<255).flatMap { _ in isTrue }, true),
      ([1, 10, 0, 1] + (0..<256).flatMap { _ in isTrue }, false),
      ([1, 3, 0, 0, 0x10, 0x27, 0, 0] + [UInt8](repeating: 0, count: 10_000), true),
      ([1, 3, 0, 0, 0x11, 0x27, 0, 0] + [UInt8](repeating: 0, count: 10_001), false),
      ([2] + [UInt8](repeating: 0x78, count: Filter.textBytesMax), true),
      ([2] + [UInt8](repeating: 0x78, count: Filter.textBytesMax + 1), false),
    ] as [([UInt8], Bool)] {
      do throws(WireError) {
        _ = try WireFilter(bytes: ByteBuffer(bytes: bytes)).form()
        if !allowed { Issue.record("\(bytes.prefix(8)) was read") }
      } catch {
        if allowed || error.code != .invalidFilter { Issue.record("\(bytes.prefix(8)): \(error)") }
      }
    }
  }

  @Test func aFilterHasABoundInBytes() throws {
    var modifiers = SearchModifiers()
    for (bytes, allowed) in [(WireProtocol.filterBytesMax, true), (WireProtocol.filterBytesMax + 1, false)] {
      for filters in [
        .all(WireFilter(bytes: ByteBuffer(repeating: 0, count: bytes))),
        .each([WireFilter(bytes: ByteBuffer(repeating: 0, count: bytes))]),
      ]
        as [SearchModifiers.Filters]
      {
        modifiers.filters = filters
        let request = SearchByIDRequest(.init(collection: "c", k: 1, modifiers: modifiers), ids: [.int64(1)])
        do throws(WireError) {
          _ = try SearchByIDRequest(decoding: body(of: request))
          #expect(allowed)
        } catch {
          #expect(!allowed && error.code == .invalidFilter)
        }
      }
    }
  }

  // MARK: Bytes that nobody meant

  /// What still reads after a change writes to the very bytes again: there is one form for each meaning.
  @Test func mutatedFilters() throws {
    for seed in UInt64(1)...3_000 {
      var random = SeededRandom(seed: seed)
      var bytes = Array(try WireFilter(Self.filter(&random, depth: 1)).bytes.readableBytesView)
      for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
        let at = Int.random(in: bytes.indices, using: &random)
        switch Int.random(in: 0..<5, using: &random) {
        case 0: bytes[at] = UInt8.random(in: .min ... .max, using: &random)
        case 1: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 2: bytes[at] = 0xFF
        case 3: bytes.remove(at: at)
        default: bytes.insert(UInt8.random(in: .min ... .max, using: &random), at: at)
        }
      }
      check(bytes, "seed \(seed)")
    }
  }

  @Test func randomFilters() {
    for seed in UInt64(1)...3_000 {
      var random = SeededRandom(seed: seed)
      // Small bytes reach deeper: conditions, types and counts that could be.
      let bytes: [UInt8] =
        [1] + (0..<Int.random(in: 0...200, using: &random)).map { _ in .random(in: 0...12, using: &random) }
      check(bytes, "seed \(seed)")
    }
  }

  @Test func truncationAtEveryByte() throws {
    for seed in UInt64(1)...50 {
      var random = SeededRandom(seed: seed)
      let whole = try WireFilter(Self.filter(&random, depth: 1)).bytes
      for length in 0..<whole.readableBytes {
        let cut = try #require(whole.getSlice(at: 0, length: length))
        #expect(throws: WireError.self, "seed \(seed), \(length) bytes") { try WireFilter(bytes: cut).form() }
      }
    }
  }

  private func check(_ bytes: [UInt8], _ label: String) {
    guard let form = try? WireFilter(bytes: ByteBuffer(bytes: bytes)).form() else { return }
    switch form {
    case .tree(let filter):
      #expect((try? WireFilter(filter)).map { Array($0.bytes.readableBytesView) } == bytes, "\(label)")
    case .text(let text): #expect([2] + Array(text.utf8) == bytes, "\(label)")
    }
  }

  // MARK: Filters by chance

  private static func filter(_ random: inout SeededRandom, depth: Int) -> Filter {
    func name() -> String { ["a", "größe", "", "x y"].randomElement(using: &random) ?? "a" }
    func value() -> AttributeValue {
      switch Int.random(in: 0...6, using: &random) {
      case 0: .null
      case 1: .bool(.random(using: &random))
      case 2: .int64(.random(in: .min ... .max, using: &random))
      case 3: .float64(Double(Int.random(in: -9...9, using: &random)) / 4)
      case 4: .timestamp(.random(in: .min ... .max, using: &random))
      case 5: .uuid(high: .random(in: 0 ... .max, using: &random), low: .random(in: 0 ... .max, using: &random))
      default: .keyword(["", "pt", "naïve ✓"].randomElement(using: &random) ?? "")
      }
    }
    func values() -> [AttributeValue] { (0..<Int.random(in: 0...4, using: &random)).map { _ in value() } }
    func parts() -> [Filter] {
      (0..<Int.random(in: 0...3, using: &random)).map { _ in filter(&random, depth: depth + 1) }
    }
    switch Int.random(in: 0...(depth < 5 ? 11 : 8), using: &random) {
    case 0: return .always(.random(using: &random))
    case 1: return .comparison(name(), FilterComparison.allCases.randomElement(using: &random) ?? .equal, value())
    case 2: return .isIn(name(), values())
    case 3: return .between(name(), value(), value())
    case 4: return .isNull(name())
    case 5: return .contains(name(), values())
    case 6: return .overlaps(name(), values())
    case 7: return .anyEqual(name(), value())
    case 8: return .hasPrefix(name(), "é")
    case 9: return .and(parts())
    case 10: return .or(parts())
    default: return .not(filter(&random, depth: depth + 1))
    }
  }
}
