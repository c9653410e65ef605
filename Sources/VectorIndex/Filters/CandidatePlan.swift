// Where the rows of which a filter is TRUE must be: in the postings of some values. Or anywhere.
//
// May use: AttributeStore, PostingTable, WordBinding.

/// Lists that together have every slot that may match; what is in them is looked at.
indirect enum CandidatePlan {
  case anywhere
  case nowhere
  /// The slots of some values of a column.
  case keys(PostingTable, [UInt64])
  /// The slots of all words of a condition, or of its rarest.
  case words(PostingTable, Int)
  case rarestWord(PostingTable, Int)
  case union([CandidatePlan])
  /// Any one of these will do: the smallest is taken.
  case smallest([CandidatePlan])

  /// - wordsOf: which of the program's word conditions a condition on text became.
  init(_ filter: Filter, store: AttributeStore, wordsOf: [Filter: Int]) {
    func postings(_ name: String) -> (postings: PostingTable, type: AttributeType)? {
      guard let index = store.schema.index(of: name), let postings = store.columns[index].postings else { return nil }
      return (postings, store.columns[index].column.type)
    }
    func oneOf(_ name: String, _ values: [AttributeValue]) -> CandidatePlan {
      guard let (postings, type) = postings(name) else { return .anywhere }
      let present = values.filter { $0 != .null }
      if present.isEmpty { return .nowhere }
      if type.element == .keyword { return wordsOf[filter].map { .words(postings, $0) } ?? .anywhere }
      return .keys(postings, present.compactMap(\.postingKey))
    }
    switch filter {
    case .always(let value): self = value ? .anywhere : .nowhere
    case .comparison(_, _, .null): self = .nowhere
    case .comparison(let name, .equal, let value): self = oneOf(name, [value])
    case .isIn(let name, let values), .overlaps(let name, let values): self = oneOf(name, values)
    case .anyEqual(let name, let value): self = oneOf(name, [value])
    case .contains(let name, let values):
      if values.contains(.null) {
        self = .nowhere
      } else if !values.isEmpty, let (postings, type) = postings(name) {
        if type.element == .keyword {
          self = wordsOf[filter].map { .rarestWord(postings, $0) } ?? .anywhere
        } else {
          self = .smallest(values.distinct.compactMap(\.postingKey).map { .keys(postings, [$0]) })
        }
      } else {
        self = .anywhere
      }
    case .and(let parts):
      var plans: [CandidatePlan] = []
      for part in parts {
        let plan = CandidatePlan(part, store: store, wordsOf: wordsOf)
        if !plan.isAnywhere { plans.append(plan) }
      }
      self = plans.isEmpty ? .anywhere : plans.count == 1 ? plans[0] : .smallest(plans)
    case .or(let parts):
      let plans = parts.map { CandidatePlan($0, store: store, wordsOf: wordsOf) }
      self = plans.contains { $0.isAnywhere } ? .anywhere : .union(plans)
    case .comparison, .between, .isNull, .hasPrefix, .not: self = .anywhere
    }
  }

  private var isAnywhere: Bool { if case .anywhere = self { true } else { false } }

  /// The most slots that it leads to; `Int.max` for anywhere.
  func count(_ words: [WordBinding]) -> Int {
    switch self {
    case .anywhere: return .max
    case .nowhere: return 0
    case .keys(let postings, let keys):
      var count = 0
      for key in keys { count += postings.list(of: key).count }
      return count
    case .words(let postings, let i):
      var count = 0
      for j in 0..<words[i].literalCount where words[i].codes[j] != KeywordDictionary.noCode {
        count += postings.list(of: UInt64(words[i].codes[j])).count
      }
      return count
    case .rarestWord(let postings, let i):
      return words[i].rarest(postings).map { postings.list(of: $0).count } ?? 0
    case .union(let plans):
      var count = 0
      for plan in plans { count += plan.count(words) }
      return count
    case .smallest(let plans):
      var count = Int.max
      for plan in plans { count = min(count, plan.count(words)) }
      return count
    }
  }

  /// Appends the slots to the scratch's candidates.
  func collect(_ words: [WordBinding], into candidates: inout SlotList) {
    switch self {
    case .anywhere: preconditionFailure("only what leads somewhere is collected")
    case .nowhere: return
    case .keys(let postings, let keys): for key in keys { candidates.append(postings.list(of: key)) }
    case .words(let postings, let i):
      for j in 0..<words[i].literalCount where words[i].codes[j] != KeywordDictionary.noCode {
        candidates.append(postings.list(of: UInt64(words[i].codes[j])))
      }
    case .rarestWord(let postings, let i):
      if let code = words[i].rarest(postings) { candidates.append(postings.list(of: code)) }
    case .union(let plans): for plan in plans { plan.collect(words, into: &candidates) }
    case .smallest(let plans):
      var best = 0
      var bestCount = Int.max
      for i in plans.indices {
        let count = plans[i].count(words)
        if count < bestCount { (best, bestCount) = (i, count) }
      }
      plans[best].collect(words, into: &candidates)
    }
  }
}

extension WordBinding {
  /// The code of the literal with the shortest list; nil when one of them is no word.
  fileprivate func rarest(_ postings: PostingTable) -> UInt64? {
    var rarest: UInt64?
    var shortest = Int.max
    for i in 0..<literalCount {
      guard codes[i] != KeywordDictionary.noCode else { return nil }
      let count = postings.list(of: UInt64(codes[i])).count
      if count < shortest { (rarest, shortest) = (UInt64(codes[i]), count) }
    }
    return rarest
  }
}

extension AttributeValue {
  /// What stands for a value in its column's postings.
  fileprivate var postingKey: UInt64? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .int64(let value): UInt64(bitPattern: value)
    case .uuid(let high, let low): PostingKey.of(UInt128(high: high, low: low))
    default: nil
    }
  }
}
