// Builds that Postgres gave up: whether others can go on, and what a reader is told of them.
//
// May use: PostgresSource's errors, Figure.

import PostgresSource

/// One try to build an index that failed.
struct FailedBuild: Sendable {
  /// Processes that were to help.
  var workers: Int
  var error: SourceError

  /// What became of an index, and what would mend it.
  /// - failures: in the order in which they came, at least one.
  /// - isBuilt: whether one more try did it, without helpers.
  static func note(of id: String, _ failures: [FailedBuild], isBuilt: Bool) -> String {
    let accounts = failures.map { "\($0.name): \($0.error.message)" }.joined(separator: " ")
    let advice = failures.compactMap(\.advice).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
    let outcome =
      isBuilt
      ? "\(id) was built without helpers, which takes longer, since with them Postgres gave up."
      : "\(id) was left out, since Postgres could not build it."
    return ([outcome, accounts] + advice).joined(separator: " ")
  }

  private var name: String {
    workers == 0 ? "Without helpers" : "With \(Figure.count(workers, "helper"))"
  }

  /// nil where Postgres's own words have to do.
  private var advice: String? {
    // Helpers share memory by files in /dev/shm, of which Docker gives 64 MB. The files' names are in the message in any language.
    if error.message.contains("/PostgreSQL.") {
      return "Give the server's container more shared memory (docker run --shm-size=…), or the builds no helpers "
        + "(--maintenance-workers 0)."
    }
    switch error.sqlState {
    case "53100": return "Make room on the server's disk, or name fewer indexes (--pgvector)."
    case "53200": return "Give the builds less memory (--maintenance-work-mem)."
    default: return nil
    }
  }
}

extension SourceError {
  /// Whether it is the end of the run and not of one statement: somebody asked for the end, or the connection is gone.
  var endsRun: Bool { code == .cancelled || code == .connectionLost || sqlState == "57014" }
}
