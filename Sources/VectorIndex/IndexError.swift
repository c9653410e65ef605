// What can go wrong in the index in operation, as one value with a growable code.
//
// May use: nothing but the standard library.

/// An error of the index: what was wrong, with what, and what to do next.
public struct IndexError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kind of error. A struct, so that adding a code breaks no caller's `switch`.
  public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public var description: String { rawValue }

    /// A configuration value is out of its range.
    public static let invalidConfiguration = Code(rawValue: "invalidConfiguration")
    /// A vector has another number of dimensions than the index.
    public static let dimensionMismatch = Code(rawValue: "dimensionMismatch")
    /// A vector holds NaN or an infinity.
    public static let notFinite = Code(rawValue: "notFinite")
    /// A zero vector under the cosine metric, where its distance is undefined.
    public static let zeroVector = Code(rawValue: "zeroVector")
    /// The id exists already.
    public static let duplicateRecord = Code(rawValue: "duplicateRecord")
    /// The id is of another kind than the index's ids, or has no byte form.
    public static let recordIDMismatch = Code(rawValue: "recordIDMismatch")
    /// `k` is zero, negative or over the limit.
    public static let invalidK = Code(rawValue: "invalidK")
    /// `ef` is negative or over the limit.
    public static let invalidEffort = Code(rawValue: "invalidEffort")
    /// A recall target is out of its range, or stands beside an `ef`.
    public static let invalidRecallTarget = Code(rawValue: "invalidRecallTarget")
    /// Too few queries to measure a recall with.
    public static let tooFewQueries = Code(rawValue: "tooFewQueries")
    /// The index is full, or the machine refused the memory.
    public static let outOfMemory = Code(rawValue: "outOfMemory")
    /// Saved parts of an index contradict each other.
    public static let inconsistentParts = Code(rawValue: "inconsistentParts")
    /// A row's attributes are not those of the schema: too few, too many, or of another type.
    public static let attributeMismatch = Code(rawValue: "attributeMismatch")
    /// A row's payload has not as many columns as the index, or too many bytes.
    public static let payloadMismatch = Code(rawValue: "payloadMismatch")
    /// A filter names an attribute that there is not.
    public static let unknownAttribute = Code(rawValue: "unknownAttribute")
    /// A filter compares an attribute with a value of another type, or in a way that its type does not have.
    public static let filterTypeMismatch = Code(rawValue: "filterTypeMismatch")
    /// A filter asks for an order of text whose collation is not C.
    public static let orderRefused = Code(rawValue: "orderRefused")
    /// A filter is too large, too deep, or no filter at all.
    public static let invalidFilter = Code(rawValue: "invalidFilter")
    /// An option of a retrieval is out of its range, or stands beside one that it does not go with.
    public static let invalidRetrieval = Code(rawValue: "invalidRetrieval")
    /// A row that a search is made from is not there.
    public static let unknownRecord = Code(rawValue: "unknownRecord")
    /// The caller asked for the work to stop.
    public static let cancelled = Code(rawValue: "cancelled")
  }

  public var code: Code
  /// A sentence for a person: what was expected, what was found, what to do next.
  public var message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { message }
}
