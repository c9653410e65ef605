// The files of a report: JSON, written again after each part, and the page.
//
// May use: Report/Model, Report/Page; Foundation, for files and JSON.

import ArgumentParser
import Foundation

/// Where the JSON and the page of a report are to be, if anywhere.
struct ReportFiles: Sendable {
  var json: String?
  var html: String?

  /// A reader finds the old report or the new one, never half of one.
  func write(_ report: BenchReport) throws(ValidationError) {
    guard let json else { return }
    do {
      try report.json().write(to: URL(fileURLWithPath: json), options: .atomic)
    } catch {
      throw ValidationError("cannot write the report to \(json): \(error.localizedDescription)")
    }
  }

  func writePage(_ report: BenchReport) throws(ValidationError) {
    guard let html else { return }
    try Self.write(ReportPage([report]).html.text, to: html)
  }

  static func write(_ text: String, to path: String) throws(ValidationError) {
    do {
      try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
    } catch {
      throw ValidationError("cannot write to \(path): \(error.localizedDescription)")
    }
  }

  /// Whether the page can be written at all, which is better known before a long run than after it.
  func checkPage() throws(ValidationError) {
    guard let html else { return }
    let folder = URL(fileURLWithPath: html).deletingLastPathComponent().path
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: folder, isDirectory: &isFolder), isFolder.boolValue,
      FileManager.default.isWritableFile(atPath: folder)
    else { throw ValidationError("cannot write the page to \(html): there is no folder \(folder) to write to") }
  }

  /// Lines that say where what was written is.
  var written: [String] {
    [json.map { "The report as JSON: \($0)" }, html.map { "The report as a page: \($0)" }].compactMap { $0 }
  }
}

extension BenchReport {
  /// Fields in the order of their names, so that two reports can be compared as text. A figure that is no number, which a run should not
  /// have, is written as a string rather than that an hour's report is lost to it.
  func json() throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return try encoder.encode(self)
  }

  /// - Throws: `ValidationError`, which names the file and what is wrong with it.
  init(contentsOf path: String) throws(ValidationError) {
    guard let bytes = FileManager.default.contents(atPath: path) else { throw ValidationError("cannot read \(path)") }
    let decoder = JSONDecoder()
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    struct Head: Decodable { var format: String }
    guard let head = try? decoder.decode(Head.self, from: bytes), head.format == Self.currentFormat else {
      throw ValidationError("\(path) is no report of bench: its \"format\" is not \"\(Self.currentFormat)\"")
    }
    do {
      self = try decoder.decode(BenchReport.self, from: bytes)
    } catch let error as DecodingError {
      throw ValidationError("\(path) is a damaged report: \(Self.place(of: error))")
    } catch {
      throw ValidationError("\(path) is a damaged report: \(error)")
    }
  }

  private static func place(of error: DecodingError) -> String {
    let context: DecodingError.Context? =
      switch error {
      case .typeMismatch(_, let context), .valueNotFound(_, let context), .keyNotFound(_, let context),
        .dataCorrupted(let context):
        context
      @unknown default: nil
      }
    guard let context else { return String(describing: error) }
    let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".")
    return path.isEmpty ? context.debugDescription : "at \(path): \(context.debugDescription)"
  }
}
