// The nodes that a search has met and not expanded: the paper's C.
//
// A search takes the nearest again and again, and leaves most of what it met unexpanded. So only a short head is kept sorted. The
// rest lies as it came, the nearer part apart from the farther, and is looked through when the head has run out. Adding is one
// store for most, taking is a load, and what will be taken next is known early enough to ask for its links.
//
//     head   sorted             all of it  <  nearLeast
//     near   as it came         nearLeast ≤ … < pivot
//     far    as it came         all of it  ≥  pivot
//
// May use: Candidate. Owns its memory.

/// Candidates, of which the nearest comes out first.
struct Frontier: ~Copyable {
  /// `[headMax]`, descending: the nearest is the last.
  private let head: UnsafeMutablePointer<UInt64>
  private var headCount = 0
  private var near: UnsafeMutablePointer<UInt64>
  private var nearCount = 0
  private var nearLeast = Candidate.none
  private var pivot = Candidate.none
  private var far: UnsafeMutablePointer<UInt64>
  private var farCount = 0
  private var farAllocated: Int

  private static let headMax = 16
  /// Looked through once for every `headMax` that are taken.
  private static let nearMax = 512
  private static let sampleCount = 64

  init(capacity: Int) {
    farAllocated = max(capacity, 2 * Self.nearMax)
    head = .allocate(capacity: Self.headMax)
    near = .allocate(capacity: Self.nearMax)
    far = .allocate(capacity: farAllocated)
  }

  deinit {
    head.deallocate()
    near.deallocate()
    far.deallocate()
  }

  mutating func reset() {
    headCount = 0
    nearCount = 0
    farCount = 0
    nearLeast = Candidate.none
    pivot = Candidate.none
  }

  /// Adds a candidate. Allocates only when there are more than ever before.
  @inline(__always)
  mutating func insert(_ entry: UInt64) {
    guard entry < nearLeast else {
      append(entry)
      return
    }
    if headCount < Self.headMax {
      place(entry)
    } else if entry < head[0] {
      append(head[0])
      replaceFarthest(by: entry)
    } else {
      append(entry)
    }
  }

  /// Takes the nearest out, if it is below `bound`. Bounds only fall: what is not below this one will never be asked for.
  @inline(__always)
  mutating func takeNearest(below bound: UInt64) -> UInt64? {
    if headCount == 0 { refill(below: bound) }
    guard headCount > 0, head[headCount &- 1] < bound else { return nil }
    headCount &-= 1
    return head[headCount]
  }

  /// The one that would come out next, as far as is known.
  @inline(__always)
  var upcoming: UInt64? { headCount > 0 ? head[headCount &- 1] : nil }

  // MARK: Head

  @inline(__always)
  private mutating func place(_ entry: UInt64) {
    var place = headCount
    while place > 0, head[place &- 1] < entry {
      head[place] = head[place &- 1]
      place &-= 1
    }
    head[place] = entry
    headCount &+= 1
  }

  @inline(__always)
  private mutating func replaceFarthest(by entry: UInt64) {
    var i = 1
    while i < headCount, head[i] > entry {
      head[i &- 1] = head[i]
      i &+= 1
    }
    head[i &- 1] = entry
  }

  // MARK: Rest

  @inline(__always)
  private mutating func append(_ entry: UInt64) {
    if entry >= pivot {
      appendFar(entry)
      return
    }
    if nearCount == Self.nearMax {
      split()
      append(entry)
      return
    }
    near[nearCount] = entry
    nearCount &+= 1
    nearLeast = min(nearLeast, entry)
  }

  @inline(__always)
  private mutating func appendFar(_ entry: UInt64) {
    if farCount == farAllocated { growFar() }
    far[farCount] = entry
    farCount &+= 1
  }

  @inline(never)
  private mutating func growFar() {
    let larger = UnsafeMutablePointer<UInt64>.allocate(capacity: 2 * farAllocated)
    larger.update(from: far, count: farCount)
    far.deallocate()
    far = larger
    farAllocated *= 2
  }

  /// Moves the farther half of the near part to the far one.
  @inline(never)
  private mutating func split() {
    pivot = quantile(of: near, nearCount, Self.sampleCount / 2)
    // Copies of one candidate do not come twice, so something is below the pivot and something is not; but the sample's
    // median may be the least.
    var kept = 0
    for i in 0..<nearCount {
      let entry = near[i]
      if entry < pivot {
        near[kept] = entry
        kept &+= 1
      } else {
        appendFar(entry)
      }
    }
    nearCount = kept
    if kept == 0 { nearLeast = pivot }
  }

  /// An entry that about `rank` of `sampleCount` parts of the entries are below.
  private func quantile(of entries: UnsafeMutablePointer<UInt64>, _ count: Int, _ rank: Int) -> UInt64 {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: Self.sampleCount) { buffer in
      // By insertion: the library's sort allocates.
      for i in 0..<Self.sampleCount {
        let entry = entries[i &* count / Self.sampleCount]
        var place = i
        while place > 0, buffer[place &- 1] > entry {
          buffer[place] = buffer[place &- 1]
          place &-= 1
        }
        buffer[place] = entry
      }
      return buffer[rank]
    }
  }

  /// Moves the nearest of the rest to the head, and drops what is not below `bound`.
  @inline(never)
  private mutating func refill(below bound: UInt64) {
    if nearCount == 0, farCount > 0 { refillNear(below: bound) }
    var kept = 0
    nearLeast = pivot
    for i in 0..<nearCount {
      var entry = near[i]
      guard entry < bound else { continue }
      if headCount < Self.headMax {
        place(entry)
        continue
      }
      if entry < head[0] {
        let farthest = head[0]
        replaceFarthest(by: entry)
        entry = farthest
      }
      near[kept] = entry
      nearLeast = min(nearLeast, entry)
      kept &+= 1
    }
    nearCount = kept
  }

  /// Moves the nearer of the far part to the near one, which is empty.
  private mutating func refillNear(below bound: UInt64) {
    if pivot >= bound {
      farCount = 0
      return
    }
    pivot = farCount <= Self.nearMax ? Candidate.none : pivotOfFar()
    var kept = 0
    for i in 0..<farCount {
      let entry = far[i]
      if entry >= bound { continue }
      if entry < pivot {
        // In bounds: the pivot was chosen so that they fit.
        near[nearCount] = entry
        nearCount &+= 1
      } else {
        far[kept] = entry
        kept &+= 1
      }
    }
    farCount = kept
  }

  /// What at least one and at most `nearMax` of the far part are below.
  private func pivotOfFar() -> UInt64 {
    // Aims at half of what the near part holds.
    let rank = Self.sampleCount * Self.nearMax / 2 / farCount
    var pivot = quantile(of: far, farCount, min(max(rank, 1), Self.sampleCount - 1))
    var low: UInt64?
    var high = Candidate.none
    while true {
      var below = 0
      var least = Candidate.none
      for i in 0..<farCount {
        below &+= far[i] < pivot ? 1 : 0
        least = min(least, far[i])
      }
      if below > 0, below <= Self.nearMax { return pivot }
      // A sample can mislead. No two entries are equal, so halving the range ends.
      if below == 0 { low = pivot } else { high = pivot }
      let from = low ?? least
      pivot = from + max(1, (high - from) / 2)
    }
  }
}
