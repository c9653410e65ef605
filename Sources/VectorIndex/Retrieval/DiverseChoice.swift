// Choosing results that are near the query and far from each other: maximal marginal relevance (Carbonell & Goldstein 1998).
//
//     next = argmax over d of  λ · sim(q, d) − (1 − λ) · max over chosen c of sim(d, c)
//
// A similarity is pgvector's distance with its sign turned, whatever the metric: the inner product itself; under cosine, the cosine
// less one, and what is taken off is the same for all that are compared; under L2 the negative distance, so that a set which is twice
// as large in every direction is chosen from alike (1 / (1 + distance) would not do that).
//
// Rows are compared as they are kept, by the kernels that compare rows in insertions; nothing is decoded.
//
// May use: Retrieval, RetrievalScratch.

extension Retrieval {
  /// Replaces the candidates, which stand where the answer will, ascending, by up to `count` of them in the order of their choice.
  /// Of equals, the nearer is chosen; so the first is the nearest of all.
  ///
  /// - Complexity: `count × candidates` distances and as many steps.
  mutating func choose(_ count: Int, _ diversity: Diversity, _ room: RetrievalScratch) {
    let lambda = diversity.lambda
    if lambda == 1 {
      room.keep(count)
      return
    }
    room.beginChoice()
    var next = 0
    while !room.restSlots.isEmpty, room.slots.count < count {
      let slot = room.restSlots[next]
      room.chooseRest(next)
      if room.slots.count == count || room.restSlots.isEmpty { return }
      room.compareRest(with: slot, store)
      noteDistances(room.restSlots.count)
      next = mostRelevant(lambda, room)
    }
  }

  private func mostRelevant(_ lambda: Float, _ room: RetrievalScratch) -> Int {
    var best = 0
    var bestScore = -Float.infinity
    for i in room.restSlots.indices {
      // A distance that is infinite gives no number where it counts nothing, and then the nearest is as good as any.
      let score = (1 - lambda) * room.restApart[i] - lambda * store.metric.finished(room.restDistances[i])
      if score > bestScore {
        bestScore = score
        best = i
      }
    }
    return best
  }
}

extension RetrievalScratch {
  /// Leaves the first `count` results.
  func keep(_ count: Int) {
    slots.removeLast(max(0, slots.count - count))
    distances.removeLast(max(0, distances.count - count))
  }

  /// Makes the answer the rest, none of which is chosen.
  func beginChoice() {
    swap(&slots, &restSlots)
    swap(&distances, &restDistances)
    slots.removeAll(keepingCapacity: true)
    distances.removeAll(keepingCapacity: true)
    restApart.removeAll(keepingCapacity: true)
    restApart.append(contentsOf: repeatElement(.infinity, count: restSlots.count))
  }

  /// Moves one of the rest to the answer.
  func chooseRest(_ place: Int) {
    append(restSlots.remove(at: place), restDistances.remove(at: place))
    restApart.remove(at: place)
  }
}
