// Whether a rebuild is refused before it reads, and what it says.

import Testing
import VectorIndex

@testable import VectorServer

@Suite struct RebuildEstimateTests {
  private func estimate(
    rows: Int, _ certainty: RebuildEstimate.Certainty = .counted, storage: VectorStorage = .f16, mebibytes: Int,
    inUse: Int = 0
  ) -> RebuildEstimate {
    RebuildEstimate(
      rows: rows, certainty: certainty,
      configuration: HNSWConfiguration(dimension: 384, metric: .cosine, storage: storage),
      bytesAvailable: mebibytes << 20, bytesInUse: inUse << 20)
  }

  private func refusal(_ estimate: RebuildEstimate) -> ServerError? {
    do throws(ServerError) {
      try estimate.check()
      return nil
    } catch {
      return error
    }
  }

  @Test func whatFitsIsSaidInFigures() {
    let fits = estimate(rows: 1_234_567, mebibytes: 4_000)
    #expect(fits.fits && refusal(fits) == nil)
    let needed = HNSWIndex.bytesNeeded(
      rows: 1_234_567, configuration: HNSWConfiguration(dimension: 384, metric: .cosine, storage: .f16))
    #expect(fits.bytesNeeded == needed)
    #expect(
      fits.text
        == "about \(((needed + 1_048_575) >> 20).grouped) MiB for 1,234,567 rows of 384 dimensions as f16, of 4,000 "
        + "MiB that this process may have for indexes")
  }

  @Test func whatIsClearlyBeyondIsRefused() {
    let beyond = estimate(rows: 10_000_000, mebibytes: 4_000)
    let error = refusal(beyond)
    #expect(error?.code == .notEnoughMemory)
    for words in ["10,000,000 rows", "4,000 MiB", "384", "f16", "--storage int8", "--where", "ANALYZE"] {
      #expect(error?.message.contains(words) == true, "\(words)")
    }
    // The smallest storage has no smaller one.
    let small = refusal(estimate(rows: 10_000_000, storage: .int8, mebibytes: 1_000))
    #expect(small?.message.contains("--storage") == false)
  }

  /// A guess may be wrong by any factor, and a count by a little: then it is only said.
  @Test func whatMayBeWrongIsOnlySaid() {
    for doubtful in [
      estimate(rows: 10_000_000, .guessed, mebibytes: 4_000),
      estimate(rows: .max, .guessed, mebibytes: 1),
      estimate(rows: 4_700_000, mebibytes: 4_000),
    ] {
      #expect(!doubtful.fits && refusal(doubtful) == nil)
      #expect(doubtful.text.contains("does not fit, if the estimate is right") && doubtful.text.contains("--where"))
    }
    for nothing in [estimate(rows: 0, mebibytes: 1_000), estimate(rows: -1, .guessed, mebibytes: 1_000)] {
      #expect(nothing.fits && refusal(nothing) == nil)
    }
    #expect(estimate(rows: 5, .guessed, mebibytes: 1).text.contains("an estimated 5 rows"))
    #expect(refusal(estimate(rows: .max, mebibytes: 4_000))?.code == .notEnoughMemory)
  }

  /// What is served stays until the new index is: what is left is what counts.
  @Test func whatIsInUseIsNotThereToBeHad() {
    let alone = estimate(rows: 1_000_000, mebibytes: 1_500)
    #expect(alone.fits && !alone.text.contains("in use"))
    let beside = estimate(rows: 1_000_000, mebibytes: 1_500, inUse: 1_000)
    #expect(!beside.fits && refusal(beside)?.code == .notEnoughMemory)
    for words in ["1,500 MiB", "of which 1,000 are in use", "ANALYZE"] {
      #expect(refusal(beside)?.message.contains(words) == true, "\(words)")
    }
    #expect(refusal(estimate(rows: 1_000, mebibytes: 1_500, inUse: 2_000))?.code == .notEnoughMemory)
    #expect(refusal(estimate(rows: 1_000_000, .guessed, mebibytes: 1_500, inUse: 1_000)) == nil)
  }

  /// Rows that are served are counted, so less is left to doubt; and of fewer of them nobody can speak.
  @Test func rowsThatAreKnownAreRefusedSooner() {
    let needed = HNSWIndex.bytesNeeded(
      rows: 1_000_000, configuration: HNSWConfiguration(dimension: 384, metric: .cosine, storage: .f16))
    let mebibytes = Int(Double(needed) / 1.15) >> 20
    #expect(refusal(estimate(rows: 1_000_000, .counted, mebibytes: mebibytes)) == nil)
    let known = refusal(estimate(rows: 1_000_000, .known, mebibytes: mebibytes))
    #expect(known?.code == .notEnoughMemory)
    for words in ["ANALYZE", "--where", "estimated"] { #expect(known?.message.contains(words) == false, "\(words)") }
    #expect(
      known?.message.contains("Choose a smaller storage (--storage int8), or a machine with more memory.") == true)
    let smallest = refusal(estimate(rows: 1_000_000, .known, storage: .int8, mebibytes: 1))
    #expect(smallest?.message.hasSuffix(" Choose a machine with more memory.") == true)
    #expect(refusal(estimate(rows: 1_000_000, .known, mebibytes: needed >> 20)) == nil)
    let beside = RebuildEstimate(
      rows: 1_000_000, certainty: .known,
      configuration: HNSWConfiguration(dimension: 384, metric: .cosine, storage: .f16), bytesBesidePerRow: 32,
      bytesAvailable: 1 << 40)
    #expect(beside.bytesNeeded == needed + 32_000_000)
  }
}
