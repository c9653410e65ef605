// What a comparison with other engines tells us to do, line by line: Benchmarks/peers/engines/__init__.py.
//
// May use: Foundation, for the standard streams.

import ArgumentParser
import Foundation

/// A driver on the other end of a pipe: it waits for "ready", then asks for rounds.
enum Rounds {
  /// Answers every line "run COUNT" with what `body` gives for so many threads, as one line of JSON, until the input ends.
  ///
  /// - threads: what an empty line asks for.
  static func answer<Answer: Encodable>(threads: Int, _ body: (_ threads: Int) throws -> Answer) throws {
    say("ready")
    while let line = readLine() {
      let count = line.isEmpty ? threads : try self.count(line)
      say(String(decoding: try JSONEncoder().encode(try body(count)), as: UTF8.self))
    }
  }

  private static func count(_ line: String) throws -> Int {
    let words = line.split(separator: " ")
    guard words.count == 2, words[0] == "run", let count = Int(words[1]), (1...1_024).contains(count) else {
      throw ValidationError("the line \"\(line)\" on standard input is not \"run COUNT\", with 1 to 1024 threads")
    }
    return count
  }

  /// Prints a line that whoever reads our output through a pipe sees at once.
  private static func say(_ line: String) {
    FileHandle.standardOutput.write(Data((line + "\n").utf8))
  }
}
