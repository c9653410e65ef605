// Linking many rows on several threads.
//
// May use: Insertion; WorkerThreads.

import Synchronization

/// One run over many slots. Threads take the next slot from a counter; the graph's node locks keep their edges whole.
final class BulkLinker: Sendable {
  private let index: HNSWIndex
  private let slots: [UInt32]
  private let firstInsertion: UInt64?
  private let version: UInt64?
  private let progress: @Sendable (Int) -> Bool
  private let next = Atomic<Int>(0)
  private let failure = Mutex<IndexError?>(nil)

  /// How many rows a thread links between two looks at the progress.
  private static let progressStep = 256

  /// - firstInsertion: the number of the first slot's insertion, where they are not nodes yet.
  /// - version: see ``HNSWIndex/connect(_:layer:from:version:_:)``.
  init(
    index: HNSWIndex, slots: [UInt32], firstInsertion: UInt64?, version: UInt64?,
    progress: @escaping @Sendable (Int) -> Bool
  ) {
    self.index = index
    self.slots = slots
    self.firstInsertion = firstInsertion
    self.version = version
    self.progress = progress
  }

  /// - scratches: one for each thread.
  func run(_ scratches: [BuildScratch]) throws(IndexError) {
    // Each is used by one thread only.
    nonisolated(unsafe) let scratches = scratches
    WorkerThreads.run(count: scratches.count) { thread in self.work(scratches[thread]) }
    if let failure = failure.withLock({ $0 }) { throw failure }
  }

  private func work(_ scratch: BuildScratch) {
    while true {
      let i = next.wrappingAdd(1, ordering: .relaxed).oldValue
      guard i < slots.count else { return }
      if let firstInsertion {
        let layer = index.configuration.layer(ofInsertion: firstInsertion &+ UInt64(i))
        index.graph.addNode(slots[i], layerAtMost: layer)
      }
      index.link(slots[i], version: version, scratch)
      if i % Self.progressStep == 0, !progress(i) {
        failure.withLock {
          $0 = $0 ?? IndexError(.cancelled, "the build was stopped after \(i) of \(slots.count) rows")
        }
        next.store(slots.count, ordering: .relaxed)
      }
    }
  }
}
