// Linking many staged rows on several threads.
//
// May use: Insertion; WorkerThreads.

import Synchronization

/// One bulk build. Threads take the next slot from a counter; the graph's node locks keep their edges whole.
final class BulkLinker: Sendable {
  private let index: HNSWIndex
  private let slots: [UInt32]
  private let firstInsertion: UInt64
  private let progress: @Sendable (Int) -> Bool
  private let next = Atomic<Int>(0)
  private let failure = Mutex<IndexError?>(nil)

  /// How many rows a thread links between two looks at the progress.
  private static let progressStep = 256

  init(
    index: HNSWIndex, slots: [UInt32], firstInsertion: UInt64, progress: @escaping @Sendable (Int) -> Bool
  ) {
    self.index = index
    self.slots = slots
    self.firstInsertion = firstInsertion
    self.progress = progress
  }

  func run(threads: Int) throws(IndexError) {
    WorkerThreads.run(count: min(threads, slots.count)) { _ in self.work() }
    if let failure = failure.withLock({ $0 }) { throw failure }
  }

  private func work() {
    let scratch = BuildScratch(store: index.store)
    while true {
      let i = next.wrappingAdd(1, ordering: .relaxed).oldValue
      guard i < slots.count else { return }
      do throws(IndexError) {
        let layer = index.configuration.layer(ofInsertion: firstInsertion &+ UInt64(i))
        try index.link(slots[i], layer: layer, version: nil, scratch)
      } catch {
        stop(error)
      }
      if i % Self.progressStep == 0, !progress(i) {
        stop(IndexError(.cancelled, "the build was stopped after \(i) of \(slots.count) rows"))
      }
    }
  }

  private func stop(_ error: IndexError) {
    failure.withLock { $0 = $0 ?? error }
    next.store(slots.count, ordering: .relaxed)
  }
}
