// `bench kernels`: every kernel of this CPU by itself, beside what the machine's memory gives.
//
// May use: KernelRig, Roofline, RowMemory, RowOrder, Timing; VectorIndex, for the kernels that there are.

import ArgumentParser
import Foundation
import VectorIndex

struct KernelsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "kernels",
    abstract: "Measures the distance kernels of this CPU one by one, and what its caches and memory give at most.",
    discussion: """
      Rows lie in the cache, one after the other in a large set, or at random in a set that the last level of the cache holds and in one \
      that it does not; of the random ones, each batch is asked for while the one before is summed, as a search does it. One thread, its \
      processor time, medians of repetitions. What bounds a kernel is the slower of two: reading such rows with nothing computed, measured \
      in turn with it, and what it takes for cached rows itself; the percentage is how near to that it is. On cached rows it is held \
      against reading alone, and below one half the rest is arithmetic.
      """)

  @Option(help: "Dimensions, separated by commas.") var dimensions = "384,768,1536"
  @Option(help: "Instruction sets, separated by commas, of those that this CPU can run; all if absent.") var kernels:
    String?
  @Option(help: "Rows of the set in memory; as many as eight times the last level of the cache holds if absent.")
  var rows: Int?
  @Option(help: "Random rows that are asked for and summed at once.") var batch = 32
  @Option(help: "How often each figure is taken; the median counts.") var repetitions = 7
  @Option(help: "How long a figure is taken each time.") var milliseconds = 20.0
  @Option(help: "Decides the order of random rows.") var seed: UInt64 = 1
  @Option(help: "Write what was measured to this file as JSON.") var json: String?

  /// Where the system does not tell how large the last level of the cache is.
  private static let cacheBytesAssumed = 32 << 20
  /// A set in memory is so many caches large, and one that is in the cache takes so much of it: others use it too.
  private static let memoryOverCache = 8
  private static let cacheShare = 4

  func run() throws {
    let dimensions = dimensions.split(separator: ",").compactMap { Int($0) }
    guard !dimensions.isEmpty, dimensions.allSatisfy({ (1...4_096).contains($0) }) else {
      throw ValidationError("--dimensions must be a list of numbers from 1 to 4096, such as 384,768")
    }
    guard (1...256).contains(batch), (1...1_000).contains(repetitions), milliseconds > 0, milliseconds <= 10_000 else {
      throw ValidationError(
        "--batch is from 1 to 256, --repetitions from 1 to 1000, --milliseconds more than 0 and at most 10000")
    }
    let chosen =
      try kernels?.split(separator: ",").map { try DistanceKernels.named(String($0)) }
      ?? DistanceKernels.available
    let machine = Machine.current()
    let sizes = Set(
      dimensions.flatMap { dimension in
        KernelKind.allCases.map { $0.format.rowBytes(width: $0.format.width(ofDimension: dimension)) }
      } + [Self.headlineBytes]
    ).sorted()
    let sets = try Sets(self, machine, largestRow: sizes.last ?? Self.headlineBytes)
    let timing = Timing(repetitions: repetitions, milliseconds: milliseconds)
    let memory = RowMemory(byteCount: sets.bytes, seed: seed)
    let roofline = measureRoofline(memory, timing, sets, sizes)
    report(machine, roofline)

    var points: [KernelPoint] = []
    for kernels in chosen {
      for dimension in dimensions {
        print("\n\(kernels.name), \(dimension) dimensions")
        for kind in KernelKind.allCases {
          let rig = KernelRig(kind, of: kernels, dimension: dimension, memory)
          let some = measure(rig, kind, kernels.name, dimension, sets, Roofline(memory), timing)
          points += some
          some.forEach(report)
        }
      }
    }
    if let json {
      try KernelReport(
        machine: machine, repetitions: repetitions, milliseconds: milliseconds, batch: batch, seed: seed,
        roofline: roofline, points: points
      ).writeJSON(to: json)
    }
  }

  /// The block whose random reads are always measured: a row of 384 dimensions in 4 bits.
  private static let headlineBytes = 192

  /// How large the sets are.
  private struct Sets {
    /// Of the memory, and of the set in memory where no count of rows is given.
    let bytes: Int
    let cachedBytes: Int
    let rows: Int?

    init(_ command: KernelsCommand, _ machine: Machine, largestRow: Int) throws {
      let cache = machine.lastLevelCacheBytes > 0 ? machine.lastLevelCacheBytes : cacheBytesAssumed
      let least = 2 * command.batch * largestRow
      rows = command.rows
      cachedBytes = max(cache / cacheShare, least)
      let most = Int(clamping: ProcessInfo.processInfo.physicalMemory / 4)
      guard let rows else {
        bytes = max(cache * memoryOverCache, least)
        return
      }
      guard rows >= 2 * command.batch, rows <= most / largestRow else {
        throw ValidationError(
          "--rows is from twice --batch to \(most / largestRow): a quarter of the memory, at \(largestRow) bytes a row")
      }
      bytes = max(rows * largestRow, least)
    }

    func count(_ place: Place, rowBytes: Int, batch: Int) -> Int {
      switch place {
      case .cached: batch
      case .randomInCache: max(cachedBytes / rowBytes, 2 * batch)
      case .sequential, .randomInMemory: rows ?? bytes / rowBytes
      }
    }
  }

  private func measureRoofline(_ memory: RowMemory, _ timing: Timing, _ sets: Sets, _ sizes: [Int]) -> RooflineFigures {
    var random = SplitMix(state: seed)
    let roofline = Roofline(memory)
    let byte = fastest(timing.nanoseconds(roofline.sequential(byteCount: memory.byteCount)))
    var figures = RooflineFigures(sequentialGigabytesPerSecond: 1 / byte, latencies: [], blocks: [])
    for bytes in [sets.cachedBytes, sets.bytes] {
      let lines = RowMemory(byteCount: bytes, seed: seed)
      lines.tieLines(&random)
      figures.latencies.append(
        RooflineFigures.Latency(
          setBytes: lines.byteCount, nanoseconds: fastest(timing.nanoseconds([Roofline(lines).chase()]))))
    }
    for size in sizes {
      for place in Place.allCases where place != .sequential {
        let rows = sets.count(place, rowBytes: size, batch: batch)
        let (passes, scale) = reads(roofline, place, rows: rows, rowBytes: size, &random)
        figures.blocks.append(
          RooflineFigures.Block(
            place: place, blockBytes: size, setBytes: rows * size,
            nanoseconds: scale * fastest(timing.nanoseconds(passes))))
      }
    }
    return figures
  }

  /// Ways to read the rows of a place with nothing computed, and how many of their units a row is.
  private func reads(
    _ roofline: Roofline, _ place: Place, rows: Int, rowBytes: Int, _ random: inout SplitMix
  ) -> (passes: [Timing.Pass], unitsPerRow: Double) {
    switch place {
    case .cached, .sequential: (roofline.sequential(byteCount: rows * rowBytes), Double(rowBytes))
    case .randomInCache, .randomInMemory:
      (roofline.blocks(byteCount: rowBytes, RowOrder(rows: rows, batch: batch, &random)), 1)
    }
  }

  private func fastest(_ nanoseconds: some Collection<Double>) -> Double { nanoseconds.min() ?? .nan }

  private func measure(
    _ rig: KernelRig, _ kind: KernelKind, _ name: String, _ dimension: Int, _ sets: Sets, _ roofline: Roofline,
    _ timing: Timing
  ) -> [KernelPoint] {
    var random = SplitMix(state: seed)
    var cached = 0.0
    return Place.allCases.map { place in
      let rows = sets.count(place, rowBytes: rig.rowBytes, batch: batch)
      let pass =
        switch place {
        case .cached: rig.cached(rows: rows)
        case .sequential: rig.sequential(rows: rows)
        case .randomInCache, .randomInMemory: rig.random(RowOrder(rows: rows, batch: batch, &random))
        }
      let (reading, unitsPerRow) = reads(roofline, place, rows: rows, rowBytes: rig.rowBytes, &random)
      let found = timing.nanoseconds([pass] + reading)
      if place == .cached { cached = found[0] }
      return KernelPoint(
        kernels: name, kernel: kind, dimension: dimension, rowBytes: rig.rowBytes, place: place, rows: rows,
        nanoseconds: found[0], readNanoseconds: unitsPerRow * fastest(found.dropFirst()), cachedNanoseconds: cached)
    }
  }

  // MARK: - What is printed

  private func report(_ machine: Machine, _ roofline: RooflineFigures) {
    print(
      """
      \(machine.cpu), \(machine.measuredAt); last level of the cache \(machine.lastLevelCacheBytes >> 20) MiB, huge pages: \
      \(machine.hugePages); one thread, medians of \(repetitions)
      reads with nothing computed:
      """)
    print(String(format: "  front to back, from memory: %.1f GB/s", roofline.sequentialGigabytesPerSecond))
    for latency in roofline.latencies {
      print(
        String(
          format: "  a random line of %d MiB, from one to the next: %.1f ns", latency.setBytes >> 20,
          latency.nanoseconds))
    }
    for block in roofline.blocks {
      print(
        "  a block of \(Self.right(String(block.blockBytes), 5)) bytes, \(Self.left(block.place.rawValue, 16))"
          + String(format: " %8.1f ns %7.1f GB/s", block.nanoseconds, block.gigabytesPerSecond))
    }
  }

  private func report(_ point: KernelPoint) {
    print(
      "  \(Self.left(point.kernel.rawValue, 16)) \(Self.left(point.place.rawValue, 16)) \(Self.right(String(point.rows), 8)) rows"
        + String(
          format: " %8.1f ns a row %8.2f M rows/s %6.1f GB/s  bound by ", point.nanoseconds, point.rowsPerSecond / 1e6,
          point.gigabytesPerSecond)
        + "\(Self.left(point.bound.rawValue, 10))" + String(format: " %3.0f %%", point.share * 100))
  }

  private static func left(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  private static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }
}
