// Which process answers, by what Linux lists of connections; and processor time.

import Foundation
import Testing

@testable import Bench

struct ServerProcessTests {
  private let table = """
      sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
       0: 0100007F:1E35 00000000:0000 0A 00000000:00000000 00:00000000 00000000   100        0 11 1 0000 100 0 0 10 0
       1: 0100007F:9C40 0100007F:1E35 01 00000000:00000000 00:00000000 00000000   100        0 12 1 0000 20 4 30 10 -1
       2: 0100007F:1E35 0100007F:9C40 01 00000000:00000000 00:00000000 00000000   101        0 13 1 0000 20 4 30 10 -1
       3: 0100007F:1E35 0100007F:9C41 06 00000000:00000000 03:00001770 00000000     0        0 0 3 0000
       4: 0100007F:1E35 0100007F:9C42 01 00000000:00000000 03:00001770 00000000     0        0 0 3 0000
       5: garbage
    """

  @Test func theServersEndOfAConnectionIsFoundByItsPorts() {
    #expect(ServerProcess.inode(inTable: table, localPort: 7_733, remotePort: 40_000) == 13)
    #expect(ServerProcess.inode(inTable: table, localPort: 40_000, remotePort: 7_733) == 12)
  }

  @Test func whatIsNotEstablishedOrNotAcceptedIsNobodys() {
    #expect(ServerProcess.inode(inTable: table, localPort: 7_733, remotePort: 40_001) == nil)
    #expect(ServerProcess.inode(inTable: table, localPort: 7_733, remotePort: 40_002) == nil)
    #expect(ServerProcess.inode(inTable: table, localPort: 7_733, remotePort: 0) == nil)
    #expect(ServerProcess.inode(inTable: "", localPort: 1, remotePort: 2) == nil)
  }

  @Test func aProcessIsNamedByItsID() throws {
    let ours = try ServerProcess(id: getpid())
    #expect(!ours.name.isEmpty)
    let error = #expect(throws: BenchError.self) { try ServerProcess(id: .max) }
    #expect(error?.message.contains("--server-pid") == true)
  }

  @Test func processorTimeGrowsWithWork() throws {
    // The process's first: what runs between the two counts for it, not for the thread.
    let process = try #require(ProcessorTime.ofProcess(getpid()))
    let thread = ProcessorTime.ofThisThread()
    var sum = 0.0
    // Until this thread's clock moves: a clock that stands still would hang here.
    while ProcessorTime.ofThisThread() - thread < 2_000_000 { sum += sum.squareRoot() + 1 }
    #expect(sum > 0)
    #expect(try #require(ProcessorTime.ofProcess(getpid())) - process >= 2_000_000)
    // Beyond the largest number that Linux gives a process.
    #expect(ProcessorTime.ofProcess(5_000_000) == nil)
  }
}
