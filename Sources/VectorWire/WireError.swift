// The protocol's errors: the stable numbers of docs/PROTOCOL.md, and the value that carries one.
//
// May use: nothing but the standard library.

/// What the server says when it cannot answer, and what a decoder throws.
public struct WireError: Error, Hashable, Sendable, CustomStringConvertible {
  /// A stable number. A struct, because later versions add numbers; treat one that you do not know like ``internal``.
  public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt32
    public init(rawValue: UInt32) { self.rawValue = rawValue }

    public static let malformedFrame = Code(rawValue: 1)
    public static let frameTooLarge = Code(rawValue: 2)
    public static let unsupportedVersion = Code(rawValue: 3)
    public static let helloExpected = Code(rawValue: 4)
    public static let unknownKind = Code(rawValue: 5)
    public static let duplicateRequestID = Code(rawValue: 6)
    public static let unknownCollection = Code(rawValue: 10)
    public static let unknownRecord = Code(rawValue: 11)
    public static let dimensionMismatch = Code(rawValue: 12)
    public static let notFinite = Code(rawValue: 13)
    public static let zeroVector = Code(rawValue: 14)
    public static let invalidK = Code(rawValue: 15)
    public static let invalidEffort = Code(rawValue: 16)
    public static let invalidCount = Code(rawValue: 17)
    public static let unsupportedOption = Code(rawValue: 18)
    public static let recordIDMismatch = Code(rawValue: 19)
    public static let deadlineExceeded = Code(rawValue: 20)
    public static let cancelled = Code(rawValue: 21)
    public static let overloaded = Code(rawValue: 22)
    public static let shuttingDown = Code(rawValue: 23)
    public static let connectionLimit = Code(rawValue: 24)
    public static let handshakeTimeout = Code(rawValue: 25)
    public static let stalled = Code(rawValue: 26)
    public static let replyTooLarge = Code(rawValue: 27)
    public static let invalidRecallTarget = Code(rawValue: 28)
    public static let `internal` = Code(rawValue: 30)
    public static let unknownAttribute = Code(rawValue: 31)
    public static let filterTypeMismatch = Code(rawValue: 32)
    public static let orderRefused = Code(rawValue: 33)
    public static let invalidFilter = Code(rawValue: 34)
    public static let invalidOption = Code(rawValue: 35)
    public static let tenantRequired = Code(rawValue: 36)
    public static let positionNotReached = Code(rawValue: 37)
    public static let positionForeign = Code(rawValue: 38)
    public static let strongUnavailable = Code(rawValue: 39)

    /// Every code of this version with its name in the document, in ascending order.
    public static let named: [(code: Code, name: String)] = [
      (.malformedFrame, "malformedFrame"), (.frameTooLarge, "frameTooLarge"),
      (.unsupportedVersion, "unsupportedVersion"), (.helloExpected, "helloExpected"), (.unknownKind, "unknownKind"),
      (.duplicateRequestID, "duplicateRequestID"), (.unknownCollection, "unknownCollection"),
      (.unknownRecord, "unknownRecord"), (.dimensionMismatch, "dimensionMismatch"), (.notFinite, "notFinite"),
      (.zeroVector, "zeroVector"), (.invalidK, "invalidK"), (.invalidEffort, "invalidEffort"),
      (.invalidCount, "invalidCount"), (.unsupportedOption, "unsupportedOption"),
      (.recordIDMismatch, "recordIDMismatch"), (.deadlineExceeded, "deadlineExceeded"), (.cancelled, "cancelled"),
      (.overloaded, "overloaded"), (.shuttingDown, "shuttingDown"), (.connectionLimit, "connectionLimit"),
      (.handshakeTimeout, "handshakeTimeout"), (.stalled, "stalled"), (.replyTooLarge, "replyTooLarge"),
      (.invalidRecallTarget, "invalidRecallTarget"), (.internal, "internal"), (.unknownAttribute, "unknownAttribute"),
      (.filterTypeMismatch, "filterTypeMismatch"), (.orderRefused, "orderRefused"), (.invalidFilter, "invalidFilter"),
      (.invalidOption, "invalidOption"), (.tenantRequired, "tenantRequired"),
      (.positionNotReached, "positionNotReached"), (.positionForeign, "positionForeign"),
      (.strongUnavailable, "strongUnavailable"),
    ]

    public var description: String {
      Self.named.first { $0.code == self }?.name ?? "code \(rawValue)"
    }
  }

  public var code: Code
  /// What was wrong and what to do next. Never holds a secret.
  public var message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  public var description: String { "\(code): \(message)" }
}
