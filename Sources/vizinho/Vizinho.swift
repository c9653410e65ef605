// The program `vizinho`: its subcommands. Each file here is one of them, or what they share.
//
// May use: everything; nothing imports it.

import ArgumentParser

@main
struct Vizinho: AsyncParsableCommand {
  static let name = "vizinho 0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "vizinho",
    abstract: "A vector search engine that stands beside Postgres.",
    discussion: """
      Rows stay in Postgres, which is the source of truth. `vizinho prepare` says, or does, what Postgres needs so that a table \
      can be followed. `vizinho serve` loads the table into a data directory, follows it commit by commit, and answers \
      nearest-neighbour searches; `vizinho query` asks it from the command line.

      Of a server that follows, `vizinho status` says how far it is; `vizinho verify` proves that a collection is equal to its \
      table, or names the rows that differ; `vizinho rebuild` makes an index anew beside the one that goes on answering; \
      `vizinho drop` takes a collection away. Without following, `vizinho rebuild` reads a table or a query once, and \
      `vizinho serve` answers from what it wrote. `vizinho snapshot inspect` tells what is in a snapshot file.

      Every option that names a setting can also be given by the environment (--data-dir is VIZINHO_DATA_DIR) or in a JSON file \
      named by --config ({"data_dir": "…"}). An option wins over the environment, and that over the file.

      EXAMPLE:
        vizinho prepare --postgres postgresql://admin@localhost/app --role reader --table documents --metric cosine --apply
        vizinho serve --data-dir data --postgres postgresql://reader@localhost/app --table documents --metric cosine
        vizinho query --collection documents --id 42
        vizinho status --data-dir data
        vizinho verify --data-dir data --collection documents
      """,
    version: name,
    subcommands: [
      ServeCommand.self, PrepareCommand.self, StatusCommand.self, RebuildCommand.self, VerifyCommand.self,
      DropCommand.self, QueryCommand.self, SnapshotCommand.self,
    ])
}
