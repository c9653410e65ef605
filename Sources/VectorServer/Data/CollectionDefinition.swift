// What a collection is made of, in a form that a snapshot can keep: so that a server that starts again knows what to follow.
//
// May use: Foundation's JSON coders; PostgresSource and VectorIndex for the values.

import Foundation
import PostgresSource
import VectorIndex

/// The definition of a followed collection: of which table it is an index, and which kind of index.
///
/// Two definitions are equal where the same rows of the same table make the same index.
public struct CollectionDefinition: Codable, Hashable, Sendable {
  public var name: String
  /// As SQL writes it.
  public var table: String
  /// nil = the primary key.
  public var idColumns: [String]?
  /// nil = the only one.
  public var vectorColumn: String?
  public var dimension: Int?
  /// As `--attributes` writes them (``SourceAttribute/list(parsing:)``).
  public var attributes: String?
  public var payload: [String]
  public var tenant: String?
  public var metric: String
  /// nil = what suits the dimension.
  public var storage: String?
  public var connectivity: Int
  public var constructionEffort: Int
  public var recallTarget: Float
  public var searchEffort: Int
  public var calibrationQuery: String?
  public var seed: UInt64
  /// Whether its changes come by the outbox; nil = by a slot.
  public var outbox: Bool?

  var followsOutbox: Bool { outbox ?? false }

  /// The same, with its changes as a server gets them.
  func followed(by configuration: FollowConfiguration) -> CollectionDefinition {
    var definition = self
    definition.outbox = configuration.followsOutbox ? true : nil
    return definition
  }

  /// - Throws: `invalidConfiguration` for a plan that cannot be followed: a query, or a table with a condition of its own.
  public init(_ plan: RebuildPlan, attributes: String?) throws(ServerError) {
    guard case .table(let source) = plan.source else {
      throw ServerError(
        .invalidConfiguration,
        "a query cannot be followed, since Postgres tells the changes of tables: name a table, or build from the query once "
          + "with `vizinho rebuild` and serve that without following")
    }
    guard source.filter == nil else {
      throw ServerError(
        .invalidConfiguration,
        "--where cannot be followed: which rows of a table are told is the publication's to say. Run: ALTER PUBLICATION … SET TABLE "
          + "\(source.name) WHERE (…); or let `vizinho prepare --where …` print that")
    }
    name = plan.collection
    table = source.name
    idColumns = source.keyColumns
    vectorColumn = source.vectorColumn
    dimension = source.dimension
    self.attributes = attributes
    payload = source.payload
    tenant = plan.tenant
    metric = plan.metric.name
    storage = plan.storage?.name
    connectivity = plan.connectivity
    constructionEffort = plan.constructionEffort
    recallTarget = plan.recallTarget
    searchEffort = plan.searchEffort
    calibrationQuery = plan.calibrationQuery
    seed = plan.seed
  }

  /// What to load, from where.
  /// - Throws: ``SourceError``, ``ServerError`` (`invalidConfiguration`) for words that this program does not know.
  public func plan(_ configuration: FollowConfiguration) throws -> RebuildPlan {
    var source = TableSource(
      table, keyColumns: idColumns, vectorColumn: vectorColumn, dimension: dimension,
      attributes: try attributes.map { text throws(SourceError) in try SourceAttribute.list(parsing: text) } ?? [])
    source.payload = payload
    guard let metric = Metric(name: metric) else {
      throw ServerError(
        .invalidConfiguration, "the collection \(name) has the metric \"\(metric)\", which there is not")
    }
    var plan = RebuildPlan(
      collection: name, connection: configuration.connection, source: .table(source), metric: metric)
    plan.storage = try storage.map { name throws(ServerError) in
      guard let storage = VectorStorage(name: name) else {
        throw ServerError(
          .invalidConfiguration, "the collection \(self.name) has the storage \"\(name)\", which there is not")
      }
      return storage
    }
    plan.connectivity = connectivity
    plan.constructionEffort = constructionEffort
    plan.recallTarget = recallTarget
    plan.searchEffort = searchEffort
    plan.calibrationQuery = calibrationQuery
    plan.tenant = tenant
    plan.seed = seed
    plan.workers = configuration.workers
    plan.threads = configuration.threads
    return plan
  }
}

/// What a snapshot keeps of following: the definition, and what the table was that it was made of.
struct FollowedRecord: Codable, Hashable, Sendable {
  var definition: CollectionDefinition
  /// ``FollowedSource/fingerprint`` at the load.
  var table: String
  /// The files in which the table lay when the collection was last proved equal to it.
  var files: String
  /// Of the stream that the collection followed (``StreamPoint/epoch``); nil: an earlier program did not say.
  var epoch: UInt64?

  /// The same record always gives the same text.
  var text: String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // A struct of strings and numbers has a JSON form.
    return (try? encoder.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? ""
  }

  init(definition: CollectionDefinition, table: String, files: String, epoch: UInt64) {
    self.definition = definition
    self.table = table
    self.files = files
    self.epoch = epoch
  }

  /// - Returns: nil for what no program of this kind has written.
  init?(text: String) {
    guard let found = try? JSONDecoder().decode(FollowedRecord.self, from: Data(text.utf8)) else { return nil }
    self = found
  }
}
