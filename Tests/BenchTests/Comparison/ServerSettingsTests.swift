// What is said of a server: its settings, its connections, its memory, builds that it gave up; how amounts of memory are read and written;
// what a run takes on this machine, and which questions it takes from a table.

import Foundation
import PostgresSource
import Testing

@testable import Bench

struct ServerSettingsTests {
  private static let sane: [String: ServerSettings.Value] = [
    "server_version": .init(text: "18.1", unit: ""), "shared_buffers": .init(text: "262144", unit: "8kB"),
    "maintenance_work_mem": .init(text: "65536", unit: "kB"),
    "max_parallel_maintenance_workers": .init(text: "2", unit: ""), "max_parallel_workers": .init(text: "8", unit: ""),
    "max_worker_processes": .init(text: "8", unit: ""), "jit": .init(text: "on", unit: ""),
    "fsync": .init(text: "on", unit: ""), "synchronous_commit": .init(text: "on", unit: ""),
    "debug_assertions": .init(text: "off", unit: ""), "wal_level": .init(text: "logical", unit: ""),
    "autovacuum": .init(text: "on", unit: ""), ServerSettings.encryption: .init(text: "off", unit: ""),
    "work_mem": .init(text: "4096", unit: "kB"), "hnsw.max_scan_tuples": .init(text: "20000", unit: ""),
    "hnsw.scan_mem_multiplier": .init(text: "1", unit: ""),
  ]

  private func report(
    _ changes: [String: String] = [:], context change: (inout SettingsContext) -> Void = { _ in }
  ) -> [String: Setting] {
    var values = Self.sane
    for (name, text) in changes { values[name]?.text = text }
    var context = SettingsContext(
      maintenanceBytes: 512 << 20, maintenanceWorkers: 3, largestIndexBytes: 1 << 30, largestGraphBytes: 400 << 20,
      processors: 4)
    change(&context)
    return Dictionary(uniqueKeysWithValues: ServerSettings(values: values).report(context).map { ($0.name, $0) })
  }

  @Test func saneOnesAreShownWithoutAWarning() {
    let found = report()
    #expect(found.count == Self.sane.count)
    #expect(found.values.filter(\.isWarning).isEmpty)
    #expect(found["shared_buffers"]?.value == "2" && found["shared_buffers"]?.unit == "GB")
    #expect(found["maintenance_work_mem"]?.value == "64" && found["maintenance_work_mem"]?.unit == "MB")
    // What a build was given instead is told all the same.
    #expect(found["maintenance_work_mem"]?.note?.contains("512 MB") == true)
    #expect(found["jit"]?.note?.contains("off in the sessions") == true)
    #expect(found["fsync"]?.note == nil)
    #expect(found[ServerSettings.encryption]?.value == "off" && found[ServerSettings.encryption]?.note == nil)
    #expect(found["work_mem"]?.value == "4" && found["hnsw.max_scan_tuples"]?.value == "20000")
    #expect(found["hnsw.scan_mem_multiplier"]?.note?.contains("work_mem") == true)
  }

  @Test func whatSpeaksAgainstTheFiguresIsAWarning() {
    func isWarned(_ name: String, _ found: [String: Setting]) -> Bool {
      found[name]?.isWarning == true && found[name]?.note?.isEmpty == false
    }
    #expect(isWarned("shared_buffers", report { $0.largestIndexBytes = 3 << 30 }))
    #expect(isWarned("maintenance_work_mem", report { $0.largestGraphBytes = 600 << 20 }))
    #expect(isWarned("max_parallel_maintenance_workers", report { $0.maintenanceWorkers = 1 }))
    #expect(isWarned("max_parallel_maintenance_workers", report(["max_parallel_workers": "2"])))
    #expect(isWarned("max_parallel_maintenance_workers", report { $0.buildsWithoutHelpers = 2 }))
    #expect(isWarned("fsync", report(["fsync": "off"])))
    #expect(isWarned("synchronous_commit", report(["synchronous_commit": "off"])))
    #expect(isWarned("debug_assertions", report(["debug_assertions": "on"])))
    #expect(isWarned("autovacuum", report(["autovacuum": "off"])))
    let encrypted = report([ServerSettings.encryption: "TLS_AES_256_GCM_SHA384"])
    #expect(isWarned(ServerSettings.encryption, encrypted))
    #expect(encrypted[ServerSettings.encryption]?.value == "TLS_AES_256_GCM_SHA384")
    #expect(encrypted[ServerSettings.encryption]?.note?.contains("sslmode=disable") == true)
    #expect(report(["wal_level": "replica"])["wal_level"]?.note?.contains("not logical") == true)
  }

  @Test func memoryIsReadAsPostgresWritesIt() {
    #expect(Int(memory: "2GB") == 2 << 30)
    #expect(Int(memory: "512MB") == 512 << 20)
    #expect(Int(memory: "65536kB") == 64 << 20)
    #expect(Int(memory: "64") == 64 << 10)
    #expect(Int(memory: "1 TB") == 1 << 40)
    for wrong in ["", "GB", "2gb", "2 G", "-1MB", "1.5GB", "99999999999999999999", "9999999999999TB"] {
      #expect(Int(memory: wrong) == nil, "\(wrong)")
    }
  }

  @Test func memoryIsWrittenForPeople() {
    #expect(3.asMemory == "3 B")
    #expect((1_536 << 20).asMemory == "1.5 GB")
    #expect((640 << 20).asMemory == "640 MB")
    #expect((2 << 10).asMemory == "2.0 kB")
  }

  @Test func tooManyClientsAreRefusedBeforehand() throws {
    let own = PostgresFacts.ownConnections
    try PostgresFacts.checkConnections(97, clients: 97 - own)
    let error = #expect(throws: BenchError.self) { try PostgresFacts.checkConnections(97, clients: 98 - own) }
    #expect(error?.code == .unfitPostgres)
    #expect(error?.message.contains("\(98 - own)") == true && error?.message.contains("97") == true)
    #expect(error?.message.contains("--clients") == true)
    // Of a server that does not say how many it takes, nothing is known.
    try PostgresFacts.checkConnections(.max, clients: 256)
  }

  @Test func versionsAreCompared() {
    #expect(PostgresFacts.isVersion("0.8.5", atLeast: (0, 8)))
    #expect(PostgresFacts.isVersion("1.0", atLeast: (0, 8)))
    #expect(!PostgresFacts.isVersion("0.7.4", atLeast: (0, 8)))
    #expect(!PostgresFacts.isVersion("x", atLeast: (0, 7)))
  }
}

struct FailedBuildTests {
  private let small = FailedBuild(
    workers: 3,
    error: SourceError(
      serverState: "53100",
      "Postgres says: could not resize shared memory segment \"/PostgreSQL.17\" to 67108864 bytes: No space left on device."
    ))

  @Test func whatWasBuiltWithoutHelpersSaysWhy() {
    let note = FailedBuild.note(of: "pgvector hnsw m=16 efc=64", [small], isBuilt: true)
    #expect(note.hasPrefix("pgvector hnsw m=16 efc=64 was built without helpers"))
    #expect(note.contains("With 3 helpers: Postgres says: could not resize shared memory segment"))
    #expect(note.contains("--shm-size") && note.contains("--maintenance-workers 0"))
    #expect(!note.contains("disk"))
  }

  @Test func whatWasNotBuiltSaysWhatHappenedEachTime() {
    let full = SourceError(serverState: "53100", "Postgres says: could not extend file \"base/5/17\".")
    let note = FailedBuild.note(of: "x", [small, FailedBuild(workers: 0, error: full)], isBuilt: false)
    #expect(note.hasPrefix("x was left out"))
    #expect(
      note.contains("With 3 helpers: Postgres") && note.contains("Without helpers: Postgres says: could not extend"))
    #expect(note.contains("--shm-size") && note.contains("disk"))
    // The same advice once.
    let twice = FailedBuild.note(of: "x", [small, small], isBuilt: false)
    #expect(twice.components(separatedBy: "--shm-size").count == 2)
  }

  @Test func someErrorsAreTheEndOfTheRun() {
    #expect(!small.error.endsRun)
    #expect(SourceError(.cancelled, "The end.").endsRun)
    #expect(SourceError(serverState: "57P01", "terminated").endsRun)
    #expect(SourceError(serverState: "57014", "canceled").endsRun)
  }

  @Test func aRefusedCheckpointIsSaidWithWhatMendsIt() {
    let refused = ComparisonRun.note(
      ofCheckpoint: SourceError(serverState: "42501", "Postgres says: permission denied."), role: "me")
    #expect(refused.contains("GRANT pg_checkpoint TO \"me\";") && !refused.contains("BYPASSRLS"))
    let failed = ComparisonRun.note(ofCheckpoint: SourceError(serverState: "53100", "Postgres says: full."), role: "me")
    #expect(failed.contains("Postgres says: full.") && !failed.contains("GRANT"))
  }
}

struct ServerMemoryTests {
  @Test func childrenAreReadFromTheirFile() {
    #expect(ServerMemory.processes(in: "17 4711 18 ") == [17, 4_711, 18])
    #expect(ServerMemory.processes(in: "").isEmpty)
  }

  @Test func onlyWhatIsTakenMeanwhileCounts() throws {
    let memory = ServerMemory(server: getpid(), builder: getpid())
    let size = 128 << 20
    let (first, grown) = memory.growth {
      // Touched, or it would be no memory.
      let block = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 4_096)
      defer { block.deallocate() }
      memset(block, 1, size)
      usleep(300_000)
      return block.load(fromByteOffset: size - 1, as: UInt8.self)
    }
    #expect(first == 1)
    #expect(grown > size / 2)
    let still = memory.growth {}.bytes
    let all = try #require(ProcessFacts.memory(of: getpid())).anonymousBytes
    #expect(still >= 0 && still < all)
  }
}

struct RunFolderTests {
  @Test func eachRunHasAFolderOfItsOwnThatNobodyElseSeesInto() throws {
    let folders = try [ComparisonRun.makeFolder(), ComparisonRun.makeFolder()]
    defer { for folder in folders { try? FileManager.default.removeItem(atPath: folder) } }
    #expect(Set(folders).count == 2)
    for folder in folders {
      var status = stat()
      #expect(lstat(folder, &status) == 0)
      #expect(status.st_mode & S_IFMT == S_IFDIR && status.st_mode & 0o777 == 0o700)
    }
  }
}

struct QuestionTableTests {
  @Test func ofMoreRowsThanAreReadSomeAreDrawnEvenly() {
    let table = UserTable(name: "app.asked", vectorColumn: "v")
    #expect(table.vectorsSQL(rows: 100, most: 100) == "SELECT \"v\" FROM app.asked")
    let drawn = table.vectorsSQL(rows: 101, most: 100)
    #expect(drawn.contains("row_number() OVER ()") && drawn.contains("FROM app.asked) AS numbered"))
    #expect(drawn.contains("vizinho_drawn_by * 100 / 101 > (vizinho_drawn_by - 1) * 100 / 101"))
    #expect(UserTable(name: "asked").vectorsSQL(rows: 2, most: 1).hasPrefix("SELECT * FROM (SELECT *, row_number()"))
  }
}
