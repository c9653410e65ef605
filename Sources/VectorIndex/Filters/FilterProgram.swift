// A filter made ready to run over the rows of one index: conditions in postfix order, over TRUE bits and FALSE bits.
//
//     AND: true = a.true & b.true, false = a.false | b.false     OR: the other way round     NOT: the two change places
//
// which is SQL's three-valued logic, NULL being what is neither.
//
// May use: Filter, FilterPredicate, FilterCompiler, FilterScratch.

import Synchronization

/// A filter for one index, compiled. Made once a query; any number of threads may run it, each with its own scratch.
public final class FilterProgram: @unchecked Sendable {
  // Proof of Sendable: nothing changes after `init`; what is resolved for one search lies in its scratch.

  enum Instruction {
    case constant(Truth)
    case predicate(Int)
    case and
    case or
    case not
    /// Jumps when all rows at the top of the stack are FALSE, or TRUE.
    case skipIfFalse(to: Int)
    case skipIfTrue(to: Int)
  }

  private static let numbers = Atomic<UInt64>(0)
  /// This program's own, of all that there ever were in this process; not 0.
  let number: UInt64
  /// The filter that it was made of, its values in the types of their columns.
  public let filter: Filter
  /// The one tenant whose rows it finds; nil where the schema has no tenant, or the filter keeps to none (``Filter/pinnedValue(of:)``).
  /// A search from rows, with such a program, is one from rows of that tenant.
  public let tenant: AttributeValue?
  let store: AttributeStore
  let instructions: [Instruction]
  let predicates: [FilterPredicate]
  let conditions: [WordCondition]
  let candidates: CandidatePlan
  let followsHeap: Bool

  /// More than the instructions' stack can have: a value for each level, and the one that is being made.
  static let stackMax = 2 * Filter.depthMax

  init(_ filter: Filter, store: AttributeStore) throws(IndexError) {
    let filter = try filter.validated(against: store.schema)
    var compiler = FilterCompiler(store: store)
    compiler.compile(filter)
    number = Self.numbers.add(1, ordering: .relaxed).newValue
    self.filter = filter
    tenant = store.schema.tenant.flatMap { filter.pinnedValue(of: store.schema.columns[$0].name) }
    self.store = store
    instructions = compiler.instructions
    predicates = compiler.predicates
    conditions = compiler.conditions
    candidates = CandidatePlan(filter, store: store, wordsOf: compiler.wordConditionOf)
    followsHeap = predicates.contains { $0.followsHeap }
  }

  deinit {
    for predicate in predicates {
      predicate.set.deallocate()
      predicate.wideSet.deallocate()
    }
  }
}

extension FilterProgram {
  /// Whether the filter is TRUE of an attribute row.
  func matches(row: UInt32, _ words: [WordBinding]) -> Bool {
    // The stack, a bit a value: the top is bit 0.
    var isTrue: UInt64 = 0
    var isFalse: UInt64 = 0
    var next = 0
    while next < instructions.count {
      switch instructions[next] {
      case .constant(let truth):
        isTrue = isTrue &<< 1 | (truth.isTrue ? 1 : 0)
        isFalse = isFalse &<< 1 | (truth.isFalse ? 1 : 0)
      case .predicate(let i):
        let truth = predicates.withUnsafeBufferPointer { predicates in
          predicates[i].truth(row, predicates[i].words < 0 ? nil : words[predicates[i].words])
        }
        isTrue = isTrue &<< 1 | (truth.isTrue ? 1 : 0)
        isFalse = isFalse &<< 1 | (truth.isFalse ? 1 : 0)
      case .and:
        isTrue = isTrue &>> 1 & (isTrue | ~1)
        isFalse = isFalse &>> 1 | (isFalse & 1)
      case .or:
        isTrue = isTrue &>> 1 | (isTrue & 1)
        isFalse = isFalse &>> 1 & (isFalse | ~1)
      case .not:
        let changed = (isTrue ^ isFalse) & 1
        isTrue ^= changed
        isFalse ^= changed
      case .skipIfFalse(let target): if isFalse & 1 == 1 { next = target - 1 }
      case .skipIfTrue(let target): if isTrue & 1 == 1 { next = target - 1 }
      }
      next += 1
    }
    return isTrue & 1 == 1
  }

  /// The rows of a block of which the filter is TRUE.
  ///
  /// - stack: room for `stackMax` values.
  func matches(_ block: RowBlock, _ words: [WordBinding], stack: UnsafeMutablePointer<TruthMasks>) -> UInt64 {
    var top = -1
    var next = 0
    while next < instructions.count {
      switch instructions[next] {
      case .constant(let truth):
        top += 1
        stack[top] = TruthMasks(isTrue: truth.isTrue ? .max : 0, isFalse: truth.isFalse ? .max : 0)
      case .predicate(let i):
        top += 1
        stack[top] = predicates.withUnsafeBufferPointer { predicates in
          predicates[i].masks(block, predicates[i].words < 0 ? nil : words[predicates[i].words])
        }
      case .and:
        top -= 1
        stack[top].isTrue &= stack[top + 1].isTrue
        stack[top].isFalse |= stack[top + 1].isFalse
      case .or:
        top -= 1
        stack[top].isTrue |= stack[top + 1].isTrue
        stack[top].isFalse &= stack[top + 1].isFalse
      case .not: stack[top] = TruthMasks(isTrue: stack[top].isFalse, isFalse: stack[top].isTrue)
      case .skipIfFalse(let target): if ~stack[top].isFalse & block.active == 0 { next = target - 1 }
      case .skipIfTrue(let target): if ~stack[top].isTrue & block.active == 0 { next = target - 1 }
      }
      next += 1
    }
    return stack[0].isTrue & block.active
  }
}
