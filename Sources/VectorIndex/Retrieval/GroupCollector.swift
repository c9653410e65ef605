// The first groups of a stream of rows in order of distance, and the first rows of each.
//
// May use: Candidate.

/// Collects up to `groupsMax` groups of up to `perGroup` rows.
struct GroupCollector {
  struct Row {
    /// A slot at a distance (Candidate.swift).
    var candidate: UInt64
    /// The group's number, in the order in which groups were met.
    var group: Int
  }

  /// Ascending.
  private(set) var rows: [Row] = []
  private var numbers: [UInt128: Int] = [:]
  /// By group: how many rows it has, and whether it may have more.
  private var counts: [Int] = []
  private var isOpen: [Bool] = []
  private var openCount = 0
  private var groupsMax = 0
  private var perGroup = 0

  /// Empties the collector.
  mutating func reset(groupsMax newGroupsMax: Int, perGroup newPerGroup: Int) {
    rows.removeAll(keepingCapacity: true)
    numbers.removeAll(keepingCapacity: true)
    counts.removeAll(keepingCapacity: true)
    isOpen.removeAll(keepingCapacity: true)
    openCount = 0
    groupsMax = newGroupsMax
    perGroup = newPerGroup
  }

  /// Whether there are as many groups as are wanted.
  var hasAllGroups: Bool { counts.count == groupsMax }
  /// Whether no row that is to come can be of use.
  var isComplete: Bool { hasAllGroups && openCount == 0 }

  /// The keys of the groups that have fewer rows than wanted.
  var openKeys: [UInt128] { numbers.lazy.filter { isOpen[$0.value] }.map(\.key) }

  /// Takes the next row, or not.
  /// - key: what its group is known by; nil = it is a group of its own.
  mutating func offer(_ candidate: UInt64, key: UInt128?) {
    if let group = key.flatMap({ numbers[$0] }) {
      guard isOpen[group] else { return }
      rows.append(Row(candidate: candidate, group: group))
      counts[group] += 1
      if counts[group] == perGroup { close(group) }
      return
    }
    guard !hasAllGroups else { return }
    let group = counts.count
    rows.append(Row(candidate: candidate, group: group))
    counts.append(1)
    isOpen.append(true)
    openCount += 1
    if let key { numbers[key] = group }
    if key == nil || perGroup == 1 { close(group) }
  }

  private mutating func close(_ group: Int) {
    isOpen[group] = false
    openCount -= 1
  }

  /// Fills the open groups with the nearest of their own rows and others, which are not among them.
  ///
  /// - others: rows with their keys; those of other groups are not taken.
  mutating func fill(with others: [(candidate: UInt64, key: UInt128?)]) {
    for (candidate, key) in others {
      guard let group = key.flatMap({ numbers[$0] }), isOpen[group] else { continue }
      rows.append(Row(candidate: candidate, group: group))
    }
    rows.sort { $0.candidate < $1.candidate }
    for group in counts.indices { counts[group] = 0 }
    rows.removeAll { row in
      counts[row.group] += 1
      return counts[row.group] > perGroup
    }
  }

  /// The rows group by group, groups by their nearest row, and with each row its group's number in that order.
  func grouped() -> [(candidate: UInt64, group: Int)] {
    var places = [Int](repeating: -1, count: counts.count)
    var next = 0
    for row in rows where places[row.group] < 0 {
      places[row.group] = next
      next += 1
    }
    return rows.map { (candidate: $0.candidate, group: places[$0.group]) }
      .sorted { ($0.group, $0.candidate) < ($1.group, $1.candidate) }
  }
}
