// In which precision an index keeps its rows.
//
// May use: nothing but the standard library.

/// What an index keeps of a vector: the representation that a search walks on, and the one that answers are scored with.
///
/// The raw values are stable: they stand in snapshots and on the wire. `docs/STORAGE.md` has bytes, recall and speed of each.
public enum VectorStorage: UInt8, Sendable, CaseIterable {
  /// The vectors as they were given, bit for bit; walked as they are. Distances are pgvector's.
  case f32 = 1
  /// Half precision (11 bits), walked as it is: half the memory of `f32` for an error that no ranking notices.
  case f16 = 2
  /// 8-bit codes with a scale a row: a quarter of the memory.
  case int8 = 3
  /// Walked on 4-bit codes, answered from 8-bit ones: the smallest that is fast.
  case int4x8 = 4
  /// Walked on 4-bit codes, answered from half precision: the fastest.
  case int4x16 = 5

  /// The name used in configuration, on the command line and in messages.
  public var name: String {
    switch self {
    case .f32: "f32"
    case .f16: "f16"
    case .int8: "int8"
    case .int4x8: "int4x8"
    case .int4x16: "int4x16"
    }
  }

  /// Reads ``name``.
  public init?(name: String) {
    guard let storage = Self.allCases.first(where: { $0.name == name }) else { return nil }
    self = storage
  }

  /// What `auto` stands for: 4-bit codes pay from about 100 dimensions on, where the error of a sum over many dimensions
  /// averages out and a row in half precision fills several cache lines. Below, half precision is walked itself.
  public static func automatic(dimension: Int) -> VectorStorage { dimension >= 96 ? .int4x16 : .f16 }

  /// Whether rows that are kept in this way have enough of their vectors to be made into rows that are kept as `other`: at least as many bits
  /// a component. What was rounded away is not there any more.
  public func canBecome(_ other: VectorStorage) -> Bool {
    other.fineFormat.rowBytes(width: 64) <= fineFormat.rowBytes(width: 64)
  }

  /// Whether vectors can be rotated before they are rounded. It pays in 8 bits alone: half precision has its bits for each component,
  /// and 4-bit codes are clipped to the range of most.
  package var canRotate: Bool { fineFormat == .int8 }

  /// What answers are scored with, and what a snapshot holds.
  var fineFormat: RowFormat {
    switch self {
    case .f32: .f32
    case .f16, .int4x16: .f16
    case .int8, .int4x8: .int8
    }
  }

  /// The codes that a search walks on, where they are not the fine rows themselves.
  var codeFormat: RowFormat? {
    switch self {
    case .int4x8, .int4x16: .int4
    case .f32, .f16, .int8: nil
    }
  }
}
