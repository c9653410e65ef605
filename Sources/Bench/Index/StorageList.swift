// The option --storage: names of storages.
//
// May use: VectorIndex; ArgumentParser, for its errors.

import ArgumentParser
import VectorIndex

extension VectorStorage {
  /// The storages that a list names, `auto` among them.
  /// - Throws: `ValidationError`, naming the one that there is not.
  static func listed(_ names: String, dimension: Int) throws -> [VectorStorage] {
    guard names.contains(where: { $0 != "," }) else { throw ValidationError("--storage is empty") }
    return try names.split(separator: ",").map { name in
      if name == "auto" { return .automatic(dimension: dimension) }
      guard let storage = VectorStorage(name: String(name)) else {
        let known = allCases.map(\.name).joined(separator: ", ")
        throw ValidationError("--storage: \"\(name)\" is none of \(known), auto")
      }
      return storage
    }
  }
}
