// What an index may take of memory, and what it has taken: so that it refuses a row before the machine begins to swap.
//
// May use: MachineMemory, MemoryNeeds, Synchronization.

import Synchronization

/// The memory that one index has committed, and its limit. Whatever grows asks first.
final class MemoryBudget: Sendable {
  /// Of the memory that this process may have, what its indexes may commit. The rest is for the program itself, for what searches
  /// and builds write, and for the system's file cache.
  static let automaticPercent = 80

  /// Of all indexes of this process. The automatic limit is held against it, because they share one machine.
  private static let processBytes = Atomic<Int>(0)

  let limit: Int
  private let isAutomatic: Bool
  private let configuration: HNSWConfiguration
  private let indexBytes = Atomic<Int>(0)

  init(_ configuration: HNSWConfiguration) {
    self.configuration = configuration
    isAutomatic = configuration.memoryBudget == nil
    limit = configuration.memoryBudget ?? MachineMemory.bytes / 100 * Self.automaticPercent
  }

  /// What all indexes of this process have committed.
  static var processCommittedBytes: Int { processBytes.load(ordering: .relaxed) }

  /// What the index has committed.
  var committedBytes: Int { indexBytes.load(ordering: .relaxed) }

  /// What counts against the limit.
  private var countedBytes: Int { isAutomatic ? Self.processBytes.load(ordering: .relaxed) : committedBytes }

  /// Counts `bytes` as committed if the limit allows; fewer than none are given back. Safe on any thread.
  func take(_ bytes: Int) -> Bool {
    guard bytes > 0 else {
      giveBack(-bytes)
      return true
    }
    // Counts first and looks then: two at a time may both be refused, and never both be let through.
    let process = Self.processBytes.add(bytes, ordering: .relaxed).newValue
    let index = indexBytes.add(bytes, ordering: .relaxed).newValue
    if (isAutomatic ? process : index) <= limit { return true }
    giveBack(bytes)
    return false
  }

  func giveBack(_ bytes: Int) {
    Self.processBytes.subtract(bytes, ordering: .relaxed)
    indexBytes.subtract(bytes, ordering: .relaxed)
  }

  /// Why `bytes` more were refused, and what to do about it.
  func refusal(of bytes: Int) -> IndexError {
    IndexError(
      .outOfMemory,
      "the index is full: \(Self.text(bytes)) more were asked for; \(standing). A vector takes "
        + "\(configuration.bytesPerVector) bytes as \(configuration.storage.name). \(advice)")
  }

  /// Checks that the index will hold `rows` more rows, by an estimate.
  func check(rows: Int, ofCount count: Int) throws(IndexError) {
    let total = HNSWIndex.bytesNeeded(rows: count + rows, configuration: configuration)
    guard total - committedBytes > limit - countedBytes else { return }
    throw IndexError(
      .outOfMemory,
      "\(rows) rows do not fit: the index would need about \(Self.text(total)), \(configuration.bytesPerVector) bytes a vector "
        + "as \(configuration.storage.name); \(standing). \(advice)")
  }

  private var standing: String {
    let whose = isAutomatic ? " by all indexes of this process" : ""
    let share = isAutomatic ? " (\(Self.automaticPercent) % of the memory that this process may have)" : ""
    return "\(Self.text(countedBytes)) are committed\(whose) and the memory budget is \(Self.text(limit))\(share)"
  }

  private var advice: String {
    let smaller = VectorStorage.allCases.map { storage in
      var other = configuration
      other.storage = storage
      return (storage.name, other.bytesPerVector)
    }.filter { $0.1 < configuration.bytesPerVector }.sorted { $0.1 > $1.1 }
    let storages = smaller.map { "\($0.0), \($0.1) bytes a vector" }.joined(separator: "; ")
    return "Raise the memory budget (memoryBudget)"
      + (smaller.isEmpty ? "" : ", choose a smaller storage (\(storages))")
      + ", or use a machine with more memory"
  }

  /// Bytes in words: "1.5 GiB".
  static func text(_ bytes: Int) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] where bytes >= 1 << shift {
      // In tenths, rounded to nearest.
      let tenths = ((bytes >> (shift - 10)) * 10 + 512) >> 10
      return "\(tenths / 10).\(tenths % 10) \(unit)"
    }
    return "\(bytes) bytes"
  }
}
