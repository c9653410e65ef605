// The nodes that a search has met and not expanded: the paper's C.
//
// A search takes the nearest again and again and leaves most of what it met unexpanded. So only a short head is kept sorted;
// the rest lies as it came, and is looked through when the head has run out. Adding is a store for most, taking is a load, and
// what will be taken next is known early enough to ask for its links.
//
// May use: Candidate. Owns its memory.

/// Candidates, of which the nearest comes out first.
struct Frontier: ~Copyable {
  /// `[headMax]`, descending: the nearest is the last.
  private let head: UnsafeMutablePointer<UInt64>
  private var headCount = 0
  private var rest: UnsafeMutablePointer<UInt64>
  private var restCount = 0
  private var allocated: Int
  /// Nothing in the rest is below it.
  private var restLeast = Candidate.none

  private static let headMax = 16

  init(capacity: Int) {
    allocated = max(capacity, Self.headMax)
    head = .allocate(capacity: Self.headMax)
    rest = .allocate(capacity: allocated)
  }

  deinit {
    head.deallocate()
    rest.deallocate()
  }

  mutating func reset() {
    headCount = 0
    restCount = 0
    restLeast = Candidate.none
  }

  /// Adds a candidate. Allocates only when there are more than ever before.
  @inline(__always)
  mutating func insert(_ entry: UInt64) {
    guard entry < restLeast else {
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

  @inline(__always)
  private mutating func append(_ entry: UInt64) {
    if restCount == allocated { grow() }
    rest[restCount] = entry
    restCount &+= 1
    restLeast = min(restLeast, entry)
  }

  @inline(never)
  private mutating func grow() {
    let larger = UnsafeMutablePointer<UInt64>.allocate(capacity: 2 * allocated)
    larger.update(from: rest, count: restCount)
    rest.deallocate()
    rest = larger
    allocated *= 2
  }

  /// Takes the nearest out, if it is below `bound`. When there is none, the rest can be forgotten: bounds only fall.
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

  /// Moves the nearest of the rest to the head, and drops what is not below `bound`.
  @inline(never)
  private mutating func refill(below bound: UInt64) {
    var kept = 0
    for i in 0..<restCount {
      var entry = rest[i]
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
      rest[kept] = entry
      kept &+= 1
    }
    restCount = kept
    restLeast = Candidate.none
    for i in 0..<restCount { restLeast = min(restLeast, rest[i]) }
  }

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
}
