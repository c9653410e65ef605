// Vectors from a file: a matrix of 32-bit floats, whatever it was.
//
// May use: VectorFile+Formats; Foundation, for files.

import ArgumentParser
import Foundation

/// A matrix of vectors as 32-bit floats.
struct VectorFile: Sendable, Equatable {
  var count: Int
  var dimension: Int
  /// `[count][dimension]`, row-major.
  var values: [Float]

  /// - Precondition: there are `count × dimension` values.
  init(count: Int, dimension: Int, values: [Float]) {
    precondition(values.count == count * dimension, "a matrix has rows times columns")
    self.count = count
    self.dimension = dimension
    self.values = values
  }

  /// The vectors of those numbers, in that order.
  func rows(_ numbers: some Collection<Int>) -> VectorFile {
    var chosen: [Float] = []
    chosen.reserveCapacity(numbers.count * dimension)
    for number in numbers { chosen += self[number] }
    return VectorFile(count: numbers.count, dimension: dimension, values: chosen)
  }

  /// One vector.
  subscript(row: Int) -> ArraySlice<Float> { values[(row * dimension)..<((row + 1) * dimension)] }

  /// Every `step`-th vector.
  func every(_ step: Int, from first: Int) -> VectorFile { rows(Array(stride(from: first, to: count, by: step))) }

  /// The formats that ``init(path:)`` reads, as a help text names them.
  static let formats = ".npy, .fvecs, .bvecs, .ivecs, .fbin or .u8bin"

  /// Reads `.npy` (f2, f4 or f8, C order), `.fvecs`, `.bvecs` or `.ivecs` (the TEXMEX sets), `.fbin` or `.u8bin` (the big-ann sets); numbers of other
  /// types become 32-bit floats.
  init(path: String) throws {
    guard let bytes = try? Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped) else {
      throw ValidationError("cannot read \(path)")
    }
    switch URL(fileURLWithPath: path).pathExtension {
    case "npy": try self.init(npy: bytes, path: path)
    case "fvecs": try self.init(rows: bytes, of: Float.self, path: path)
    case "bvecs": try self.init(rows: bytes, of: UInt8.self, path: path)
    case "ivecs": try self.init(rows: bytes, of: Int32.self, path: path)
    case "fbin": try self.init(matrix: bytes, of: Float.self, path: path)
    case "u8bin": try self.init(matrix: bytes, of: UInt8.self, path: path)
    case "hdf5", "h5": throw ValidationError("\(path) is HDF5: make .npy of it with Benchmarks/data-sets/run convert")
    default: throw ValidationError("\(path) is of no known format; use \(Self.formats)")
    }
  }
}
