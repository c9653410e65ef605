// The arrays with an element for each slot: rows, sides, codes, lifetimes, ids, links, stamps. They grow together or not at all.
//
// May use: ReservedMemory, MemoryBudget.

/// The memory of all slots of one index. The one who changes rows grows it.
final class SlotMemory: @unchecked Sendable {
  // Proof of Sendable: arrays are added before the index is shared; `slots` belongs to the one who changes rows.

  let slotsMax: Int
  let budget: MemoryBudget
  private var arrays: [(memory: ReservedMemory, slotBytes: Int)] = []
  /// How many slots have their memory in every array.
  private(set) var slots = 0

  /// What the first growth adds to what is asked for, so that the first rows cost few calls.
  private static let spareMin = 64

  init(slotsMax: Int, budget: MemoryBudget) {
    self.slotsMax = slotsMax
    self.budget = budget
  }

  /// A new array of `slotBytes` a slot, nothing of it committed.
  ///
  /// - reserving: the bytes of address space, where an array may grow by itself beyond what its slots take.
  func makeArray(slotBytes: Int, reserving: Int = 0) throws(IndexError) -> ReservedMemory {
    precondition(slots == 0, "arrays are made before the first slot")
    let memory = try ReservedMemory(reserving: max(reserving, slotsMax * slotBytes), budget)
    arrays.append((memory, slotBytes))
    return memory
  }

  /// Makes memory for the slots below `count` usable, in every array or, when the budget does not allow it, in none.
  ///
  /// Grows by an eighth of what is there, so that n slots cost O(log n) calls; by less where the budget is short.
  @inline(__always)
  func commit(slots count: Int) throws(IndexError) {
    if count > slots { try grow(to: count) }
  }

  private func grow(to count: Int) throws(IndexError) {
    guard count <= slotsMax else {
      throw IndexError(
        .outOfMemory, "the index is full: this machine has memory for at most \(slotsMax) rows; use one with more")
    }
    var spare = max(slots / 8, Self.spareMin)
    while true {
      let target = min(count + spare, slotsMax)
      var growths: [(target: Int, taken: Int)] = []
      for array in arrays {
        let bytes = ReservedMemory.rounded(target * array.slotBytes, toHugePages: spare > 0)
        growths.append((bytes, max(0, bytes - array.memory.committedBytes)))
      }
      let total = growths.reduce(0) { $0 + $1.taken }
      if budget.take(total) {
        try commit(growths)
        slots = target
        return
      }
      if spare == 0 { throw budget.refusal(of: total) }
      spare /= 2
    }
  }

  /// Commits what the budget has let through. When the machine refuses it to an array, those before it are larger than they need
  /// be, and those after it give theirs back.
  private func commit(_ growths: [(target: Int, taken: Int)]) throws(IndexError) {
    for (i, growth) in growths.enumerated() {
      do throws(IndexError) {
        try arrays[i].memory.grow(to: growth.target, taken: growth.taken)
      } catch {
        for later in growths[(i + 1)...] { budget.giveBack(later.taken) }
        throw error
      }
    }
  }
}
