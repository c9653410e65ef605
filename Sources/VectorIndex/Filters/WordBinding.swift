// Conditions on text, turned into conditions on codes: the dictionary is looked at once, not each row's text.
//
// May use: KeywordDictionary.

/// What a condition asks of a word.
struct WordCondition: Sendable {
  enum Test: Sendable {
    /// To be one of the literals.
    case literals
    /// To lie in a range of the bytes' order; nil = open.
    case range(low: [UInt8]?, lowIncluded: Bool, high: [UInt8]?, highIncluded: Bool)
    case prefix([UInt8])
  }
  let dictionary: KeywordDictionary
  let literals: [[UInt8]]
  let test: Test

  func matches(_ word: UnsafeBufferPointer<UInt8>) -> Bool {
    switch test {
    case .literals: return literals.contains { $0.count == word.count && $0.elementsEqual(word) }
    case .prefix(let prefix): return word.starts(with: prefix)
    case .range(let low, let lowIncluded, let high, let highIncluded):
      if let low {
        let isBelow = word.lexicographicallyPrecedes(low)
        if isBelow || (!lowIncluded && word.elementsEqual(low)) { return false }
      }
      if let high {
        let isAbove = high.withUnsafeBufferPointer { comesBefore($0, word) }
        if isAbove || (!highIncluded && word.elementsEqual(high)) { return false }
      }
      return true
    }
  }
}

/// A condition's words as codes, as far as the dictionary went when they were looked up.
final class WordBinding {
  /// Whose condition it is: alive whenever the binding is used, as the caller holds it, and not kept alive by it (FilterScratch).
  private unowned(unsafe) let program: FilterProgram
  private let index: Int
  let literalCount: Int
  private var condition: WordCondition { program.conditions[index] }
  /// `[literals]`: their codes, or `noCode` for a word that no row had.
  let codes: UnsafeMutablePointer<UInt32>
  /// A bit for each code below `known`: whether the condition is true of it.
  private var bits: UnsafeMutablePointer<UInt64>
  private var bitWords: Int
  private(set) var known = 0

  /// - index: which of the program's conditions.
  init(_ program: FilterProgram, _ index: Int) {
    self.program = program
    self.index = index
    let condition = program.conditions[index]
    literalCount = condition.literals.count
    codes = .allocate(capacity: max(1, literalCount))
    codes.initialize(repeating: KeywordDictionary.noCode, count: max(1, literalCount))
    bitWords = 1
    bits = .allocate(capacity: 1)
    bits[0] = 0
  }

  deinit {
    codes.deallocate()
    bits.deallocate()
  }

  /// Looks up what the dictionary has learnt since. Allocates only when it has grown.
  func refresh() {
    let condition = condition
    let count = condition.dictionary.count
    guard count > known else { return }
    let wordsNeeded = (count + 63) / 64
    if wordsNeeded > bitWords {
      let larger = max(wordsNeeded, 2 * bitWords)
      let new = UnsafeMutablePointer<UInt64>.allocate(capacity: larger)
      new.update(from: bits, count: bitWords)
      (new + bitWords).initialize(repeating: 0, count: larger - bitWords)
      bits.deallocate()
      bits = new
      bitWords = larger
    }
    if case .literals = condition.test {
      for (i, literal) in condition.literals.enumerated() where codes[i] == KeywordDictionary.noCode {
        let code = literal.withUnsafeBufferPointer { condition.dictionary.code(of: $0) }
        // One that came after the count was read is left to the next time.
        guard code < count else { continue }
        codes[i] = code
        bits[Int(code) / 64] |= 1 &<< UInt64(code % 64)
      }
    } else {
      for code in known..<count where condition.matches(condition.dictionary.word(UInt32(code))) {
        bits[code / 64] |= 1 &<< UInt64(code % 64)
      }
    }
    known = count
  }

  /// Whether the condition is true of the word of a code.
  @inline(__always)
  func matches(_ code: UInt32) -> Bool {
    if Int(code) < known { return bits[Int(code) / 64] &>> UInt64(code % 64) & 1 == 1 }
    return matchesLate(code)
  }

  /// Of which of 64 codes' words the condition is true; of NULL it is not.
  @inline(never)
  func mask(_ codes: UnsafePointer<UInt32>) -> UInt64 {
    // Copies, which the loop can keep in registers.
    let bits = UnsafePointer(bits)
    let known = UInt32(known)
    var mask: UInt64 = 0
    for i in 0..<64 {
      let code = codes[i]
      if code < known {
        mask |= (bits[Int(code / 64)] &>> UInt64(code % 64) & 1) &<< UInt64(truncatingIfNeeded: i)
      } else if code != KeywordDictionary.noCode, matchesLate(code) {
        mask |= 1 &<< UInt64(truncatingIfNeeded: i)
      }
    }
    return mask
  }

  /// A word that a row got by an update since this search began.
  private func matchesLate(_ code: UInt32) -> Bool {
    let condition = condition
    return code < condition.dictionary.count && condition.matches(condition.dictionary.word(code))
  }

  /// Whether every literal is among an array's elements.
  /// - Complexity: at most ``Filter/containsValuesMax`` times the elements.
  func all(_ array: ArrayRun) -> Bool {
    // Literals differ, so there must be as many elements.
    if array.count < literalCount { return false }
    for i in 0..<literalCount {
      var isThere = false
      for j in 0..<array.count where !isThere {
        let code = array.code(j)
        if code == KeywordDictionary.noCode { continue }
        isThere = code == codes[i] || (Int(code) >= known && matchesLate(code, literal: i))
      }
      if !isThere { return false }
    }
    return true
  }

  private func matchesLate(_ code: UInt32, literal i: Int) -> Bool {
    let condition = condition
    return code < condition.dictionary.count
      && condition.dictionary.word(code).elementsEqual(condition.literals[i])
  }
}
