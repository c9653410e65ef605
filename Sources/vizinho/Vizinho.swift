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
      Rows stay in Postgres, which is the source of truth. `vizinho rebuild` reads their keys and vectors from there and \
      writes an index to a data directory; `vizinho serve` answers nearest-neighbour searches from it; `vizinho query` asks \
      a server from the command line.

      Every option that names a setting can also be given by the environment (--data-dir is VIZINHO_DATA_DIR) or in a JSON file \
      named by --config ({"data_dir": "…"}). An option wins over the environment, and that over the file.

      EXAMPLE:
        vizinho rebuild --data-dir data --postgres postgresql://localhost/app --table documents --metric cosine
        vizinho serve --data-dir data
        vizinho query --collection documents --id 42
      """,
    version: name,
    subcommands: [
      ServeCommand.self, PrepareCommand.self, StatusCommand.self, RebuildCommand.self, VerifyCommand.self,
      DropCommand.self, QueryCommand.self, SnapshotCommand.self,
    ])
}
