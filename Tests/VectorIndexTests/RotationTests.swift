// The rotation of vectors before they are rounded to 8 bits: by itself against double precision, and what comes of it in an index.

import TestSupport
import Testing

@testable import VectorIndex

private func length(_ vector: [Float]) -> Double {
  vector.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
}

private func product(_ a: [Float], _ b: [Float]) -> Double { zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) } }

@Suite struct RotationTests {
  private static let dimensions = Array(1...130) + [384, 1_000, 1_023, 1_536, 2_047, 4_095, 4_096]

  /// A vector turned, or turned back; its padding checked.
  private func turned(
    _ vector: [Float], by rotation: Rotation, back: Bool = false
  ) -> (vector: [Float], power: Float) {
    let width = RowFormat.padded(vector.count, to: RowFormat.widthMultipleMax)
    var padded = vector + [Float](repeating: 0, count: width - vector.count)
    var power: Float = 1
    if back { rotation.unrotate(&padded, width: width) } else { power = rotation.rotate(&padded, width: width) }
    #expect(padded[vector.count...].allSatisfy { $0 == 0 }, "the padding of \(vector.count) dimensions")
    return (Array(padded.prefix(vector.count)), power)
  }

  /// Lengths and angles stay, and the way back leads back.
  @Test(arguments: testSeeds) func isOrthonormal(seed: UInt64) {
    print("rotations, seed \(seed)")
    var random = SeededRandom(seed: seed)
    for dimension in Self.dimensions {
      let rotation = Rotation(dimension: dimension)
      let vectors = (0..<3).map { _ in random.vector(dimension: dimension) }
      let images = vectors.map { turned($0, by: rotation) }
      for (vector, image) in zip(vectors, images) {
        #expect(image.power == 1)
        let back = turned(image.vector, by: rotation, back: true).vector
        #expect(length(zip(vector, back).map { $0 - $1 }) <= 2e-6 * length(vector), "\(dimension) dimensions and back")
        for (other, otherImage) in zip(vectors, images) {
          let error = product(vector, other) - product(image.vector, otherImage.vector)
          #expect(abs(error) <= 2e-6 * length(vector) * length(other), "a product in \(dimension) dimensions")
        }
      }
    }
  }

  /// All products of all unit vectors: what no sample of vectors can show.
  @Test func axesStayOrthogonal() {
    for dimension in Self.dimensions.filter({ $0 <= 130 }) {
      let rotation = Rotation(dimension: dimension)
      let images = (0..<dimension).map { place in
        turned((0..<dimension).map { $0 == place ? 1 : 0 }, by: rotation).vector
      }
      var worst = 0.0
      for i in 0..<dimension {
        for j in 0...i { worst = max(worst, abs(product(images[i], images[j]) - (i == j ? 1 : 0))) }
      }
      #expect(worst <= 2e-6, "\(dimension) dimensions")
    }
  }

  /// The rotation is part of what saved rows mean: another one needs another version. Its first four components and its last two (or
  /// all) of 1, 2, 3 …, by the text of docs/SNAPSHOT.md in double precision.
  @Test func isWhatTheDocumentSays() {
    #expect(Rotation.version == 1)
    for (dimension, expected) in Self.known {
      let vector = (0..<dimension).map { Float($0 + 1) }
      let image = turned(vector, by: Rotation(dimension: dimension)).vector
      let found = dimension > 6 ? image.prefix(4) + image.suffix(2) : image[...]
      let isSame = zip(found, expected).allSatisfy { abs(Double($0 - $1)) <= 1e-6 * length(vector) + 1e-4 }
      #expect(isSame && found.count == expected.count, "\(dimension) dimensions: \(found)")
    }
  }

  private static let known: [(dimension: Int, image: [Float])] = [
    (1, [-1.0000]),
    (3, [-0.0607, -0.9393, -3.6213]),
    (5, [2.7500, -1.2500, -4.2500, -5.2500, -0.5000]),
    (8, [9.5000, 5.5000, 2.5000, -3.5000, 3.5000, -4.5000]),
    (12, [0.9749, 4.6464, 5.8033, -11.3536, -8.3640, -5.7782]),
    (19, [-3.9062, -0.5938, 20.6562, -19.7812, 2.3750, -11.1250]),
    (40, [18.2489, -6.6956, -40.3096, -10.1163, -21.8492, -12.9792]),
    (100, [-6.8125, -41.5000, -17.5625, -13.0938, -42.0625, -126.0625]),
    (384, [-70.6562, 117.1797, -67.1406, -73.5703, -177.4688, 95.5312]),
    (512, [321.0625, -446.1562, -642.8438, 24.8125, 79.5938, 579.5625]),
  ]

  /// Wherever a large component stands, and however large it is, none stands out when it is turned.
  @Test func spreadsWhatStandsOut() {
    var random = SeededRandom(seed: 5)
    var worst = 0.0
    for dimension in [64, 96, 100, 127, 384, 768, 1_000, 1_536, 2_047, 4_096] {
      let rotation = Rotation(dimension: dimension)
      for place in stride(from: 0, to: dimension, by: max(1, dimension / 150)) {
        for size: Float in [10, 30, 1e6] {
          var vector = random.vector(dimension: dimension)
          vector[place] = size
          let image = turned(vector, by: rotation).vector
          let typical = length(image) / Double(dimension).squareRoot()
          let ratio = Double(image.map(abs).max() ?? 0) / typical
          worst = max(worst, ratio)
          #expect(ratio < 6, "component \(place) of \(dimension) is \(size)")
        }
      }
    }
    print("the largest component is \(worst) times the typical one")
  }

  /// Vectors at the limits of floats keep their direction, and what does not fit is told apart as a power of two.
  @Test func extremesAreTurned() {
    var random = SeededRandom(seed: 6)
    for dimension in [1, 2, 7, 100, 384, 1_000, 4_096] {
      let rotation = Rotation(dimension: dimension)
      let noise = random.vector(dimension: dimension)
      let plain = turned(noise.map { $0 * 0.5 }, by: rotation).vector
      for exponent in [-120, -100, 100, 120, 127] {
        let scale = Float(sign: .plus, exponent: exponent, significand: 1)
        let (image, power) = turned(noise.map { $0 * scale }, by: rotation)
        #expect(image.allSatisfy { $0.isFinite } && power.significand == 1)
        let errors = zip(image, plain).map {
          Double($0) * Double(power) / Double(scale) - 2 * Double($1)
        }
        let error = errors.reduce(0) { $0 + $1 * $1 }.squareRoot()
        #expect(error <= 2e-6 * length(noise), "2^\(exponent) in \(dimension) dimensions")
      }
      for vector in [
        noise.map { $0 < 0 ? -Float.greatestFiniteMagnitude : .greatestFiniteMagnitude },
        noise.map { $0 < 0 ? -0x1p-149 : 0x1p-149 },
        (0..<dimension).map { $0 == dimension / 2 ? Float.leastNonzeroMagnitude : 0 },
      ] {
        let (image, power) = turned(vector, by: rotation)
        #expect(abs(length(image) * Double(power) / length(vector) - 1) <= 2e-6)
        // The way back of one that is too long for floats ends at the longest that is not.
        let back = turned(vector, by: rotation, back: true).vector
        #expect(back.allSatisfy { $0.isFinite })
      }
      #expect(turned([Float](repeating: 0, count: dimension), by: rotation).vector.allSatisfy { $0 == 0 })
    }
  }
}

/// Rows under storages that rotate, against the vectors as they came.
@Suite struct RotatedRowsTests {
  private static let storages = VectorStorage.allCases.filter(\.canRotate)

  /// Embeddings of which a few components are large, always the same.
  private func vector(_ dimension: Int, _ random: inout SeededRandom) -> [Float] {
    var vector = random.clusteredVector(dimension: dimension, clusters: 6)
    for place in stride(from: 3, to: dimension, by: 331) { vector[place] = 9 + random.vector(dimension: 1)[0] }
    return vector
  }

  private func index(
    _ storage: VectorStorage, _ metric: Metric, rotates: Bool = true, _ vectors: [[Float]]
  ) throws -> HNSWIndex {
    var configuration = HNSWConfiguration(dimension: vectors[0].count, metric: metric, storage: storage)
    configuration.rotates = rotates
    let index = try HNSWIndex(configuration: configuration)
    for (n, vector) in vectors.enumerated() { try index.insert(.int64(Int64(n)), vector) }
    return index
  }

  /// How far a row lies from its vector, as a share of the vector's length.
  private func error(_ index: HNSWIndex, _ n: Int, _ vector: [Float]) throws -> Double {
    let kept = try #require(index.vector(of: .int64(Int64(n))))
    return length(zip(kept, vector).map { $0 - $1 }) / length(vector)
  }

  @Test(arguments: storages, Metric.allCases)
  func rowsStayWithinHalfAStep(storage: VectorStorage, metric: Metric) throws {
    var random = SeededRandom(seed: 3)
    for dimension in [1, 2, 3, 5, 8, 63, 64, 65, 384, 1_000, 1_536, 4_096] {
      var vectors = (0..<8).map { _ in vector(dimension, &random) }
      vectors.append((0..<dimension).map { $0 == dimension / 3 ? -3 : 0 })
      vectors.append([Float](repeating: 0.25, count: dimension))
      for scale: Float in [1e-15, 1e15] { vectors.append(random.vector(dimension: dimension).map { $0 * scale }) }
      let index = try index(storage, metric, vectors)
      let root = Double(dimension).squareRoot()
      for (n, vector) in vectors.enumerated() {
        let error = try error(index, n, vector)
        // Every turned component is off by at most half a step, and none is larger than the vector is long.
        #expect(error <= root / 253.9, "row \(n), \(dimension) dimensions")
        if dimension >= 63 { #expect(error < 0.015, "row \(n), \(dimension) dimensions") }
      }
    }
  }

  /// What turning is for: a few large components cost the others nothing.
  @Test func largeComponentsCostTheOthersNothing() throws {
    var random = SeededRandom(seed: 4)
    let vectors = (0..<20).map { _ in vector(1_536, &random) }
    let (rotated, plain) = (try index(.int8, .l2, vectors), try index(.int8, .l2, rotates: false, vectors))
    var (with, without) = (0.0, 0.0)
    for (n, vector) in vectors.enumerated() {
      with += try error(rotated, n, vector) / 20
      without += try error(plain, n, vector) / 20
    }
    print("rows are off by \(with) of their length, by \(without) without a rotation")
    #expect(with < 0.5 * without)
  }

  /// Distances, by vector and by id, are those to the vectors that were given, up to how far rounding moved the rows.
  @Test(arguments: storages, Metric.allCases)
  func distancesAreThoseOfTheVectors(storage: VectorStorage, metric: Metric) throws {
    var random = SeededRandom(seed: 5)
    for dimension in [1, 2, 13, 100, 384, 1_536] {
      let vectors = (0..<60).map { _ in vector(dimension, &random) }
      let index = try index(storage, metric, vectors)
      let query = vector(dimension, &random)
      let options = SearchOptions(k: 60, exact: true)
      try expect(try index.search(query, options), query, moved: 0, vectors, index)
      let batch = try ExactIndex(over: index).search(query, k: 60)
      #expect(batch.count == 1 && batch[0].count == 60)
      try expect(batch[0], query, moved: 0, vectors, index)
      var scratch = SearchScratch(for: index)
      let near = try #require(try index.search(near: .int64(7), options, scratch: &scratch) { $0.copied() })
      #expect(near.count == 59)
      try expect(near, vectors[7], moved: try error(index, 7, vectors[7]), vectors, index)
    }
  }

  /// - moved: how far the query itself was moved, as a share of its length.
  private func expect(
    _ hits: [SearchHit], _ query: [Float], moved: Double, _ vectors: [[Float]], _ index: HNSWIndex
  ) throws {
    for hit in hits {
      guard case .int64(let id) = hit.id else { continue }
      let row = vectors[Int(id)]
      let error = try error(index, Int(id), row) + moved + 1e-5
      let (a, b) = (length(query), length(row))
      let cosine = product(query, row) / (a * b)
      let difference = length(zip(query, row).map { $0 - $1 })
      let (expected, bound) =
        switch index.configuration.metric {
        // Both vectors may be turned by their errors, the angle between them by as much.
        case .cosine: (1 - cosine, 2 * error)
        case .innerProduct: (-a * b * cosine, a * b * error)
        // The square cancels: its rounding, too, counts where the distance is small.
        case .l2: (difference, max(a, b) * error + 1e-3 * (a + b))
        }
      #expect(abs(Double(hit.distance) - expected) <= bound, "row \(id), \(row.count) dimensions")
    }
  }

  /// Queries at the limits of floats find what those of ordinary size find.
  @Test(arguments: storages) func extremeQueriesAreAnswered(storage: VectorStorage) throws {
    var random = SeededRandom(seed: 8)
    for dimension in [2, 100, 384, 1_000] {
      let vectors = (0..<40).map { _ in vector(dimension, &random) }
      let index = try index(storage, .cosine, vectors)
      let query = random.vector(dimension: dimension)
      let expected = try index.search(query, SearchOptions(k: 10))
      // The inverse of the length of a longer one is no float any more.
      for scale: Float in [1e-35, 1e-20, 1e20, 1e30, 0x1p120] {
        let found = try index.search(query.map { $0 * scale }, SearchOptions(k: 10))
        let isSame = found.count == 10 && zip(found, expected).allSatisfy { abs($0.distance - $1.distance) < 1e-4 }
        #expect(isSame, "\(scale), \(dimension) dimensions")
      }
    }
  }

  /// Rows at the limits of floats are rows like others, and stay finite when they are fetched.
  @Test(arguments: storages, Metric.allCases)
  func extremeRowsAreKept(storage: VectorStorage, metric: Metric) throws {
    var random = SeededRandom(seed: 9)
    for dimension in [1, 2, 100, 384, 4_096] {
      let noise = random.vector(dimension: dimension)
      let vectors: [[Float]] = [
        noise.map { $0 < 0 ? -0x1p-149 : 0x1p-149 },
        (0..<dimension).map { $0 == dimension / 2 ? Float.leastNonzeroMagnitude : 0 },
        noise.map { $0 < 0 ? -Float.greatestFiniteMagnitude : .greatestFiniteMagnitude },
        (0..<dimension).map { $0 == dimension / 2 ? Float.greatestFiniteMagnitude : 0 },
      ]
      let store = try VectorStore(
        configuration: HNSWConfiguration(dimension: dimension, metric: metric, storage: storage),
        kernels: DistanceKernels.selected())
      for (n, vector) in vectors.enumerated() {
        let slot = try vector.withUnsafeBufferPointer { vector throws(IndexError) in
          try store.stage(.int64(Int64(n)), vector, inverseLength: 1, previous: nil)
        }
        let kept = store.vector(slot)
        #expect(kept.allSatisfy { $0.isFinite }, "row \(n), \(dimension) dimensions")
        let cosine = product(kept, vector) / (length(kept) * length(vector))
        // Subnormal numbers have few bits to tell a direction with.
        #expect(cosine > (n < 2 ? 0.99 : 0.999), "row \(n), \(dimension) dimensions")
        let scratch = VectorStore.zeros(store.width)
        defer { scratch.deallocate() }
        #expect(store.restoreRow(slot, scratch) && store.vector(slot) == kept, "it comes back from a snapshot")
      }
    }
  }
}
