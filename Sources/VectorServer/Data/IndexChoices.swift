// What of a collection can be chosen anew without other rows: the parameters of its index; and in what two definitions differ.
//
// May use: CollectionDefinition.

import VectorIndex

/// Parameters of an index that are to be others; nil = as they are.
public struct IndexChoices: Codable, Hashable, Sendable {
  /// A storage's name, or ``automaticStorage``.
  public var storage: String?
  public var connectivity: Int?
  public var constructionEffort: Int?
  /// Takes the place of a search effort, and the other way round.
  public var recallTarget: Float?
  public var searchEffort: Int?
  public var calibrationQuery: String?
  public var seed: UInt64?

  public init() {}

  /// What suits the dimension.
  public static let automaticStorage = "auto"
}

extension CollectionDefinition {
  /// The same collection with an index of other parameters.
  public func choosing(_ choices: IndexChoices) -> CollectionDefinition {
    var definition = self
    if let storage = choices.storage {
      definition.storage = storage == IndexChoices.automaticStorage ? nil : storage
    }
    definition.connectivity = choices.connectivity ?? connectivity
    // As where a collection is first made: more edges than candidates for them are none.
    definition.constructionEffort =
      choices.constructionEffort ?? max(definition.connectivity, constructionEffort)
    if let target = choices.recallTarget { (definition.recallTarget, definition.searchEffort) = (target, 0) }
    definition.searchEffort = choices.searchEffort ?? definition.searchEffort
    definition.calibrationQuery = choices.calibrationQuery ?? calibrationQuery
    definition.seed = choices.seed ?? seed
    return definition
  }

  /// The settings, by the names of their options, in which a collection is one of other rows, or of rows that have other things.
  func settingsOfOtherRows(than other: CollectionDefinition) -> [String] {
    [
      (table == other.table, "--table"), (idColumns == other.idColumns, "--id-columns"),
      (vectorColumn == other.vectorColumn, "--vector-column"), (dimension == other.dimension, "--dimension"),
      (attributes == other.attributes, "--attributes"), (payload == other.payload, "--payload"),
      (tenant == other.tenant, "--tenant"), (metric == other.metric, "--metric"),
      (followsOutbox == other.followsOutbox, "--outbox"),
    ].filter { !$0.0 }.map(\.1)
  }

  /// All settings, by the names of their options, in which two definitions of one name differ. Not what they are: a query is its author's
  /// own text, and may hold what nobody else is to read.
  func settings(otherThan other: CollectionDefinition) -> [String] {
    settingsOfOtherRows(than: other)
      + [
        (storage == other.storage, "--storage"), (connectivity == other.connectivity, "--connectivity"),
        (constructionEffort == other.constructionEffort, "--construction-effort"),
        (recallTarget == other.recallTarget, "--recall-target"),
        (searchEffort == other.searchEffort, "--search-effort"),
        (calibrationQuery == other.calibrationQuery, "--calibration-query"), (seed == other.seed, "--seed"),
      ].filter { !$0.0 }.map(\.1)
  }
}
