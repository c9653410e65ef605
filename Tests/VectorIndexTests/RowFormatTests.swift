// Rows in every representation: what a vector becomes, what comes back, and the distances between, against sums in double
// precision over what the rows stand for.

import CVectorKernels
import TestSupport
import Testing

@testable import VectorIndex

/// Dimensions at, below and above every padding; the smallest and the largest.
private let dimensions = [1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 384, 1_000, 4_096]

@Suite struct RowFormatTests {
  /// Vectors as they come, and as they hardly ever come.
  private func examples(_ dimension: Int, _ random: inout SeededRandom) -> [(what: String, vector: [Float])] {
    let noise = random.vector(dimension: dimension)
    let place = Int.random(in: 0..<dimension, using: &random)
    let huge = Float.greatestFiniteMagnitude
    return [
      ("uniform", noise), ("clustered", random.clusteredVector(dimension: dimension, clusters: 5)),
      ("zero", [Float](repeating: 0, count: dimension)),
      ("equal", [Float](repeating: -0.25, count: dimension)),
      ("one component", (0..<dimension).map { $0 == place ? -3 : 0 }),
      ("one huge component", (0..<dimension).map { $0 == place ? 1e6 : noise[$0] }),
      ("around 1e-38", noise.map { $0 * 1e-38 }), ("around 1e-30", noise.map { $0 * 1e-30 }),
      ("around 1e38", noise.map { $0 * 1e38 }), ("the largest floats", noise.map { $0 < 0 ? -huge : huge }),
      ("the smallest floats", noise.map { $0 < 0 ? -0x1p-149 : 0x1p-149 }),
      ("halves at their limits", noise.map { $0 < 0 ? -65_504 : 0x1p-24 }),
    ]
  }

  @Test(arguments: testSeeds) func f32IsBitForBit(seed: UInt64) {
    print("f32 rows, seed \(seed)")
    var random = SeededRandom(seed: seed)
    for dimension in dimensions {
      for (what, vector) in examples(dimension, &random) {
        for metric in Metric.allCases {
          let row = Row(.f32, vector, metric)
          let isSame = row.decoded.map(\.bitPattern) == vector.map(\.bitPattern)
          #expect(isSame && row.paddingIsZero, "\(what), \(dimension)")
        }
      }
    }
  }

  /// What fits is rounded as the processor's own conversion rounds it; what does not is divided by a power of two first.
  @Test(arguments: testSeeds) func f16RoundsAsTheProcessorDoes(seed: UInt64) {
    print("f16 rows, seed \(seed)")
    var random = SeededRandom(seed: seed)
    for dimension in dimensions {
      for (what, vector) in examples(dimension, &random) {
        for metric in Metric.allCases where metric != .cosine || what != "zero" {
          let row = Row(.f16, vector, metric)
          let unit = metric == .cosine ? row.side.bias : row.side.scale
          #expect(unit > 0 && unit.significand == 1, "\(what): a power of two")
          let largest = vector.map(abs).max() ?? 0
          if largest == 0 || (0x1p-8..<0x1p15).contains(largest) { #expect(unit == 1, "\(what): what halfvec holds") }
          let halves = row.bytes.withUnsafeBytes { Array($0.bindMemory(to: UInt16.self)) }
          // Nothing is rounded up to what would be infinite when it is read back.
          let limit: Float16 = unit == 0x1p126 ? 0x1.FFCp1 : .greatestFiniteMagnitude
          let expected = vector.map { max(-limit, min(Float16($0 / unit), limit)).bitPattern }
          let isRounded = Array(halves.prefix(dimension)) == expected
          #expect(isRounded && row.paddingIsZero, "\(what), \(dimension)")
          let isNear = zip(vector, row.decoded).allSatisfy { there, back in
            // Half a unit in the last place: 2⁻¹¹ of the component, or what the largest one leaves to the small ones.
            back.isFinite && abs(back - there) <= max(abs(there) * 0x1p-11, unit * 0x1p-25, .leastNonzeroMagnitude)
              || abs(there) == .greatestFiniteMagnitude && abs(back) >= 0x1.FFCp127
          }
          #expect(isNear, "\(what), \(dimension)")
        }
      }
    }
  }

  /// Every half there is comes back as itself, and every float between two of them goes to the nearer, or to the even one.
  @Test func allHalvesAreKept() {
    let halves = (0..<UInt16.max).map(Float16.init(bitPattern:)).filter(\.isFinite).map(Float.init)
    for start in stride(from: 0, to: halves.count, by: 4_000) {
      // The first component keeps the unit at 1 whatever stands behind it.
      let some = [Float(1_024)] + halves[start..<min(start + 4_000, halves.count)].filter { abs($0) < 0x1p15 }
      let isSame = Row(.f16, some, .l2).decoded.map(\.bitPattern) == some.map(\.bitPattern)
      #expect(isSame)
      let between = zip(some.dropFirst(), some.dropFirst(2)).map { ($0 + $1) / 2 }
      // Below 2⁻¹⁴ halves are subnormal: there a float next to a tie may be taken for the tie.
      let beside = between.filter { abs($0) >= 0x1p-14 }.flatMap { [$0.nextUp, $0.nextDown] }
      for vector in [[1_024] + between, [1_024] + beside] {
        let isRounded = Row(.f16, vector, .l2).decoded == vector.map { Float(Float16($0)) }
        #expect(isRounded, "halves from \(start) on")
      }
    }
  }

  @Test(arguments: testSeeds) func int8StaysWithinHalfAStep(seed: UInt64) {
    print("int8 rows, seed \(seed)")
    var random = SeededRandom(seed: seed)
    for dimension in dimensions {
      for (what, vector) in examples(dimension, &random) {
        for metric in Metric.allCases where metric != .cosine || what != "zero" {
          let row = Row(.int8, vector, metric)
          let largest = vector.map(abs).max() ?? 0
          let extreme = row.bytes.map { abs(Int(Int8(bitPattern: $0))) }.max()
          #expect(extreme == (largest == 0 ? 0 : 127) && row.paddingIsZero, "\(what), \(dimension)")
          let isNear = zip(vector, row.decoded).allSatisfy { there, back in
            // The step is the largest component / 127; its own rounding adds a little, more where floats are subnormal.
            Double(abs(back - there)) <= Double(largest) / 127 * 0.5001 + 127 * 0x1p-149
          }
          #expect(isNear, "\(what), \(dimension)")
        }
      }
    }
  }

  /// The scale of a 4-bit row is the one at which it agrees with its vector: ⟨x, x⟩ = ⟨x, s·c⟩.
  @Test(arguments: testSeeds) func int4AgreesWithItsVector(seed: UInt64) {
    print("int4 rows, seed \(seed)")
    var random = SeededRandom(seed: seed)
    for dimension in dimensions {
      for (what, vector) in examples(dimension, &random) where what != "zero" {
        let length = vector.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        for metric in Metric.allCases {
          let row = Row(.int4, vector, metric)
          let agreement = zip(vector, row.codes).reduce(0) { $0 + Double($1.0) * $1.1 } * Double(row.side.scale)
          let expected = metric == .cosine ? length : length * length
          // A side that is subnormal itself has few bits; under cosine it is of ordinary size.
          if metric != .cosine, length < 1e-30 { continue }
          if metric == .cosine, length < 1e-38 || length > 1e38 { continue }
          #expect(abs(agreement - expected) <= 1e-4 * expected, "\(what), \(metric), \(dimension)")
          if metric == .l2, (1e-15...1e19).contains(length) {
            #expect(abs(Double(row.side.bias) - length * length) <= 1e-5 * length * length)
          }
          if metric != .l2 { #expect(row.side.bias == 0) }
        }
      }
    }
  }

  /// What is clipped is what lies beyond 2.7 standard deviations; within, a code is off by at most half a step.
  @Test func int4StaysWithinHalfAStep() {
    var random = SeededRandom(seed: 7)
    for dimension in [64, 100, 384, 1_000] {
      let vector = random.vector(dimension: dimension)
      let row = Row(.int4, vector, .innerProduct)
      let deviation = (vector.reduce(0) { $0 + Double($1) * Double($1) } / Double(dimension)).squareRoot()
      let step = 2.7 * deviation / 8
      for (there, code) in zip(vector, row.codes) {
        #expect(abs(code) <= 7.5 && abs(code * step - Double(there)) <= 0.501 * step)
      }
    }
  }

  @Test func zeroIsARowOfItsOwn() {
    for format in [RowFormat.f32, .f16, .int8, .int4] {
      for metric in [Metric.innerProduct, .l2] {
        let row = Row(format, [Float](repeating: 0, count: 100), metric)
        #expect(row.side.bias == 0 && (format != .int4 || row.side.scale == 0))
        if format != .int4 { #expect(row.decoded.allSatisfy { $0 == 0 }) }
      }
    }
  }

  @Test func rowsTakeTheirBytes() {
    let expected: [(RowFormat, Int, Int)] = [
      (.f32, 1, 64), (.f32, 384, 1_536), (.f32, 385, 1_600), (.f16, 1, 64), (.f16, 384, 768), (.f16, 385, 832),
      (.int8, 1, 64), (.int8, 384, 384), (.int8, 385, 448), (.int4, 1, 64), (.int4, 384, 192), (.int4, 385, 256),
    ]
    for (format, dimension, bytes) in expected {
      #expect(format.rowBytes(width: format.width(ofDimension: dimension)) == bytes)
    }
    for dimension in 1...4_096 {
      for format in [RowFormat.f32, .f16, .int8, .int4] {
        let width = format.width(ofDimension: dimension)
        #expect(width >= dimension && width % format.widthMultiple == 0 && width - dimension < format.widthMultiple)
        #expect(format.rowBytes(width: width) % 64 == 0, "rows are whole cache lines")
        #expect(width <= RowFormat.padded(dimension, to: RowFormat.widthMultipleMax))
      }
    }
  }

  /// One vector in one representation.
  private struct Row {
    let format: RowFormat
    let dimension: Int
    let width: Int
    let metric: Metric
    let side: RowSide
    let bytes: [UInt8]

    init(_ format: RowFormat, _ vector: [Float], _ metric: Metric) {
      self.format = format
      self.metric = metric
      dimension = vector.count
      width = format.width(ofDimension: dimension)
      let padded = vector + [Float](repeating: 0, count: width - dimension)
      var inverseLength: Float = 1
      if case .ordinary(let inverse) = vector.withUnsafeBufferPointer({ VectorCheck($0) }) { inverseLength = inverse }
      // What stood there before must not shine through.
      var bytes = [UInt8](repeating: 0xAB, count: format.rowBytes(width: width))
      side = bytes.withUnsafeMutableBytes {
        format.encode(
          padded, inverseLength: inverseLength, dimension: vector.count, width: padded.count, metric: metric,
          into: $0.baseAddress!)
      }
      self.bytes = bytes
    }

    var decoded: [Float] {
      var vector = [Float](repeating: .nan, count: width)
      bytes.withUnsafeBytes { format.decode($0.baseAddress!, side: side, width: width, metric: metric, into: &vector) }
      return Array(vector.prefix(dimension))
    }

    /// 4-bit codes as what they stand for, −7.5…7.5.
    var codes: [Double] {
      (0..<dimension).map { j in
        let pair = bytes[j / 128 * 64 + j % 64]
        return Double(j % 128 < 64 ? pair & 15 : pair >> 4) - 7.5
      }
    }

    var paddingIsZero: Bool { bytes[format.rowBytes(width: dimension)...].allSatisfy { $0 == 0 } }
  }
}

/// Distances as a search gets them, from scorers over a whole store.
@Suite struct ScorerTests {
  private static let rowCount = 40

  private struct Rig {
    let store: VectorStore
    let vectors: [[Float]]
    let scratch: BuildScratch

    init(_ storage: VectorStorage, _ metric: Metric, _ vectors: [[Float]]) throws {
      let configuration = HNSWConfiguration(dimension: vectors[0].count, metric: metric, storage: storage)
      store = try VectorStore(configuration: configuration, kernels: DistanceKernels.selected())
      self.vectors = vectors
      for (n, vector) in vectors.enumerated() { _ = try stage(store, n, vector) }
      scratch = BuildScratch(store: store)
    }

    init(_ storage: VectorStorage, _ metric: Metric, _ dimension: Int, _ random: inout SeededRandom, scale: Float = 1)
      throws
    {
      let vectors = (0..<ScorerTests.rowCount).map { _ in
        random.clusteredVector(dimension: dimension, clusters: 6).map { $0 * scale }
      }
      try self.init(storage, metric, vectors)
    }

    /// Makes a vector the query of the scratch.
    func aim(at query: [Float]) {
      query.withUnsafeBufferPointer { query in
        var inverseLength: Float = 1
        if case .ordinary(let inverse) = VectorCheck(query), store.metric == .cosine { inverseLength = inverse }
        scratch.search.take(query, inverseLength: inverseLength, store)
      }
    }

    /// The distances of all rows.
    func answers() -> [Float] { distances(store.answering, scratch.search.answerQuery) }
    func walks() -> [Float] { distances(store.walking, scratch.search.walkQuery) }

    /// The distances of some rows, and what stands behind them.
    func range(_ first: Int, count: Int) -> [Float] {
      var distances = [Float](repeating: .nan, count: count + 1)
      store.answering.scoreRange(scratch.search.answerQuery, first: first, count: count, into: &distances)
      return distances
    }

    func walks(below bound: Float) -> [(slot: UInt32, distance: Float)] {
      var slots = (0..<UInt32(vectors.count)).map { $0 }
      var distances = [Float](repeating: .nan, count: slots.count)
      let kept = store.walking.score(
        scratch.search.walkQuery, slots: &slots, count: slots.count, below: bound, into: &distances)
      return Array(zip(slots, distances).prefix(kept).map { (slot: $0, distance: $1) })
    }

    private func distances(_ scorer: Scorer, _ query: UnsafePointer<vz_query>) -> [Float] {
      let slots = (0..<UInt32(vectors.count)).map { $0 }
      var distances = [Float](repeating: .nan, count: slots.count)
      scorer.score(query, slots: slots, count: slots.count, into: &distances)
      return distances
    }
  }

  /// A comparison distance in double precision.
  private func distance(_ metric: Metric, _ a: [Float], _ b: [Float]) -> Double {
    let pairs = zip(a, b).map { (Double($0), Double($1)) }
    let product = pairs.reduce(0) { $0 + $1.0 * $1.1 }
    switch metric {
    case .innerProduct: return -product
    case .l2: return pairs.reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
    case .cosine: return 1 - product / (length(a) * length(b))
    }
  }

  private func length(_ a: [Float]) -> Double { a.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot() }

  /// What the sizes of the terms of a distance add up to at most: errors are shares of it.
  private func size(_ metric: Metric, _ a: [Float], _ b: [Float]) -> Double {
    switch metric {
    case .cosine: 1
    case .innerProduct: length(a) * length(b)
    case .l2: (length(a) + length(b)) * (length(a) + length(b))
    }
  }

  private static let cases = VectorStorage.allCases.flatMap { storage in Metric.allCases.map { (storage, $0) } }

  /// The fine rows give the distances to what they stand for, up to the rounding of a sum.
  @Test(arguments: cases) func answersAreDistancesToWhatRowsStandFor(storage: VectorStorage, metric: Metric) throws {
    for seed in testSeeds {
      print("answers of \(storage.name) under \(metric.name), seed \(seed)")
      var random = SeededRandom(seed: seed)
      for dimension in dimensions {
        for scale: Float in [1, 1e-12, 1e12] {
          let rig = try Rig(storage, metric, dimension, &random, scale: scale)
          let query = random.clusteredVector(dimension: dimension, clusters: 6)
          rig.aim(at: query)
          let rounding = Double(rig.store.width + 8) * 0x1p-24
          for (n, found) in rig.answers().enumerated() {
            let row = rig.store.vector(UInt32(n))
            let expected = distance(metric, query, row)
            #expect(
              abs(Double(found) - expected) <= rounding * size(metric, query, row), "row \(n), dimension \(dimension)")
          }
        }
      }
    }
  }

  /// A walk's distances are off by the steps of the codes it walks on: those of the query, and of rows that are codes.
  @Test(arguments: cases) func walksAreNearlyDistances(storage: VectorStorage, metric: Metric) throws {
    for seed in testSeeds {
      print("walks of \(storage.name) under \(metric.name), seed \(seed)")
      var random = SeededRandom(seed: seed)
      for dimension in dimensions where dimension >= 15 {
        let rig = try Rig(storage, metric, dimension, &random)
        let query = random.clusteredVector(dimension: dimension, clusters: 6)
        rig.aim(at: query)
        // Root mean squares over the rows: single rows have bad luck, all of them together do not.
        let found = rig.walks()
        let errors = found.enumerated().map { n, found in
          let row = rig.store.vector(UInt32(n))
          return (Double(found) - distance(metric, query, row)) / size(metric, query, row)
        }
        let error = (errors.reduce(0) { $0 + $1 * $1 } / Double(errors.count)).squareRoot()
        // Errors of components are independent, so that of a sum falls with the root of their number.
        let share = 1 / Double(dimension).squareRoot()
        let bound =
          switch storage {
          case .f32, .f16: 1e-5
          case .int8: 0.02 * share
          case .int4x8, .int4x16: 0.25 * share
          }
        #expect(error <= bound, "dimension \(dimension)")
      }
    }
  }

  /// Rows are as far from each other as what they stand for, the same both ways, and not at all from themselves.
  @Test(arguments: cases) func pairsAreDistancesOfRows(storage: VectorStorage, metric: Metric) throws {
    for seed in testSeeds {
      print("pairs of \(storage.name) under \(metric.name), seed \(seed)")
      var random = SeededRandom(seed: seed)
      for dimension in dimensions {
        let rig = try Rig(storage, metric, dimension, &random)
        let slots = (0..<UInt32(Self.rowCount)).map { $0 }
        let rounding = Double(rig.store.width + 8) * 0x1p-24
        for base in slots.prefix(8) {
          rig.scratch.compare(with: base, rig.store)
          var found = [Float](repeating: .nan, count: slots.count)
          rig.store.pairing.score(rig.scratch.rowQuery, slots: slots, count: slots.count, into: &found)
          let row = rig.store.vector(base)
          for slot in slots {
            let other = rig.store.vector(slot)
            let expected = distance(metric, row, other)
            #expect(
              abs(Double(found[Int(slot)]) - expected) <= rounding * size(metric, row, other),
              "\(base) and \(slot), dimension \(dimension)")
          }
        }
      }
    }
  }

  /// Naming rows, naming a range of them, and keeping those below a bound come to the same.
  @Test(arguments: VectorStorage.allCases) func rangesAndBoundsAgree(storage: VectorStorage) throws {
    var random = SeededRandom(seed: 11)
    for metric in Metric.allCases {
      let rig = try Rig(storage, metric, 100, &random)
      rig.aim(at: random.clusteredVector(dimension: 100, clusters: 6))
      let all = rig.answers()
      let range = rig.range(7, count: 20)
      for i in 0..<20 { #expect(abs(range[i] - all[7 + i]) <= 1e-4 * max(1, abs(all[7 + i]))) }
      #expect(range[20].isNaN, "nothing is written past the count")

      let walked = rig.walks()
      for bound in [walked.sorted()[15], -.infinity, .infinity] {
        let expected = walked.indices.filter { walked[$0] < bound }
        let kept = rig.walks(below: bound)
        #expect(kept.map(\.slot) == expected.map(UInt32.init) && kept.map(\.distance) == expected.map { walked[$0] })
      }
    }
  }

  /// Vectors so large or small that their lengths leave the range of floats are rows like others.
  @Test(arguments: VectorStorage.allCases) func extremesAreTold(storage: VectorStorage) throws {
    var random = SeededRandom(seed: 12)
    for dimension in [2, 100, 384] {
      for scale: Float in [1e-38, 1e-30, 1e15, 1e30, 3e38] {
        let rig = try Rig(
          storage, .cosine, (0..<20).map { _ in random.vector(dimension: dimension).map { $0 * scale } })
        let query = random.vector(dimension: dimension)
        rig.aim(at: query)
        let (answers, walks) = (rig.answers(), rig.walks())
        for n in 0..<20 where (1.2e-38...8e37).contains(length(rig.vectors[n])) {
          let expected = distance(.cosine, query, rig.vectors[n])
          let error = storage.fineFormat == .int8 ? 0.02 : 0.002
          #expect(abs(Double(answers[n]) - expected) < error, "\(scale), \(dimension)")
          let walkError = storage.codeFormat == nil ? error : 0.6 / Double(dimension).squareRoot()
          #expect(abs(Double(walks[n]) - expected) < walkError, "\(scale), \(dimension)")
        }
      }
    }
  }
}

/// Writes a row as an insertion does.
private func stage(_ store: VectorStore, _ n: Int, _ vector: [Float]) throws -> UInt32 {
  try vector.withUnsafeBufferPointer { buffer throws(IndexError) in
    var inverseLength: Float = 1
    if case .ordinary(let inverse) = VectorCheck(buffer), store.metric == .cosine { inverseLength = inverse }
    return try store.stage(.int64(Int64(n)), buffer, inverseLength: inverseLength, previous: nil)
  }
}

/// Rows that came from outside, and rows that go.
@Suite struct RowPlaneTests {
  private func plane(_ storage: VectorStorage, _ metric: Metric, _ dimension: Int = 40) throws -> VectorStore {
    var random = SeededRandom(seed: 3)
    let configuration = HNSWConfiguration(dimension: dimension, metric: metric, storage: storage)
    let store = try VectorStore(configuration: configuration, kernels: DistanceKernels.selected())
    for n in 0..<3 { _ = try stage(store, n, random.vector(dimension: dimension)) }
    return store
  }

  private func accepts(_ store: VectorStore, _ slot: UInt32 = 1) -> Bool {
    let vector = VectorStore.zeros(store.width)
    defer { vector.deallocate() }
    return store.restoreRow(slot, vector)
  }

  @Test(arguments: VectorStorage.allCases) func ownRowsAreSound(storage: VectorStorage) throws {
    var random = SeededRandom(seed: 9)
    for metric in Metric.allCases {
      for scale: Float in [0x1p-149, 0x1p-140, 1e-38, 1e-20, 1, 1e20, 1e38, .greatestFiniteMagnitude] {
        for dimension in [1, 16, 100, 4_096] {
          let store = try VectorStore(
            configuration: HNSWConfiguration(dimension: dimension, metric: metric, storage: storage),
            kernels: DistanceKernels.selected())
          let noise = random.vector(dimension: dimension).map { $0 < 0 ? -scale : scale * abs($0) }
          let largest = (0..<dimension).map { $0 == 0 ? scale : noise[$0] }
          _ = try stage(store, 0, largest)
          let before = (store.vector(0), store.fine[side: 0])
          #expect(accepts(store, 0), "\(metric.name), around \(scale), dimension \(dimension)")
          #expect(store.vector(0) == before.0 && store.fine[side: 0] == before.1)
          #expect(store.vector(0).allSatisfy { $0.isFinite })
        }
      }
    }
  }

  @Test func rowsThatNobodyWroteAreRefused() throws {
    for metric in Metric.allCases {
      for storage in VectorStorage.allCases {
        let sound = try plane(storage, metric)
        #expect(accepts(sound))
        // Padding counts for nothing.
        let fine = sound.fine
        let used = fine.format.rowBytes(width: 40)
        if used < fine.rowBytes { fine.row(1).storeBytes(of: 0x7F, toByteOffset: fine.rowBytes - 1, as: UInt8.self) }
        #expect(accepts(sound))
        #expect(fine.row(1).load(fromByteOffset: fine.rowBytes - 1, as: UInt8.self) == 0 || used == fine.rowBytes)
      }
      let codes = try plane(.int8, metric)
      codes.fine.row(1).storeBytes(of: Int8.min, toByteOffset: 13, as: Int8.self)
      resealed(codes)
      #expect(!accepts(codes), "−128 has no opposite, and the kernels count on there being one")

      for bits: UInt16 in [0x7C00, 0xFC00, 0x7E01, 0xFFFF] {
        let halves = try plane(.f16, metric)
        halves.fine.row(1).storeBytes(of: bits, toByteOffset: 26, as: UInt16.self)
        resealed(halves)
        #expect(!accepts(halves), "an infinity or NaN")
      }
      for bits in [Float.infinity, -.infinity, .nan].map(\.bitPattern) {
        let floats = try plane(.f32, metric)
        floats.fine.row(1).storeBytes(of: bits, toByteOffset: 52, as: UInt32.self)
        #expect(!accepts(floats))
      }
    }
  }

  /// Makes the side of row 1 what its numbers say, so that only the numbers are at fault.
  private func resealed(_ store: VectorStore) {
    let unit = store.metric == .cosine ? store.fine[side: 1].bias : store.fine[side: 1].scale
    store.fine[side: 1] = store.fine.format.fineSide(
      store.fine.row(1), width: store.fine.width, unit: unit, metric: store.metric)
  }

  @Test(arguments: VectorStorage.allCases.filter { $0 != .f32 }) func wrongSidesAreRefused(storage: VectorStorage)
    throws
  {
    for metric in Metric.allCases {
      let untouched = try plane(storage, metric)
      let right = untouched.fine[side: 1]
      #expect(accepts(untouched))
      let unit = metric == .cosine ? right.bias : right.scale
      var wrong: [RowSide] = [RowSide(scale: 0, bias: 0), RowSide(scale: .nan, bias: .nan)]
      for changed in [-unit, 0, .nan, .infinity] {
        wrong.append(
          metric == .cosine ? RowSide(scale: right.scale, bias: changed) : RowSide(scale: changed, bias: right.bias))
      }
      wrong.append(
        metric == .cosine
          ? RowSide(scale: right.scale.nextUp, bias: right.bias) : RowSide(scale: right.scale, bias: right.bias.nextUp))
      for side in wrong {
        let store = try plane(storage, metric)
        store.fine[side: 1] = side
        #expect(!accepts(store), "\(metric.name): \(side)")
      }
      // A row that decodes to something infinite.
      let store = try plane(storage, metric)
      let huge = Float.greatestFiniteMagnitude
      if storage.fineFormat == .f16 { store.fine.row(1).storeBytes(of: Float16(3).bitPattern, as: UInt16.self) }
      store.fine[side: 1] =
        metric == .cosine ? RowSide(scale: right.scale, bias: huge) : RowSide(scale: huge, bias: right.bias)
      resealed(store)
      #expect(!accepts(store))
    }
  }

  @Test func zeroRowsAreRefusedUnderCosine() throws {
    for storage in VectorStorage.allCases {
      for metric in Metric.allCases {
        let store = try VectorStore(
          configuration: HNSWConfiguration(dimension: 4, metric: metric, storage: storage),
          kernels: DistanceKernels.selected())
        _ = try stage(store, 0, [0, 0, 0, 0])
        #expect(accepts(store, 0) == (metric != .cosine))
      }
    }
  }

  @Test(arguments: VectorStorage.allCases) func givenUpRowsAreWiped(storage: VectorStorage) throws {
    let store = try plane(storage, .l2)
    store.free([1])
    let row = UnsafeRawBufferPointer(start: store.fine.row(1), count: store.fine.rowBytes)
    #expect(row.allSatisfy { $0 == 0 } && store.fine[side: 1] == RowSide(scale: 0, bias: 0))
    // Its neighbours are left alone.
    for slot: UInt32 in [0, 2] { #expect(store.vector(slot).contains { $0 != 0 }) }
    // Neither the row nor its codes shine through what is written there next.
    let next = [Float](repeating: 0.5, count: 40)
    let slot = try stage(store, 9, next)
    #expect(slot == 1 && zip(store.vector(1), next).allSatisfy { abs($0 - $1) < 0.01 })
  }
}
