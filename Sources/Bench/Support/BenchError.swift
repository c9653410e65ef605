// What can go wrong in a measurement, as one value with a growable code.
//
// May use: nothing but the standard library.

/// An error of a run: a sentence that says what was wrong and what to do next.
struct BenchError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kind of error. A struct, so that adding a code breaks no caller's `switch`.
  struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    let rawValue: String
    init(rawValue: String) { self.rawValue = rawValue }
    var description: String { rawValue }

    /// Nobody answers where the engine should be, or it went away.
    static let engineUnreachable = Self(rawValue: "engineUnreachable")
    /// The engine refused a request, or said something that cannot be understood.
    static let engineRefused = Self(rawValue: "engineRefused")
    /// The program of the engine is missing, did not start, or ended by itself.
    static let engineFailed = Self(rawValue: "engineFailed")
    /// What is to be measured cannot be measured: too few rows, another dimension, a metric that there is not.
    static let unfitData = Self(rawValue: "unfitData")
    /// Postgres allows or has something less than the run needs.
    static let unfitPostgres = Self(rawValue: "unfitPostgres")
    /// Somebody asked for the end.
    static let interrupted = Self(rawValue: "interrupted")
  }

  var code: Code
  var message: String

  init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  var description: String { message }
}
