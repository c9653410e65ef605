// The rows of an index as a dictionary, random changes that are made to both, and what the two disagree about.
//
// May use: VectorIndex.

public import VectorIndex

/// What an index should hold.
public struct RowModel: Sendable {
  public struct Row: Sendable {
    public var vector: [Float]
    public var attributes: [AttributeValue]
    public var payload: [String?]
    public var stamp: RowStamp
  }

  public private(set) var rows: [RecordID: Row] = [:]
  public let configuration: HNSWConfiguration
  /// Ids that rows may have.
  public let ids: [RecordID]

  /// - configuration: with ``schema`` and ``payload``, and stamps.
  public init(_ configuration: HNSWConfiguration, ids: Int) {
    self.configuration = configuration
    self.ids = (0..<ids).map { n in
      switch configuration.recordIDKind {
      case .int64: .int64(Int64(n))
      case .uuid: .uuid(high: UInt64(n), low: 7)
      case .text: .text("row \(n)")
      case .composite: .composite([.int64(Int64(n)), .text("a")])
      }
    }
  }

  public static let payload = ["title", "body"]
  public static let schema: AttributeSchema = {
    do {
      return try AttributeSchema([
        AttributeColumn("n", .int64), AttributeColumn("word", .keyword), AttributeColumn("tags", .int64Array),
        AttributeColumn("price", .float64),
      ])
    } catch {
      fatalError("\(error)")
    }
  }()
}

// MARK: - Changing

extension RowModel {
  /// Changes of some rows, each of which can be made: most write, some remove, and some keep what the row has.
  ///
  /// - removingAllFirst: whether they follow upon the removal of all rows.
  /// - growing: whether rows come rather than go.
  public func changes(
    _ count: Int, removingAllFirst: Bool = false, growing: Bool = false, _ random: inout SeededRandom
  ) -> [RowChange] {
    var chosen: Set<RecordID> = []
    while chosen.count < min(count, ids.count / 2) { chosen.insert(random.pick(ids)) }
    // A set's order is another in each run.
    return ids.filter(chosen.contains).map { id in
      let isThere = !removingAllFirst && rows[id] != nil
      if random.chance(growing ? 3 : 25) { return RowChange(id, .remove) }
      return RowChange(
        id,
        .write(
          vector: isThere && random.chance(40) ? nil : vector(&random),
          attributes: random.chance(30) ? nil : random.row(configuration.attributes),
          payload: random.chance(40) ? nil : payload(&random),
          stamp: RowStamp(vector: random.next(), row: random.next())))
    }
  }

  public func vector(_ random: inout SeededRandom) -> [Float] {
    random.clusteredVector(dimension: configuration.dimension, clusters: 40)
  }

  private func payload(_ random: inout SeededRandom) -> [String?] {
    [
      random.chance(30) ? nil : "title \(random.next() % 1_000)",
      random.chance(50)
        ? nil : String(repeating: random.pick(["a", "é ", "body"]), count: Int.random(in: 0..<60, using: &random)),
    ]
  }

  /// What the changes make of the rows.
  public mutating func apply(_ changes: [RowChange], removingAllFirst: Bool = false) {
    if removingAllFirst { rows = [:] }
    for change in changes {
      guard case .write(let given, let attributes, let payload, let stamp) = change.action else {
        rows[change.id] = nil
        continue
      }
      let old = rows[change.id]
      guard let vector = given ?? old?.vector else { fatalError("a row without a vector has one already") }
      rows[change.id] = Row(
        vector: vector,
        attributes: attributes ?? old?.attributes ?? configuration.attributes.columns.map { _ in .null },
        payload: payload ?? old?.payload ?? configuration.payload.map { _ in nil },
        stamp: RowStamp(vector: given == nil ? old?.stamp.vector ?? 0 : stamp.vector, row: stamp.row))
    }
  }
}

// MARK: - Comparing

extension RowModel {
  /// What an index has that the model has not, or the other way round; at most a few. Rows are compared one by one and as exact searches
  /// and filters give them.
  public func faults(of index: HNSWIndex, _ random: inout SeededRandom) throws -> [String] {
    var faults: [String] = []
    func expect(_ holds: Bool, _ what: @autoclosure () -> String) {
      if !holds, faults.count < 5 { faults.append(what()) }
    }
    expect(index.count == rows.count, "\(index.count) rows instead of \(rows.count)")
    for id in ids {
      let row = rows[id]
      expect(index.contains(id) == (row != nil), "\(id) is \(row == nil ? "" : "not ")there")
      expect(index.attributes(of: id) == row?.attributes, "attributes of \(id)")
      expect(index.payload(of: id) == row?.payload, "payload of \(id)")
      expect(index.stamp(of: id) == row?.stamp, "stamp of \(id)")
      if configuration.storage == .f32 { expect(index.vector(of: id) == row?.vector, "vector of \(id)") }
    }
    var stamps: [RecordID: RowStamp] = [:]
    var stampCount = 0
    index.forEachStamp { id, stamp in
      stamps[id] = stamp
      stampCount += 1
    }
    expect(stamps == rows.mapValues(\.stamp) && stampCount == rows.count, "stamps of all rows")
    for _ in 0..<4 { expect(try isRightAboutNearest(index, &random), "an exact search") }
    for _ in 0..<6 {
      let (filter, holds) = condition(&random)
      let hits = try index.search(
        vector(&random), SearchOptions(k: HNSWConfiguration.resultsMax, exact: true), matching: index.compile(filter))
      let expected = Set(rows.filter { holds($0.value.attributes) }.keys)
      expect(hits.count == expected.count && Set(hits.map(\.id)) == expected, "rows with \(filter)")
    }
    return faults
  }

  /// Under the storage that keeps vectors as they are: whether an exact search finds the nearest, each once, at their distances.
  private func isRightAboutNearest(_ index: HNSWIndex, _ random: inout SeededRandom) throws -> Bool {
    guard configuration.storage == .f32, configuration.metric == .l2 else { return true }
    let query = vector(&random)
    let k = Int.random(in: 1...50, using: &random)
    let hits = try index.search(query, SearchOptions(k: k, exact: true))
    let nearest = rows.values.map { distance($0.vector, query) }.sorted().prefix(k)
    guard hits.count == nearest.count, Set(hits.map(\.id)).count == hits.count else { return false }
    return zip(hits, nearest).allSatisfy { hit, expected in
      guard let row = rows[hit.id] else { return false }
      return abs(hit.distance - expected) < 1e-3 && abs(distance(row.vector, query) - expected) < 1e-3
    }
  }

  private func distance(_ a: [Float], _ b: [Float]) -> Float {
    zip(a, b).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }.squareRoot()
  }

  /// A filter of one condition, by a value that some row has, and whether a row's attributes meet it.
  private func condition(_ random: inout SeededRandom) -> (Filter, ([AttributeValue]) -> Bool) {
    let column = Int.random(in: 0..<3, using: &random)
    let value = random.value(configuration.attributes.columns[column].type.element)
    switch column {
    case 2:
      return (
        .anyEqual("tags", value),
        { values in if case .array(let elements) = values[2] { elements.contains(value) } else { false } }
      )
    default:
      return (.comparison(configuration.attributes.columns[column].name, .equal, value), { $0[column] == value })
    }
  }
}
