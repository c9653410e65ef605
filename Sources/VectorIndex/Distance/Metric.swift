// The distances that the index knows, as pgvector defines them.
//
// May use: nothing but the standard library.

/// How far apart two vectors are. Smaller is nearer, for every metric.
///
/// The values that searches return are pgvector's: the same row has the same distance in SQL, up to the rounding of the
/// storage that it is kept in (docs/STORAGE.md).
/// The raw values are stable: they stand in snapshots and on the wire.
public enum Metric: UInt8, Sendable, CaseIterable {
  /// `1 − cos(a, b)`, in [0, 2]; pgvector's `<=>`. Undefined for a zero vector, which is therefore not searchable.
  case cosine = 1
  /// `−⟨a, b⟩`; pgvector's `<#>`.
  case innerProduct = 2
  /// `‖a − b‖`; pgvector's `<->`.
  case l2 = 3

  /// The name used in configuration, on the command line and in messages.
  public var name: String {
    switch self {
    case .cosine: "cosine"
    case .innerProduct: "inner_product"
    case .l2: "l2"
    }
  }

  /// Reads ``name``; `ip` is short for `inner_product`.
  public init?(name: String) {
    guard let metric = Self.allCases.first(where: { $0.name == (name == "ip" ? "inner_product" : name) }) else {
      return nil
    }
    self = metric
  }
}
