// The data directory's folders: what a removal leaves, and what a load does that is cancelled before it compares.

import Foundation
import Testing
import VectorIndex

@testable import PostgresSource
@testable import VectorServer

@Suite struct DataDirectoryTests {
  private func withPath(_ body: (String) throws -> Void) throws {
    let path = NSTemporaryDirectory() + "data-directory-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: path) }
    try body(path)
  }

  private func index() throws -> HNSWIndex {
    let index = try HNSWIndex(configuration: HNSWConfiguration(dimension: 4, metric: .l2, storage: .f32))
    try index.insert(.int64(1), [1, 2, 3, 4])
    return index
  }

  @Test func whatIsRemovedIsGoneAndLeavesNothing() throws {
    try withPath { path in
      let directory = try DataDirectory(path: path, create: true)
      for name in ["docs", "other"] {
        let collection = try Collection(name: name, index: index(), position: start)
        _ = try directory.save(collection, source: "", writer: "a test", threads: 1)
      }
      #expect(try directory.collectionNames() == ["docs", "other"])
      try directory.remove("docs")
      #expect(try FileManager.default.contentsOfDirectory(atPath: path + "/collections") == ["other"])
      try directory.remove("docs")
    }
  }

  /// A removal whose process died over it.
  @Test func aStartSweepsWhatWasRemovedInPart() throws {
    try withPath { path in
      let left = path + "/collections/.docs.removed"
      try FileManager.default.createDirectory(atPath: left, withIntermediateDirectories: true)
      try Data([1]).write(to: URL(fileURLWithPath: left + "/snapshot-0000000000000001.vzs"))
      let theirs = path + "/collections/.theirs"
      try FileManager.default.createDirectory(atPath: theirs, withIntermediateDirectories: true)
      let directory = try DataDirectory(path: path, create: false)
      #expect(try directory.collectionNames() == [])
      #expect(try FileManager.default.contentsOfDirectory(atPath: path + "/collections") == [".theirs"])
    }
  }

  /// The comparison asks another connection than the reading: it ends too.
  @Test func aLoadThatIsCancelledDoesNotCompare() throws {
    let options = try ConnectionOptions("host=127.0.0.1 port=1")
    let plan = RebuildPlan(collection: "docs", connection: options, source: .table(TableSource("t")), metric: .cosine)
    let description = try FollowerFixture.source().description
    let rows = try PostgresRows(plan, followedBy: .slot("s"))
    let before = #expect(throws: SourceError.self) { try rows.compare([], with: description, under: "x") }
    #expect(before?.code == .connectionFailed)
    rows.cancel()
    let after = #expect(throws: SourceError.self) { try rows.compare([], with: description, under: "x") }
    #expect(after?.code == .cancelled)
  }
}
