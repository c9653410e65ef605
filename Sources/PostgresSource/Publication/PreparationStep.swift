// One statement that makes a server ready to be followed.
//
// May use: nothing but the standard library.

/// What is to be run, and why.
package struct PreparationStep: Hashable, Sendable {
  /// How it is run.
  package enum Phase: Hashable, Sendable {
    /// By itself, for Postgres allows it in no transaction.
    case alone
    /// With the others of its kind in one transaction.
    case transaction
    /// By a person: it is nothing that a connection can do, or should.
    case byHand
  }

  package var phase: Phase
  /// One statement without a semicolon; empty when what is to be done is no statement.
  package var sql: String
  /// One sentence.
  package var why: String

  package init(_ phase: Phase, _ sql: String, why: String) {
    self.phase = phase
    self.sql = sql
    self.why = why
  }

  /// The steps as a script for psql: what a transaction takes together stands in one.
  package static func script(_ steps: [PreparationStep]) -> String {
    var lines: [String] = []
    var isOpen = false
    for step in steps {
      if isOpen, step.phase != .transaction { lines.append("COMMIT;") }
      if !isOpen, step.phase == .transaction { lines.append("BEGIN;") }
      isOpen = step.phase == .transaction
      lines.append("-- " + step.why)
      if !step.sql.isEmpty { lines.append((step.phase == .byHand ? "-- " : "") + step.sql + ";") }
    }
    if isOpen { lines.append("COMMIT;") }
    return lines.map { $0 + "\n" }.joined()
  }
}
