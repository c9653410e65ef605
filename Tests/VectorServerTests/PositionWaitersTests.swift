// The lists of those who wait at a collection, against a model of them.

import TestSupport
import Testing
import VectorWire

@testable import VectorServer

@Suite struct PositionWaitersTests {
  final class Waiter: PositionWaiter {
    let number: Int
    init(_ number: Int) { self.number = number }
    func resume() {}
    func resume(with answer: Result<Position, WireError>) {}
  }

  private func numbers(_ waiters: [any PositionWaiter]) -> [Int] { waiters.map { ($0 as? Waiter)?.number ?? -1 } }

  /// Adding, taking and leaving by chance: whoever is reached is taken once, lowest first, and of one position in the order in
  /// which they came.
  @Test func thoseWhoAreReachedAreTaken() {
    for seed in UInt64(1)...200 {
      var random = SeededRandom(seed: seed)
      var waiters = PositionWaiters()
      var model: [(lsn: UInt64, waiter: Waiter)] = []
      for step in 0..<100 {
        switch Int.random(in: 0..<6, using: &random) {
        case 0...2:
          let waiter = Waiter(step)
          let lsn = UInt64.random(in: 0...20, using: &random)
          waiters.add(waiter, for: lsn)
          model.append((lsn, waiter))
        case 3:
          let lsn = UInt64.random(in: 0...20, using: &random)
          // Stable, so that those of one position keep their order.
          let reached = model.enumerated().filter { $0.element.lsn <= lsn }
            .sorted { ($0.element.lsn, $0.offset) < ($1.element.lsn, $1.offset) }.map(\.element.waiter.number)
          let taken = numbers(waiters.take(upTo: lsn))
          #expect(taken == reached, "seed \(seed)")
          model.removeAll { $0.lsn <= lsn }
        case 4:
          guard let index = model.indices.randomElement(using: &random) else { continue }
          let leaving = model.remove(at: index).waiter
          let isGone = [waiters.remove(leaving), waiters.remove(leaving)]
          #expect(isGone == [true, false], "seed \(seed)")
        default:
          let wasThere = waiters.remove(Waiter(-1))
          #expect(!wasThere, "seed \(seed)")
        }
        #expect(waiters.count == model.count, "seed \(seed)")
      }
      let left = Set(numbers(waiters.takeWaiting()))
      #expect(left == Set(model.map(\.waiter.number)), "seed \(seed)")
      #expect(waiters.count == 0)
    }
  }

  /// Adds waiters of these numbers.
  /// - Returns: the question that each is to put.
  private func ask(_ numbers: ClosedRange<Int>, _ waiters: inout PositionWaiters) -> [UInt64?] {
    numbers.map { waiters.addAsking(Waiter($0)) }
  }

  /// Whom an answer is for, and the next question.
  private struct Answered: Equatable {
    var numbers: [Int]
    var next: UInt64?
  }

  /// An answer comes.
  /// - Returns: nil where nobody waits for it.
  private func answer(_ question: UInt64, _ waiters: inout PositionWaiters) -> Answered? {
    waiters.takeAnswered(question).map { Answered(numbers: numbers($0.waiters), next: $0.next) }
  }

  @Test func whoComesWhileAQuestionIsUnderWaySharesTheNext() {
    var waiters = PositionWaiters()
    let questions = ask(1...3, &waiters)
    #expect(questions == [1, nil, nil] && waiters.count == 3)
    let wrong = answer(2, &waiters)
    #expect(wrong == nil)
    let first = answer(1, &waiters)
    #expect(first == Answered(numbers: [1], next: 2))
    let twice = answer(1, &waiters)
    #expect(twice == nil, "an answer that came twice")
    let others = ask(4...4, &waiters)
    #expect(others == [nil])
    let second = answer(2, &waiters)
    #expect(second == Answered(numbers: [2, 3], next: 3))
    let third = answer(3, &waiters)
    #expect(third == Answered(numbers: [4], next: nil) && waiters.count == 0)
    let again = ask(5...5, &waiters)
    #expect(again == [4])
  }

  @Test func aQuestionThatIsPutAgainIsForAll() {
    var waiters = PositionWaiters()
    let ofNobody = waiters.askAgain()
    #expect(ofNobody == nil)
    _ = ask(1...3, &waiters)
    let question = waiters.askAgain()
    #expect(question == 2)
    let givenUp = answer(1, &waiters)
    #expect(givenUp == nil, "the answer to a question that was given up")
    let answered = answer(2, &waiters)
    #expect(answered == Answered(numbers: [1, 2, 3], next: nil))
    _ = ask(4...6, &waiters)
    let taken = numbers(waiters.takeAsking())
    let late = answer(3, &waiters)
    #expect(taken == [4, 5, 6] && waiters.count == 0 && late == nil)
  }

  @Test func whoLeavesGetsNoAnswer() {
    var waiters = PositionWaiters()
    let all = (1...4).map(Waiter.init)
    for waiter in all { _ = waiters.addAsking(waiter) }
    let left = [all[0], all[2], all[2]].map { waiters.remove($0) }
    #expect(left == [true, true, false])
    let first = answer(1, &waiters)
    #expect(first == Answered(numbers: [], next: 2))
    let second = answer(2, &waiters)
    #expect(second == Answered(numbers: [2, 4], next: nil))
  }
}
