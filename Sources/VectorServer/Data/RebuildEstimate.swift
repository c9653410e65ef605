// Whether what is about to be read will fit: said before the first row, not after an hour.
//
// May use: PostgresSource's description, VectorIndex's MemoryNeeds.

import PostgresSource
import VectorIndex

/// What a rebuild will read, and the memory that it will take.
public struct RebuildEstimate: Hashable, Sendable {
  /// How sure a number of rows is.
  public enum Certainty: Hashable, Sendable {
    /// From a size, or of a query or a filter.
    case guessed
    /// Postgres has counted them lately, and all of them are read.
    case counted
    /// They are those that are served.
    case known
  }

  /// About how many rows there are.
  public var rows: Int
  public var certainty: Certainty
  public var dimension: Int
  public var storage: VectorStorage
  /// How many attributes each row has. Of their words and the elements of their arrays, of which nobody knows how many there will be,
  /// nothing is counted.
  public var attributes: Int
  /// Bytes that the index of so many rows commits, and what is held beside it until all of them are there.
  public var bytesNeeded: Int
  /// Bytes that this process may have for indexes.
  public var bytesAvailable: Int
  /// Bytes of them that are in use, and stay so meanwhile.
  public var bytesInUse: Int

  /// - bytesBesidePerRow: what a row takes beside the index until all rows are there.
  init(
    rows: Int, certainty: Certainty, configuration: HNSWConfiguration, bytesBesidePerRow: Int = 0, bytesAvailable: Int,
    bytesInUse: Int = 0
  ) {
    self.rows = rows
    self.certainty = certainty
    self.bytesAvailable = bytesAvailable
    self.bytesInUse = bytesInUse
    dimension = configuration.dimension
    storage = configuration.storage
    attributes = configuration.attributes.columns.count
    // A planner may think of any number; what is beyond all memory is so by 2⁴⁰ rows, too.
    let counted = min(max(0, rows), 1 << 40)
    bytesNeeded = HNSWIndex.bytesNeeded(rows: counted, configuration: configuration) + counted * bytesBesidePerRow
  }

  private var bytesLeft: Int { max(0, bytesAvailable - bytesInUse) }

  public var fits: Bool { bytesNeeded <= bytesLeft }

  /// Beyond which part of what is left no row more or less will help; nil: nobody can tell.
  private var clearlyBeyond: Double? {
    switch certainty {
    case .guessed: nil
    // A few percent off as a rule, and rows without a vector are among them.
    case .counted: 1.25
    // Memory is taken in steps.
    case .known: 1.05
    }
  }

  /// In words: what it needs, and if that is more than there is, what to do.
  public var text: String { fits ? figures : figures + ". That does not fit, if the estimate is right. " + advice }

  /// Refuses where that many rows cannot fit, if they are known or as many as Postgres has counted.
  /// - Throws: `notEnoughMemory`.
  func check() throws(ServerError) {
    guard let clearlyBeyond, Double(bytesNeeded) > clearlyBeyond * Double(bytesLeft) else { return }
    throw ServerError(
      .notEnoughMemory,
      "nothing was read, since it will not fit: " + figures + ". " + advice
        + (certainty == .known
          ? ""
          : " If the table has fewer rows than that, run ANALYZE on it; if many rows have no vector, read it with "
            + "--where \"… IS NOT NULL\"."))
  }

  private var figures: String {
    "about \(Self.mebibytes(bytesNeeded)) MiB for \(certainty == .guessed ? "an estimated " : "")\(rows.grouped) rows of "
      + "\(dimension) dimensions as \(storage.name)"
      + (attributes > 0 ? " with \(attributes) attribute\(attributes == 1 ? "" : "s")" : "")
      + ", of \(Self.mebibytes(bytesAvailable)) MiB that this process may have for "
      + "indexes" + (bytesInUse > 0 ? ", of which \(Self.mebibytes(bytesInUse)) are in use" : "")
  }

  private var advice: String {
    func bytes(_ storage: VectorStorage) -> Int {
      HNSWConfiguration(dimension: dimension, metric: .l2, storage: storage).bytesPerVector
    }
    let smallest = VectorStorage.allCases.min { bytes($0) < bytes($1) }
    var choices: [String] = []
    if let smallest, smallest != storage { choices.append("a smaller storage (--storage \(smallest.name))") }
    if certainty != .known { choices.append("fewer rows (--where)") }
    choices.append("a machine with more memory")
    return "Choose " + choices.dropLast().map { $0 + ", " }.joined() + (choices.count > 1 ? "or " : "")
      + choices[choices.count - 1] + "."
  }

  private static func mebibytes(_ bytes: Int) -> String { Int((Double(bytes) / 1_048_576).rounded(.up)).grouped }
}

extension Int {
  /// `86,694`
  package var grouped: String {
    let digits = Array(String(self))
    return String(
      digits.enumerated().flatMap { i, digit in
        i > 0 && (digits.count - i) % 3 == 0 ? [",", digit] : [digit]
      })
  }
}
