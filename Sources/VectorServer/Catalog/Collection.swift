// One collection as the server serves it: an index with a name and a place in the life of Postgres.
//
// May use: VectorIndex, VectorWire's Position and descriptions.

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
  private let followed: Mutex<Position>
  private let queries = Atomic<UInt64>(0)
  private let distances = Atomic<UInt64>(0)

  /// - Throws: `invalidConfiguration` for a name that is empty or longer than ``nameBytesMax``.
  public init(name: String, index: HNSWIndex, position: Position = .unknown) throws(ServerError) {
    guard (1...Self.nameBytesMax).contains(name.utf8.count) else {
      throw ServerError(
        .invalidConfiguration, "a collection's name must be from 1 to \(Self.nameBytesMax) bytes long: \"\(name)\"")
    }
    self.name = name
    self.index = index
    followed = Mutex(position)
  }

  /// Up to where the index has followed its table. Set it after the changes are applied, never before: an answer names
  /// the position that was read before its search began.
  public var position: Position {
    get { followed.withLock { $0 } }
    set { followed.withLock { $0 = newValue } }
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
    guard let tenant else { return numbers }
    return numbers + [Statistic("tenant_column", .text(tenant))]
  }
}
