// The program `bench`: measures the engine.
//
// May use: the index, the wire and the server; nothing but its tests imports it.

import ArgumentParser

@main
struct BenchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measures the engine on your own data.",
    subcommands: [
      IndexCommand.self, InsertCommand.self, ChurnCommand.self, WireCommand.self, KernelsCommand.self,
      PgvectorCommand.self, LoadCommand.self, ShadowCommand.self, ReportCommand.self,
    ])
}
