import Foundation
import Testing

@testable import VectorSnapshot

@Suite struct DataDirectoryLockTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  @Test func isHeldOnceAndReleased() throws {
    let path = folder.file("new/data")
    do {
      let lock = try DataDirectoryLock(path: path)
      let error = snapshotError { _ = try DataDirectoryLock(path: path) }
      #expect(error?.code == .locked)
      #expect(error?.message.contains("in use by process \(getpid()).") == true)
      #expect(error?.path == "\(path)/LOCK")
      withExtendedLifetime(lock) {}
    }
    _ = try DataDirectoryLock(path: path)
  }

  @Test func aFileWithoutALockMeansNothing() throws {
    try writeFile(folder.file("LOCK"), Array("1\nleft by a process that is gone, and longer than an id\n".utf8))
    let lock = try DataDirectoryLock(path: folder.path)
    #expect(try readFile(folder.file("LOCK")) == Array("\(getpid())\n".utf8))
    withExtendedLifetime(lock) {}
  }

  /// `flock` of another process, which is then killed.
  @Test func anotherProcessIsNamedAndItsDeathReleases() throws {
    let command = "exec 9<>'\(folder.file("LOCK"))'; flock -n 9 && echo $$ >&9 && echo $$ && exec sleep 60"
    let output = try #require(popen(command, "r"))
    defer { pclose(output) }
    var digits: [UInt8] = []
    while let byte = UInt8(exactly: fgetc(output)), byte != UInt8(ascii: "\n") { digits.append(byte) }
    let holder = try #require(pid_t(String(decoding: digits, as: UTF8.self)))
    defer { kill(holder, SIGKILL) }

    let error = snapshotError { _ = try DataDirectoryLock(path: folder.path) }
    #expect(error?.code == .locked)
    #expect(error?.message.contains("in use by process \(holder).") == true)

    kill(holder, SIGKILL)
    // It is a child of this process, which waits here for its end without reaping it before `pclose`.
    var status = siginfo_t()
    waitid(P_PID, id_t(holder), &status, WEXITED | WNOWAIT)
    _ = try DataDirectoryLock(path: folder.path)
  }

  @Test func aHolderThatHasNotWrittenItsIdYet() throws {
    let lock = try DataDirectoryLock(path: folder.path)
    #expect(truncate(folder.file("LOCK"), 0) == 0)
    let error = snapshotError { _ = try DataDirectoryLock(path: folder.path) }
    #expect(error?.code == .locked && error?.message.contains("another process") == true)
    withExtendedLifetime(lock) {}
  }

  @Test func aPathThatIsNoFolderIsAnError() throws {
    try writeFile(folder.file("file"), [1])
    let error = snapshotError { _ = try DataDirectoryLock(path: folder.file("file")) }
    #expect(error?.code == .io && error?.message.contains("is a folder") == true)
  }
}
