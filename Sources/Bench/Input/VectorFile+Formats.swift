// The file formats that the field uses for vectors: NumPy's, those of the TEXMEX sets, those of the big-ann sets.
//
// Every length is held against the file before it is believed.
//
// May use: Foundation, for bytes. Unsafe, because this is where bytes become numbers: each read is within a length that was held against the file.

import ArgumentParser
import Foundation

/// A number as a file has it.
protocol FileScalar: BitwiseCopyable {
  var asFloat: Float { get }
  /// In words, for errors.
  static var words: String { get }
}

extension Float: FileScalar {
  var asFloat: Float { self }
  static var words: String { "f32" }
}

extension Float16: FileScalar {
  var asFloat: Float { Float(self) }
  static var words: String { "f16" }
}

extension Double: FileScalar {
  var asFloat: Float { Float(self) }
  static var words: String { "f64" }
}

extension UInt8: FileScalar {
  var asFloat: Float { Float(self) }
  static var words: String { "bytes" }
}

extension Int32: FileScalar {
  var asFloat: Float { Float(self) }
  static var words: String { "i32" }
}

extension VectorFile {
  /// `.npy`: a header in Python's syntax, then the array.
  init(npy bytes: Data, path: String) throws {
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
    let (total, overflows) = shape[0].multipliedReportingOverflow(by: shape[1])
    guard !overflows, total <= bytes.count else { throw damaged }
    let bodyBytes = bytes.count - start
    let values: [Float]? = bytes.withUnsafeBytes { raw in
      func read<Scalar: FileScalar>(_ name: String, as type: Scalar.Type) -> [Float]? {
        guard header.contains(name), bodyBytes == total * MemoryLayout<Scalar>.size else { return nil }
        return Self.floats(total, of: type, from: raw, at: start)
      }
      return read("'<f4'", as: Float.self) ?? read("'<f2'", as: Float16.self) ?? read("'<f8'", as: Double.self)
    }
    guard let values else { throw damaged }
    self.init(count: shape[0], dimension: shape[1], values: values)
  }

  /// `.fvecs`, `.bvecs`, `.ivecs`: rows, each with its dimension in front.
  init<Scalar: FileScalar>(rows bytes: Data, of type: Scalar.Type, path: String) throws {
    let damaged = ValidationError(
      "\(path) is not what its name says: rows of i32 dimension and that many \(type.words)")
    guard bytes.count >= 4 else { throw damaged }
    let first = bytes.withUnsafeBytes { Int($0.loadUnaligned(as: Int32.self)) }
    guard first > 0, first < Self.dimensionMax else { throw damaged }
    let rowBytes = 4 + first * MemoryLayout<Scalar>.size
    guard bytes.count % rowBytes == 0 else { throw damaged }
    let rows = bytes.count / rowBytes
    var values: [Float] = []
    values.reserveCapacity(rows * first)
    try bytes.withUnsafeBytes { raw in
      for row in 0..<rows {
        let start = row * rowBytes
        guard Int(raw.loadUnaligned(fromByteOffset: start, as: Int32.self)) == first else { throw damaged }
        values += Self.floats(first, of: type, from: raw, at: start + 4)
      }
    }
    self.init(count: rows, dimension: first, values: values)
  }

  /// `.fbin`, `.u8bin`: rows and dimension once, then the matrix.
  init<Scalar: FileScalar>(matrix bytes: Data, of type: Scalar.Type, path: String) throws {
    let damaged = ValidationError(
      "\(path) is not what its name says: u32 rows, u32 dimension, then so many \(type.words)")
    guard bytes.count >= 8 else { throw damaged }
    let (rows, dimension) = bytes.withUnsafeBytes {
      (Int($0.loadUnaligned(as: UInt32.self)), Int($0.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
    }
    guard dimension > 0, dimension < Self.dimensionMax,
      bytes.count == 8 + rows * dimension * MemoryLayout<Scalar>.size
    else { throw damaged }
    let values = bytes.withUnsafeBytes { Self.floats(rows * dimension, of: type, from: $0, at: 8) }
    self.init(count: rows, dimension: dimension, values: values)
  }

  /// No set has more; a number beyond it is no dimension.
  private static let dimensionMax = 1 << 20

  /// - Precondition: so many scalars begin at `start`.
  private static func floats<Scalar: FileScalar>(
    _ count: Int, of type: Scalar.Type, from raw: UnsafeRawBufferPointer, at start: Int
  ) -> [Float] {
    [Float](unsafeUninitializedCapacity: count) { target, initialized in
      for i in 0..<count {
        let scalar = raw.loadUnaligned(fromByteOffset: start + i * MemoryLayout<Scalar>.size, as: Scalar.self)
        target.initializeElement(at: i, to: scalar.asFloat)
      }
      initialized = count
    }
  }
}
