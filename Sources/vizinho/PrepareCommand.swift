// `vizinho prepare`: what Postgres needs before its tables can be followed, printed or done.
//
// May use: PostgresSource.

import ArgumentParser
import PostgresSource
import VectorServer

struct PrepareCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prepare",
    abstract: "Prints, or with --apply runs, the SQL without which a table cannot be followed.",
    discussion: """
      Only what is missing: a publication of the table with the columns that are needed, privileges of the role that will follow, and what only \
      an administrator can change. With --outbox, for a Postgres that allows no logical replication: a table in a schema of its own, and triggers on \
      the table that note there which rows have changed. The options of the table are those of `vizinho serve`.

      EXAMPLE:
        vizinho prepare --postgres postgresql://postgres@localhost/app --table documents --attributes tenant,lang
        vizinho prepare --postgres postgresql://postgres@localhost/app --table documents --attributes tenant,lang --apply
      """)

  @OptionGroup var common: CommonOptions
  @OptionGroup(title: "The collection") var collection: CollectionOptions
  @Option(help: "The publication that lists the tables. Default: vizinho.") var publication: String?
  @Option(help: "The role that will follow, made when it is missing. Default: the one that connects.") var role: String?
  @Flag(help: "Prepare for `vizinho serve --outbox`, in place of a publication.") var outbox = false
  @Flag(help: "Run what can be run.") var apply = false

  func run() async throws {
    let settings = try await common.settings()
    let plan = try collection.plan(settings)
    guard case .table(var source) = plan.source else {
      throw ValidationError("only a table can be followed: \(SettingKey.table.description)")
    }
    let publication = settings.string(publication, .publication) ?? "vizinho"
    let rowFilter = source.filter
    source.filter = nil
    let outbox = try settings.flag(outbox, .outbox)
    if outbox, rowFilter != nil {
      throw ValidationError(
        "\(SettingKey.condition.description) is the publication's to say, and an outbox has none: follow the whole table"
      )
    }
    let (done, left) = try await onOwnThread {
      [source, role, apply] () throws -> ([PreparationStep], [PreparationStep]) in
      let connection = try Connection(plan.connection, stop: StopFlag())
      let description = try BulkReader(connection: plan.connection, source: .table(source)).describe()
      if outbox {
        let preparation = OutboxPreparation(role: role, tables: [description])
        guard apply else { return ([], try preparation.steps(over: connection)) }
        let outcome = try preparation.apply(over: connection)
        return (outcome.applied, outcome.byHand)
      }
      let preparation = Preparation(
        publication: publication, role: role,
        tables: [.init(source: source, description: description, rowFilter: rowFilter)])
      guard apply else { return ([], try preparation.steps(over: connection)) }
      let outcome = try preparation.apply(over: connection)
      return (outcome.applied, outcome.byHand)
    }
    guard !done.isEmpty || !left.isEmpty else { return say("nothing is missing: \(source.name) can be followed") }
    for step in done { print("-- done: \(step.why)\n\(step.sql)") }
    // What is printed can be given to psql.
    print(PreparationStep.script(left), terminator: "")
  }
}
