// Text that is HTML or SVG already, apart from text that is not, by type: whatever else is put into it is escaped.
//
// May use: nothing.

/// Pieces of HTML or SVG. A literal is markup as it stands, and so is what is `Markup`; a `String` within a literal becomes harmless text,
/// between tags and in quoted attributes alike, wherever it came from.
struct Markup: Sendable, Equatable, ExpressibleByStringInterpolation {
  typealias StringInterpolation = Pieces

  private(set) var text: String

  init(stringLiteral text: String) { self.text = text }
  init(stringInterpolation pieces: Pieces) { text = pieces.text }

  static func += (left: inout Markup, right: Markup) { left.text += right.text }
  static func + (left: Markup, right: Markup) -> Markup {
    var sum = left
    sum += right
    return sum
  }

  struct Pieces: StringInterpolationProtocol {
    fileprivate var text = ""

    init(literalCapacity: Int, interpolationCount: Int) { text.reserveCapacity(literalCapacity * 2) }

    mutating func appendLiteral(_ literal: String) { text += literal }
    mutating func appendInterpolation(_ words: String) { text += Markup.escaped(words) }
    mutating func appendInterpolation(_ markup: Markup) { text += markup.text }
    mutating func appendInterpolation(_ number: Int) { text += String(number) }

    mutating func appendInterpolation(_ parts: [Markup]) {
      for part in parts { text += part.text }
    }

    /// A coordinate, to a hundredth. One that is no number would make a whole path vanish, so it is 0.
    mutating func appendInterpolation(_ coordinate: Double) {
      guard coordinate.isFinite, abs(coordinate) < 1e9 else {
        text += "0"
        return
      }
      let rounded = (coordinate * 100).rounded() / 100
      text += rounded == rounded.rounded() ? String(Int(rounded)) : rounded.description
    }
  }

  /// The five characters that mean something, and those that no document may have.
  private static func escaped(_ words: String) -> String {
    var text = ""
    text.reserveCapacity(words.utf8.count)
    for scalar in words.unicodeScalars {
      switch scalar {
      case "&": text += "&amp;"
      case "<": text += "&lt;"
      case ">": text += "&gt;"
      case "\"": text += "&quot;"
      case "'": text += "&#39;"
      case "\t", "\n", "\r": text.unicodeScalars.append(scalar)
      case "\u{0}"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{FFFE}", "\u{FFFF}": text += "\u{FFFD}"
      default: text.unicodeScalars.append(scalar)
      }
    }
    return text
  }
}
