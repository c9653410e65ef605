// Requests that wait at a collection: until its position reaches one, or until Postgres has said which that is.
//
// A value without a lock; Collection has the lock. Who takes a waiter off these lists owns it from then on, and nobody else
// does anything about it: that is how a request that is reached, late and cancelled in one moment gets one answer.
//
// May use: VectorWire's Position.

import VectorWire

/// Something that waits at a collection.
protocol PositionWaiter: AnyObject, Sendable {
  /// It has been taken off the list and must look again. Called without a lock.
  func resume()
  /// The same, with what Postgres said.
  func resume(with answer: Result<Position, WireError>)
}

struct PositionWaiters {
  private struct Entry {
    var lsn: UInt64
    var waiter: any PositionWaiter
  }

  /// Ascending by LSN; of one LSN, those that came first come first.
  private var waiting: [Entry] = []
  /// Those that came before the question under way was put: its answer is theirs.
  private var asking: [any PositionWaiter] = []
  /// Those that came after. Commits may have come between the question and them, so the answer is not for them; the
  /// next one is, for all of them.
  private var askingNext: [any PositionWaiter] = []
  /// Counts questions, so that the answer to one that was given up is known.
  private var questions: UInt64 = 0
  private var isQuestionOpen = false

  var count: Int { waiting.count + asking.count + askingNext.count }

  // MARK: For a position

  /// Complexity: O(log n) where its LSN is the greatest, as that of the last write is.
  mutating func add(_ waiter: any PositionWaiter, for lsn: UInt64) {
    waiting.insert(Entry(lsn: lsn, waiter: waiter), at: firstIndex(over: lsn))
  }

  /// Takes those whose LSN is reached.
  mutating func take(upTo lsn: UInt64) -> [any PositionWaiter] {
    guard let first = waiting.first, first.lsn <= lsn else { return [] }
    let end = firstIndex(over: lsn)
    defer { waiting.removeFirst(end) }
    return waiting[..<end].map(\.waiter)
  }

  /// Takes all that wait for a position.
  mutating func takeWaiting() -> [any PositionWaiter] {
    defer { waiting = [] }
    return waiting.map(\.waiter)
  }

  private func firstIndex(over lsn: UInt64) -> Int {
    var low = 0
    var high = waiting.count
    while low < high {
      let middle = (low + high) / 2
      if waiting[middle].lsn <= lsn { low = middle + 1 } else { high = middle }
    }
    return low
  }

  // MARK: For an answer

  /// - Returns: the number of the question that is to be put now; nil where one is under way.
  mutating func addAsking(_ waiter: any PositionWaiter) -> UInt64? {
    guard !isQuestionOpen else {
      askingNext.append(waiter)
      return nil
    }
    asking.append(waiter)
    return openQuestion()
  }

  /// The answer to a question has come.
  /// - Returns: those that it is for, and the number of the next question where some wait for one; nil for an answer that
  ///   is no longer waited for.
  mutating func takeAnswered(_ question: UInt64) -> (waiters: [any PositionWaiter], next: UInt64?)? {
    guard isQuestionOpen, question == questions else { return nil }
    isQuestionOpen = false
    let answered = asking
    asking = askingNext
    askingNext = []
    return (answered, asking.isEmpty ? nil : openQuestion())
  }

  /// Gives the question under way up, so that all who wait for an answer share a new one.
  /// - Returns: its number; nil where nobody waits.
  mutating func askAgain() -> UInt64? {
    isQuestionOpen = false
    asking += askingNext
    askingNext = []
    return asking.isEmpty ? nil : openQuestion()
  }

  /// Takes all that wait for an answer, and gives the question up.
  mutating func takeAsking() -> [any PositionWaiter] {
    defer {
      asking = []
      askingNext = []
      isQuestionOpen = false
    }
    return asking + askingNext
  }

  private mutating func openQuestion() -> UInt64 {
    questions += 1
    isQuestionOpen = true
    return questions
  }

  // MARK: Leaving

  /// Takes one waiter off, wherever it is.
  /// - Returns: whether it was there.
  mutating func remove(_ waiter: any PositionWaiter) -> Bool {
    if let index = waiting.firstIndex(where: { $0.waiter === waiter }) {
      waiting.remove(at: index)
      return true
    }
    if let index = asking.firstIndex(where: { $0 === waiter }) {
      asking.remove(at: index)
      return true
    }
    guard let index = askingNext.firstIndex(where: { $0 === waiter }) else { return false }
    askingNext.remove(at: index)
    return true
  }
}
