// The nearest nodes that a search has met: the paper's W, as one sorted array.
//
// A hop inserts itself what it can, where a processor has the vectors for it (queues_avx512.c): what is no tie. The rest is here.
//
// May use: CVectorKernels, Candidate. Owns its memory.

internal import CVectorKernels

/// The nearest candidates, ascending by distance and then slot: up to `limit`, or of up to `limit` distances.
///
/// Copies of one vector are equally far from every query. A walk's list counts those of one distance as one, or a hundred copies would take
/// all places: the walk would end among them, and never come to rows behind them, or before them by another way. What is as far and no copy
/// counts for itself, though it may have no place.
struct NearestList: ~Copyable {
  /// What a hop reads and writes: the entries, how many there are and may be, and how many are as near as the one before them.
  let state: UnsafeMutablePointer<vz_nearest>
  private var allocated: Int
  private(set) var limit = 0
  /// Of these, as many have places of their own.
  private var tiesMax = 0
  /// How many there was no place for among those of their distance, though they are no copies: in all, and of each distance that the list
  /// has some of.
  private var unlisted = 0
  private var unlistedOfDistance: [(distance: UInt64, count: Int)] = []
  private(set) var nearestUnlisted = Candidate.none
  /// Of one distance.
  private var copiesMax = Int.max
  /// The slot of an entry of the distance of which there were enough when ``insert(_:)`` last said so, and the entry that had no place then.
  private(set) var tied: UInt32 = 0
  private(set) var dropped = Candidate.none
  /// Whether everything is in the list that came.
  var isComplete: Bool { !hasBeenFull }

  init(capacity: Int) {
    allocated = max(capacity, 16)
    state = .allocate(capacity: 1)
    state.initialize(
      to: vz_nearest(
        entries: Self.allocate(allocated), spare: Self.allocate(allocated), count: 0, room: 0, ties: 0,
        bound: Candidate.none, has_been_full: false))
  }

  deinit {
    entries.deallocate()
    state.pointee.spare.deallocate()
    state.deallocate()
  }

  /// With the room that a hop's steps need.
  private static func allocate(_ capacity: Int) -> UnsafeMutablePointer<UInt64> {
    UnsafeMutableRawPointer.allocate(byteCount: (capacity + Int(VZ_QUEUE_STEP)) * 8, alignment: 64)
      .bindMemory(to: UInt64.self, capacity: capacity + Int(VZ_QUEUE_STEP))
  }

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
    if unlisted > 0 { unlistedOfDistance.removeAll(keepingCapacity: true) }
    unlisted = 0
    nearestUnlisted = Candidate.none
    hasBeenFull = false
    tiesMax = copies == nil ? 0 : Self.placesForTies * newLimit
    copiesMax = copies ?? .max
    // Each has more entries than may be of one distance; reserved here, so that nothing is allocated later.
    if let copies { unlistedOfDistance.reserveCapacity((newLimit + tiesMax) / copies + 2) }
    // One more, for a moment, when one comes in.
    let longest = newLimit + tiesMax + 1
    guard longest > allocated else { return }
    entries.deallocate()
    state.pointee.spare.deallocate()
    allocated = longest
    entries = Self.allocate(allocated)
    state.pointee.spare = Self.allocate(allocated)
  }

  /// Whether a hop can insert: what there was no place for, it knows nothing of.
  @inline(__always)
  var isPlain: Bool { unlisted == 0 }

  /// Several groups of copies may be near: for their places, so many times the limit.
  private static let placesForTies = 3

  /// Up to so many entries are moved one by one.
  private static let shortMax = 24

  /// Inserts a candidate that is below ``bound``.
  /// - Returns: false where there were enough of its distance: of those, the ones of the lowest slots are kept, and ``dropped`` is not. See
  ///   ``noteUnlisted(_:)``.
  /// - Complexity: logarithmic, and as many entries are moved as are behind it.
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
      if place < 0 { return false }
    }
    entries[place] = entry
    count &+= 1
    let isKept = tiesMax == 0 || !isTied(place) || keepsTie(at: place)
    if count >= room {
      while count > room { removeLast() }
      bound = entries[count &- 1]
      hasBeenFull = true
    }
    if unlisted > 0 { endWhereEnough() }
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
    let group = ties(with: entries[place])
    guard group.count <= copiesMax else {
      tied = Candidate.slot(entries[place == group.lowerBound ? place &+ 1 : group.lowerBound])
      dropped = entries[group.upperBound &- 1]
      hasBeenFull = true
      (entries + group.upperBound - 1).update(from: entries + group.upperBound, count: count &- group.upperBound)
      count &-= 1
      return false
    }
    countTies(ties &+ 1)
    return true
  }

  /// Takes the place of the last entry of its distance, where there are enough of them and it is before that one.
  /// - Returns: false where there are not enough of them.
  @inline(never)
  private mutating func endsAmongTies(_ entry: UInt64, at place: Int) -> Bool {
    let group = ties(with: entry)
    guard group.count >= copiesMax else { return false }
    tied = Candidate.slot(entries[group.lowerBound])
    dropped = place < group.upperBound ? entries[group.upperBound &- 1] : entry
    hasBeenFull = true
    if place < group.upperBound {
      (entries + place + 1).update(from: entries + place, count: group.upperBound &- 1 &- place)
      entries[place] = entry
    }
    if count == room { bound = entries[count &- 1] }
    return true
  }

  /// Where the entries of a distance are.
  func ties(with entry: UInt64) -> Range<Int> {
    let first = firstPlace(notBelow: (entry >> 32) << 32)
    let behind = ((entry >> 32) &+ 1) << 32
    return first..<firstPlace(notBelow: behind)
  }

  /// Counts what was ``dropped`` and is no copy of an entry.
  ///
  /// Seldom: not before there are more of one distance than may be scored.
  @inline(never)
  mutating func noteUnlisted(_ entry: UInt64) {
    // What made room may have been the last of that distance.
    guard count > 0, entry >> 32 <= entries[count &- 1] >> 32 else {
      nearestUnlisted = min(nearestUnlisted, entry)
      return
    }
    unlisted &+= 1
    nearestUnlisted = min(nearestUnlisted, entry)
    if let i = unlistedOfDistance.firstIndex(where: { $0.distance == entry >> 32 }) {
      unlistedOfDistance[i].count &+= 1
    } else {
      unlistedOfDistance.append((entry >> 32, 1))
    }
    endWhereEnough()
  }

  /// Lets the last distances go, as long as there are as many different vectors without them as are kept; then none that is farther than
  /// the last of the rest gets in.
  @inline(never)
  private mutating func endWhereEnough() {
    while count > 0 {
      let last = ties(with: entries[count &- 1])
      let i = unlistedOfDistance.firstIndex { $0.distance == entries[count &- 1] >> 32 }
      let unlistedOfLast = i.map { unlistedOfDistance[$0].count } ?? 0
      guard count &- ties &+ unlisted &- 1 &- unlistedOfLast >= limit else { break }
      if i != nil { forgetUnlisted(of: entries[count &- 1]) }
      countTies(ties &- (last.count &- 1))
      count = last.lowerBound
    }
    if count > 0, count &- ties &+ unlisted >= limit {
      bound = entries[count &- 1]
      hasBeenFull = true
    }
  }

  @inline(__always)
  private mutating func countTies(_ counted: Int) {
    ties = counted
    room = limit &+ min(counted, tiesMax)
  }

  @inline(__always)
  private mutating func removeLast() {
    count &-= 1
    if tiesMax > 0, count > 0, Self.isTie(entries[count &- 1], entries[count]) {
      countTies(ties &- 1)
    } else if unlisted > 0 {
      forgetUnlisted(of: entries[count])
    }
  }

  /// The list has none of a distance any more.
  @inline(never)
  private mutating func forgetUnlisted(of entry: UInt64) {
    guard let i = unlistedOfDistance.firstIndex(where: { $0.distance == entry >> 32 }) else { return }
    unlisted &-= unlistedOfDistance[i].count
    unlistedOfDistance.remove(at: i)
  }

  /// Moves what is behind the place at once: with 200 entries, moving them one by one took a seventh of a build.
  /// - Returns: the place, which is free now; −1 where there were enough of the entry's distance.
  @inline(never)
  private mutating func openLong(_ entry: UInt64) -> Int {
    let place = firstPlace(notBelow: entry)
    if tiesMax > 0,
      (place > 0 && Self.isTie(entries[place &- 1], entry)) || (place < count && Self.isTie(entries[place], entry)),
      endsAmongTies(entry, at: place)
    {
      return -1
    }
    (entries + place + 1).update(from: entries + place, count: count &- place)
    return place
  }

  /// By halves, without a branch on what cannot be guessed.
  /// - Precondition: the list is not empty.
  @inline(__always)
  private func firstPlace(notBelow entry: UInt64) -> Int {
    var place = 0
    var length = count
    while length > 1 {
      let half = length / 2
      place &+= entries[place &+ half &- 1] < entry ? half : 0
      length &-= half
    }
    return entries[place] < entry ? place &+ 1 : place
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

// MARK: - Shared with C

extension NearestList {
  @inline(__always)
  private var entries: UnsafeMutablePointer<UInt64> {
    get { state.pointee.entries }
    nonmutating set { state.pointee.entries = newValue }
  }

  @inline(__always)
  private(set) var count: Int {
    get { state.pointee.count }
    nonmutating set { state.pointee.count = newValue }
  }

  /// A candidate that is not below this does not get in.
  @inline(__always)
  private(set) var bound: UInt64 {
    get { state.pointee.bound }
    nonmutating set { state.pointee.bound = newValue }
  }

  /// How many entries there may be.
  @inline(__always)
  private var room: Int {
    get { state.pointee.room }
    nonmutating set { state.pointee.room = newValue }
  }

  /// Entries that are as near as the one before them.
  @inline(__always)
  private var ties: Int {
    get { state.pointee.ties }
    nonmutating set { state.pointee.ties = newValue }
  }

  /// Whether the list has been full, or enough of one distance have been there.
  @inline(__always)
  private var hasBeenFull: Bool {
    get { state.pointee.has_been_full }
    nonmutating set { state.pointee.has_been_full = newValue }
  }
}
