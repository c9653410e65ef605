// Names and literals, quoted for SQL. Everything that goes into a statement as text passes through here.
//
// May use: nothing but the standard library.

package enum SQLText {
  /// A name as an identifier, always in double quotes, so that no name is folded, reserved or taken for syntax.
  package static func identifier(_ name: String) -> String {
    quoted(name, with: "\"")
  }

  package static func qualified(_ schema: String, _ name: String) -> String {
    identifier(schema) + "." + identifier(name)
  }

  package static func identifiers(_ names: [String]) -> String {
    names.map(identifier).joined(separator: ", ")
  }

  /// A string literal that means the same whether `standard_conforming_strings` is on or off.
  package static func literal(_ text: String) -> String {
    guard text.utf8.contains(UInt8(ascii: "\\")) else { return quoted(text, with: "'") }
    var doubled = ""
    for character in text.unicodeScalars {
      if character == "\\" { doubled.unicodeScalars.append(character) }
      doubled.unicodeScalars.append(character)
    }
    return " E" + quoted(doubled, with: "'")
  }

  /// A `text[]` literal, to be passed as a parameter.
  package static func textArray(_ values: [String]) -> String {
    let items = values.map { value in
      var item = "\""
      for character in value.unicodeScalars {
        if character == "\"" || character == "\\" { item.append("\\") }
        item.unicodeScalars.append(character)
      }
      return item + "\""
    }
    return "{" + items.joined(separator: ",") + "}"
  }

  /// Doubles every quote by scalar, not by character: a combining mark after a quote must not hide it.
  private static func quoted(_ text: String, with quote: Unicode.Scalar) -> String {
    var result = String(quote)
    for scalar in text.unicodeScalars {
      if scalar == quote { result.unicodeScalars.append(quote) }
      result.unicodeScalars.append(scalar)
    }
    result.unicodeScalars.append(quote)
    return result
  }
}
