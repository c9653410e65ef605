// The nearest nodes that a search has met: the paper's W, as one sorted array.
//
// May use: Candidate. Owns its memory.

/// Up to `limit` nearest candidates, ascending by distance and then slot.
///
/// Copies of one vector are equally far from every query. A walk's list counts those of one distance as one, or a hundred copies would take
/// all places: the walk would end among them, and never come to rows behind them, or before them by another way.
struct NearestList: ~Copyable {
  private var entries: UnsafeMutablePointer<UInt64>
  private var allocated: Int
  private(set) var count = 0
  private(set) var limit = 0
  /// A candidate that is not below this does not get in.
  private(set) var bound = Candidate.none
  /// How many entries there may be.
  private var room = 0
  /// Entries that are as near as the one before them.
  private var ties = 0
  /// Of these, as many have places of their own.
  private var tiesMax = 0
  /// Of one distance.
  private var copiesMax = Int.max
  /// The slot of an entry of the distance of which there were enough when ``insert(_:)`` last said so.
  private(set) var tied: UInt32 = 0
  /// Whether the list has been full, or enough of one distance have been there.
  private var hasBeenFull = false

  /// Whether everything is in the list that came.
  var isComplete: Bool { !hasBeenFull }

  init(capacity: Int) {
    allocated = max(capacity, 16)
    entries = .allocate(capacity: allocated)
  }

  deinit { entries.deallocate() }

  /// Empties the list. Allocates only when it may grow longer than ever before.
  ///
  /// - newLimit: of entries, 1 at least.
  /// - copiesMax: how many of one distance are kept, where those count as one; nil where each counts. At least as many as are wanted in the
  ///   end: it does not matter then which of them they are.
  mutating func reset(limit newLimit: Int, copiesMax copies: Int? = nil) {
    count = 0
    limit = newLimit
    room = newLimit
    bound = Candidate.none
    ties = 0
    hasBeenFull = false
    tiesMax = copies == nil ? 0 : Self.placesForTies * newLimit
    copiesMax = copies ?? .max
    // One more, for a moment, when one comes in.
    let longest = newLimit + tiesMax + 1
    guard longest > allocated else { return }
    entries.deallocate()
    allocated = longest
    entries = .allocate(capacity: allocated)
  }

  /// Several groups of copies may be near: for their places, so many times the limit.
  private static let placesForTies = 3

  /// Up to so many entries are moved one by one.
  private static let shortMax = 24

  /// Inserts a candidate that is below ``bound``.
  /// - Returns: false where there were enough of its distance: of those, the ones of the lowest slots are kept.
  @inline(__always)
  @discardableResult
  mutating func insert(_ entry: UInt64) -> Bool {
    var place: Int
    let entries = entries
    if count <= Self.shortMax {
      // From the back: most that get in late get in late.
      place = count
      // In bounds: place > 0 before entries[place − 1] is read.
      while place > 0, entries[place &- 1] > entry {
        entries[place] = entries[place &- 1]
        place &-= 1
      }
    } else {
      place = openLong(entry)
    }
    entries[place] = entry
    count &+= 1
    let isKept = tiesMax == 0 || !isTied(place) || keepsTie(at: place)
    if count >= room {
      while count > room { removeLast() }
      bound = entries[count &- 1]
      hasBeenFull = true
    }
    return isKept
  }

  @inline(__always)
  private func isTied(_ place: Int) -> Bool {
    (place > 0 && Self.isTie(entries[place &- 1], entries[place]))
      || (place &+ 1 < count && Self.isTie(entries[place &+ 1], entries[place]))
  }

  @inline(__always)
  private static func isTie(_ a: UInt64, _ b: UInt64) -> Bool { (a ^ b) >> 32 == 0 }

  /// Counts an entry that came among others of its distance; where there are enough, the last of them goes.
  /// - Returns: false in that case.
  @inline(never)
  private mutating func keepsTie(at place: Int) -> Bool {
    let entry = entries[place]
    var first = place
    while first > 0, Self.isTie(entries[first &- 1], entry) { first &-= 1 }
    var end = place &+ 1
    while end < count, Self.isTie(entries[end], entry) { end &+= 1 }
    guard end &- first <= copiesMax else {
      tied = Candidate.slot(entries[place == first ? place &+ 1 : first])
      hasBeenFull = true
      (entries + end - 1).update(from: entries + end, count: count &- end)
      count &-= 1
      return false
    }
    countTies(ties &+ 1)
    return true
  }

  @inline(__always)
  private mutating func countTies(_ counted: Int) {
    ties = counted
    room = limit &+ min(counted, tiesMax)
  }

  @inline(__always)
  private mutating func removeLast() {
    count &-= 1
    if tiesMax > 0, count > 0, Self.isTie(entries[count &- 1], entries[count]) { countTies(ties &- 1) }
  }

  /// Finds the place by halves, without a branch on what cannot be guessed, and moves what is behind it at once: with 200
  /// entries, moving them one by one took a seventh of a build.
  @inline(never)
  private mutating func openLong(_ entry: UInt64) -> Int {
    var place = 0
    var length = count
    while length > 1 {
      let half = length / 2
      place &+= entries[place &+ half &- 1] < entry ? half : 0
      length &-= half
    }
    if entries[place] < entry { place &+= 1 }
    (entries + place + 1).update(from: entries + place, count: count &- place)
    return place
  }

  /// How many entries have the `distances` nearest distances; nil where there are not so many. Of many distances no fewer, and as many more as
  /// there are ties: they are not counted one by one.
  @inline(__always)
  func entries(ofNearest distances: Int) -> Int? {
    if ties == 0 { return count >= distances ? distances : nil }
    if distances > Self.countedMax { return count &- ties >= distances ? min(count, distances &+ ties) : nil }
    return entriesAmongTies(ofNearest: distances)
  }

  private static let countedMax = 128

  @inline(never)
  private func entriesAmongTies(ofNearest distances: Int) -> Int? {
    guard count >= distances else { return nil }
    var left = distances
    for i in 0..<count where i == 0 || !Self.isTie(entries[i &- 1], entries[i]) {
      if left == 0 { return i }
      left &-= 1
    }
    return left == 0 ? count : nil
  }

  /// Keeps the first `kept`, with other distances in the place of those found, and sorts them again.
  mutating func rescore(first kept: Int, _ distances: UnsafePointer<Float>) {
    reset(limit: max(limit, kept))
    for i in 0..<kept { insert(Candidate.pack(distances[i], slot(at: i))) }
  }

  @inline(__always)
  func entry(at index: Int) -> UInt64 { entries[index] }

  @inline(__always)
  func slot(at index: Int) -> UInt32 { Candidate.slot(entries[index]) }

  @inline(__always)
  func distance(at index: Int) -> Float { Candidate.distance(entries[index]) }
}
