// Small searches on the event loop itself, while one client asks one thing at a time.
//
// Waking a thread that sleeps costs tens of microseconds, and a request that crosses to a search thread pays that twice, beside a
// search of a hundred. A client that waits for each answer leaves every other thread idle anyway, so nothing is gained by
// crossing. As soon as a second connection asks, or a request comes while another is under way, the search threads take
// over: one loop must not do in turn what many cores could do at once.
//
// May use: RequestRunner, SearchQueue. All state belongs to one event loop.

import NIOCore
import VectorWire

/// One event loop's means of answering by itself.
final class LoopSearcher {
  /// What a small search is: about this many components of candidates, ef × dimension, or what ef would be for a recall. The loop serves no other connection
  /// meanwhile. At the limit (ef 256, 384 dimensions, 60,605 and 86,694 rows, AVX2) a search takes 0.36 to 0.47 ms.
  private static let effortTimesDimensionMax = 100_000
  private static let resultsMax = 1_000
  /// Where there is a filter, how many rows match is not known before it has run over them, and in the worst case all of them are
  /// scored after a walk that was given up. So all of them, rows × dimension, must be about what a walk at the limit above scores:
  /// 16 neighbours, M, for each candidate, and half of that.
  private static let rowsTimesDimensionMax = 8 * effortTimesDimensionMax
  /// A filter's pass takes up to 4 ns a row (docs/decisions/0013-attributes.md), as long as a row of so many dimensions.
  private static let filterDimensionMin = 16
  /// A filter so short is read and compiled in microseconds.
  private static let filterBytesMax = 1_024

  private var runner: RequestRunner
  private let catalog: CollectionCatalog
  private var lone = LoneConnection()

  init(runner: consuming RequestRunner, catalog: CollectionCatalog) {
    self.runner = runner
    self.catalog = catalog
  }

  /// Deals with the requests that one read of `connection` brought.
  ///
  /// One that asks for a position that is not reached is parked, and goes to the search threads when it is.
  /// - Returns: nil when this is not the place for them.
  func answer(
    _ tasks: [SearchTask], of connection: ObjectIdentifier, _ queue: SearchQueue
  ) -> RequestRunner.Outcome? {
    guard lone.asks(connection, now: .now()), tasks.count == 1, let task = tasks.first, isSmall(task.request),
      queue.isIdle
    else { return nil }
    return runner.answer(task)
  }

  /// Whether a search is one small thing, whatever the collection holds.
  func isSmall(_ work: SearchWork) -> Bool {
    guard case .search(let request) = work, request.vectors.count == 1, !request.terms.isExact,
      let index = catalog[request.terms.collection]?.index
    else { return false }
    let terms = request.terms
    let modifiers = terms.modifiers
    let results = terms.k + modifiers.offset
    // Groups and diversity look at many more rows than come back, and a row's payload may be a mebibyte.
    guard results <= Self.resultsMax, modifiers.grouping == nil, modifiers.diversity == nil, modifiers.payload == nil
    else { return false }
    let dimension = index.configuration.dimension
    if let filter = modifiers.filter(of: 0) {
      guard filter.byteCount <= Self.filterBytesMax,
        index.count * max(dimension, Self.filterDimensionMin) <= Self.rowsTimesDimensionMax
      else { return false }
    }
    let target = terms.recallTarget.map { Float($0.share) }
    let effort =
      terms.effort == 0
      ? index.configuration.expectedEffort(results: results, recallTarget: target) : max(results, terms.effort)
    return effort * dimension <= Self.effortTimesDimensionMax
  }
}

/// Whether one connection is the only one that asks.
struct LoneConnection {
  /// How long it must have been.
  static let time = TimeAmount.milliseconds(20)

  private var last: ObjectIdentifier?
  private var lastRequest = NIODeadline.distantPast
  private var since = NIODeadline.distantPast

  /// Notes a request of `connection`.
  /// - Returns: whether no other connection has asked for ``time``.
  mutating func asks(_ connection: ObjectIdentifier, now: NIODeadline) -> Bool {
    if connection != last, now - lastRequest < Self.time { since = now }
    last = connection
    lastRequest = now
    return now - since >= Self.time
  }
}
