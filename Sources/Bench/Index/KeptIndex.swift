// An index set aside, to begin from again and again.
//
// May use: VectorIndex's parts.

import VectorIndex

/// The parts of an index, as a snapshot would hold them, in memory.
struct KeptIndex: Sendable {
  private let configuration: HNSWConfiguration
  private let header: IndexPartsHeader
  private let parts: [IndexPart: [UInt8]]

  /// - Precondition: no rows are staged and not linked.
  init(_ index: HNSWIndex) {
    configuration = index.configuration
    (header, parts) = index.withFrozen { frozen in
      var parts: [IndexPart: [UInt8]] = [:]
      for part in IndexPart.parts(of: index.configuration) {
        var bytes = [UInt8](repeating: 0, count: frozen.byteCount(of: part))
        bytes.withUnsafeMutableBytes { frozen.read(part, 0..<$0.count, into: $0) }
        parts[part] = bytes
      }
      return (frozen.header, parts)
    }
  }

  /// The index as it was, once more.
  func restored(threads: Int) throws -> HNSWIndex {
    try HNSWIndex.restored(
      configuration: configuration, header: header, threads: threads, byteCount: { parts[$0]?.count ?? 0 },
      load: { part, buffer in buffer.copyBytes(from: parts[part] ?? []) })
  }
}
