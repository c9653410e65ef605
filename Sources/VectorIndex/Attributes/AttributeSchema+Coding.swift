// The schema's byte form, for snapshots.
//
//     u8 version = 1   u8 zero   u16 columns
//     a column:  u8 type   u8 flags (bit 0 = ordered by its bytes, bit 1 = indexed, bit 2 = tenant)   u16 bytes of the name
//                the name, UTF-8
//
// May use: AttributeSchema.

extension AttributeSchema {
  private static let codingVersion: UInt8 = 1

  package func encoded() -> [UInt8] {
    var bytes: [UInt8] = [Self.codingVersion, 0, UInt8(columns.count), 0]
    for column in columns {
      let flags: UInt8 = (column.ordersBytewise ? 1 : 0) | (column.isIndexed ? 2 : 0) | (column.isTenant ? 4 : 0)
      // A name has at most 63 bytes.
      bytes += [column.type.rawValue, flags, UInt8(column.name.utf8.count), 0]
      bytes += column.name.utf8
    }
    return bytes
  }

  /// - Throws: `inconsistentParts`: anything that ``encoded()`` does not give for some schema.
  package init(decoding bytes: [UInt8]) throws(IndexError) {
    func fault(_ what: String) -> IndexError { IndexError(.inconsistentParts, "the list of attributes \(what)") }
    guard bytes.count >= 4 else { throw fault("has \(bytes.count) bytes") }
    guard bytes[0] == Self.codingVersion else {
      throw fault("is of version \(bytes[0]), and this program knows \(Self.codingVersion); use a newer one")
    }
    guard bytes[1] == 0, bytes[3] == 0 else { throw fault("has a reserved byte that is not zero") }
    var columns: [AttributeColumn] = []
    var offset = 4
    for number in 1..<(Int(bytes[2]) + 1) {
      guard offset + 4 <= bytes.count, offset + 4 + Int(bytes[offset + 2]) <= bytes.count else {
        throw fault("ends within its attribute \(number)")
      }
      let nameEnd = offset + 4 + Int(bytes[offset + 2])
      guard let type = AttributeType(rawValue: bytes[offset]), bytes[offset + 1] <= 7, bytes[offset + 3] == 0,
        let name = String(validating: bytes[(offset + 4)..<nameEnd], as: UTF8.self)
      else { throw fault("has an attribute \(number) of a kind that this program does not know; use a newer one") }
      columns.append(
        AttributeColumn(
          name, type, ordersBytewise: bytes[offset + 1] & 1 == 1, isIndexed: bytes[offset + 1] & 2 == 2,
          isTenant: bytes[offset + 1] & 4 == 4))
      offset = nameEnd
    }
    guard offset == bytes.count else { throw fault("has bytes after its last attribute") }
    do throws(IndexError) {
      try self.init(columns)
    } catch {
      throw fault("is none that an index can have: \(error.message)")
    }
  }
}
