// Where a run puts what it finds, part by part: into a report, onto the terminal, and into files that an interrupted run leaves behind.
//
// May use: Report/Model, Report/Terminal, Report/Page; ArgumentParser, for options and exit codes.

import ArgumentParser
import Foundation
import Synchronization

/// Where a report goes, beside the terminal.
struct ReportOptions: ParsableArguments {
  @Option(help: "Write the report to this file as JSON, after each part that was measured.") var json: String?
  @Option(help: "Write the report to this file as a page that a browser shows.") var html: String?
}

/// Thrown where a run can stop, after the user asked for it. What was measured so far is kept.
struct Interrupted: Error {
  /// SIGINT, SIGTERM or SIGHUP.
  var signal: Int32
}

/// Keeps the report of a run while it goes on. Any thread may use it.
///
/// ```swift
/// try await ReportSink.run(BenchReport(command: "load", data: data), options) { sink in
///   sink.expect(units: 12)
///   sink.begin("building", units: 10)
///   try sink.checkpoint()
///   …
///   try sink.add { $0.engines.append(build) }
/// }
/// ```
final class ReportSink: Sendable {
  private let state: Mutex<BenchReport>
  private let progress: ProgressLine
  private let files: ReportFiles
  private let began = ContinuousClock.now

  /// Runs a measurement: makes a sink, catches SIGINT, SIGTERM and SIGHUP, and ends with the summary and the page, also where the body throws:
  /// then with what was measured until then, marked as interrupted.
  ///
  /// Throws what the body threw; for `Interrupted` the exit code that a shell expects. A body that throws an `ExitCode` of its own has
  /// measured all it wanted to. That the files can be written is found out before the body runs.
  static func run(
    _ report: BenchReport, _ options: ReportOptions, body: (ReportSink) async throws -> Void
  ) async throws {
    let sink = try ReportSink(report, ReportFiles(json: options.json, html: options.html))
    Interruption.catchSignals()
    do {
      try await body(sink)
    } catch let interrupted as Interrupted {
      sink.progress.end()
      try sink.finish(endedEarly: "The run was interrupted: this is what was measured until then.")
      throw ExitCode(128 + interrupted.signal)
    } catch let code as ExitCode {
      sink.progress.end()
      try sink.finish(endedEarly: nil)
      throw code
    } catch {
      sink.progress.end()
      // The error itself goes to the terminal when this is thrown on; that a file could not be written then is the lesser news.
      try? sink.finish(endedEarly: "The run ended early: \(sentence(of: error))")
      throw error
    }
    sink.progress.end()
    try sink.finish(endedEarly: nil)
  }

  private init(_ report: BenchReport, _ files: ReportFiles) throws {
    state = Mutex(report)
    self.files = files
    progress = ProgressLine()
    try files.write(report)
    try files.checkPage()
  }

  // What a run says -------------------------------------------------------------------------------

  /// What has been measured so far.
  var report: BenchReport { state.withLock { $0 } }

  /// Whether the user asked the run to stop.
  var isInterrupted: Bool { Interruption.signal != nil }

  /// Throws where the user asked the run to stop: to be called where stopping is safe, between parts that count as a whole, and at
  /// least every second or so, since a second signal ends the program at once.
  func checkpoint() throws(Interrupted) {
    if let signal = Interruption.signal { throw Interrupted(signal: signal) }
  }

  /// Adds what was measured to the report, prints it as tables, and writes the JSON.
  func add(_ change: (inout BenchReport) -> Void) throws {
    let (old, new) = state.withLock { report in
      let old = report
      change(&report)
      report.elapsedSeconds = (ContinuousClock.now - began) / .seconds(1)
      return (old, report)
    }
    let tables = ReportTables.parts(of: new, notIn: old)
    if !tables.isEmpty { progress.say(tables.map { TextTable($0).text() }.joined(separator: "\n")) }
    for note in new.notes.dropFirst(old.notes.count) { progress.say("Note: \(note)\n") }
    try files.write(new)
  }

  /// Prints a line that is not part of the report.
  func say(_ line: String) { progress.say(line + "\n") }

  // How far it is ---------------------------------------------------------------------------------

  /// How much there is to do in all. A unit is whatever all steps are measured in, best about a second.
  func expect(units: Double) { progress.change { $0.expect(units: units) } }

  /// Begins the next step, whose share of all is `units`; the one before it is done.
  func begin(_ doing: String, units: Double = 1) { progress.change(announces: true) { $0.begin(doing, units: units) } }

  /// How much of the current step is done, from 0 to 1.
  func advance(to share: Double) { progress.change { $0.advance(to: share) } }

  // The end ---------------------------------------------------------------------------------------

  private func finish(endedEarly reason: String?) throws {
    let report = state.withLock { report in
      if let reason {
        report.interrupted = true
        report.notes.append(reason)
      }
      report.elapsedSeconds = (ContinuousClock.now - began) / .seconds(1)
      return report
    }
    progress.say(ReportSummary(report).text)
    try files.write(report)
    try files.writePage(report)
    for line in files.written { progress.say(line + "\n") }
  }
}

/// What an error says, as a sentence for a report.
private func sentence(of error: any Error) -> String {
  let text = if let error = error as? ValidationError { error.message } else { String(describing: error) }
  return text.hasSuffix(".") ? text : text + "."
}
