// `bench load`: drives a running server over the wire.
//
// May use: LoadCampaign, QuestionOptions, EngineConnection, Report.

import ArgumentParser
import Foundation
import VectorWire

struct LoadCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "load",
    abstract: "Drives a running server: latency at given rates, or more and more until it is full.",
    discussion: """
      With --rate, requests are due at their times whatever becomes of those before them, as those of people are, and latency counts from \
      when a request was due: a server that stalls is charged for all that waits meanwhile. Without it, in a closed loop, each of --clients \
      asks again when it has its answer. --sweep doubles the clients until they bring no more answers, and then goes through rates up to that.

      Before each step pings run at the same load: what they take is the driver's and the network's part. docs/BENCH.md says how to read it.

      EXAMPLE:
        bench load --collection documents --queries questions.npy --rate 500,1000,2000
        bench load --collection documents --queries questions.npy --clients 1,2,4,8
        bench load --collection documents --log asked.jsonl --sweep --json load.json --html load.html
      """)

  @OptionGroup var questions: QuestionOptions
  @Option(help: ArgumentHelp("Requests a second, or several rates, separated by commas.", valueName: "rates"))
  var rate: String?
  @Flag(help: "Find what the server can do, and its latency below and about that.") var sweep = false
  @Option(
    help: ArgumentHelp(
      "Clients of a closed loop, or several numbers of them, separated by commas; with --rate or --sweep, connections (8).",
      valueName: "numbers"))
  var clients: String?
  @Option(help: "Seconds of each step.") var seconds = 10.0
  @Option(help: "Seconds before each step that do not count.") var warmUp = 2.0
  @Option(help: "How requests come at a rate: poisson, as people's do, or even.") var spacing = ArrivalSpacing.poisson
  @Option(help: "What the times of poisson arrivals are drawn by.") var seed: UInt64 = 1
  @Option(help: "Threads of the driver: more where the report says that it was the driver who could not do more.")
  var threads = 1
  @Option(
    name: .customLong("p99-ms"),
    help: "A server whose 99th percentile is above this counts as full, in milliseconds.")
  var latencyMaxMilliseconds = 100.0
  @Option(
    help: "The server's process on this machine, to read its processor time. Found by itself where we may look.")
  var serverPid: Int32?
  @OptionGroup(title: "Report") var report: ReportOptions

  func validate() throws {
    guard rate == nil || !sweep else { throw ValidationError("give one of --rate and --sweep") }
    guard seconds > 0, seconds <= 86_400, warmUp >= 0, warmUp <= 3_600 else {
      throw ValidationError("--seconds must be above 0, and --warm-up not below it")
    }
    guard (1...64).contains(threads) else { throw ValidationError("--threads must be from 1 to 64") }
    guard latencyMaxMilliseconds > 0 else { throw ValidationError("--p99-ms must be above 0") }
    _ = try plan()
  }

  func run() async throws {
    let connection = try EngineConnection(host: questions.server.host, port: questions.server.port)
    let log = try questions.queryLog()
    let queries = try log.queries(Array(0..<log.count))
    let collection = try questions.collection(on: connection, queryDimension: queries[0].vector.count)
    let searches = try queries.map { query throws(BenchError) in
      [UInt8](try questions.request(query).frame(requestID: 1).readableBytesView)
    }
    // The first in good time: what is wrong with all of them is better known now, in the server's own words.
    let _: SearchReply = try connection.ask(try questions.request(queries[0]))
    let server =
      try serverPid.map { id throws(BenchError) in try ServerProcess(id: id) }
      ?? ServerProcess.answering(connection)

    let (plan, connections) = try plan()
    let campaign = LoadCampaign(
      plan: plan, runner: LoadRunner(address: questions.server, searches: searches, server: server), spacing: spacing,
      connections: connections, inFlightMax: connection.welcome.limits.requestsInFlightMax, warmUpSeconds: warmUp,
      seconds: seconds, threads: threads, seed: seed, latencyMax: latencyMaxMilliseconds * 1_000)

    var report = BenchReport(
      command: "load",
      data: DataDescription(
        source: collection.name, rows: Int(clamping: collection.rows), dimension: collection.dimension,
        metric: collection.metric.name, queries: queries.count, querySource: log.kind, k: questions.k))
    report.settings = settings(connection, collection, server)
    report.method = method(plan, isLocal: connection.ends?.isOneMachine == true, server)
    try await ReportSink.run(report, self.report) { sink in
      try await onOwnThread { try campaign.run(sink) }
    }
  }

  /// What is to be run, and the connections of an open loop.
  private func plan() throws -> (LoadCampaign.Plan, connections: Int) {
    let counts = try clients.map { try Self.numbers($0, "--clients", in: 1...4_096) }
    guard counts?.allSatisfy({ $0 == $0.rounded() }) ?? true else {
      throw ValidationError("--clients must be whole numbers up to 4096")
    }
    guard rate != nil || sweep else {
      guard let counts else { throw ValidationError("give --rate, --clients or --sweep: how much is to be asked?") }
      return (.clients(counts.map { Int($0) }), 0)
    }
    guard counts?.count ?? 1 == 1 else {
      throw ValidationError("--clients beside --rate or --sweep is one number, of connections")
    }
    let connections = counts.map { Int($0[0]) } ?? 8
    guard let rate else { return (.sweep, connections) }
    return (.rates(try Self.numbers(rate, "--rate", in: ArrivalSchedule.rateRange)), connections)
  }

  private static func numbers(_ list: String, _ option: String, in range: ClosedRange<Double>) throws -> [Double] {
    try list.split(separator: ",", omittingEmptySubsequences: false).map { text in
      // Neither infinity nor NaN is within a range.
      guard let number = Double(text.trimmingCharacters(in: .whitespaces)), range.contains(number) else {
        throw ValidationError(
          "\(option): \"\(text)\" is no number from \(Figure.plain(range.lowerBound)) to \(Figure.plain(range.upperBound))"
        )
      }
      return number
    }
  }
}

// MARK: What the report says

extension LoadCommand {
  private func settings(
    _ connection: EngineConnection, _ collection: CollectionDescription, _ server: ServerProcess?
  ) -> [Setting] {
    func ours(_ name: String, _ value: String, unit: String? = nil, note: String? = nil) -> Setting {
      Setting(group: "this run", name: name, value: value, unit: unit, note: note)
    }
    func theirs(_ name: String, _ value: String, note: String? = nil) -> Setting {
      Setting(group: "Vizinho", name: name, value: value, note: note)
    }
    var settings = [
      theirs("server", connection.serverName), theirs("address", questions.server.description),
      theirs("storage", collection.storage.name), theirs("position", collection.position.description),
      ours("queries", questions.source), ours("effort", questions.effortText),
    ]
    if let server {
      settings.append(
        theirs("process", "\(server.id) (\(server.name))", note: "whose processor time is counted"))
    }
    if let filter = questions.filter { settings.append(ours("filter", filter)) }
    if rate != nil || sweep {
      settings.append(ours("spacing", spacing.rawValue, note: spacing == .poisson ? "seed \(seed)" : nil))
    }
    settings += [
      ours("seconds a step", Figure.plain(seconds), unit: "s"), ours("warm-up", Figure.plain(warmUp), unit: "s"),
      ours("driver's threads", String(threads)),
      ours("full above a 99th percentile of", Figure.plain(latencyMaxMilliseconds), unit: "ms"),
    ]
    return settings
  }

  private func method(_ plan: LoadCampaign.Plan, isLocal: Bool, _ server: ServerProcess?) -> [String] {
    var sentences: [String] = []
    if case .clients = plan {
    } else {
      sentences.append(
        "At a rate, requests are due at times that are set beforehand, and latency counts from then, not from when a request was sent: "
          + "what waits because the server is slow counts in full (no coordinated omission).")
    }
    if case .rates = plan {
    } else {
      sentences.append(
        "In a closed loop each client has a connection and asks again as soon as it has its answer, so a slow server is asked less."
      )
    }
    sentences += [
      "Each step begins with new connections and \(Figure.plain(warmUp)) s that do not count.",
      "Every latency is kept, in a histogram of three digits. Requests that were refused are in no latency; one without an answer "
        + "\(Figure.plain(LoadStep.drainSeconds)) s after the step's end counts with the time until then.",
      "Pings at the same load are the floor: what the driver, the sockets and the server's event loop take without a search.",
      "A step at a rate is full where less than \(Figure.percent(Saturation.answeredShareMin)) of what was due was answered within it, "
        + "more than \(Figure.percent(Saturation.failedShareMax)) failed, or the 99th percentile was above "
        + "\(Figure.plain(latencyMaxMilliseconds)) ms; one of clients where it brought less than "
        + "\(Figure.percent(Saturation.growth - 1)) more answers than fewer clients did.",
    ]
    let processors = ProcessInfo.processInfo.activeProcessorCount
    sentences.append(
      isLocal
        ? "Driver and server share \(Figure.count(processors, "processor")) of this machine: what the driver takes, the server lacks."
        : "The server is on another machine, so its processor time is not known.")
    if isLocal, server == nil {
      sentences.append(
        "The server's processor time is not known: name its process with --server-pid, as its user or as root.")
    }
    return sentences
  }
}
