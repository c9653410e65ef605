// What the tests read from outside: environment variables and the sample in `data/`.
//
// May use: Foundation, for files.

import Foundation

public func environment(_ name: String) -> String? { ProcessInfo.processInfo.environment[name] }

/// The root of the repository.
public let repositoryRoot = URL(fileURLWithPath: #filePath)
  .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

/// Real embeddings of real texts, from `data/`.
public struct Sample: Sendable {
  public let dimension = 384
  /// `[count][dimension]`, row-major.
  public let base: [Float]
  public let queries: [Float]
  public var baseCount: Int { base.count / dimension }
  public var queryCount: Int { queries.count / dimension }

  /// 10,000 passages and 300 questions.
  public static let debian: Sample = {
    Sample(
      base: halves("data/debian-10k.base.npy"), queries: halves("data/debian-10k.query.npy"))
  }()

  /// What to measure on: the `.npy` files that `VIZINHO_MEASURE_BASE` and `VIZINHO_MEASURE_QUERIES` name, of 384 dimensions in half
  /// precision; else the sample.
  public static func measured() -> Sample {
    guard let base = environment("VIZINHO_MEASURE_BASE"), let queries = environment("VIZINHO_MEASURE_QUERIES") else {
      return debian
    }
    return Sample(base: halves(base), queries: halves(queries))
  }

  public func baseVector(_ i: Int) -> [Float] { Array(base[(i * dimension)..<((i + 1) * dimension)]) }
  public func queryVector(_ i: Int) -> [Float] { Array(queries[(i * dimension)..<((i + 1) * dimension)]) }

  /// The values of a two-dimensional `.npy` file of half floats.
  private static func halves(_ path: String) -> [Float] {
    guard let bytes = try? Data(contentsOf: URL(fileURLWithPath: path, relativeTo: repositoryRoot)), bytes.count > 10
    else {
      fatalError("the sample \(path) is missing; it belongs to the repository")
    }
    let start = 10 + Int(bytes[8]) + Int(bytes[9]) << 8
    return bytes[start...].withUnsafeBytes { raw in
      (0..<(raw.count / 2)).map { Float(raw.loadUnaligned(fromByteOffset: $0 * 2, as: Float16.self)) }
    }
  }
}
