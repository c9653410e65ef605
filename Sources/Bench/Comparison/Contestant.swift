// One engine as the parts of a comparison see it: a name, and clients for each effort.
//
// May use: SearchClient.

/// Whose clients are measured. The same code measures both sides.
struct Contestant: Sendable {
  /// An effort, and how to get clients that look so hard.
  struct Effort: Sendable {
    /// As the report names it.
    var name: String
    var value: Double
    var make: ClientMaker
    /// What a reader must know of it, such as that the plan does not use the index.
    var note: String?
    /// Whether the processor time of its clients' processes is all that there is; a plan with helpers has more.
    var isWholeProcessorTime = true
  }

  /// The engine's id in the report.
  var id: String
  /// Of each kind in ascending order.
  var efforts: [Effort]
  /// Questions that answers are judged by, the first so many; fewer where each takes long and all are right.
  var judgedQueries: Int
}

extension Contestant {
  /// The effort that other parts work at: the first that found so much, or else that which found most.
  /// - recalls: by the number of the effort; nil where that was not judged.
  static func working(at target: Double, recalls: [Double?]) -> Int? {
    let judged = recalls.indices.compactMap { i in recalls[i].map { (effort: i, recall: $0) } }
    return judged.first { $0.recall >= target }?.effort ?? judged.max { $0.recall < $1.recall }?.effort
  }
}
