// What a rebuild is asked, how far it has come, and what it did.
//
// May use: PostgresSource's and VectorIndex's values.

import PostgresSource
import VectorIndex

/// What to rebuild, from what.
public struct RebuildPlan: Sendable {
  public var collection: String
  public var connection: ConnectionOptions
  public var source: RowSource
  public var metric: Metric
  /// The precision in which rows are kept; nil = what suits their dimension.
  public var storage: VectorStorage?
  /// Edges a node [M].
  public var connectivity = 16
  /// [efConstruction]
  public var constructionEffort = 200
  /// The recall of searches that give neither a recall nor an ef.
  public var recallTarget: Float = 0.95
  /// Where it is not 0: the ef of such searches, in the place of a recall.
  public var searchEffort = 0
  /// A `SELECT` whose vectors are queries of the kind that will be asked, for the calibration; nil = rows stand in for them.
  public var calibrationQuery: String?
  /// The attribute that says whose a row is, so that the collection is searched for one tenant at a time; nil = rows have no tenant.
  public var tenant: String?
  public var seed: UInt64 = 1
  /// Connections that copy.
  public var workers = 2
  /// Threads that link and compress. With one worker and one thread, the same rows give the same index.
  public var threads = WorkerThreads.coreCount

  public init(collection: String, connection: ConnectionOptions, source: RowSource, metric: Metric) {
    self.collection = collection
    self.connection = connection
    self.source = source
    self.metric = metric
  }
}

extension RebuildPlan {
  /// The index that is asked for, of rows such as another has: a given configuration with the plan's storage and parameters.
  func index(of rows: HNSWConfiguration) -> HNSWConfiguration {
    var configuration = rows.keeping(storage ?? .automatic(dimension: rows.dimension))
    configuration.connectivity = connectivity
    configuration.constructionEffort = constructionEffort
    configuration.recallTarget = recallTarget
    configuration.searchEffort = searchEffort
    configuration.seed = seed
    return configuration
  }
}

/// How far a rebuild has come.
public enum RebuildProgress: Hashable, Sendable {
  case reading(rows: Int, estimated: Int)
  case linking(rows: Int, of: Int)
  case calibrating
  case saving
}

/// What a rebuild did.
public struct RebuildReport: Sendable {
  public var collection: Collection
  public var rows: Int
  /// Rows left out because their vector is NULL.
  public var nullVectors: Int
  /// Rows left out because their vector is zero and the metric is cosine.
  public var zeroVectors: Int
  public var lsn: LSN
  /// What was measured for recall targets; nil where the index is so small that searches scan it.
  public var calibration: IndexCalibration?
  public var readSeconds: Double
  public var linkSeconds: Double
  public var calibrateSeconds: Double
  public var saveSeconds: Double
  public var snapshotPath: String
  public var snapshotBytes: Int
  public var warnings: [String]
}
