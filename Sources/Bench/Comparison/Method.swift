// How a comparison measures, in sentences for its report: what a reader who looks for the trick wants to know.
//
// May use: ComparisonOptions, Report/Model for settings.

import Foundation
import VectorIndex

enum Method {
  static func sentences(_ options: ComparisonOptions, _ plan: ComparisonPlan, _ data: Dataset) -> [String] {
    let pace = options.pace
    let clients = pace.clients.map(String.init).joined(separator: ", ")
    var sentences = [
      """
      Both sides are servers that are reached over a connection, and both are asked by the same loop of this program: one thread and one connection \
      a client, one question at a time, the next when the answer has been read. It runs on this machine and takes processor time from the servers \
      that do, too.
      """,
      """
      Postgres is asked by libpq with a statement that is prepared once, planned once (plan_cache_mode = force_generic_plan; k, effort and filter stand \
      in its text), takes the question as a binary vector and gives bigint keys in binary, not distances. The engine is asked with frames that were \
      made beforehand; its answers, keys and distances, are read whole. Both wait by poll before they read.
      """,
      """
      The rows were copied into a schema of their own, for each index of pgvector a table of its own with a primary key and a B-tree on the filter's \
      column: so no plan can choose another's index, and a write pays for one. After each build the table was vacuumed and analyzed. Nothing forbids \
      Postgres another plan; each was looked at by EXPLAIN of the very statement, and points at which it does not use the index say so.
      """,
      """
      Recall@\(options.k) is the share of the exact \(options.k) nearest that came back, judged once an effort over all questions; a row \
      that is farther than the last by no more than 1e-5 of its distance, or 1e-5 where that is below 1, counts, as ties do. Exact answers come from \
      one matrix product (BLAS) over the vectors as they are, and are scored again in 32 bits.
      """,
      """
      \(pace.rounds) rounds, in each of which the engines take turns, every one with \(clients) clients at each effort for \(text(pace.seconds)) s; figures are \
      medians over the rounds, with the least and the most, and latencies are of all rounds together. At an equal recall, figures are interpolated between \
      measured points: the logarithm of the speed is linear in the recall.
      """,
      """
      Each point of each round has new connections. Before its clock starts every client asks all questions once, or as many as are answered in a \
      second (in the time of the point, where that is shorter), on both sides alike; these do not count. A process of Postgres that has just begun has \
      yet to map the pages of shared memory that it reads, and those who keep connections in a pool do not wait for that.
      """,
      """
      Build times are of CREATE INDEX for pgvector; of the whole `vizinho rebuild` for the engine, which reads the table, links, calibrates and writes \
      a snapshot. pgvector's builds had the memory and the helpers that the settings name.
      """,
    ]
    if plan.indexes.contains(where: { $0.effortName == "candidates" }) {
      sentences.append(
        """
        binary_quantize is used as pgvector's README has it: so many candidates by Hamming distance, ef_search as large, ranked again by the vectors; the \
        effort is the number of candidates.
        """)
    }
    if options.parts.contains(.search) {
      sentences.append(
        """
        Recall against speed: before its turn an engine is asked the questions that it is judged by, in the first round at each effort, later at the \
        largest of its first kind (for at most \(Int(SearchPart.warmSecondsMax)) s), so that caches are its own.
        """)
    }
    if options.parts.contains(.freshness) || options.parts.contains(.mixed)
      || (options.parts.contains(.filtered) && options.engine == nil)
    {
      sentences.append(
        """
        Filters and rows that change are measured on pgvector's HNSW indexes over the vectors; where there is none, on those over halves.
        """)
    }
    if options.parts.contains(.filtered), options.engine == nil {
      sentences.append(
        """
        Filters ask for a column of random numbers below a bound, so rows that match lie anywhere; one client; pgvector as it is and with \
        hnsw.iterative_scan. Recall is judged by all questions, before the rounds. An answer is short if it has fewer rows than min(k, matching). \
        Filters that have to do with the question are harder for both, and were not measured here.
        """)
    }
    if options.parts.contains(.freshness) {
      sentences.append(
        """
        Freshness: one row at a time is inserted, in a transaction of its own, and asked for at once by its vector. pgvector's table has its index, \
        so that COMMIT returns when the row can be found; the engine's has none, and the search waits for the position in the log that was asked for after COMMIT.
        """)
    }
    if options.parts.contains(.mixed) {
      sentences.append(
        """
        Mixed load: \(pace.clients.max() ?? 1) clients search while one session gives rows new vectors, each in a transaction of its own; for the engine it \
        writes to the table that the engine follows. The effort is the least that found \(text(ComparisonOptions.workingRecall)) before, and the recall beside the \
        figures is of before. Writes a second are over the whole round, with the time in which the clients connect and warm. When a round's writer has \
        ended, the position of the log is taken, and a search that waits for it tells how far an engine that follows was behind; where that was more \
        than \(Int(FollowerLag.secondsMax)) s, its figures are left out.
        """)
    }
    if options.parts.contains(.freshness) || options.parts.contains(.mixed) {
      sentences.append(
        """
        While rows change, engines do not take turns but come one after the other: a follower that waits for its turn would read the log of the other \
        side's writes meanwhile.
        """)
    }
    return sentences
  }

  /// - sharedBuffers: the server's; nil where it does not say.
  static func memory(sharedBuffers: Int?) -> String {
    let amount = sharedBuffers.map { " (\($0.asMemory))" } ?? ""
    return """
      The peak memory of pgvector's builds is \(ServerMemory.meaning), looked at ten times a second. So shared_buffers\(amount), \
      which was there before, is in it only as far as the building process touched pages of it for the first time. The engine's is all \
      that its process had.
      """
  }

  static func settings(_ options: ComparisonOptions, _ facts: PostgresFacts) -> [Setting] {
    func list(_ values: [some CustomStringConvertible]) -> String {
      values.map(\.description).joined(separator: ", ")
    }
    var settings = [
      Setting(group: "Postgres", name: "pgvector", value: facts.pgvectorVersion),
      Setting(group: "this run", name: "parts", value: list(options.parts.map(\.rawValue).sorted())),
      Setting(group: "this run", name: "k", value: String(options.k)),
      Setting(group: "this run", name: "clients", value: list(options.pace.clients)),
      Setting(group: "this run", name: "rounds", value: String(options.pace.rounds)),
      Setting(group: "this run", name: "seconds a point", value: text(options.pace.seconds), unit: "s"),
      Setting(group: "this run", name: "seed", value: String(options.seed)),
    ]
    if options.parts.contains(.mixed) {
      settings.append(
        Setting(group: "this run", name: "writes a second", value: list(options.writesPerSecond.map(text))))
      settings.append(
        Setting(group: "this run", name: "seconds a mixed round", value: text(options.mixedSeconds), unit: "s"))
    }
    settings.append(
      Setting(
        group: "Vizinho", name: "server",
        value: options.engine.map { "\($0.address), not started by this run" }
          ?? "started by this run, all settings its own"))
    let usual = HNSWConfiguration(dimension: 1, metric: options.metric)
    settings.append(
      Setting(
        group: "Vizinho", name: "index",
        value: options.engine == nil
          ? "M \(usual.connectivity), efConstruction \(usual.constructionEffort)" : "as the server has it",
        note: options.engine == nil ? "the engine's defaults; calibrated on rows of the table" : nil))
    return settings
  }

  private static func text(_ value: Double) -> String {
    value == value.rounded() && abs(value) < 1e15 ? String(Int(value)) : String(value)
  }
}
