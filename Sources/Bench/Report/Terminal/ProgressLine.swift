// Shows how far a run is, on standard error, and prints on standard output without the two mixing.
//
// May use: ProgressState; libc's terminals; Foundation, for a thread.

import Foundation
import Synchronization

/// On a terminal one line that is written over; elsewhere, as in a log, one line for each step. Any thread may use it.
final class ProgressLine: Sendable {
  private struct State {
    var progress = ProgressState()
    var isShown = false
    var hasEnded = false
  }

  private let state = Mutex(State())
  private let began = ContinuousClock.now
  private let isTerminal = isatty(STDERR_FILENO) == 1

  private static let eraseLine = "\r\u{1B}[2K"

  init() {
    guard isTerminal else { return }
    // Keeps the time left moving while a step says nothing of itself. A thread of its own: measurements may keep all others busy.
    Thread.detachNewThread { [weak self] in
      while true {
        Thread.sleep(forTimeInterval: 1)
        guard let line = self, line.tick() else { return }
      }
    }
  }

  /// Whether there will be more to show.
  private func tick() -> Bool {
    state.withLock { state in
      if !state.hasEnded { show(&state) }
      return !state.hasEnded
    }
  }

  /// - announces: whether this is news for a log, too.
  func change(announces: Bool = false, _ change: (inout ProgressState) -> Void) {
    state.withLock { state in
      change(&state.progress)
      guard !state.hasEnded else { return }
      if isTerminal {
        show(&state)
      } else if announces {
        Self.write(state.progress.text(at: seconds) + "\n", to: STDERR_FILENO)
      }
    }
  }

  /// Prints on standard output.
  func say(_ text: String) {
    state.withLock { state in
      erase(&state)
      Self.write(text, to: STDOUT_FILENO)
      if isTerminal, !state.hasEnded { show(&state) }
    }
  }

  /// From here on nothing is shown.
  func end() {
    state.withLock { state in
      erase(&state)
      state.hasEnded = true
    }
  }

  private var seconds: Double { (ContinuousClock.now - began) / .seconds(1) }

  private func show(_ state: inout State) {
    guard !state.progress.doing.isEmpty else { return }
    var size = winsize()
    let isKnown = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
    // One column is left free: a full line would make some terminals begin another.
    let width = isKnown ? Int(size.ws_col) - 1 : 79
    Self.write(Self.eraseLine + state.progress.bar(at: seconds, width: width), to: STDERR_FILENO)
    state.isShown = true
  }

  private func erase(_ state: inout State) {
    guard state.isShown else { return }
    Self.write(Self.eraseLine, to: STDERR_FILENO)
    state.isShown = false
  }

  /// Whole, or not at all where nobody reads: a run is not to end because its terminal is gone.
  private static func write(_ text: String, to descriptor: Int32) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return }
      bytes = bytes.dropFirst(count)
    }
  }
}
