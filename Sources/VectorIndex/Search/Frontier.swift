// The nodes that a search has met and not expanded: the paper's C.
//
// A search takes the nearest again and again, and leaves most of what it met unexpanded. So only a short head is kept sorted. The
// rest lies as it came, the nearer part apart from the farther, and is looked through when the head has run out. Adding is one
// store for most, taking is a load, and what will be taken next is known early enough to ask for its links.
//
//     head      sorted          all of it  <  nearLeast
//     near      as it came      nearLeast ≤ … < pivot
//     far       as it came      pivot ≤ … < farPivot
//     distant   as it came      all of it  ≥  farPivot
//
// A part is looked through once for half of what the part before it holds, so what a search pays for each that it takes is bounded by
// the first three. Only searches that look very far, of tens of thousands of candidates, have a distant part at all.
//
// The first three parts are C's, too: a hop adds what it keeps itself where a processor has the vectors for it (queues_avx512.c). What
// is here says what they mean, is what other processors have, and what a hop leaves.
//
// May use: CVectorKernels, Candidate. Owns its memory.

internal import CVectorKernels

/// Candidates, of which the nearest comes out first.
struct Frontier: ~Copyable {
  /// What a hop reads and writes.
  let state: UnsafeMutablePointer<vz_frontier>
  /// `[2 * headMax]`, ascending from `headFirst` on: what was taken leaves room in front.
  private let head: UnsafeMutablePointer<UInt64>
  private let near: UnsafeMutablePointer<UInt64>
  private var farAllocated: Int
  private var farPivot = Candidate.none
  /// Nothing is allocated for it before it is needed.
  private var distant: UnsafeMutablePointer<UInt64>?
  private var distantCount = 0
  private var distantAllocated = 0
  /// Whether a search ever looked so far that there was a distant part.
  var hasBeenDistant: Bool { distantAllocated > 0 }

  private static let headMax = Int(VZ_HEAD_MAX)
  /// Looked through once for every `headMax` that are taken.
  private static let nearMax = Int(VZ_NEAR_MAX)
  /// Looked through once for every half of `nearMax`.
  private static let farMax = 16_384
  private static let sampleCount = 64

  init(capacity: Int) {
    farAllocated = min(max(capacity, 2 * Self.nearMax), Self.farMax)
    head = Self.allocate(2 * Self.headMax)
    near = Self.allocate(Self.nearMax)
    state = .allocate(capacity: 1)
    state.initialize(
      to: vz_frontier(
        head: head, head_first: 0, head_count: 0, near: near, near_count: 0, near_least: Candidate.none,
        pivot: Candidate.none, far: Self.allocate(farAllocated), far_count: 0, far_max: farAllocated))
  }

  /// With the room that a hop's steps need.
  private static func allocate(_ capacity: Int) -> UnsafeMutablePointer<UInt64> {
    .allocate(capacity: capacity + Int(VZ_QUEUE_STEP))
  }

  deinit {
    head.deallocate()
    near.deallocate()
    far.deallocate()
    distant?.deallocate()
    state.deallocate()
  }

  mutating func reset() {
    headFirst = 0
    headCount = 0
    nearCount = 0
    farCount = 0
    distantCount = 0
    nearLeast = Candidate.none
    pivot = Candidate.none
    setFarPivot(Candidate.none)
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
    } else if entry < farthestInHead {
      append(farthestInHead)
      replaceFarthest(by: entry)
    } else {
      append(entry)
    }
  }

  /// Takes the nearest out, if it is below `bound`. Bounds only fall: what is not below this one will never be asked for.
  @inline(__always)
  mutating func takeNearest(below bound: UInt64) -> UInt64? {
    if headCount == 0 { refill(below: bound) }
    guard headCount > 0, head[headFirst] < bound else { return nil }
    headCount &-= 1
    headFirst &+= 1
    return head[headFirst &- 1]
  }

  /// The one that will come out next, unless a nearer one comes in; nil where that would take a look through the rest.
  @inline(__always)
  var upcoming: UInt64? { headCount > 0 ? head[headFirst] : nil }

  /// Whether a candidate would come out before all others.
  @inline(__always)
  func precedesAll(_ entry: UInt64) -> Bool { entry < (headCount > 0 ? head[headFirst] : nearLeast) }

  // MARK: Head

  @inline(__always)
  private var farthestInHead: UInt64 { head[headFirst &+ headCount &- 1] }

  @inline(__always)
  private func place(_ entry: UInt64) {
    if headFirst &+ headCount == 2 * Self.headMax {
      head.update(from: head + headFirst, count: headCount)
      headFirst = 0
    }
    headCount &+= 1
    replaceFarthest(by: entry)
  }

  @inline(__always)
  private func replaceFarthest(by entry: UInt64) {
    var place = headFirst &+ headCount &- 1
    while place > headFirst, head[place &- 1] > entry {
      head[place] = head[place &- 1]
      place &-= 1
    }
    head[place] = entry
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
    if farCount == farAllocated || entry >= farPivot {
      appendFarther(entry)
      return
    }
    far[farCount] = entry
    farCount &+= 1
  }

  /// Where there is no room in the far part, or the entry is beyond it.
  @inline(never)
  private mutating func appendFarther(_ entry: UInt64) {
    if farCount == farAllocated {
      if farAllocated < Self.farMax {
        growFar(to: min(2 * farAllocated, Self.farMax))
      } else {
        splitFar()
      }
    }
    if entry >= farPivot {
      appendDistant(entry)
    } else {
      far[farCount] = entry
      farCount &+= 1
    }
  }

  private mutating func appendDistant(_ entry: UInt64) {
    if distantCount == distantAllocated {
      distantAllocated = max(2 * distantAllocated, 2 * Self.farMax)
      distant = Self.grown(distant, distantCount, to: distantAllocated)
    }
    // There is room: it was made above.
    distant.unsafelyUnwrapped[distantCount] = entry
    distantCount &+= 1
  }

  private mutating func growFar(to capacity: Int) {
    far = Self.grown(far, farCount, to: capacity)
    farAllocated = capacity
    setFarPivot(farPivot)
  }

  /// A hop adds to the far part as long as there is nothing behind it.
  private mutating func setFarPivot(_ pivot: UInt64) {
    farPivot = pivot
    state.pointee.far_max = pivot == Candidate.none ? farAllocated : 0
  }

  private static func grown(
    _ entries: UnsafeMutablePointer<UInt64>?, _ count: Int, to capacity: Int
  ) -> UnsafeMutablePointer<UInt64> {
    let larger = allocate(capacity)
    if let entries {
      larger.update(from: entries, count: count)
      entries.deallocate()
    }
    return larger
  }

  /// Moves the farther half of the far part to the distant one.
  private mutating func splitFar() {
    setFarPivot(Self.quantile(of: far, farCount, Self.sampleCount / 2))
    var kept = 0
    for i in 0..<farCount {
      let entry = far[i]
      if entry < farPivot {
        far[kept] = entry
        kept &+= 1
      } else {
        appendDistant(entry)
      }
    }
    farCount = kept
  }

  /// Moves the farther half of the near part to the far one.
  @inline(never)
  private mutating func split() {
    pivot = Self.quantile(of: near, nearCount, Self.sampleCount / 2)
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
  private static func quantile(of entries: UnsafeMutablePointer<UInt64>, _ count: Int, _ rank: Int) -> UInt64 {
    withUnsafeTemporaryAllocation(of: UInt64.self, capacity: sampleCount) { buffer in
      // By insertion: the library's sort allocates.
      for i in 0..<sampleCount {
        let entry = entries[i &* count / sampleCount]
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
    if nearCount == 0, farCount &+ distantCount > 0 { refillNear(below: bound) }
    var kept = 0
    nearLeast = pivot
    for i in 0..<nearCount {
      var entry = near[i]
      guard entry < bound else { continue }
      if headCount < Self.headMax {
        place(entry)
        continue
      }
      let farthest = farthestInHead
      if entry < farthest {
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
    if farCount == 0 { refillFar(below: bound) }
    if pivot >= bound {
      farCount = 0
      distantCount = 0
      return
    }
    pivot = farCount <= Self.nearMax ? farPivot : Self.pivot(of: far, farCount, partMax: Self.nearMax)
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

  /// Moves the nearer of the distant part to the far one, which is empty.
  @inline(never)
  private mutating func refillFar(below bound: UInt64) {
    guard let distant, farPivot < bound else {
      distantCount = 0
      return
    }
    // At its full length from here on: what comes from the distant part fits.
    if farAllocated < Self.farMax { growFar(to: Self.farMax) }
    setFarPivot(
      distantCount <= Self.farMax ? Candidate.none : Self.pivot(of: distant, distantCount, partMax: Self.farMax))
    var kept = 0
    for i in 0..<distantCount {
      let entry = distant[i]
      if entry >= bound { continue }
      if entry < farPivot {
        far[farCount] = entry
        farCount &+= 1
      } else {
        distant[kept] = entry
        kept &+= 1
      }
    }
    distantCount = kept
  }

  /// What at least one and at most `partMax` of some entries are below.
  private static func pivot(of entries: UnsafeMutablePointer<UInt64>, _ count: Int, partMax: Int) -> UInt64 {
    // Aims at half of what the part holds.
    let rank = sampleCount * partMax / 2 / count
    var pivot = quantile(of: entries, count, min(max(rank, 1), sampleCount - 1))
    var low: UInt64?
    var high = Candidate.none
    while true {
      var below = 0
      var least = Candidate.none
      for i in 0..<count {
        below &+= entries[i] < pivot ? 1 : 0
        least = min(least, entries[i])
      }
      if below > 0, below <= partMax { return pivot }
      // A sample can mislead. No two entries are equal, so halving the range ends.
      if below == 0 { low = pivot } else { high = pivot }
      let from = low ?? least
      pivot = from + max(1, (high - from) / 2)
    }
  }
}

// MARK: - Shared with C

extension Frontier {
  @inline(__always)
  private var headFirst: Int {
    get { state.pointee.head_first }
    nonmutating set { state.pointee.head_first = newValue }
  }

  @inline(__always)
  private var headCount: Int {
    get { state.pointee.head_count }
    nonmutating set { state.pointee.head_count = newValue }
  }

  @inline(__always)
  private var nearCount: Int {
    get { state.pointee.near_count }
    nonmutating set { state.pointee.near_count = newValue }
  }

  @inline(__always)
  private var nearLeast: UInt64 {
    get { state.pointee.near_least }
    nonmutating set { state.pointee.near_least = newValue }
  }

  @inline(__always)
  private var pivot: UInt64 {
    get { state.pointee.pivot }
    nonmutating set { state.pointee.pivot = newValue }
  }

  @inline(__always)
  private var far: UnsafeMutablePointer<UInt64> {
    get { state.pointee.far }
    nonmutating set { state.pointee.far = newValue }
  }

  @inline(__always)
  private var farCount: Int {
    get { state.pointee.far_count }
    nonmutating set { state.pointee.far_count = newValue }
  }
}
