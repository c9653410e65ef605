// The slow twin: what a retrieval means, said once more in plain Swift over all rows in order of distance.

import Testing

@testable import VectorIndex

/// An answer, copied out.
struct Retrieved {
  var hits: [SearchHit] = []
  var groups: [Int] = []
  var shortfall: Shortfall?
  var isExact = false
  var filter: FilterReceipt?
  var distancesComputed = 0

  var ids: [Int] { hits.map { number($0.id) } }

  init() {}

  init(_ found: RetrievalHits) {
    hits = found.copied()
    groups = (0..<found.count).map { found.group(at: $0) }
    shortfall = found.shortfall
    isExact = found.isExact
    filter = found.filter
    distancesComputed = found.distancesComputed
    for i in 0..<found.count { #expect(found.id(at: i) == hits[i].id && found.distance(at: i) == hits[i].distance) }
  }
}

struct RetrievalTwin {
  /// All rows, ascending.
  let exact: [SearchHit]
  /// Whether a row matches and may be in the answer.
  let mayAnswer: (Int) -> Bool
  /// The value of a row's grouping attribute.
  let value: (Int) -> AttributeValue

  /// What an exact retrieval without a diversity answers.
  func answer(_ options: RetrievalOptions) -> Retrieved {
    let rows = exact.filter { mayAnswer(number($0.id)) }
    let near = rows.filter { $0.distance <= options.distanceMax ?? .infinity }
    var result = Retrieved()
    let cut: Shortfall? = near.count < rows.count ? .threshold : nil
    guard let grouping = options.grouping else {
      result.hits = Array(near.dropFirst(options.offset).prefix(options.search.k))
      result.groups = Array(result.hits.indices)
      if result.hits.count < options.search.k { result.shortfall = cut ?? .fewMatch }
      return result
    }
    var groups: [[SearchHit]] = []
    var known: [AttributeValue: Int] = [:]
    for row in near {
      let value = value(number(row.id))
      if let group = known[value] {
        groups[group].append(row)
      } else {
        if value != .null { known[value] = groups.count }
        groups.append([row])
      }
    }
    for (i, group) in groups.dropFirst(options.offset).prefix(options.search.k).enumerated() {
      let best = group.prefix(grouping.perGroup)
      result.hits += best
      result.groups += best.map { _ in i }
    }
    if groups.count < options.wanted { result.shortfall = cut ?? .groups }
    return result
  }
}

/// How much of what a twin answers was found.
struct RetrievalTally {
  var right = 0
  var wanted = 0
  var exactAnswers = 0
  var answers = 0
  var recall: Double { wanted == 0 ? 1 : Double(right) / Double(wanted) }

  /// Judges an answer: equal to the twin's where it says that it is exact, else sound and counted.
  mutating func judge(
    _ found: Retrieved, _ twin: RetrievalTwin, _ options: RetrievalOptions, _ comment: Comment
  ) {
    let truth = twin.answer(options)
    answers += 1
    #expect(found.hits.allSatisfy { twin.mayAnswer(number($0.id)) }, comment)
    #expect(found.hits.allSatisfy { $0.distance <= options.distanceMax ?? .infinity }, comment)
    #expect(Set(found.ids).count == found.ids.count, comment)
    checkOrder(found, options, comment)
    if found.isExact {
      exactAnswers += 1
      #expect(found.hits == truth.hits && found.groups == truth.groups, comment)
      #expect(found.shortfall == truth.shortfall, comment)
    } else if options.distanceMax == nil {
      #expect(Set(found.groups).count == Set(truth.groups).count && found.shortfall == truth.shortfall, comment)
    }
    wanted += truth.hits.count
    right += Set(found.ids).intersection(truth.ids).count
  }

  private func checkOrder(_ found: Retrieved, _ options: RetrievalOptions, _ comment: Comment) {
    for (i, j) in zip(found.hits.indices, found.hits.indices.dropFirst()) {
      let isNext = found.groups[j] == found.groups[i] + 1
      #expect(isNext || (options.grouping != nil && found.groups[j] == found.groups[i]), comment)
      if options.grouping == nil || !isNext { #expect(found.hits[i].distance <= found.hits[j].distance, comment) }
    }
    guard let grouping = options.grouping else { return }
    let sizes = Dictionary(grouping: found.groups.indices, by: { found.groups[$0] })
    #expect(sizes.values.allSatisfy { $0.count <= grouping.perGroup }, comment)
    let heads = sizes.sorted { $0.key < $1.key }.map { found.hits[$0.value[0]].distance }
    #expect(zip(heads, heads.dropFirst()).allSatisfy { $0 <= $1 }, comment)
  }
}

extension HNSWIndex {
  func retrieved(
    _ query: [Float], _ options: RetrievalOptions, matching program: FilterProgram? = nil,
    _ scratch: inout SearchScratch
  ) throws(IndexError) -> Retrieved {
    try query.withUnsafeBufferPointer { query throws(IndexError) in
      try retrieve(query, options, matching: program, scratch: &scratch) { Retrieved($0) }
    }
  }
}
