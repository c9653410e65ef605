// Memory that readers may still hold, until they do not.
//
// May use: ReaderPins.

/// Blocks that were taken out of a structure, to be freed when no pin is older than that. The writer's.
struct DeferredFrees {
  private let pins: ReaderPins
  private var fresh: [UnsafeMutableRawPointer] = []
  private var sealed: [(block: UnsafeMutableRawPointer, version: UInt64)] = []

  init(pins: ReaderPins) { self.pins = pins }

  /// Takes a block that nothing leads to any more.
  mutating func add(_ block: UnsafeMutableRawPointer) { fresh.append(block) }

  /// Publishes a version if blocks were added: readers that hold them have pinned an older one.
  mutating func seal() {
    guard !fresh.isEmpty else { return }
    let version = pins.current + 1
    pins.publish(version)
    for block in fresh { sealed.append((block, version)) }
    fresh.removeAll(keepingCapacity: true)
  }

  mutating func free(oldest: UInt64) {
    // Versions ascend.
    let done = sealed.prefix { oldest >= $0.version }
    guard !done.isEmpty else { return }
    for item in done { item.block.deallocate() }
    sealed.removeFirst(done.count)
  }

  /// - Precondition: there are no readers.
  func freeAll() {
    for block in fresh { block.deallocate() }
    for item in sealed { item.block.deallocate() }
  }
}
