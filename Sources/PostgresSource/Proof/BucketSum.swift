// What is kept of a part of the rows: sums that do not care in which order rows come and go.
//
// May use: RowHasher for the number of parts.

/// The rows of a bucket, as three numbers. Two sets of rows that differ have the same three only by a chance of about 2^-64.
package struct BucketSum: Hashable, Sendable {
  /// How many.
  package var count = 0
  /// Of their hashes.
  package var xor: UInt64 = 0
  /// Of their hashes, modulo 2^64: in the XOR, a row that is there twice is not there at all.
  package var sum: UInt64 = 0

  package init() {}

  package mutating func add(_ row: UInt64) {
    count += 1
    xor ^= row
    sum &+= row
  }

  /// Takes out a row that was added.
  package mutating func remove(_ row: UInt64) {
    count -= 1
    xor ^= row
    sum &-= row
  }
}

/// All rows of a source, bucket by bucket, and how many have no place in an index.
package struct ProofSums: Hashable, Sendable {
  /// ``RowHasher/bucketCount`` of them.
  package var buckets = [BucketSum](repeating: BucketSum(), count: RowHasher.bucketCount)
  /// Rows whose vector is NULL.
  package var nullVectors = 0
  /// Rows whose vector is zero, where those are left out.
  package var zeroVectors = 0

  package init() {}
}
