// How Postgres is followed, as options say it.
//
// May use: VectorServer's configuration, Settings.

import ArgumentParser
import PostgresSource
import VectorServer

/// The options of following.
struct FollowingOptions: ParsableArguments {
  @Option(help: "The publication that lists the tables. Default: vizinho.") var publication: String?
  @Option(help: "The replication slot, made when it is missing: one for each data directory. Default: vizinho.")
  var slot: String?
  @Flag(
    help:
      "Follow by an outbox in Postgres, where no logical replication is allowed (`vizinho prepare --outbox`); --slot is then the name of its reader."
  )
  var outbox = false
  @Option(help: "Look at an outbox that had nothing every so many milliseconds. Default: 100.")
  var outboxMilliseconds: Int?
  @Option(
    help:
      "Give a connection up on which Postgres says nothing for so many seconds, though it is asked; 0: never. Default: 60."
  )
  var silenceSeconds: Int?
  @Option(
    help:
      "A load or a comparison waits so many seconds at once for the end of transactions that have written. Default: 20."
  )
  var slotPatienceSeconds: Int?
  @Option(help: "Snapshots kept of each collection. Default: 2.") var keepSnapshots: Int?
  @Option(help: "A collection's snapshot is written anew after so many bytes of changes. Default: 268435456.")
  var snapshotAfterBytes: Int?
  @Option(help: "The journal of changes has at most so many bytes; then Postgres keeps its log. Default: 8589934592.")
  var journalBytesMax: Int?

  @Option(help: "Compare each collection with its table every so many seconds. Default: only when asked.")
  var verifyEvery: Int?
  @Option(
    help:
      "Not ready with more unapplied bytes of Postgres's log than this. Default: 16777216. With --outbox: ids of transactions. Default: 10000."
  )
  var readyLagBytes: Int?

  func keptSnapshots(_ settings: Settings) throws -> Int {
    try settings.int(keepSnapshots, .keepSnapshots, in: 1...1_000) ?? 2
  }

  func configuration(_ settings: Settings, _ collection: CollectionOptions) throws -> FollowConfiguration {
    var configuration = FollowConfiguration(
      connection: try ConnectionOptions(settings.requiredString(collection.postgres, .postgres)))
    configuration.publication = settings.string(publication, .publication) ?? configuration.publication
    configuration.followsOutbox = try settings.flag(outbox, .outbox)
    if let pause = try settings.int(outboxMilliseconds, .outboxMilliseconds, in: 1...60_000) {
      configuration.outboxInterval = .milliseconds(pause)
    }
    if let seconds = try settings.int(silenceSeconds, .silenceSeconds, in: 0...86_400) {
      configuration.silenceMax = seconds > 0 ? .seconds(seconds) : nil
    }
    if let seconds = try settings.int(slotPatienceSeconds, .slotPatienceSeconds, in: 1...86_400) {
      configuration.slotPatience = .seconds(seconds)
    }
    configuration.slot = settings.string(slot, .slot) ?? configuration.slot
    guard (1...63).contains(configuration.slot.utf8.count),
      configuration.slot.utf8.allSatisfy({ byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"): true
        default: false
        }
      })
    else {
      throw ValidationError(
        "\(SettingKey.slot.description) is \"\(configuration.slot)\"; Postgres allows 1 to 63 of a-z, 0-9 and _")
    }
    if let bytes = try settings.int(snapshotAfterBytes, .snapshotAfterBytes, in: 1 << 16...Int.max) {
      configuration.snapshotAfterBytes = bytes
    }
    if let bytes = try settings.int(journalBytesMax, .journalBytesMax, in: 1 << 20...Int.max) {
      configuration.journalBytesMax = bytes
    }
    configuration.proofInterval = try settings.int(verifyEvery, .verifyEvery, in: 1...31_536_000).map { .seconds($0) }
    if let bytes = try settings.int(readyLagBytes, .readyLagBytes, in: 0...Int.max) {
      configuration.lagBytesReady = UInt64(bytes)
    } else if configuration.followsOutbox {
      configuration.lagBytesReady = FollowConfiguration.lagReadyByOutbox
    }
    configuration.workers =
      try settings.int(collection.workers, .workers, in: 1...BulkReader.workersMax) ?? configuration.workers
    configuration.threads = try settings.int(collection.threads, .threads, in: 1...1_024) ?? configuration.threads
    return configuration
  }
}
