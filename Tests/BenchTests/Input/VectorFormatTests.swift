// The formats of files with vectors: what is whole is read, what is not is refused.

import ArgumentParser
import Foundation
import Testing

@testable import Bench

struct VectorFormatTests {
  private static func bytes(_ value: some BitwiseCopyable) -> [UInt8] { withUnsafeBytes(of: value) { [UInt8]($0) } }

  private func read(_ content: [UInt8], as ending: String) throws -> VectorFile {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("\(UUID().uuidString).\(ending)").path
    try Data(content).write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try VectorFile(path: path)
  }

  private static func npy(_ type: String, _ shape: String, _ body: [UInt8]) -> [UInt8] {
    let header = "{'descr': '\(type)', 'fortran_order': False, 'shape': (\(shape)), }\n"
    return [0x93] + Array("NUMPY".utf8) + [1, 0] + bytes(UInt16(header.utf8.count)) + Array(header.utf8) + body
  }

  /// Rows [1, 2], [3, 4], [5, 6] in every format.
  static let whole: [(ending: String, content: [UInt8])] = {
    let rows: [[Int]] = [[1, 2], [3, 4], [5, 6]]
    func each(_ head: [UInt8], _ write: (Int) -> [UInt8]) -> [UInt8] { rows.flatMap { head + $0.flatMap(write) } }
    let two = bytes(Int32(2))
    let shape = bytes(UInt32(3)) + bytes(UInt32(2))
    return [
      ("fvecs", each(two) { bytes(Float($0)) }), ("bvecs", each(two) { [UInt8($0)] }),
      ("ivecs", each(two) { bytes(Int32($0)) }), ("fbin", shape + each([]) { bytes(Float($0)) }),
      ("u8bin", shape + each([]) { [UInt8($0)] }), ("npy", npy("<f4", "3, 2", each([]) { bytes(Float($0)) })),
      ("npy", npy("<f2", "3, 2", each([]) { bytes(Float16($0)) })),
      ("npy", npy("<f8", "3, 2", each([]) { bytes(Double($0)) })),
    ]
  }()

  @Test(arguments: whole.indices)
  func aWholeFileIsRead(number: Int) throws {
    let (ending, content) = Self.whole[number]
    #expect(try read(content, as: ending) == VectorFile(count: 3, dimension: 2, values: [1, 2, 3, 4, 5, 6]))
  }

  @Test(arguments: whole.indices)
  func aFileThatIsCutOrTooLongIsRefused(number: Int) throws {
    let (ending, content) = Self.whole[number]
    for length in 0..<content.count {
      // Rows one behind the other may end after any of them.
      if ["fvecs", "bvecs", "ivecs"].contains(ending), length > 0, length % (content.count / 3) == 0 { continue }
      #expect(throws: ValidationError.self, "\(ending), \(length) bytes") {
        try read(Array(content[..<length]), as: ending)
      }
    }
    #expect(throws: ValidationError.self) { try read(content + [0], as: ending) }
  }

  @Test func numbersThatPromiseTooMuchAreRefused() {
    let huge = Self.bytes(UInt32.max)
    for (ending, content) in [
      ("fbin", huge + huge), ("u8bin", huge + Self.bytes(UInt32(1))), ("fvecs", huge), ("bvecs", Self.bytes(Int32(0))),
      ("npy", Self.npy("<f4", "4611686018427387904, 4", [])),
      ("npy", Self.npy("<f4", "1, 2", [UInt8](repeating: 0, count: 4))),
      ("npy", Self.npy("<i4", "1, 1", [0, 0, 0, 0])), ("npy", Self.npy("<f4", "2,", [UInt8](repeating: 0, count: 8))),
    ] {
      #expect(throws: ValidationError.self, "\(ending)") { try read(content, as: ending) }
    }
  }

  @Test func whatIsNotReadIsToldApart() {
    let hdf5 = #expect(throws: ValidationError.self) { try read([1, 2, 3], as: "hdf5") }
    #expect(hdf5?.message.contains("convert") == true)
    let other = #expect(throws: ValidationError.self) { try read([1, 2, 3], as: "csv") }
    #expect(other?.message.contains(VectorFile.formats) == true)
    #expect(throws: ValidationError.self) { try VectorFile(path: "/nowhere/x.npy") }
  }

  @Test func rowsAreTakenByNumber() {
    let file = VectorFile(count: 3, dimension: 2, values: [1, 2, 3, 4, 5, 6])
    #expect(file.rows([2, 0]).values == [5, 6, 1, 2])
    #expect(file.every(2, from: 0).values == [1, 2, 5, 6])
    #expect(Array(file[1]) == [3, 4])
  }
}
