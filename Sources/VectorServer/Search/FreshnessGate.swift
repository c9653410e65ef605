// Lets a request pass when its collection is as new as it asks, and parks it until then.
//
// May use: the catalog, SearchTask.

import VectorWire

/// Stands before every request that is about a collection.
struct FreshnessGate {
  let catalog: CollectionCatalog

  /// The collection to answer from. What the request asks for has been held against that one, whatever it waited at before.
  /// - Returns: nil: the request is parked, and somebody else may have it by now. It comes again by way of the queue.
  func collection(for task: SearchTask) throws(WireError) -> Collection? {
    while true {
      try task.checkWanted()
      guard let collection = catalog[task.request.collection] else {
        throw WireError(
          .unknownCollection,
          "there is no collection \"\(task.request.collection.prefix(100))\": ListCollections names those that there are"
        )
      }
      guard task.freshness != .any else { return collection }
      let asked = try task.askedPosition()
      if let asked {
        switch collection.verdict(on: asked) {
        case .reached: return collection
        case .refused(let error): throw error
        case .waits: break
        }
      } else if collection.positionSource == nil {
        throw WireError(
          .strongUnavailable,
          "collection \"\(collection.name.prefix(100))\" has no connection to Postgres to ask: "
            + (collection.followState?.words ?? "it does not follow it"))
      }
      if task.isOutOfPatience { throw task.timeIsOverError(at: collection) }

      let turn = try task.park(at: collection)
      let waits = asked.map { collection.wait(task, for: $0) } ?? collection.ask(task)
      guard waits else {
        task.unpark()
        continue
      }
      // Who ends it or replaces the collection before it was on the list has not found it there.
      if task.isEnded || catalog[task.request.collection] !== collection, collection.leave(task) {
        task.unpark()
        continue
      }
      task.parked(turn)
      return nil
    }
  }
}
