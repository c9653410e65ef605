// The program `bench`: measures the engine.
//
// May use: the index, the wire and the server; nothing imports it.

import ArgumentParser

@main
struct BenchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measures the engine on your own data.",
    subcommands: [
      IndexCommand.self, InsertCommand.self, ChurnCommand.self, WireCommand.self, KernelsCommand.self,
    ])
}
