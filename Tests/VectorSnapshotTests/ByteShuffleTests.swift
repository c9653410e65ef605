// Bytes shuffled by their place in an element, and back: as the formula says, for every size and length.

import Testing

@testable import VectorSnapshot

@Suite struct ByteShuffleTests {
  @Test(arguments: [2, 4, 8])
  func followsTheFormula(elementSize: Int) {
    var generator = SeededGenerator(seed: UInt64(elementSize))
    for count in Array(0...40) + [63, 64, 65, 1_000, 4_096, 4_099] {
      let bytes = generator.bytes(count)
      var shuffled = [UInt8](repeating: 0, count: count)
      shuffled.withUnsafeMutableBytes { target in
        bytes.withUnsafeBytes { ByteShuffle.shuffle($0, into: target, elementSize: elementSize) }
      }
      #expect(shuffled == Self.byFormula(bytes, elementSize: elementSize), "\(count) bytes")

      var back = [UInt8](repeating: 0, count: count)
      back.withUnsafeMutableBytes { target in
        shuffled.withUnsafeBytes { ByteShuffle.unshuffle($0, into: target, elementSize: elementSize) }
      }
      #expect(back == bytes, "\(count) bytes")
    }
  }

  private static func byFormula(_ bytes: [UInt8], elementSize: Int) -> [UInt8] {
    let elements = bytes.count / elementSize
    var result = bytes
    for i in 0..<elements {
      for j in 0..<elementSize { result[j * elements + i] = bytes[i * elementSize + j] }
    }
    return result
  }
}
