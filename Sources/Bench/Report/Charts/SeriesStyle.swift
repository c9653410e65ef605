// What an engine looks like in every chart of a report.
//
// May use: Markup; EngineFamily; Foundation, for sines.

import Foundation

/// A colour, a marker and a line: three ways to tell series apart, so that none hangs on seeing colours. Vizinho's are cold colours, filled
/// markers and whole lines; pgvector's are warm colours, hollow markers and broken lines.
struct SeriesStyle: Sendable, Equatable {
  enum Marker: Int, CaseIterable, Sendable {
    case circle, square, triangle, diamond, pentagon, wedge
  }

  var family: EngineFamily
  /// Which of its family's colours.
  var number: Int

  /// Colours of a family, on light ground and on dark; each at least 3:1 against its ground, neighbours apart in lightness, too.
  private static let colours: [EngineFamily: [(light: String, dark: String)]] = [
    .vizinho: [
      ("#0b5fc0", "#63abff"), ("#00837c", "#40d3c6"), ("#6b3fb8", "#b99cff"), ("#35507a", "#a9bfe6"),
      ("#1f7a34", "#7fcf90"),
    ],
    .pgvector: [
      ("#cf4a0a", "#ff9259"), ("#8f6a00", "#e3bd4f"), ("#b3246e", "#ff86bf"), ("#7c3f20", "#d0a184"),
      ("#9c1c1c", "#f08080"), ("#666666", "#b8b8b8"),
    ],
  ]

  /// Of a report's engines, by id: in their order, each family by itself.
  static func of(_ engines: [EngineBuild]) -> [String: SeriesStyle] {
    var counts: [EngineFamily: Int] = [:]
    var styles: [String: SeriesStyle] = [:]
    for engine in engines where styles[engine.id] == nil {
      styles[engine.id] = SeriesStyle(family: engine.family, number: counts[engine.family, default: 0])
      counts[engine.family, default: 0] += 1
    }
    return styles
  }

  /// The class that gives an element its colour.
  var className: String { "\(family.rawValue.prefix(1))\(number % (Self.colours[family]?.count ?? 1))" }

  /// Once all colours of a family are used, they come again with other markers.
  var marker: Marker {
    let colours = Self.colours[family]?.count ?? 1
    return Marker.allCases[(number % colours + number / colours) % Marker.allCases.count]
  }

  /// Rules for the colours of all styles.
  static func css(isDark: Bool) -> Markup {
    var rules: Markup = ""
    for family in [EngineFamily.vizinho, .pgvector] {
      for (i, colour) in (colours[family] ?? []).enumerated() {
        let name = SeriesStyle(family: family, number: i).className
        rules += ".\(name){--c:\(isDark ? colour.dark : colour.light)}"
      }
    }
    return rules
  }

  /// The marker around a place.
  func mark(_ x: Double, _ y: Double, size: Double = 4.5) -> Markup {
    /// Corners of a shape of so many, the first at an angle in turns from the top.
    func corners(_ count: Int, turned: Double, _ radius: Double) -> Markup {
      var points: Markup = ""
      for i in 0..<count {
        let direction = Self.direction(turns: Double(i) / Double(count) + turned)
        points += "\(i == 0 ? "M" : "L")\(x + radius * direction.x) \(y + radius * direction.y)"
      }
      return "<path d=\"\(points)Z\"/>"
    }
    switch marker {
    case .circle: return "<circle cx=\"\(x)\" cy=\"\(y)\" r=\"\(size)\"/>"
    case .square: return corners(4, turned: 0.125, size * 1.25)
    case .triangle: return corners(3, turned: 0, size * 1.3)
    case .diamond: return corners(4, turned: 0, size * 1.3)
    case .pentagon: return corners(5, turned: 0, size * 1.2)
    case .wedge: return corners(3, turned: 0.5, size * 1.3)
    }
  }
}

extension SeriesStyle {
  /// Clockwise from the top, as a screen's axes go.
  fileprivate static func direction(turns: Double) -> (x: Double, y: Double) {
    (sin(2 * .pi * turns), -cos(2 * .pi * turns))
  }
}
