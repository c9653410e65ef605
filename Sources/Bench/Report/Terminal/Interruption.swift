// SIGINT, SIGTERM and SIGHUP: the first asks the run to stop where it is safe, the second ends the program and what it has started.
//
// May use: libc's signals, ChildTable.

import Glibc
import Synchronization

/// A process has one set of signal handlers, so this is for the whole program.
enum Interruption {
  /// The number of the signal that came; 0 before. Read by any thread, written by the handler.
  private static let received = Atomic<Int32>(0)
  /// What the second signal ends, too: nobody would be left to do it.
  static let children = ChildTable()

  /// The signal that asked to stop; nil if none came.
  static var signal: Int32? {
    let signal = received.load(ordering: .relaxed)
    return signal == 0 ? nil : signal
  }

  /// From here on the first signal is only noted. Handlers and not ignored signals, since what is ignored stays so in a program that this
  /// one starts; system calls go on after it, since a connection that it cuts off would be an error.
  ///
  /// SIGPIPE is ignored nevertheless, since a run is not to end because nobody reads what it prints; ``ChildProcess`` gives children the
  /// default back. SIGHUP stays as it is where it is ignored, as nohup has it.
  static func catchSignals() {
    // Made here, so that the handler does not make them.
    _ = received.load(ordering: .relaxed)
    _ = children
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { signal in
      // Only what is allowed in a handler: atomics, and functions that the standard lists.
      let (isFirst, _) = Interruption.received.compareExchange(expected: 0, desired: signal, ordering: .relaxed)
      // Where a terminal goes away, the system and the shell both say so, and the end that was asked for must not be cut short by that.
      guard !isFirst, signal != SIGHUP else { return }
      Interruption.children.killAll()
      Glibc.signal(signal, SIG_DFL)
      raise(signal)
    }
    sigemptyset(&action.sa_mask)
    action.sa_flags = SA_RESTART
    for number in [SIGINT, SIGTERM] { sigaction(number, &action, nil) }
    if !isIgnored(SIGHUP) { sigaction(SIGHUP, &action, nil) }
    Glibc.signal(SIGPIPE, SIG_IGN)
  }

  private static func isIgnored(_ number: Int32) -> Bool {
    var action = sigaction()
    guard sigaction(number, nil, &action) == 0 else { return false }
    // Both are addresses; functions cannot be compared.
    return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
  }
}
