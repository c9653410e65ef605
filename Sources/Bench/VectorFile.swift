// Reading vectors from the file formats that the field uses.
//
// May use: Foundation, for files.

import ArgumentParser
import Foundation

/// A matrix of vectors as 32-bit floats.
struct VectorFile {
  var count: Int
  var dimension: Int
  /// `[count][dimension]`, row-major.
  var values: [Float]

  /// Every `step`-th vector.
  func every(_ step: Int, from first: Int) -> VectorFile {
    var part = self
    let chosen = stride(from: first, to: count, by: step)
    part.values = chosen.flatMap { values[($0 * dimension)..<(($0 + 1) * dimension)] }
    part.count = part.values.count / dimension
    return part
  }

  /// Reads `.npy` (f2, f4 or f8, C order), `.fvecs` or `.fbin`.
  init(path: String) throws {
    guard let bytes = try? Data(contentsOf: URL(fileURLWithPath: path), options: .alwaysMapped) else {
      throw ValidationError("cannot read \(path)")
    }
    switch URL(fileURLWithPath: path).pathExtension {
    case "npy": try self.init(npy: bytes, path: path)
    case "fvecs": try self.init(fvecs: bytes, path: path)
    case "fbin": try self.init(fbin: bytes, path: path)
    default: throw ValidationError("\(path) is of no known format; use .npy, .fvecs or .fbin")
    }
  }

  private init(npy bytes: Data, path: String) throws {
    let damaged = ValidationError("\(path) is no .npy file of a two-dimensional f2, f4 or f8 array in C order")
    guard bytes.count > 12, bytes.prefix(6) == Data([0x93] + Array("NUMPY".utf8)) else { throw damaged }
    let isLong = bytes[6] >= 2
    let lengthBytes = isLong ? 4 : 2
    var headerLength = 0
    for i in 0..<lengthBytes { headerLength |= Int(bytes[8 + i]) << (8 * i) }
    let start = 8 + lengthBytes + headerLength
    guard start <= bytes.count, let header = String(data: bytes[(8 + lengthBytes)..<start], encoding: .ascii),
      header.contains("'fortran_order': False"),
      let open = header.range(of: "'shape': ("),
      let close = header.range(of: ")", range: open.upperBound..<header.endIndex)
    else { throw damaged }
    let shape = header[open.upperBound..<close.lowerBound].split(separator: ",")
      .compactMap { Int($0.trimmingCharacters(in: .whitespaces)) }
    guard shape.count == 2, shape[0] >= 0, shape[1] > 0, shape[0] <= bytes.count, shape[1] <= bytes.count else {
      throw damaged
    }
    count = shape[0]
    dimension = shape[1]
    let total = count * dimension
    let body = bytes[start...]
    if header.contains("<f4"), body.count == total * 4 {
      values = body.withUnsafeBytes { raw in
        (0..<total).map { raw.loadUnaligned(fromByteOffset: $0 * 4, as: Float.self) }
      }
    } else if header.contains("<f2"), body.count == total * 2 {
      values = body.withUnsafeBytes { raw in
        (0..<total).map { Float(raw.loadUnaligned(fromByteOffset: $0 * 2, as: Float16.self)) }
      }
    } else if header.contains("<f8"), body.count == total * 8 {
      values = body.withUnsafeBytes { raw in
        (0..<total).map { Float(raw.loadUnaligned(fromByteOffset: $0 * 8, as: Double.self)) }
      }
    } else {
      throw damaged
    }
  }

  private init(fvecs bytes: Data, path: String) throws {
    let damaged = ValidationError("\(path) is no .fvecs file: rows of i32 dimension and that many f32")
    guard bytes.count >= 4 else { throw damaged }
    let first = bytes.withUnsafeBytes { Int($0.loadUnaligned(as: Int32.self)) }
    guard first > 0, first < 1 << 20, bytes.count % (4 + 4 * first) == 0 else { throw damaged }
    dimension = first
    count = bytes.count / (4 + 4 * first)
    values = []
    values.reserveCapacity(count * dimension)
    for i in 0..<count {
      try bytes.withUnsafeBytes { raw in
        let row = i * (4 + 4 * first)
        guard Int(raw.loadUnaligned(fromByteOffset: row, as: Int32.self)) == first else { throw damaged }
        for j in 0..<first { values.append(raw.loadUnaligned(fromByteOffset: row + 4 + 4 * j, as: Float.self)) }
      }
    }
  }

  private init(fbin bytes: Data, path: String) throws {
    let damaged = ValidationError("\(path) is no .fbin file: u32 rows, u32 dimension, f32 values")
    guard bytes.count >= 8 else { throw damaged }
    let shape = bytes.withUnsafeBytes {
      (Int($0.loadUnaligned(as: UInt32.self)), Int($0.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
    }
    guard shape.1 > 0, shape.1 < 1 << 20, bytes.count == 8 + shape.0 * shape.1 * 4 else { throw damaged }
    count = shape.0
    dimension = shape.1
    values = bytes.withUnsafeBytes { raw in
      (0..<(shape.0 * shape.1)).map { raw.loadUnaligned(fromByteOffset: 8 + $0 * 4, as: Float.self) }
    }
  }
}
