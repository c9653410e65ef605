// One segment of a journal as its writer knows it.
//
// May use: nothing but the standard library.

struct JournalSegment: Sendable {
  let number: UInt64
  /// Where its first byte stands in the whole journal.
  let first: UInt64
  /// Where it ends, and the next one begins; nil for the current one, which grows.
  var end: UInt64?
  /// Where its opening records end: what its owner appended and may drop again begins there.
  var openingEnd: UInt64
  /// Open for writing until all of it is durable and nothing more will come.
  var file: Int32?
  /// Whether it is under its own name, so part of the journal. It gets that once all that it began with is durable, and
  /// all of the segments before it.
  var hasName: Bool
  /// Whether its end was cut off, and that is not durable yet.
  var wasCut = false
}

/// A file that is to be made durable, as `synchronize` takes it.
struct JournalSynchronization: Sendable {
  let number: UInt64
  let file: Int32
  let path: String
  /// What is durable then.
  let target: UInt64
  let hasName: Bool
}
