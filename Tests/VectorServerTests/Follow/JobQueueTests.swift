// The list of work: one after the other, and what is not due yet holds up nobody.

import Synchronization
import Testing

@testable import VectorServer

@Suite(.timeLimit(.minutes(1))) struct JobQueueTests {
  private final class Notes: Sendable {
    private let notes = Mutex<[String]>([])
    func add(_ note: String) { notes.withLock { $0.append(note) } }
    var all: [String] { notes.withLock { $0 } }
  }

  @Test func whatIsDueLaterLetsOthersGoFirst() {
    let (queue, notes) = (JobQueue(), Notes())
    queue.add(after: 0.3) {
      notes.add("later")
      queue.end()
    }
    queue.add { notes.add("first") }
    queue.add { notes.add("second") }
    queue.run()
    #expect(notes.all == ["first", "second", "later"])
  }

  /// As one that fails again and again does.
  @Test func oneThatIsAddedAgainHoldsUpNobody() {
    let (queue, notes) = (JobQueue(), Notes())
    @Sendable func fails() {
      notes.add("fails")
      queue.add(after: 0.02, fails)
    }
    queue.add(fails)
    queue.add { notes.add("other") }
    queue.add(after: 0.2) { queue.end() }
    queue.run()
    #expect(notes.all.prefix(2) == ["fails", "other"])
    #expect(notes.all.count > 2, "it has its turn again")
  }

  @Test func whatWaitsAtTheEndIsDropped() {
    let (queue, notes) = (JobQueue(), Notes())
    queue.add {
      queue.end()
      queue.add { notes.add("after the end") }
    }
    queue.add { notes.add("waits") }
    queue.add(after: 60) { notes.add("waits longer") }
    queue.run()
    #expect(notes.all == [])
  }
}
