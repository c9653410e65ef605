// The names of slots that live for one read.
//
// May use: Foundation, for the process's number.

import Foundation
import Synchronization

enum TemporarySlot {
  private static let count = Atomic<Int>(0)

  /// A name that no other slot has, of at most 63 characters of a-z, 0-9 and _.
  static func name(_ slot: String, _ purpose: String) -> String {
    "\(slot.prefix(32))_\(purpose)_\(getpid())_\(count.add(1, ordering: .relaxed).newValue)"
  }
}
