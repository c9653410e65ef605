// What the commands that measure an index in process read: two files, held against each other.
//
// May use: VectorFile; ArgumentParser, for its errors.

import ArgumentParser

/// The vectors of an index, and what is asked of it.
enum IndexInput {
  /// - Throws: `ValidationError`: a file that cannot be read or has no rows, or dimensions that differ.
  static func read(base basePath: String, queries queriesPath: String) throws -> (base: VectorFile, queries: VectorFile)
  {
    let base = try VectorFile(path: basePath)
    let queries = try VectorFile(path: queriesPath)
    try check(base, basePath, queries, queriesPath)
    return (base, queries)
  }

  static func check(
    _ base: VectorFile, _ basePath: String, _ queries: VectorFile, _ queriesPath: String
  ) throws(ValidationError) {
    guard base.count > 0 else { throw ValidationError("\(basePath) has no vectors") }
    guard queries.count > 0 else { throw ValidationError("\(queriesPath) has no vectors") }
    guard queries.dimension == base.dimension else {
      throw ValidationError("the queries have \(queries.dimension) dimensions and the base has \(base.dimension)")
    }
  }
}
