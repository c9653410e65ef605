// The small pure parts: SQL text, LSNs, connection strings, the plan of ranges.

import PostgresSource
import Testing

struct SQLTextTests {
  @Test func identifiers() {
    #expect(SQLText.identifier("plain") == "\"plain\"")
    #expect(SQLText.identifier("Odd \"Name\"; --") == "\"Odd \"\"Name\"\"; --\"")
    // A combining mark makes one Character of itself and the quote before it.
    #expect(SQLText.identifier("a\"\u{301}b") == "\"a\"\"\u{301}b\"")
    #expect(SQLText.qualified("s", "t") == "\"s\".\"t\"")
  }

  @Test func literals() {
    #expect(SQLText.literal("it's") == "'it''s'")
    #expect(SQLText.literal("a\\'b") == " E'a\\\\''b'")
    #expect(SQLText.textArray(["a", "b\"\\", "c,{}"]) == "{\"a\",\"b\\\"\\\\\",\"c,{}\"}")
  }
}

struct LSNTests {
  @Test func textForms() {
    #expect(LSN("16/B374D848")?.rawValue == 0x16_B374_D848)
    #expect(LSN(rawValue: 0x16_B374_D848).description == "16/B374D848")
    #expect(LSN("0/0") == .unknown)
    #expect(LSN("FFFFFFFF/FFFFFFFF")?.rawValue == .max)
    for text in ["", "/", "1", "1/", "/1", "1/2/3", "1/+2", "1/-2", "g/1", "123456789/1", " 1/2"] {
      #expect(LSN(text) == nil, "\(text)")
    }
    #expect(LSN(rawValue: 1) < LSN(rawValue: 2))
  }
}

struct ConnectionOptionsTests {
  private let secret = "s3cr3tword"

  @Test func describesTheServerAlone() throws {
    for text in [
      "postgresql://alice:s3cr3tword@db.example:5433/app?sslmode=disable",
      "host=db.example port=5433 dbname=app user=alice password=s3cr3tword",
    ] {
      let options = try ConnectionOptions(text)
      var dumped = ""
      dump(options, to: &dumped)
      for shown in ["\(options)", String(reflecting: options), dumped] {
        #expect(!shown.contains(secret))
        #expect(shown.contains("host=db.example") && shown.contains("port=5433") && shown.contains("user=alice"))
      }
    }
  }

  @Test(arguments: [
    "postgresql://alice:s3cr3tword@x@db.example/app",  // an @ in the password
    "postgresql://alice:s3cr3tword/x@db.example/app",  // a slash in the password
    "postgresql://alice:%zzs3cr3tword@db.example/app",
    "password=s3cr3tword nonsense",
    "s3cr3tword",
    "password='s3cr3tword",
    "s3cr3tword=1",
    "postgresql://h/d?s3cr3tword=1",
    "host=h port=s3cr3tword",
  ])
  func refusesWithoutRepeating(_ text: String) throws {
    let error = try #require(throws: SourceError.self) { try ConnectionOptions(text) }
    #expect(error.code == .invalidConnectionString)
    #expect(!error.description.contains(secret))
  }

  @Test func timeouts() {
    #expect(throws: SourceError.self) { try ConnectionOptions("host=h", connectTimeoutSeconds: 0) }
  }
}

struct ScanPlanTests {
  private func leaf(_ blocks: Int, isHeap: Bool = true) -> SourceDescription.Leaf {
    SourceDescription.Leaf(oid: 1, schema: "s", name: "t", blocks: blocks, isHeap: isHeap)
  }

  @Test func everyBlockIsInOneRange() {
    for blocks in [0, 1, 255, 256, 257, 511, 512, 513, 10_000, 1_000_000] {
      for workers in [1, 2, 64] {
        let ranges = ScanPlan.ranges(of: [leaf(blocks), leaf(blocks)], workers: workers)
        for number in 0...1 {
          let own = ranges.filter { $0.leaf == number }
          #expect(own.first?.firstBlock == 0)
          #expect(own.last?.endBlock == nil)
          for (range, next) in zip(own, own.dropFirst()) {
            #expect(range.endBlock == next.firstBlock)
            #expect((256...1_024).contains(next.firstBlock - range.firstBlock))
          }
          #expect(own.count <= max(blocks / 256 + 1, 1))
        }
      }
    }
  }

  @Test func whatIsNoHeapIsOneRange() {
    #expect(
      ScanPlan.ranges(of: [leaf(100_000, isHeap: false)], workers: 4)
        == [ScanRange(leaf: 0, firstBlock: 0, endBlock: nil)])
    #expect(ScanPlan.ranges(of: [], workers: 1).isEmpty)
  }
}
