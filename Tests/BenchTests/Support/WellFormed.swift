// Whether markup is sound: every tag closed, every attribute quoted, nothing that only looks like markup.

/// The elements of a document in the order of their beginnings; strict, as XML is, except for the document type and for what stands in
/// `style` and `script`.
struct WellFormed {
  struct Element: Equatable {
    var name: String
    var attributes: [String: String]
    /// The text directly within it, references resolved.
    var text = ""
  }

  struct Fault: Error, CustomStringConvertible {
    var description: String
  }

  private(set) var elements: [Element] = []
  private var rest: Substring

  init(_ text: String) throws {
    rest = text[...]
    if rest.hasPrefix("<!DOCTYPE html>") { rest = rest.dropFirst(15) }
    var open: [Int] = []
    while !rest.isEmpty {
      if rest.hasPrefix("</") {
        let name = String(try take(until: ">").dropFirst(2))
        guard let last = open.popLast() else { throw fault("</\(name)> closes nothing") }
        guard elements[last].name == name else { throw fault("</\(name)> closes <\(elements[last].name)>") }
      } else if rest.hasPrefix("<") {
        let isClosed = try begin()
        if !isClosed { open.append(elements.count - 1) }
        if let last = open.last, ["style", "script"].contains(elements[last].name) {
          guard let end = rest.firstRange(of: "</\(elements[last].name)>") else { throw fault("a style without end") }
          elements[last].text = String(rest[..<end.lowerBound])
          rest = rest[end.lowerBound...]
        }
      } else {
        let words = try unescaped(String(rest.prefix { $0 != "<" }))
        rest = rest.drop { $0 != "<" }
        if let last = open.last {
          elements[last].text += words
        } else if words.contains(where: { !$0.isWhitespace }) {
          throw fault("text outside of everything: \(words)")
        }
      }
    }
    guard open.isEmpty else { throw fault("<\(elements[open[open.count - 1]].name)> is not closed") }
  }

  func named(_ name: String) -> [Element] { elements.filter { $0.name == name } }

  private func fault(_ words: String) -> Fault { Fault(description: "\(words); before: \(rest.prefix(80))") }

  private mutating func take(until end: Character) throws -> Substring {
    guard let index = rest.firstIndex(of: end) else { throw fault("no \(end)") }
    defer { rest = rest[rest.index(after: index)...] }
    return rest[..<index]
  }

  /// Returns whether the element ends with its own tag.
  private mutating func begin() throws -> Bool {
    rest = rest.dropFirst()
    let name = rest.prefix { $0.isLetter || $0.isNumber }
    guard !name.isEmpty else { throw fault("< begins no tag") }
    rest = rest.dropFirst(name.count)
    var attributes: [String: String] = [:]
    while true {
      rest = rest.drop(while: \.isWhitespace)
      if rest.hasPrefix("/>") || rest.hasPrefix(">") {
        let isClosed = rest.hasPrefix("/>")
        rest = rest.dropFirst(isClosed ? 2 : 1)
        elements.append(Element(name: String(name), attributes: attributes))
        return isClosed
      }
      let key = rest.prefix { $0.isLetter || $0.isNumber || $0 == "-" || $0 == ":" }
      guard !key.isEmpty, rest.dropFirst(key.count).hasPrefix("=\"") else { throw fault("an attribute without quotes") }
      rest = rest.dropFirst(key.count + 2)
      let value = try take(until: "\"")
      guard !value.contains("<"), attributes[String(key)] == nil else { throw fault("\(key) is no sound attribute") }
      attributes[String(key)] = try unescaped(String(value))
    }
  }

  private func unescaped(_ text: String) throws -> String {
    let names = ["amp": "&", "lt": "<", "gt": ">", "quot": "\"", "#39": "'"]
    var words = ""
    var rest = text[...]
    while let start = rest.firstIndex(of: "&") {
      words += rest[..<start]
      guard let end = rest[start...].firstIndex(of: ";"),
        let character = names[String(rest[rest.index(after: start)..<end])]
      else { throw fault("& begins no reference in \(text)") }
      words += character
      rest = rest[rest.index(after: end)...]
    }
    return words + rest
  }
}
