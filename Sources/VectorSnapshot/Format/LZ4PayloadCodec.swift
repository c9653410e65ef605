// LZ4 for payload blocks, which the index itself knows nothing of.
//
// May use: CLZ4. Raw pointers: the bytes are on their way to and from C.

internal import CLZ4
import VectorIndex

package struct LZ4PayloadCodec: PayloadCodec {
  package init() {}

  package func compress(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Int {
    guard let length = Int32(exactly: source.count), let capacity = Int32(exactly: target.count) else { return 0 }
    return Int(
      LZ4_compress_default(
        source.bindMemory(to: CChar.self).baseAddress, target.bindMemory(to: CChar.self).baseAddress, length, capacity))
  }

  package func decompress(_ source: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Bool {
    guard let length = Int32(exactly: source.count), let capacity = Int32(exactly: target.count) else { return false }
    return LZ4_decompress_safe(
      source.bindMemory(to: CChar.self).baseAddress, target.bindMemory(to: CChar.self).baseAddress, length, capacity)
      == capacity
  }
}
