// Files in which the system tells of itself: /proc and /sys.
//
// May use: Foundation.

import Foundation

/// Reads such a file to its end. It has no size, so `FileManager` takes what one read gives, of a long one the beginning.
enum SystemFile {
  /// - Returns: nil where there is no such file, or it may not be read.
  static func text(_ path: String) -> String? {
    guard let file = FileHandle(forReadingAtPath: path), let bytes = try? file.readToEnd() else { return nil }
    return String(decoding: bytes, as: UTF8.self)
  }
}
