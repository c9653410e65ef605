// What is said of a server's settings, and how amounts of memory are read and written.

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
    "autovacuum": .init(text: "on", unit: ""),
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
  }

  @Test func whatSpeaksAgainstTheFiguresIsAWarning() {
    func isWarned(_ name: String, _ found: [String: Setting]) -> Bool {
      found[name]?.isWarning == true && found[name]?.note?.isEmpty == false
    }
    #expect(isWarned("shared_buffers", report { $0.largestIndexBytes = 3 << 30 }))
    #expect(isWarned("maintenance_work_mem", report { $0.largestGraphBytes = 600 << 20 }))
    #expect(isWarned("max_parallel_maintenance_workers", report { $0.maintenanceWorkers = 1 }))
    #expect(isWarned("max_parallel_maintenance_workers", report(["max_parallel_workers": "2"])))
    #expect(isWarned("fsync", report(["fsync": "off"])))
    #expect(isWarned("synchronous_commit", report(["synchronous_commit": "off"])))
    #expect(isWarned("debug_assertions", report(["debug_assertions": "on"])))
    #expect(isWarned("autovacuum", report(["autovacuum": "off"])))
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

  @Test func versionsAreCompared() {
    #expect(PostgresFacts.isVersion("0.8.5", atLeast: (0, 8)))
    #expect(PostgresFacts.isVersion("1.0", atLeast: (0, 8)))
    #expect(!PostgresFacts.isVersion("0.7.4", atLeast: (0, 8)))
    #expect(!PostgresFacts.isVersion("x", atLeast: (0, 7)))
  }
}
