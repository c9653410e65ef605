// What all three kinds of search ask for, whatever they search with: where, how many, how well, and what else.
//
// May use: SearchModifiers, NIOCore's ByteBuffer.

import NIOCore

/// What Search, SearchByID and SearchLike have in common.
public struct SearchTerms: Hashable, Sendable {
  public var collection: String
  /// Results a query.
  public var k: Int
  /// Size of the candidate list; 0 = none given.
  public var effort: Int
  /// The recall that is asked for, in the place of an effort; where neither is given, the collection's default decides.
  public var recallTarget: RecallTarget?
  /// Whether every row is to be scanned.
  public var isExact: Bool
  public var modifiers: SearchModifiers

  /// - Precondition: `collection` has at most 65,535 bytes.
  public init(
    collection: String, k: Int, effort: Int = 0, recallTarget: RecallTarget? = nil, isExact: Bool = false,
    modifiers: SearchModifiers = SearchModifiers()
  ) {
    self.collection = collection
    self.k = k
    self.effort = effort
    self.recallTarget = recallTarget
    self.isExact = isExact
    self.modifiers = modifiers
  }

  func options(includesSelf: Bool) -> UInt8 {
    (isExact ? SearchOption.exact : 0) | (includesSelf ? SearchOption.includesSelf : 0)
      | (modifiers.isEmpty ? 0 : SearchOption.modifiers)
  }

  /// Writes all that stands before the vectors or ids.
  /// - first, second: the two bytes that each kind of search uses in its own way.
  func encode(_ first: UInt8, _ second: UInt8, counts: Int..., into buffer: inout ByteBuffer) {
    buffer.writeCount(k)
    buffer.writeCount(effort)
    buffer.writeMultipleIntegers(first, second, recallTarget?.units ?? 0, endianness: .little)
    for count in counts { buffer.writeCount(count) }
    buffer.writeField(collection)
    if !modifiers.isEmpty { modifiers.encode(into: &buffer) }
  }
}

/// The bits of a request's options.
enum SearchOption {
  static let exact: UInt8 = 1
  static let includesSelf: UInt8 = 2
  static let modifiers: UInt8 = 4
  static let all = exact | includesSelf | modifiers

  static func check(_ options: UInt8, known: UInt8) throws(WireError) {
    guard options & ~known == 0 else {
      throw WireError(
        .unsupportedOption, "a request of this kind has the option bits \(known) and no others, and \(options) was sent"
      )
    }
  }
}
