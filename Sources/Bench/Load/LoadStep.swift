// One step of a load: what is asked, how much at a time, for how long.
//
// May use: ArrivalSchedule; Figure for its title.

struct LoadStep: Sendable, Equatable {
  enum Question: String, Sendable {
    case search
    /// What costs the server next to nothing: the same load of pings is what the driver and the way cost.
    case ping
  }

  enum Arrivals: Sendable, Equatable {
    /// Requests are due at their times, whatever becomes of those before: so many a second.
    case open(rate: Double, spacing: ArrivalSpacing)
    /// Each connection asks again as soon as it has its answer.
    case closed
  }

  var question: Question
  var arrivals: Arrivals
  var connections: Int
  /// Requests that one connection may have unanswered.
  var inFlightMax: Int
  /// Runs before, and does not count.
  var warmUpSeconds: Double
  var seconds: Double
  var threads: Int
  var seed: UInt64

  /// How long answers are waited for at the end.
  static let drainSeconds = 2.0

  var targetRate: Double? {
    if case .open(let rate, _) = arrivals { rate } else { nil }
  }

  /// The same with pings, for a shorter time: they vary less.
  var asPings: LoadStep {
    var step = self
    step.question = .ping
    step.warmUpSeconds = min(warmUpSeconds, 0.5)
    step.seconds = max(min(seconds, 1), seconds / 5)
    return step
  }

  /// About how long it takes.
  var expectedSeconds: Double { warmUpSeconds + seconds }

  /// What a progress line calls it.
  var title: String {
    let what = question == .search ? "searches" : "pings"
    return switch arrivals {
    case .open(let rate, _): "\(Figure.number(rate)) \(what) a second"
    case .closed: "\(what), \(connections) at once"
    }
  }
}
