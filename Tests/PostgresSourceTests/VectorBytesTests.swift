// The two byte-swapping loops against the language's own conversions.

import PostgresSource
import Testing

struct VectorBytesTests {
  @Test func everyHalf() {
    var bytes: [UInt8] = []
    for pattern in UInt16.min...UInt16.max { bytes += CopyStream.bigEndian(pattern) }
    for pattern in UInt16.min...UInt16.max {
      var value: Float = 0
      let isFinite = bytes.withUnsafeBytes { buffer in
        VectorBytes.readHalves(buffer.baseAddress! + Int(pattern) * 2, count: 1, into: &value)
      }
      let expected = Float(Float16(bitPattern: pattern))
      #expect(isFinite == expected.isFinite)
      if isFinite { #expect(value.bitPattern == expected.bitPattern) }
    }
  }

  @Test func floatsAtEveryLengthAndAlignment() {
    let seed: UInt64 = 0x5EED_F10A
    print("seed \(seed)")
    var generator = SeededGenerator(seed: seed)
    for count in [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 384] {
      for shift in 0..<4 {
        let floats = (0..<count).map { _ in Float.random(in: -1...1, using: &generator) }
        let bytes = [UInt8](repeating: 0, count: shift) + floats.flatMap { CopyStream.bigEndian($0.bitPattern) }
        var result = [Float](repeating: .nan, count: count)
        let isFinite = bytes.withUnsafeBytes { buffer in
          VectorBytes.readFloats(buffer.baseAddress! + shift, count: count, into: &result)
        }
        #expect(isFinite)
        #expect(result == floats)
      }
    }
  }

  @Test func extremesOfFloat() {
    for value in [
      Float.greatestFiniteMagnitude, -.greatestFiniteMagnitude, .leastNonzeroMagnitude, 0, -0.0, .infinity, .nan,
    ] {
      var result: Float = 1
      let isFinite = CopyStream.bigEndian(value.bitPattern).withUnsafeBytes {
        VectorBytes.readFloats($0.baseAddress!, count: 1, into: &result)
      }
      #expect(isFinite == value.isFinite)
      #expect(result.bitPattern == value.bitPattern)
    }
  }
}
