// What an index is asked to be, and the limits within which that makes sense.
//
// May use: nothing but the standard library.

/// The parameters of an index. Names in brackets are the paper's (Malkov & Yashunin, arXiv:1603.09320).
public struct HNSWConfiguration: Hashable, Sendable {
  /// Components of a vector, 1...4,096.
  public var dimension: Int
  public var metric: Metric
  /// The type of the record ids.
  public var recordIDKind: RecordIDKind
  /// The precision in which rows are kept.
  public var storage: VectorStorage
  /// Whether vectors are rotated before they are rounded to 8 bits, under the storages that do that; others ignore it. Where a few
  /// components are large, rounding then costs a small part of what it costs without. False for snapshots that were made so.
  public var rotates = true
  /// Edges that a new node chooses on each layer [M], 2...64; half as many again on the ground layer of an index in use. A node keeps up
  /// to twice as many there.
  public var connectivity: Int
  /// Candidates considered for those edges [efConstruction], `connectivity`...4,096.
  public var constructionEffort: Int
  /// The recall that a search aims at when it does not say, 0.80...0.999.
  public var recallTarget: Float
  /// Where it is not 0: the candidates that a search keeps when it does not say [ef], 1...10,000, in the place of a recall.
  public var searchEffort: Int
  /// Decides the layers of the nodes. One thread and one seed give one graph.
  public var seed: UInt64
  /// Bytes that the index may commit for rows, links and ids; it refuses rows beyond. nil = 80 % of the memory that this process
  /// may have (the machine's, or its control group's), for all indexes of the process that have no budget of their own.
  public var memoryBudget: Int?
  /// What the rows have beside their vectors, for filters to ask for.
  public var attributes: AttributeSchema
  /// The columns of text that rows bring back with a hit and no filter asks for, at most 64, each under a name of 1 to 63 bytes.
  public var payload: [String] = []
  /// Whether each row has a ``RowStamp``, which takes 16 bytes.
  public var keepsStamps = false

  public init(
    dimension: Int, metric: Metric, recordIDKind: RecordIDKind = .int64, storage: VectorStorage? = nil,
    connectivity: Int = 16, constructionEffort: Int = 200, recallTarget: Float = 0.95, searchEffort: Int = 0,
    seed: UInt64 = 1, memoryBudget: Int? = nil, attributes: AttributeSchema = .empty
  ) {
    self.dimension = dimension
    self.metric = metric
    self.recordIDKind = recordIDKind
    self.storage = storage ?? .automatic(dimension: dimension)
    self.connectivity = connectivity
    self.constructionEffort = constructionEffort
    self.recallTarget = recallTarget
    self.searchEffort = searchEffort
    self.seed = seed
    self.memoryBudget = memoryBudget
    self.attributes = attributes
  }
}

extension HNSWConfiguration {
  public static let dimensionRange = 1...4_096
  public static let connectivityRange = 2...64
  public static let constructionEffortMax = 4_096
  public static let searchEffortRange = 1...10_000
  /// The most results that one search returns.
  public static let resultsMax = 10_000

  /// Checks every parameter against its range.
  public func validate() throws(IndexError) {
    try Self.check("dimension", dimension, in: Self.dimensionRange)
    try Self.check("connectivity (M)", connectivity, in: Self.connectivityRange)
    try Self.check("construction effort", constructionEffort, in: connectivity...Self.constructionEffortMax)
    if searchEffort != 0 { try Self.check("search effort (ef)", searchEffort, in: Self.searchEffortRange) }
    do {
      try SearchOptions.check(recallTarget: recallTarget)
    } catch {
      throw IndexError(.invalidConfiguration, error.message)
    }
    try validatePayload()
    if let memoryBudget { try Self.check("memory budget", memoryBudget, in: 1...Int.max) }
  }

  private static func check(_ name: String, _ value: Int, in range: ClosedRange<Int>) throws(IndexError) {
    guard !range.contains(value) else { return }
    throw IndexError(
      .invalidConfiguration, "\(name) is \(value); it must be from \(range.lowerBound) to \(range.upperBound)")
  }
}

extension HNSWConfiguration {
  /// In which way rows are rotated (``Rotation/version``); nil = they are not.
  package var rotationVersion: UInt64? { rotates && storage.canRotate ? Rotation.version : nil }

  /// Edges that a node may have on the ground layer [Mmax0].
  var groundDegreeMax: Int { 2 * connectivity }

  /// The layer up to which the `n`-th node reaches: `⌊−ln(u) · mL⌋` with `mL = 1 / ln(M)` (the paper, §4.1).
  ///
  /// `u` is drawn from the seed and `n` alone, so the layers do not depend on which thread links the node.
  func layer(ofInsertion n: UInt64) -> Int {
    let bits = mixed(seed &+ mixed(n))
    let u = (Double(bits >> 11) + 1) * 0x1p-53  // in (0, 1]
    return min(Int(-naturalLogarithm(u) / naturalLogarithm(Double(connectivity))), Graph.layerMax)
  }
}

/// SplitMix64's finalizer (Steele, Lea & Flood 2014): a bijection that scatters counters over all 64 bits.
@inline(__always)
func mixed(_ value: UInt64) -> UInt64 {
  var z = value &+ 0x9E37_79B9_7F4A_7C15
  z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
  z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
  return z ^ (z >> 31)
}
