// Hello and Welcome.
//
// May use: NIOCore's ByteBuffer.

import NIOCore

/// The first frame of a connection.
public struct Hello: WireMessage, Hashable {
  public static let kind = MessageKind.hello

  public let versionMin: UInt16
  /// Not less than ``versionMin``.
  public let versionMax: UInt16
  /// A name for the server's log, at most 256 bytes.
  public let client: String

  /// - Parameter client: cut to 256 bytes.
  public init(versions: ClosedRange<UInt16> = WireProtocol.versions, client: String) {
    self.versionMin = versions.lowerBound
    self.versionMax = versions.upperBound
    self.client = client.prefix(utf8BytesMax: WireProtocol.peerNameBytesMax)
  }

  /// The highest version that both sides speak.
  public func commonVersion(with versions: ClosedRange<UInt16> = WireProtocol.versions) -> UInt16? {
    let highest = min(versionMax, versions.upperBound)
    return highest >= max(versionMin, versions.lowerBound) ? highest : nil
  }

  public func encode(into buffer: inout ByteBuffer) {
    buffer.writeMultipleIntegers(WireProtocol.magic, versionMin, versionMax, endianness: .little)
    buffer.writeField(client)
  }

  public init(decoding body: ByteBuffer) throws(WireError) {
    var reader = BodyReader(body)
    guard try reader.integer("magic", as: UInt32.self) == WireProtocol.magic else {
      throw BodyReader.malformed(
        "the first frame does not begin with \"VZNH\": is this client meant for another service?")
    }
    versionMin = try reader.integer("versionMin")
    versionMax = try reader.integer("versionMax")
    guard versionMin <= versionMax else { throw BodyReader.malformed("versionMin is above versionMax") }
    client = try reader.string("client", bytesMax: WireProtocol.peerNameBytesMax)
    try reader.end()
  }
}

/// The server's answer to ``Hello``.
public struct Welcome: WireMessage, Hashable {
  public static let kind = MessageKind.welcome

  public let version: UInt16
  public let limits: WireLimits
  /// Name and version of the server, at most 256 bytes.
  public let server: String

  /// - Parameter server: cut to 256 bytes.
  public init(version: UInt16, limits: WireLimits, server: String) {
    self.version = version
    self.limits = limits
    self.server = server.prefix(utf8BytesMax: WireProtocol.peerNameBytesMax)
  }

  public func encode(into buffer: inout ByteBuffer) {
    buffer.writeMultipleIntegers(version, 0 as UInt16, endianness: .little)
    buffer.writeCount(limits.frameBytesMax)
    buffer.writeCount(limits.queriesMax)
    buffer.writeCount(limits.kMax)
    buffer.writeCount(limits.efMax)
    buffer.writeCount(limits.requestsInFlightMax)
    buffer.writeField(server)
  }

  public init(decoding body: ByteBuffer) throws(WireError) {
    var reader = BodyReader(body)
    version = try reader.integer("version")
    try reader.zero(UInt16.self)
    limits = WireLimits(
      frameBytesMax: try reader.count("frameBytesMax"), queriesMax: try reader.count("queriesMax"),
      kMax: try reader.count("kMax"), efMax: try reader.count("efMax"),
      requestsInFlightMax: try reader.count("requestsInFlightMax"))
    server = try reader.string("server", bytesMax: WireProtocol.peerNameBytesMax)
    try reader.end()
  }
}
