// What was measured of kernels and of the machine, and how the one stands to the other.
//
// May use: Place, KernelKind, Machine.

/// A kernel on rows at a place.
struct KernelPoint: Codable {
  var kernels: String
  var kernel: KernelKind
  var dimension: Int
  var rowBytes: Int
  var place: Place
  /// In the set.
  var rows: Int
  var nanoseconds: Double
  var rowsPerSecond: Double
  /// Of row bytes.
  var gigabytesPerSecond: Double
  /// What reading such a row took, in turn with the kernel, with nothing computed.
  var readNanoseconds: Double
  var bound: Bound
  /// The least time that the bound allows, as a share of the time that it took.
  var share: Double

  /// What a kernel cannot be faster than.
  enum Bound: String, Codable {
    /// What the machine's caches or memory give, at this place, to one who computes nothing.
    case reads
    /// What the same kernel takes for rows that are in the cache.
    case arithmetic
  }

  enum CodingKeys: String, CodingKey {
    case kernels, kernel, dimension, place, rows, bound, share
    case rowBytes = "row_bytes"
    case nanoseconds = "ns_per_row"
    case readNanoseconds = "read_ns_per_row"
    case rowsPerSecond = "rows_per_second"
    case gigabytesPerSecond = "gb_per_second"
  }

  /// - readNanoseconds: what reading such a row takes at this place.
  /// - cachedNanoseconds: what the kernel takes for a row in the cache.
  init(
    kernels: String, kernel: KernelKind, dimension: Int, rowBytes: Int, place: Place, rows: Int, nanoseconds: Double,
    readNanoseconds: Double, cachedNanoseconds: Double
  ) {
    self.kernels = kernels
    self.kernel = kernel
    self.dimension = dimension
    self.rowBytes = rowBytes
    self.place = place
    self.rows = rows
    self.nanoseconds = nanoseconds
    self.readNanoseconds = readNanoseconds
    rowsPerSecond = 1e9 / nanoseconds
    gigabytesPerSecond = Double(rowBytes) / nanoseconds
    if place == .cached {
      // Nothing else to hold it against: what is not mostly reading is arithmetic, and the share is that of reads.
      share = readNanoseconds / nanoseconds
      bound = share > 0.5 ? .reads : .arithmetic
    } else {
      bound = readNanoseconds > cachedNanoseconds ? .reads : .arithmetic
      share = max(readNanoseconds, cachedNanoseconds) / nanoseconds
    }
  }
}

/// What the machine gives to reads.
struct RooflineFigures: Codable {
  /// Gigabytes a second from memory, front to back.
  var sequentialGigabytesPerSecond: Double
  /// From one random line to the next that it names.
  var latencies: [Latency]
  /// Blocks at random places that are known beforehand, and the same blocks from the cache.
  var blocks: [Block]

  struct Latency: Codable {
    var setBytes: Int
    var nanoseconds: Double

    enum CodingKeys: String, CodingKey {
      case nanoseconds
      case setBytes = "set_bytes"
    }
  }

  struct Block: Codable {
    var place: Place
    var blockBytes: Int
    var setBytes: Int
    var nanoseconds: Double
    var gigabytesPerSecond: Double

    enum CodingKeys: String, CodingKey {
      case place, nanoseconds
      case blockBytes = "block_bytes"
      case setBytes = "set_bytes"
      case gigabytesPerSecond = "gb_per_second"
    }

    init(place: Place, blockBytes: Int, setBytes: Int, nanoseconds: Double) {
      self.place = place
      self.blockBytes = blockBytes
      self.setBytes = setBytes
      self.nanoseconds = nanoseconds
      gigabytesPerSecond = Double(blockBytes) / nanoseconds
    }
  }

  enum CodingKeys: String, CodingKey {
    case latencies, blocks
    case sequentialGigabytesPerSecond = "sequential_gb_per_second"
  }
}

/// All of a run.
struct KernelReport: Codable {
  var machine: Machine
  var repetitions: Int
  var milliseconds: Double
  var batch: Int
  var seed: UInt64
  var roofline: RooflineFigures
  var points: [KernelPoint]
}
