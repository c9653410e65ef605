// SIGINT and SIGTERM: the first asks the run to stop where it is safe, the second ends the program.
//
// May use: libc's signals.

import Glibc
import Synchronization

/// A process has one set of signal handlers, so this is for the whole program.
enum Interruption {
  /// The number of the signal that came; 0 before. Read by any thread, written by the handler.
  private static let received = Atomic<Int32>(0)

  /// The signal that asked to stop; nil if none came.
  static var signal: Int32? {
    let signal = received.load(ordering: .relaxed)
    return signal == 0 ? nil : signal
  }

  /// From here on the first signal is only noted. Handlers and not ignored signals, since what is ignored stays so in a program that this
  /// one starts; system calls go on after it, since a connection that it cuts off would be an error.
  static func catchSignals() {
    // Made here, so that the handler does not make it.
    _ = received.load(ordering: .relaxed)
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { signal in
      // Only what is allowed in a handler: an atomic, and functions that the standard lists.
      let (isFirst, _) = Interruption.received.compareExchange(expected: 0, desired: signal, ordering: .relaxed)
      guard !isFirst else { return }
      Glibc.signal(signal, SIG_DFL)
      raise(signal)
    }
    sigemptyset(&action.sa_mask)
    action.sa_flags = SA_RESTART
    for number in [SIGINT, SIGTERM] { sigaction(number, &action, nil) }
  }
}
