// An index at the end of its memory: it refuses, stays whole, and goes on in the room that it has.

import Synchronization
import TestSupport
import Testing

@testable import VectorIndex

@Suite struct MemoryBudgetTests {
  private func configuration(
    _ storage: VectorStorage, _ kind: RecordIDKind = .int64, dimension: Int = 100, budget: Int?
  ) -> HNSWConfiguration {
    HNSWConfiguration(
      dimension: dimension, metric: .cosine, recordIDKind: kind, storage: storage, connectivity: 6,
      constructionEffort: 20,
      memoryBudget: budget)
  }

  /// The error of an insertion that is refused, or nil when there is none.
  private func refusal(_ body: () throws -> Void) throws -> IndexError? {
    do {
      try body()
      return nil
    } catch let error as IndexError where error.code == .outOfMemory {
      return error
    }
  }

  @Test(arguments: VectorStorage.allCases, RecordIDKind.allCases)
  func aFullIndexRefusesRowsAndIsWhole(storage: VectorStorage, kind: RecordIDKind) throws {
    var random = SeededRandom(seed: testSeeds[0])
    let budget = 600_000
    let index = try HNSWIndex(configuration: configuration(storage, kind, budget: budget))
    var vectors: [[Float]] = []
    var refused: IndexError?
    while refused == nil {
      let vector = random.vector(dimension: 100)
      refused = try refusal { try index.insert(recordID(kind, vectors.count), vector) }
      if refused == nil { vectors.append(vector) }
    }
    let full = vectors.count
    let committed = index.statistics().bytes
    print("\(storage.name), \(kind): \(full) rows in \(committed) of \(budget) bytes; \(refused.map { "\($0)" } ?? "")")
    #expect(committed <= budget && index.statistics().budgetBytes == budget)
    // Nine tenths of the room is used, whatever the arrays' steps are.
    #expect(Double(full * index.configuration.bytesPerVector) > 0.85 * Double(budget))
    #expect(refused?.message.contains("\(index.configuration.bytesPerVector) bytes as \(storage.name)") == true)

    // Nothing came of what was refused, however often it is tried.
    for n in 0..<20 {
      let vector = random.vector(dimension: 100)
      #expect(try refusal { try index.insert(recordID(kind, 100_000 + n), vector) } != nil)
      #expect(
        try refusal {
          let ids = (0..<50).map { recordID(kind, 200_000 + $0) }
          _ = try [Float](repeating: 1, count: 5_000).withUnsafeBufferPointer { try index.stage(ids, $0) }
        } != nil)
    }
    #expect(index.count == full && index.statistics().bytes == committed)
    #expect(!index.contains(recordID(kind, 100_000)) && !index.contains(recordID(kind, 200_000)))
    try expectSound(index, vectors, kind)

    // What is removed makes room for others, in the memory that is there.
    for n in stride(from: 0, to: full, by: 3) { index.remove(recordID(kind, n)) }
    index.consolidate()
    let removed = full - index.count
    for n in stride(from: 0, to: full, by: 3) {
      vectors[n] = random.vector(dimension: 100)
      try index.insert(recordID(kind, n), vectors[n])
    }
    #expect(removed > 100 && index.count == full && index.statistics().bytes == committed)
    try expectSound(index, vectors, kind)
  }

  private func expectSound(_ index: HNSWIndex, _ vectors: [[Float]], _ kind: RecordIDKind) throws {
    index.consolidate()
    index.checkInvariants()
    var found = 0
    let tried = Array(stride(from: 0, to: vectors.count, by: 7))
    for n in tried {
      #expect(try index.search(vectors[n], SearchOptions(k: 1, exact: true)).first?.id == recordID(kind, n))
      if try index.search(vectors[n], SearchOptions(k: 1, effort: 100)).first?.id == recordID(kind, n) { found += 1 }
    }
    // The graph is a small one of random vectors: not every walk arrives.
    #expect(found >= tried.count - tried.count / 20)
  }

  /// A replaced row needs a second slot until the graph is mended; at the end of the memory it is refused, and is what it was.
  @Test(arguments: VectorStorage.allCases) func aRefusedReplacementLeavesTheRowAsItWas(storage: VectorStorage) throws {
    var random = SeededRandom(seed: 2)
    let index = try HNSWIndex(configuration: configuration(storage, .text, budget: 400_000))
    var count = 0
    while try refusal({ try index.insert(recordID(.text, count), random.vector(dimension: 100)) }) == nil { count += 1 }
    var refusals = 0
    for n in 0..<count {
      let id = recordID(.text, n)
      let before = index.vector(of: id)
      if try refusal({ try index.upsert(id, random.vector(dimension: 100)) }) != nil {
        refusals += 1
        #expect(index.vector(of: id) == before)
      }
    }
    #expect(refusals > 0 && index.count == count)
    index.remove(recordID(.text, 1))
    index.consolidate()
    try index.upsert(recordID(.text, 0), random.vector(dimension: 100))
    index.checkInvariants()
  }

  /// Ids that come and go take the room of those before them, and not a byte more.
  @Test(arguments: RecordIDKind.allCases) func churnTakesNoMemory(kind: RecordIDKind) throws {
    var random = SeededRandom(seed: 3)
    let index = try HNSWIndex(configuration: configuration(.f16, kind, dimension: 4, budget: nil))
    for n in 1_000..<2_000 { try index.insert(recordID(kind, n), random.vector(dimension: 4)) }
    var bytes = 0
    for round in 0..<12 {
      for n in 1_000..<2_000 {
        let id = recordID(kind, n + round % 2 * 1_000)
        index.remove(recordID(kind, n + (round + 1) % 2 * 1_000))
        try index.upsert(id, random.vector(dimension: 4))
      }
      if round == 3 { bytes = index.statistics().bytes }
    }
    #expect(index.count == 1_000 && index.statistics().bytes == bytes)
  }

  @Test(arguments: VectorStorage.allCases, [RecordIDKind.int64, .text])
  func needsAreKnownBeforeARowIsRead(storage: VectorStorage, kind: RecordIDKind) throws {
    for (rows, dimension) in [(1, 8), (3_000, 100), (20_000, 40)] {
      var random = SeededRandom(seed: 1)
      let configuration = HNSWConfiguration(
        dimension: dimension, metric: .l2, recordIDKind: kind, storage: storage, connectivity: 8, constructionEffort: 8)
      let ids = (0..<rows).map { recordID(kind, $0) }
      let vectors = random.vector(dimension: rows * dimension)
      let index = try HNSWIndex(configuration: configuration)
      _ = try vectors.withUnsafeBufferPointer { try index.stage(ids, $0) }
      try index.linkStaged(threads: 2)
      let textBytes = ids.reduce(0) { $0 + ($1.encodedByteCount + 7) / 8 * 8 } / rows
      let needed = HNSWIndex.bytesNeeded(rows: rows, configuration: configuration, textBytes: textBytes)
      let found = index.statistics().bytes
      print("\(rows) × \(dimension) as \(storage.name), \(kind): \(needed) bytes expected, \(found) committed")
      // The memory that is added for the first rows is 64 slots, and a few pages.
      #expect(abs(needed - found) <= found / 20 + 64 * configuration.bytesPerVector + 64 << 10)
      #expect(needed > rows * configuration.bytesPerVector * 9 / 10)
      // All that is committed is counted.
      #expect(index.store.memory.budget.committedBytes == found)
    }
  }

  @Test(arguments: VectorStorage.allCases) func aLoadThatWillNotFitIsRefusedAtOnce(storage: VectorStorage) throws {
    let index = try HNSWIndex(configuration: configuration(storage, dimension: 384, budget: 1 << 30))
    let fits = (1 << 30) / index.configuration.bytesPerVector
    try index.checkMemory(forMore: fits * 9 / 10)
    let error = try #require(try refusal { try index.checkMemory(forMore: fits * 11 / 10) })
    print(error)
    #expect(error.message.contains("1.1 GiB") && error.message.contains("memory budget is 1.0 GiB"))
    for other in VectorStorage.allCases where other != storage {
      var smaller = index.configuration
      smaller.storage = other
      let isSmaller = smaller.bytesPerVector < index.configuration.bytesPerVector
      #expect(error.message.contains("\(other.name), \(smaller.bytesPerVector) bytes") == isSmaller)
    }
  }

  /// Without a budget of their own, all indexes share the machine's.
  @Test func indexesWithoutABudgetShareTheMachines() throws {
    let a = try HNSWIndex(configuration: configuration(.f32, budget: nil))
    let b = try HNSWIndex(configuration: configuration(.int8, budget: nil))
    #expect(a.statistics().budgetBytes == b.statistics().budgetBytes)
    #expect(a.statistics().budgetBytes < MachineMemory.physicalBytes)
    #expect(a.statistics().budgetBytes > 0)
    let limit = a.store.memory.budget.limit
    let most = limit - limit / 4
    #expect(a.store.memory.budget.take(most))
    defer { a.store.memory.budget.giveBack(most) }
    #expect(!b.store.memory.budget.take(most), "what one has taken, another cannot have")
    #expect(b.store.memory.budget.committedBytes == b.statistics().bytes)
  }

  @Test func anEmptyIndexIsSmall() throws {
    for storage in VectorStorage.allCases {
      let index = try HNSWIndex(configuration: configuration(storage, .text, dimension: 384, budget: nil))
      #expect(index.statistics().bytes < 1_000)
      try index.insert(.text("one"), [Float](repeating: 1, count: 384))
      print("one row as \(storage.name): \(index.statistics().bytes) bytes")
      #expect(index.statistics().bytes < 256 << 10)
    }
  }

  @Test func whatIsGivenBackCanBeTakenAgain() throws {
    let configuration = configuration(.f32, budget: 1 << 20)
    let budget = MemoryBudget(configuration)
    do {
      let memory = try ReservedMemory(reserving: 8 << 20, budget)
      try memory.commit(700 << 10)
      #expect(budget.committedBytes == memory.committedBytes && memory.committedBytes >= 700 << 10)
      #expect(throws: IndexError.self) { try memory.commit(2 << 20) }
      #expect(budget.committedBytes == memory.committedBytes)
      try memory.commit(1 << 20)
      #expect(memory.committedBytes == 1 << 20, "the last page is had")
      memory.base.storeBytes(of: 7, toByteOffset: (1 << 20) - 1, as: UInt8.self)
    }
    #expect(budget.committedBytes == 0)
  }

  @Test func threadsNeverTakeMoreThanThereIs() {
    let budget = MemoryBudget(configuration(.f32, budget: 1_000))
    let taken = Atomic<Int>(0)
    WorkerThreads.run(count: 4) { thread in
      for _ in 0..<20_000 {
        guard budget.take(7 + thread) else { continue }
        let now = taken.add(7 + thread, ordering: .sequentiallyConsistent).newValue
        if now > 1_000 { Issue.record("\(now) of 1,000 bytes are taken") }
        taken.subtract(7 + thread, ordering: .sequentiallyConsistent)
        budget.giveBack(7 + thread)
      }
    }
    #expect(budget.committedBytes == 0)
  }

  @Test func theLowestLimitOfAllControlGroupsCounts() {
    func limit(_ files: [String: String]) -> Int? { MachineMemory.groupLimit { files[$0] } }
    #expect(limit([:]) == nil)
    let version2 = ["/proc/self/cgroup": "0::/a.slice/b.scope\n"]
    #expect(limit(version2) == nil)
    #expect(limit(version2.merging(["/sys/fs/cgroup/a.slice/b.scope/memory.max": "max\n"]) { $1 }) == nil)
    #expect(limit(version2.merging(["/sys/fs/cgroup/a.slice/b.scope/memory.max": "1048576\n"]) { $1 }) == 1 << 20)
    #expect(
      limit(
        version2.merging([
          "/sys/fs/cgroup/a.slice/b.scope/memory.max": "3000\n", "/sys/fs/cgroup/a.slice/memory.max": "2000\n",
        ]) { $1 }) == 2_000)
    #expect(limit(["/proc/self/cgroup": "0::/", "/sys/fs/cgroup/memory.max": "4096\n"]) == 4_096, "a container's own")
    let version1 = ["/proc/self/cgroup": "5:cpu,cpuacct:/x\n4:cpuset,memory:/docker/ab\n0::/\n"]
    #expect(limit(version1) == nil)
    // Inside of a container, the host's path leads nowhere.
    #expect(limit(version1.merging(["/sys/fs/cgroup/memory/memory.limit_in_bytes": "777\n"]) { $1 }) == 777)
    #expect(
      limit(
        version1.merging([
          "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
          "/sys/fs/cgroup/memory/docker/ab/memory.limit_in_bytes": "555\n",
        ]) { $1 }) == 555)
    #expect(MachineMemory.bytes > 0 && MachineMemory.bytes <= MachineMemory.physicalBytes)
  }

  @Test func bytesAreWrittenInWords() {
    #expect(
      [0, 1_023, 1_024, 1_536, 1 << 20, (1 << 30) * 3 / 2, 23 << 30].map { MemoryBudget.text($0) }
        == ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "1.0 MiB", "1.5 GiB", "23.0 GiB"])
  }
}
