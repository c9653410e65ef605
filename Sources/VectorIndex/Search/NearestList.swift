// The nearest nodes that a search has met: the paper's W, as one sorted array.
//
// May use: Candidate. Owns its memory.

/// Up to `limit` nearest candidates, ascending by distance and then slot.
struct NearestList: ~Copyable {
  private var entries: UnsafeMutablePointer<UInt64>
  private var allocated: Int
  private(set) var count = 0
  private(set) var limit = 0

  init(capacity: Int) {
    allocated = max(capacity, 16)
    entries = .allocate(capacity: allocated)
  }

  deinit { entries.deallocate() }

  /// Empties the list. Allocates only when `limit` is larger than ever before.
  mutating func reset(limit newLimit: Int) {
    count = 0
    limit = newLimit
    guard newLimit > allocated else { return }
    entries.deallocate()
    allocated = newLimit
    entries = .allocate(capacity: allocated)
  }

  /// A candidate that is not below this does not get in.
  @inline(__always)
  var bound: UInt64 { count < limit ? Candidate.none : entries[count &- 1] }

  /// Up to so many entries are moved one by one.
  private static let shortMax = 24

  /// Inserts a candidate that is below ``bound``.
  @inline(__always)
  mutating func insert(_ entry: UInt64) {
    if count < limit { count &+= 1 }
    guard count <= Self.shortMax else {
      insertLong(entry)
      return
    }
    // From the back: most that get in late get in late.
    var place = count &- 1
    let entries = entries
    // In bounds: place > 0 before entries[place − 1] is read.
    while place > 0, entries[place &- 1] > entry {
      entries[place] = entries[place &- 1]
      place &-= 1
    }
    entries[place] = entry
  }

  /// Finds the place by halves, without a branch on what cannot be guessed, and moves what is behind it at once: with 200
  /// entries, moving them one by one took a seventh of a build.
  @inline(never)
  private mutating func insertLong(_ entry: UInt64) {
    let last = count &- 1
    var place = 0
    var length = last
    while length > 1 {
      let half = length / 2
      place &+= entries[place &+ half &- 1] < entry ? half : 0
      length &-= half
    }
    if entries[place] < entry { place &+= 1 }
    (entries + place + 1).update(from: entries + place, count: last &- place)
    entries[place] = entry
  }

  /// Keeps the first `kept`, with other distances in the place of those found, and sorts them again.
  mutating func rescore(first kept: Int, _ distances: UnsafePointer<Float>) {
    count = 0
    for i in 0..<kept { insert(Candidate.pack(distances[i], slot(at: i))) }
  }

  @inline(__always)
  func entry(at index: Int) -> UInt64 { entries[index] }

  @inline(__always)
  func slot(at index: Int) -> UInt32 { Candidate.slot(entries[index]) }

  @inline(__always)
  func distance(at index: Int) -> Float { Candidate.distance(entries[index]) }
}
