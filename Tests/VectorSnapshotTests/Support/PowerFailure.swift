// A disk that loses its power: what was not synchronised is there, or not, or in part, each as a generator decides.

import Foundation
import Synchronization

@testable import VectorSnapshot

/// The files of one folder. Calls do what they say to the real files, until the power fails at one of them; all calls
/// then fail. `leaveWhatTheDiskHas` replaces the folder's files by what such a disk may have:
///
/// - of a file, each sector as any of the states that it had since it was last synchronised, and the length of any;
/// - of the names, any of the changes since the folder was last synchronised, with what they need.
///
/// That is worse than file systems with journals are, and about what their rules leave open.
final class PowerFailure: Sendable {
  private struct State {
    /// Negative once the power is gone.
    var callsLeft: Int
    /// The states of each file since it was last synchronised; the last is what is there now.
    var versions: [Int: [[UInt8]]] = [:]
    var files: [Int32: Int] = [:]
    var names: [String: Int] = [:]
    var durableNames: [String: Int] = [:]
    var pending: [NameChange] = []
    var next = 0
  }

  private enum NameChange {
    case create(String, Int)
    case rename(String, String)
    case remove(String)
  }

  private let state: Mutex<State>
  private let folder: String

  /// - Parameters:
  ///   - folder: what is in it is durable.
  ///   - calls: how many go well.
  init(folder: String, calls: Int) throws {
    var state = State(callsLeft: calls)
    for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] {
      let path = "\(folder)/\(name)"
      state.versions[state.next] = [try readFile(path)]
      state.names[path] = state.next
      state.next += 1
    }
    state.durableNames = state.names
    self.state = Mutex(state)
    self.folder = folder
  }

  var hasFailed: Bool { state.withLock { $0.callsLeft < 0 } }

  /// What becomes of a call. The one at which the power goes fails, and may have done its work or not.
  private enum Power { case on, going, off }

  private func power(_ state: inout State) -> Power {
    guard state.callsLeft >= 0 else { return .off }
    state.callsLeft -= 1
    return state.callsLeft >= 0 ? .on : .going
  }

  static let off = SystemError("the power is off", EIO)

  var fileSystem: FileSystem {
    let base = FileSystem.withoutDisk
    return FileSystem(
      create: { path throws(SystemError) in
        try self.state.withLock { state throws(SystemError) in
          guard self.power(&state) == .on else { throw Self.off }
          let file = try base.create(path)
          let id = state.names[path] ?? state.next
          if id == state.next {
            state.next += 1
            state.pending.append(.create(path, id))
            state.names[path] = id
          }
          state.versions[id, default: []].append([])
          state.files[file] = id
          return file
        }
      },
      open: { path throws(SystemError) in
        try self.state.withLock { state throws(SystemError) in
          guard self.power(&state) == .on else { throw Self.off }
          let file = try base.open(path)
          state.files[file] = state.names[path]
          return file
        }
      },
      write: { file, bytes, offset throws(SystemError) in
        try self.state.withLock { state throws(SystemError) in
          let power = self.power(&state)
          guard power != .off, let id = state.files[file], var content = state.versions[id]?.last
          else { throw Self.off }
          content += [UInt8](repeating: 0, count: max(0, offset + bytes.count - content.count))
          content.replaceSubrange(offset..<(offset + bytes.count), with: bytes)
          state.versions[id]?.append(content)
          guard power == .on else { throw Self.off }
          return try base.write(file, bytes, offset)
        }
      },
      truncate: { file, byteCount throws(SystemError) in
        try self.state.withLock { state throws(SystemError) in
          let power = self.power(&state)
          guard power != .off, let id = state.files[file], let content = state.versions[id]?.last
          else { throw Self.off }
          state.versions[id]?.append(Array(content.prefix(byteCount)))
          guard power == .on else { throw Self.off }
          try base.truncate(file, byteCount)
        }
      },
      synchronize: { file throws(SystemError) in try self.synchronize(file) },
      synchronizeData: { file throws(SystemError) in try self.synchronize(file) },
      forget: { _ in },
      close: { file throws(SystemError) in
        try self.state.withLock { state throws(SystemError) in
          state.files[file] = nil
          try base.close(file)
        }
      },
      rename: { from, to throws(SystemError) in
        try self.state.withLock { state throws(SystemError) in
          let power = self.power(&state)
          guard power != .off else { throw Self.off }
          state.pending.append(.rename(from, to))
          guard power == .on else { throw Self.off }
          try base.rename(from, to)
          state.names[to] = state.names.removeValue(forKey: from)
        }
      },
      remove: { path throws(SystemError) in
        try self.state.withLock { state throws(SystemError) in
          let power = self.power(&state)
          guard power != .off else { throw Self.off }
          state.pending.append(.remove(path))
          guard power == .on else { throw Self.off }
          try base.remove(path)
          state.names[path] = nil
        }
      },
      synchronizeDirectory: { _ throws(SystemError) in
        try self.state.withLock { state throws(SystemError) in
          guard self.power(&state) == .on else { throw Self.off }
          state.durableNames = state.names
          state.pending = []
        }
      })
  }

  private func synchronize(_ file: Int32) throws(SystemError) {
    try state.withLock { state throws(SystemError) in
      guard power(&state) == .on, let id = state.files[file], let content = state.versions[id]?.last
      else { throw Self.off }
      state.versions[id] = [content]
    }
  }

  /// Replaces the folder's files.
  func leaveWhatTheDiskHas(using generator: inout SeededGenerator) throws {
    let state = state.withLock { state in
      state.callsLeft = -1
      return state
    }
    var names = state.durableNames
    for change in state.pending where Bool.random(using: &generator) {
      switch change {
      case .create(let path, let id): names[path] = id
      case .rename(let from, let to): if let id = names.removeValue(forKey: from) { names[to] = id }
      case .remove(let path): names[path] = nil
      }
    }
    for name in try FileManager.default.contentsOfDirectory(atPath: folder) {
      try FileManager.default.removeItem(atPath: "\(folder)/\(name)")
    }
    for (path, id) in names.sorted(by: { $0.key < $1.key }) {
      try writeFile(path, Self.mixture(of: state.versions[id] ?? [], using: &generator))
    }
  }

  private static func mixture(of versions: [[UInt8]], using generator: inout SeededGenerator) -> [UInt8] {
    let sectorBytes = [16, 64, 512].randomElement(using: &generator) ?? 512
    let count = versions.randomElement(using: &generator)?.count ?? 0
    var content = [UInt8](repeating: 0, count: count)
    for start in stride(from: 0, to: count, by: sectorBytes) {
      guard let version = versions.randomElement(using: &generator) else { break }
      for offset in start..<min(start + sectorBytes, count) where offset < version.count {
        content[offset] = version[offset]
      }
    }
    return content
  }
}
