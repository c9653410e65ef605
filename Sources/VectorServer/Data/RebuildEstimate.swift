// Whether what is about to be read will fit: said before the first row, not after an hour.
//
// May use: PostgresSource's description, VectorIndex's MemoryNeeds.

import PostgresSource
import VectorIndex

/// What a rebuild will read, and the memory that it will take.
public struct RebuildEstimate: Hashable, Sendable {
  /// About how many rows there are.
  public var rows: Int
  /// Whether Postgres has counted them lately, and all of them are read: not a guess from a size, of a query or of a filter.
  public var isCounted: Bool
  public var dimension: Int
  public var storage: VectorStorage
  /// How many attributes each row has. Of their words and the elements of their arrays, of which nobody knows how many there will be,
  /// nothing is counted.
  public var attributes: Int
  /// Bytes that the index of so many rows commits.
  public var bytesNeeded: Int
  /// Bytes that this process may have for indexes.
  public var bytesAvailable: Int

  /// Counts are a few percent off as a rule, and rows without a vector are among them: beyond a quarter more than there is, no
  /// row more or less will help.
  private static let clearlyBeyond = 1.25

  init(rows: Int, isCounted: Bool, configuration: HNSWConfiguration, bytesAvailable: Int) {
    self.rows = rows
    self.isCounted = isCounted
    self.bytesAvailable = bytesAvailable
    dimension = configuration.dimension
    storage = configuration.storage
    attributes = configuration.attributes.columns.count
    // A planner may think of any number; what is beyond all memory is so by 2⁴⁰ rows, too.
    bytesNeeded = HNSWIndex.bytesNeeded(rows: min(max(0, rows), 1 << 40), configuration: configuration)
  }

  public var fits: Bool { bytesNeeded <= bytesAvailable }

  /// In words: what it needs, and if that is more than there is, what to do.
  public var text: String { fits ? figures : figures + ". That does not fit, if the estimate is right. " + advice }

  /// Refuses where that many rows cannot fit, if they are as many as Postgres has counted.
  /// - Throws: `notEnoughMemory`.
  func check() throws(ServerError) {
    guard isCounted, Double(bytesNeeded) > Self.clearlyBeyond * Double(bytesAvailable) else { return }
    throw ServerError(
      .notEnoughMemory,
      "nothing was read, since it will not fit: " + figures + ". " + advice
        + " If the table has fewer rows than that, run ANALYZE on it; if many rows have no vector, read it with "
        + "--where \"… IS NOT NULL\".")
  }

  private var figures: String {
    "about \(Self.mebibytes(bytesNeeded)) MiB for \(isCounted ? "" : "an estimated ")\(rows.grouped) rows of "
      + "\(dimension) dimensions as \(storage.name)"
      + (attributes > 0 ? " with \(attributes) attribute\(attributes == 1 ? "" : "s")" : "")
      + ", of \(Self.mebibytes(bytesAvailable)) MiB that this process may have for "
      + "indexes"
  }

  private var advice: String {
    let smaller = VectorStorage.allCases.map { storage in
      let configuration = HNSWConfiguration(dimension: dimension, metric: .l2, storage: storage)
      return (storage: storage, bytes: configuration.bytesPerVector)
    }.min { $0.bytes < $1.bytes }
    let storage = smaller.map { $0.storage == self.storage ? "" : " a smaller storage (--storage \($0.storage.name))," }
    return "Choose\(storage ?? "") fewer rows (--where), or a machine with more memory."
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
