// Which collections there are, by name.
//
// May use: Collection.

import Synchronization

/// The collections of a server. They come and go while it runs.
public final class CollectionCatalog: Sendable {
  private let collections: Mutex<[String: Collection]>

  public init(_ collections: [Collection] = []) {
    self.collections = Mutex(Dictionary(collections.map { ($0.name, $0) }, uniquingKeysWith: { _, last in last }))
  }

  public subscript(name: String) -> Collection? { collections.withLock { $0[name] } }

  /// Adds a collection, or puts it in the place of the one with its name, in one step: every request finds the one or
  /// the other. Requests that wait at the old one for a position wait at the new one from then on.
  /// - Returns: the collection that was there before. Its memory goes when its last request ends.
  @discardableResult
  public func publish(_ collection: Collection) -> Collection? {
    let old = collections.withLock { $0.updateValue(collection, forKey: collection.name) }
    if old !== collection { old?.resumeAll() }
    return old
  }

  @discardableResult
  public func remove(_ name: String) -> Collection? {
    let old = collections.withLock { $0.removeValue(forKey: name) }
    old?.resumeAll()
    return old
  }

  /// All of them, in ascending order of their names' bytes.
  public var all: [Collection] {
    collections.withLock { Array($0.values) }
      .sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
  }
}
