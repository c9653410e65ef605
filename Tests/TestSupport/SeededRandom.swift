// Random numbers that a seed repeats.
//
// May use: nothing but the standard library.

/// SplitMix64 (Steele, Lea & Flood 2014).
public struct SeededRandom: RandomNumberGenerator, Sendable {
  private var state: UInt64

  public init(seed: UInt64) { state = seed }

  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  /// A vector around one of a few centres, as embeddings of texts lie: uniform noise alone has no neighbourhoods.
  public mutating func clusteredVector(dimension: Int, clusters: Int, spread: Float = 0.4) -> [Float] {
    var centre = SeededRandom(seed: UInt64.random(in: 0..<UInt64(clusters), using: &self) &+ 77)
    return (0..<dimension).map { _ in
      Float.random(in: -1...1, using: &centre) + spread * Float.random(in: -1...1, using: &self)
    }
  }

  public mutating func vector(dimension: Int) -> [Float] {
    (0..<dimension).map { _ in Float.random(in: -1...1, using: &self) }
  }
}

/// The seeds of a seeded test: fixed ones, so that a failure repeats, or the one in `VIZINHO_TEST_SEED`.
public let testSeeds: [UInt64] = {
  if let text = environment("VIZINHO_TEST_SEED"), let seed = UInt64(text) { return [seed] }
  return [1, 2, 3]
}()
