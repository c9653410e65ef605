// The mark of a collection whose snapshots are not to be gone on from.

import Testing

@testable import VectorSnapshot

@Suite struct StaleMarkTests {
  @Test func aMarkIsSetReadAndTakenAway() throws {
    let folder = try TemporaryFolder()
    let directory = SnapshotDirectory(path: folder.path)
    let mark = StaleMark(in: directory)
    #expect(try mark.reason() == nil)
    try mark.remove()
    try mark.set("3 rows differ — é")
    #expect(try StaleMark(in: directory).reason() == "3 rows differ — é")
    try mark.set("another reason")
    #expect(try mark.reason() == "another reason")
    #expect(try folder.names() == [StaleMark.fileName], "nothing unfinished is left")
    #expect(try directory.list() == [], "it is no snapshot")
    try mark.remove()
    #expect(try mark.reason() == nil)
    #expect(try folder.names() == [])
  }

  @Test func aReasonMayBeEmptyOrLong() throws {
    let folder = try TemporaryFolder()
    let mark = StaleMark(in: SnapshotDirectory(path: folder.path))
    try mark.set("")
    #expect(try mark.reason() == "", "it is there")
    try mark.set(String(repeating: "x", count: 100_000))
    #expect(try mark.reason()?.count == 4_096)
  }

  @Test func whereNothingIsNothingIsMarked() throws {
    let folder = try TemporaryFolder()
    let mark = StaleMark(in: SnapshotDirectory(path: folder.file("none")))
    try mark.set("a reason")
    #expect(try mark.reason() == nil)
    try mark.remove()
  }
}
