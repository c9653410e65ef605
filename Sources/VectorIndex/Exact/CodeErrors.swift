// How far distances by codes lie from those that answers are given in: what one search sees of it, and what that lets it leave out.
//
// May use: Scorer, VectorStore's planes, SearchScratch.

/// The errors of codes in one search: mean and spread of `distance by codes − distance of the answer`.
///
/// An error is a sum over all dimensions of a query's components times what the rounding did to the row's, so it is about normal, and
/// its spread depends on query and metric: it is measured anew in each search. Only rows may be shown to it that were not picked
/// by their codes, or else those that were picked for good reasons of their own; a row that is near by its codes is there because its
/// error is low, and the mean of such rows would be too low.
struct CodeErrors {
  private var count: Float = 0
  private var mean: Float = 0
  private var squares: Float = 0
  /// A row whose distance by codes is beyond another's true distance by so much is not nearer than that one; infinite as long as too
  /// little is known.
  private(set) var margin = Float.infinity

  /// Errors that must have been seen before anything is left out.
  private static let countMin: Float = 16
  /// Standard deviations of the error in a margin. A true neighbour at the very end of the answer is lost to 4 once in 30,000 times; were
  /// the spread judged a fifth too small, once in 1,500.
  private static let deviations: Float = 4
  /// Rows of a sample: the spread is known to 9 %, for two calls of a kernel.
  static let sampleCount = 64

  /// Takes one error into account (Welford's recurrence); ``margin`` follows with ``update()``.
  @inline(__always)
  mutating func add(_ error: Float) {
    count += 1
    let difference = error - mean
    mean += difference / count
    squares += difference * (error - mean)
  }

  mutating func update() {
    guard count >= Self.countMin else { return }
    let margin = mean + Self.deviations * (squares / (count - 1)).squareRoot()
    // Sums of huge components are infinite or no number: then nothing is left out.
    self.margin = margin.isFinite ? margin : .infinity
  }

  /// Takes the errors of `count` rows into account: at most ``sampleCount``, which stand in the scratch's batch.
  mutating func sample(_ count: Int, _ store: VectorStore, _ scratch: inout SearchScratch) {
    let slots = scratch.batchSlots
    let byCodes = scratch.batchDistances
    // In bounds: a batch has room for four samples.
    let fine = scratch.batchDistances + Self.sampleCount
    for i in 0..<count {
      store.walking.prefetch(slots[i])
      store.answering.prefetch(slots[i])
    }
    store.walking.score(scratch.walkQuery, slots: slots, count: count, into: byCodes)
    store.answering.score(scratch.answerQuery, slots: slots, count: count, into: fine)
    for i in 0..<count { add(byCodes[i] - fine[i]) }
    update()
    scratch.distancesComputed &+= count
    scratch.rowsRescored &+= count
  }
}

// MARK: - After a walk

extension HNSWIndex {
  /// Rows that are scored again at once.
  private static let rescoreBatch = 16

  /// Scores what a walk found by codes again, in the order of the codes, until the rest cannot be nearer than the `wanted` nearest; those
  /// are what the scratch's `nearest` has then.
  ///
  /// - Returns: false where the list ended before that: rows that the walk met and did not keep may be nearer.
  func rescoreWithinErrors(wanted: Int, _ scratch: inout SearchScratch) -> Bool {
    let found = scratch.nearest.count
    let isComplete = scratch.nearest.isComplete
    let nearestUnlisted = Candidate.distance(scratch.nearest.nearestUnlisted)
    var errors = CodeErrors()
    errors.sample(scratch.visited.spread(CodeErrors.sampleCount, into: scratch.batchSlots), store, &scratch)

    scratch.reserveHits(found)
    for i in 0..<found {
      scratch.hitSlots[i] = scratch.nearest.slot(at: i)
      scratch.hitDistances[i] = scratch.nearest.distance(at: i)
    }
    scratch.nearest.reset(limit: max(1, wanted))
    let fine = store.answering
    var next = 0
    for i in 0..<min(found, Self.rescoreBatch) { fine.prefetch(scratch.hitSlots[i]) }
    while next < found {
      if scratch.nearest.bound != Candidate.none,
        scratch.hitDistances[next] >= Candidate.distance(scratch.nearest.bound) + errors.margin
      {
        return !(nearestUnlisted < Candidate.distance(scratch.nearest.bound) + errors.margin)
      }
      let count = min(Self.rescoreBatch, found - next)
      for i in (next + count)..<min(found, next + count + Self.rescoreBatch) { fine.prefetch(scratch.hitSlots[i]) }
      fine.score(
        scratch.answerQuery, slots: scratch.hitSlots + next, count: count, into: scratch.batchDistances)
      for i in 0..<count {
        let candidate = Candidate.pack(scratch.batchDistances[i], scratch.hitSlots[next + i])
        if candidate < scratch.nearest.bound { scratch.nearest.insert(candidate) }
      }
      scratch.rowsRescored &+= count
      next += count
    }
    return isComplete
  }
}
