// What holds of a graph at rest, checked by brute force.

import Testing

@testable import VectorIndex

extension HNSWIndex {
  /// Checks degrees, edges, layers, ids, blocks and reachability; reports each violation to the running test.
  func checkInvariants(sourceLocation: SourceLocation = #_sourceLocation) {
    var live = 0
    var topLayer = -1
    for slot in 0..<UInt32(store.slotsUsed.load(ordering: .relaxed)) where store.isLive(slot) {
      live += 1
      #expect(
        store.table.slot(of: store.ids[slot]) == slot, "the table knows slot \(slot)", sourceLocation: sourceLocation)
      let layer = graph.layer(of: slot)
      topLayer = max(topLayer, layer)
      guard layer >= 0 else {
        Issue.record("slot \(slot) is live and no node", sourceLocation: sourceLocation)
        continue
      }
      for l in 0...layer {
        let neighbours = graph.neighbours(of: slot, layer: l)
        #expect(neighbours.count <= graph.degreeMax(onLayer: l), sourceLocation: sourceLocation)
        #expect(
          Set(neighbours).count == neighbours.count, "edges of \(slot) are distinct", sourceLocation: sourceLocation)
        #expect(!neighbours.contains(slot), "\(slot) has no edge to itself", sourceLocation: sourceLocation)
        for neighbour in neighbours {
          #expect(graph.layer(of: neighbour) >= l, "edges stay on their layer", sourceLocation: sourceLocation)
        }
      }
    }
    checkBlocks(sourceLocation)
    #expect(live == count && store.table.count == live, sourceLocation: sourceLocation)
    #expect(unreachableSlots().isEmpty, "every live row can be reached", sourceLocation: sourceLocation)
    if live > 0, statistics().retiredRows == 0 {
      #expect(
        graph.entryPoint()?.layer == topLayer, "the entry point is on the top layer", sourceLocation: sourceLocation)
    }
  }

  /// Blocks of slots are known as whole exactly where they are.
  private func checkBlocks(_ sourceLocation: SourceLocation) {
    guard let blocks = store.blocks else { return }
    let version = store.pins.current
    for block in 0..<(store.slotsUsed.load(ordering: .relaxed) / BlockNotes.slots) {
      let slots = (block * BlockNotes.slots)..<((block + 1) * BlockNotes.slots)
      let isWhole = slots.allSatisfy { store.isVisible(UInt32($0), at: version) }
      #expect(blocks.isWhole(block, at: version) == isWhole, "block \(block)", sourceLocation: sourceLocation)
    }
  }
}
