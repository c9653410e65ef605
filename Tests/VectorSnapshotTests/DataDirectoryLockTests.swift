// A data directory has one owner: held once, named to whoever comes second, free when its process is gone.

import Foundation
import Synchronization
import Testing
import VectorIndex

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

  /// A refused attempt closes its own descriptor, once: a second `close`, or the truncation that a release does, would
  /// hit whatever file another thread has opened under the same number in between.
  @Test func refusedAttemptsLeaveTheFilesOfOtherThreadsAlone() throws {
    let lock = try DataDirectoryLock(path: folder.file("data"))
    let content: [UInt8] = [1, 2, 3]
    try writeFile(folder.file("bystander"), content)
    let (data, bystander) = (folder.file("data"), folder.file("bystander"))
    let turn = Atomic<Int>(0)
    let damage = Mutex<[String]>([])
    WorkerThreads.run(count: 4) { _ in
      let isAttempting = turn.add(1, ordering: .relaxed).oldValue % 2 == 0
      for _ in 0..<3_000 {
        if isAttempting {
          let error = snapshotError { _ = try DataDirectoryLock(path: data) }
          if error?.code != .locked { damage.withLock { $0.append("\(String(describing: error))") } }
        } else {
          let file = open(bystander, O_RDWR | O_CLOEXEC)
          let end = lseek(file, 0, SEEK_END)
          let status = close(file)
          if end != content.count || status != 0 { damage.withLock { $0.append("length \(end), close \(status)") } }
        }
      }
    }
    #expect(damage.withLock { $0 } == [])
    #expect(try readFile(folder.file("data/LOCK")) == Array("\(getpid())\n".utf8))
    withExtendedLifetime(lock) {}
  }

  @Test func aPathThatIsNoFolderIsAnError() throws {
    try writeFile(folder.file("file"), [1])
    let error = snapshotError { _ = try DataDirectoryLock(path: folder.file("file")) }
    #expect(error?.code == .io && error?.message.contains("is a folder") == true)
  }
}
