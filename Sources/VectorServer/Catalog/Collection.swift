// One collection as the server serves it: an index with a name and a place in the life of Postgres.
//
// What it tells of following Postgres is set by whoever follows; who waits for that is in Collection+Waiting.swift.
//
// May use: VectorIndex, FollowState, PositionWaiters, VectorWire's Position and descriptions.

import Synchronization
import VectorIndex
import VectorWire

/// A named index that can be searched.
///
/// A rebuild makes a new collection and publishes it in the place of the old one (``CollectionCatalog``); requests that
/// have begun finish on the one they began with.
public final class Collection: Sendable {
  /// The longest name, in bytes.
  public static let nameBytesMax = 255

  public let name: String
  public let index: HNSWIndex
  let followed: Mutex<Followed>
  private let queries = Atomic<UInt64>(0)
  private let distances = Atomic<UInt64>(0)

  /// Where it stands, and who waits for it to stand farther on.
  struct Followed {
    var position: Position
    var state: FollowState?
    var source: (any PositionSource)?
    var waiters = PositionWaiters()
  }

  /// - Throws: `invalidConfiguration` for a name that is empty or longer than ``nameBytesMax``.
  public init(name: String, index: HNSWIndex, position: Position = .unknown) throws(ServerError) {
    guard (1...Self.nameBytesMax).contains(name.utf8.count) else {
      throw ServerError(
        .invalidConfiguration, "a collection's name must be from 1 to \(Self.nameBytesMax) bytes long: \"\(name)\"")
    }
    self.name = name
    self.index = index
    followed = Mutex(Followed(position: position))
  }

  func countQueries(_ count: Int, distances computed: Int) {
    queries.wrappingAdd(UInt64(count), ordering: .relaxed)
    distances.wrappingAdd(UInt64(computed), ordering: .relaxed)
  }

  /// Cheap: takes no lock that a writer of the index holds.
  public var description: CollectionDescription {
    CollectionDescription(
      name: name, dimension: index.configuration.dimension, metric: index.configuration.metric,
      storage: index.configuration.storage, recordIDKind: index.configuration.recordIDKind, rows: UInt64(index.count),
      position: position)
  }

  /// What a reply says of where its answer stands. Read before the search begins.
  var standing: (position: Position, flags: ReplyFlags) {
    followed.withLock { ($0.position, $0.state?.phase == .stale ? .stale : []) }
  }

  /// The numbers of docs/PROTOCOL.md. Waits for a writer of the index, so never call it on an event loop.
  public func statistics() -> [Statistic] {
    let configuration = index.configuration
    let counts = index.statistics()
    let calibration = counts.calibration
    let tenant = configuration.attributes.tenant.map { configuration.attributes.columns[$0].name }
    func integer(_ name: String, _ value: Int) -> Statistic { Statistic(name, .integer(UInt64(clamping: value))) }
    let numbers: [Statistic] = [
      integer("rows", counts.rows),
      integer("retired_rows", counts.retiredRows),
      integer("tail_rows", counts.tailRows),
      integer("free_slots", counts.freeSlots),
      integer("dimension", configuration.dimension),
      Statistic("metric", .text(configuration.metric.name)),
      Statistic("storage", .text(configuration.storage.name)),
      integer("connectivity", configuration.connectivity),
      integer("construction_effort", configuration.constructionEffort),
      Statistic("recall_target", .real(configuration.recallTargetDecimal)),
      integer("search_effort", configuration.searchEffort),
      Statistic("calibration", .text(calibration.map { "\($0.basis)" } ?? "none")),
      integer("calibration_queries", calibration?.queryCount ?? 0),
      integer("calibration_rows", calibration?.rows ?? 0),
      integer("calibration_current", calibration?.isCurrent == true ? 1 : 0),
      integer("layers", counts.topLayer + 1),
      integer("vector_bytes", counts.vectorBytes),
      integer("link_bytes", counts.linkBytes),
      integer("id_bytes", counts.idBytes),
      Statistic("kernels", .text(counts.kernels)),
      Statistic("queries", .integer(queries.load(ordering: .relaxed))),
      Statistic("distances", .integer(distances.load(ordering: .relaxed))),
    ]
    return numbers + followStatistics + (tenant.map { [Statistic("tenant_column", .text($0))] } ?? [])
  }

  private var followStatistics: [Statistic] {
    let (position, state, waiting) = followed.withLock { ($0.position, $0.state, $0.waiters.count) }
    return [
      Statistic("applied_lsn", .text(position.lsnText)),
      Statistic("system_id", .integer(position.systemID)),
      Statistic("timeline", .integer(UInt64(position.timeline))),
      Statistic("waiting_requests", .integer(UInt64(waiting))),
    ] + FollowState.statistics(state)
  }
}
