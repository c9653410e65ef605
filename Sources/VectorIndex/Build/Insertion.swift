// Linking a node: Algorithm 1 of the paper, for one thread or many.
//
// Differs from the paper in order only: the neighbours of all layers are chosen first, then the node's own links are
// written, and the edges to it come last, from the ground up. So whoever meets the node finds it complete.
//
// May use: Traversal, Graph, NeighbourSelection.

import Synchronization

extension HNSWIndex {
  /// Of the nodes that a search for neighbours found, a bulk build considers this many for each edge: those behind them are hardly
  /// ever chosen, and to find that out costs as much as the search. On 86,694 × 384 embeddings, with M 16 and efConstruction
  /// 200, a build took 9.1 s with all of them and 8.4 s with 128, and recall at ef 64 was .968 and .969. Where rows come and
  /// go, the nearest are often about to leave, and it cost half a point of recall: there all are considered.
  private static let candidatesPerEdge = 8

  /// Edges that a row chooses on the ground layer when it comes into an index that is in use: half as many again as in a bulk build.
  ///
  /// Of a node's neighbours, some leave during its life, and what fills their places when the graph is mended is near, but not chosen
  /// among many. With M edges the graph grows thinner, and recall with it (docs/decisions/0005-removal-by-sweep.md).
  private var streamDegree: Int { configuration.connectivity * 3 / 2 }

  /// Links a row into the graph: Algorithm 1, INSERT. Safe to run on several threads for different slots.
  ///
  /// - slot: [q]; its row is written, and it is a node without edges.
  /// - version: see ``connect(_:layer:from:version:_:)``.
  func link(_ slot: UInt32, version: UInt64?, _ scratch: BuildScratch) {
    let layer = graph.layer(of: slot)
    if let entry = graph.entryPoint(), layer <= entry.layer {
      connect(slot, layer: layer, from: entry, version: version, scratch)
      return
    }
    // The node reaches above the entry point, or is the first: one at a time.
    entryMutex.withLock { _ in
      let entry = graph.entryPoint()
      if let entry { connect(slot, layer: layer, from: entry, version: version, scratch) }
      if layer > entry?.layer ?? -1 {
        graph.entry.store(Graph.pack(entry: slot, layer: layer), ordering: .releasing)
      }
    }
  }

  /// Chooses neighbours for a node without links, and ties it in.
  ///
  /// - version: the version whose rows become neighbours: retired nodes are walked through without taking the places of
  ///   candidates, and the node has an edge to it when this returns. nil in a bulk build, where staged rows are neighbours and
  ///   one walk at the end ties all in.
  func connect(
    _ slot: UInt32, layer: Int, from entry: (slot: UInt32, layer: Int), version: UInt64?, _ scratch: BuildScratch
  ) {
    let traversal = traversal
    scratch.aim(at: slot, store)
    let top = min(layer, entry.layer)
    while scratch.chosen.count <= top { scratch.chosen.append([]) }

    var start = traversal.descend(to: top, from: entry, query: scratch.search.walkQuery, &scratch.search)
    for l in stride(from: top, through: 0, by: -1) {
      findCandidates(for: slot, layer: l, from: start, version: version, scratch)
      if l == 0, scratch.candidates.isEmpty {
        // The descent ended among retired nodes that no edge leads out of.
        findCandidates(for: slot, layer: l, from: entry.slot, version: version, scratch)
      }
      if l == 0, scratch.search.isAbandoned, let version { scanCandidates(for: slot, version: version, scratch) }
      if scratch.search.nearest.count > 0 { start = scratch.search.nearest.slot(at: 0) }
      traversal.selectNeighbours(
        scratch.candidates, degree: l == 0 && version != nil ? streamDegree : configuration.connectivity,
        into: &scratch.chosen[l], scratch)
    }

    for l in 0...top {
      let links = graph.links(of: slot, layer: l)
      for (i, neighbour) in scratch.chosen[l].enumerated() { links[i].store(neighbour.slot, ordering: .releasing) }
    }
    for l in 0...top {
      for i in scratch.chosen[l].indices {
        let neighbour = scratch.chosen[l][i]
        addEdge(from: neighbour.slot, to: slot, distance: neighbour.distance, layer: l, scratch)
      }
    }
    if version != nil { tieInIfOrphaned(slot, scratch) }
  }

  /// Leaves the rows nearest to a node in the scratch, ascending, by a scan of all: where no walk leads to them.
  func scanCandidates(for slot: UInt32, version: UInt64, _ scratch: BuildScratch) {
    scratch.aim(at: slot, store)
    RangeScan(store: store).run(k: configuration.constructionEffort, version: version, &scratch.search)
    takeCandidates(for: slot, scratch)
  }

  /// Leaves the candidates for the neighbours of a node on one layer in the scratch, ascending. The scratch is aimed at it.
  func findCandidates(
    for slot: UInt32, layer: Int, from start: UInt32, version: UInt64?, _ scratch: BuildScratch
  ) {
    traversal.searchLayer(
      layer, from: start, query: scratch.search.walkQuery,
      rule: .effort(configuration.constructionEffort, results: configuration.connectivity),
      version: version, &scratch.search)
    let considered = version == nil ? Self.candidatesPerEdge * configuration.connectivity : nil
    takeCandidates(for: slot, considered: considered, scratch)
  }

  /// Whether edges may lead to a slot: it is a node, and its row was not removed up to the horizon.
  func isPlace(_ slot: UInt32, at horizon: UInt64) -> Bool {
    store.isCurrent(slot, at: horizon) && graph.layer(of: slot) >= 0
  }

  /// How many candidates are asked for before it is looked whether they are places: each is two cache lines, anywhere.
  private static let placesAhead = 8

  private func prefetchPlace(_ slot: UInt32) {
    store.prefetchLifetime(slot)
    graph.prefetchNode(slot)
  }

  /// - considered: how many at most, where not all are.
  private func takeCandidates(for slot: UInt32, considered: Int? = nil, _ scratch: BuildScratch) {
    scratch.candidates.removeAll(keepingCapacity: true)
    let count = scratch.search.nearest.count
    for i in 0..<min(Self.placesAhead, count) { prefetchPlace(scratch.search.nearest.slot(at: i)) }
    for i in 0..<count where scratch.candidates.count < considered ?? count {
      if i + Self.placesAhead < count { prefetchPlace(scratch.search.nearest.slot(at: i + Self.placesAhead)) }
      let candidate = scratch.search.nearest.slot(at: i)
      // A retired node is a way, not a place: an edge to it would have to be mended at once.
      guard candidate != slot, isPlace(candidate, at: scratch.horizon) else { continue }
      scratch.candidates.append(Neighbour(distance: scratch.search.nearest.distance(at: i), slot: candidate))
    }
    if store.rescores { score(&scratch.candidates, from: slot, scratch) }
  }

  /// Gives neighbours their distances from `base`, and sorts them.
  func score(_ neighbours: inout [Neighbour], from base: UInt32, _ scratch: BuildScratch) {
    let slots = scratch.search.batchSlots
    let distances = scratch.search.batchDistances
    scratch.compare(with: base, store)
    for first in stride(from: 0, to: neighbours.count, by: SearchScratch.batchMax) {
      let count = min(SearchScratch.batchMax, neighbours.count - first)
      for i in 0..<count {
        slots[i] = neighbours[first + i].slot
        store.pairing.prefetch(slots[i])
      }
      store.pairing.score(scratch.rowQuery, slots: slots, count: count, into: distances)
      for i in 0..<count { neighbours[first + i].distance = distances[i] }
    }
    neighbours.sort(by: <)
  }

  /// Adds the edge `from` → `to`, and prunes the edges of `from` when they become too many (Algorithm 1, lines 11–16).
  func addEdge(from base: UInt32, to slot: UInt32, distance: Float, layer: Int, _ scratch: BuildScratch) {
    graph.withLock(on: base) {
      let links = graph.links(of: base, layer: layer)
      let degreeMax = graph.degreeMax(onLayer: layer)
      let slots = scratch.search.batchSlots
      var count = 0
      while count < degreeMax {
        let neighbour = links[count].load(ordering: .relaxed)
        if neighbour == Graph.none { break }
        if neighbour == slot { return }
        slots[count] = neighbour
        count += 1
      }
      if count < degreeMax {
        links[count].store(slot, ordering: .releasing)
        return
      }
      scratch.compare(with: base, store)
      store.pairing.score(scratch.rowQuery, slots: slots, count: count, into: scratch.search.batchDistances)
      scratch.candidates.removeAll(keepingCapacity: true)
      for i in 0..<count {
        scratch.candidates.append(Neighbour(distance: scratch.search.batchDistances[i], slot: slots[i]))
      }
      scratch.candidates.append(Neighbour(distance: distance, slot: slot))
      prune(layer: layer, degree: degreeMax, links: links, scratch)
    }
  }

  /// Selects among the scratch's candidates and writes the result as the links. The caller holds the base's lock.
  ///
  /// Retired nodes get the places that are left: they may be the way to somewhere until the graph is mended, but one that kept
  /// a live node behind it out would leave that without an edge then.
  func prune(layer: Int, degree: Int, links: Graph.Links, _ scratch: BuildScratch) {
    let horizon = scratch.horizon
    let retired = scratch.candidates.filter { !store.isCurrent($0.slot, at: horizon) }
    if !retired.isEmpty { scratch.candidates.removeAll { !store.isCurrent($0.slot, at: horizon) } }
    scratch.candidates.sort(by: <)
    traversal.selectNeighbours(scratch.candidates, degree: degree, into: &scratch.selection, scratch)
    scratch.selection.append(contentsOf: retired.prefix(degree - scratch.selection.count))
    for i in 0..<degree {
      let neighbour = i < scratch.selection.count ? scratch.selection[i].slot : Graph.none
      links[i].store(neighbour, ordering: .releasing)
    }
  }
}
