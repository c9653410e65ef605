// What tells a table from itself at another time: a look that differs from the one before, live or after a restart.

import Testing

@testable import PostgresSource
@testable import VectorServer

@Suite struct FollowedSourceTests {
  /// Expects a reason, and another text to be kept.
  private func expectOther(
    _ word: String, _ before: FollowedSource, _ now: FollowedSource, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let reason = before.difference(from: now) ?? ""
    #expect(reason.contains(word), "\(reason)", sourceLocation: sourceLocation)
    #expect(before.fingerprint != now.fingerprint, sourceLocation: sourceLocation)
  }

  @Test func whatIsTheSame() throws {
    let (before, now) = (try FollowerFixture.source(), try FollowerFixture.source())
    #expect(before.difference(from: now) == nil && before.fingerprint == now.fingerprint)
  }

  @Test func aPublicationThatWasAlteredAndAlteredBack() throws {
    var (before, now) = (try FollowerFixture.source(), try FollowerFixture.source())
    before.facts.publicationVersions = ["publication 5:750", "table 6:750"]
    now.facts.publicationVersions = ["publication 5:750", "table 7:760"]
    expectOther("publication", before, now)
    now.facts.publicationVersions = ["publication 5:760", "table 6:750"]
    expectOther("publication", before, now)
    now.facts.publicationVersions = before.facts.publicationVersions
    #expect(before.difference(from: now) == nil && before.fingerprint == now.fingerprint)
  }

  @Test func triggersThatWereSwitchedOffAndOn() throws {
    var (before, now) = (try FollowerFixture.source(), try FollowerFixture.source())
    before.facts.triggers = ["100:750", "101:750"]
    now.facts.triggers = ["100:750", "101:760"]
    expectOther("triggers", before, now)
  }

  @Test func aColumnThatWasDroppedAndAddedAgain() throws {
    let before = try FollowerFixture.source()
    var now = before
    now.facts.columns[2].number = 9
    expectOther("columns", before, now)
  }

  @Test func aPartitionThatWasDetachedAndAttachedAgain() throws {
    var (before, now) = (try FollowerFixture.source(), try FollowerFixture.source())
    before.facts.attachments = ["100:750", "101:750"]
    now.facts.attachments = ["100:750", "101:760"]
    expectOther("partitions", before, now)
  }

  @Test func whatHasChangedIsNamedBeforeHow() throws {
    let before = try FollowerFixture.source()
    var now = before
    now.facts.rowFilter = "(id > 5)"
    now.facts.publicationVersions = ["publication 5:760"]
    expectOther("condition", before, now)
  }
}
