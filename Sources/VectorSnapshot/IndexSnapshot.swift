// An index as a snapshot: which section holds which part, and which metadata says what it is. docs/SNAPSHOT.md draws it.
//
// May use: this module's container; VectorIndex's parts.

import VectorIndex

/// What a snapshot knows about its index besides the index.
public struct SnapshotOrigin: Hashable, Sendable {
  /// The collection's name.
  public var collection: String
  /// Where the rows came from, in words; never a connection string.
  public var source: String
  /// Postgres's system identifier; 0 = not known.
  public var systemID: UInt64
  public var timeline: UInt32
  /// Every transaction that committed up to here is in the index; 0 = not known.
  public var appliedLSN: UInt64
  /// Seconds since 1970-01-01 UTC.
  public var createdAt: Int64
  /// The program that wrote it.
  public var writer: String
  /// How the collection is followed, in its server's words; nil: it is not.
  public var definition: String?

  public init(
    collection: String, source: String, systemID: UInt64, timeline: UInt32, appliedLSN: UInt64, createdAt: Int64,
    writer: String, definition: String? = nil
  ) {
    self.collection = collection
    self.source = source
    self.systemID = systemID
    self.timeline = timeline
    self.appliedLSN = appliedLSN
    self.createdAt = createdAt
    self.writer = writer
    self.definition = definition
  }
}

public enum IndexSnapshot {
  /// Writes an index, as it is at one moment, as the newest snapshot of a folder. Searches go on meanwhile, and so do changes, which wait for
  /// a moment only; new rows are linked again when the links are in the file, about a tenth of it.
  ///
  /// Blocks the calling thread. What it takes beside the index: the metadata's length, three blocks a thread, and copies of a few words a row
  /// (docs/SNAPSHOT.md).
  /// - origin: asked at that moment, while no change is under way: what it says is said of just the rows that are written, if it is noted with
  ///   the changes (``HNSWIndex/apply(_:removingAllFirst:noting:)``). nil: this is no moment to save.
  /// - Returns: nil where `origin` did, and nothing was written.
  /// - Throws: as ``SnapshotPublisher/publish(metadata:sections:options:)``.
  public static func publish(
    _ index: HNSWIndex, to publisher: SnapshotPublisher, options: SnapshotWriter.Options,
    origin: () -> SnapshotOrigin?
  ) throws(SnapshotError) -> SnapshotPublisher.Publication? {
    let configuration = index.configuration
    return try index.withFrozen(noting: origin) { frozen, origin throws(SnapshotError) in
      try publisher.publish(
        metadata: metadata(configuration, frozen.header, frozen.recallCurve, origin),
        sections: IndexPart.parts(of: configuration).map { part in
          SnapshotSection(
            id: part.sectionID, elementSize: part.elementSize(of: configuration), byteCount: frozen.byteCount(of: part),
            read: { range, destination in frozen.read(part, range, into: destination) },
            wasRead: { if part == IndexPart.lastOfLinks { frozen.linksAreRead() } })
        },
        options: options)
    }
  }

  /// The same for an index whose origin stands.
  public static func publish(
    _ index: HNSWIndex, origin: SnapshotOrigin, to publisher: SnapshotPublisher, options: SnapshotWriter.Options
  ) throws(SnapshotError) -> SnapshotPublisher.Publication {
    guard let publication = try publish(index, to: publisher, options: options, origin: { origin }) else {
      preconditionFailure("there is an origin")
    }
    return publication
  }

  /// Makes the index of a snapshot. Every block is verified, and every number checked before it is followed.
  ///
  /// Blocks the calling thread.
  /// - Throws: ``SnapshotError``.
  public static func load(
    _ file: SnapshotFile, threads: Int
  ) throws(SnapshotError) -> (index: HNSWIndex, origin: SnapshotOrigin) {
    let configuration = try configuration(of: file)
    let header = try IndexPartsHeader(
      slots: file.require(.slots), rows: file.require(.rows), entrySlot: narrow(file, .entrySlot),
      entryLayer: narrow(file, .entryLayer), insertions: file.require(.insertions))
    let origin = try origin(of: file)
    let curve = try recallCurve(of: file)
    for part in IndexPart.parts(of: configuration) where file.section(part.sectionID) == nil {
      throw file.missing(part.sectionID)
    }
    do {
      let index = try HNSWIndex.restored(
        configuration: configuration, header: header, threads: threads, payloadCodec: LZ4PayloadCodec(),
        byteCount: { file.section($0.sectionID)?.byteCount ?? 0 },
        load: { part, buffer in try file.load(part.sectionID, into: buffer, threads: threads) })
      if let curve { index.setRecallCurve(curve) }
      return (index, origin)
    } catch let error as SnapshotError {
      throw error
    } catch {
      throw file.unusable("\(error)")
    }
  }

  /// What a snapshot says of its origin.
  public static func origin(of file: SnapshotFile) throws(SnapshotError) -> SnapshotOrigin {
    try SnapshotOrigin(
      collection: file.require(.collection), source: file.require(.source), systemID: file.require(.systemID),
      timeline: narrow(file, .timeline), appliedLSN: file.require(.appliedLSN), createdAt: file.require(.createdAt),
      writer: file.require(.writer), definition: file.optional(.definition))
  }

  /// The configuration of the index in a snapshot.
  public static func configuration(of file: SnapshotFile) throws(SnapshotError) -> HNSWConfiguration {
    let storageName = try file.require(.storage)
    guard let storage = VectorStorage(name: storageName) else {
      let known = VectorStorage.allCases.map(\.name).joined(separator: ", ")
      throw file.unusable("it holds vectors as \"\(storageName)\", and this program knows \(known); use a newer one")
    }
    guard let metric = Metric(name: try file.require(.metric)) else {
      throw file.unusable("this program does not know its metric; use a newer one")
    }
    guard let kind = UInt8(exactly: try file.require(.recordIDKind)).flatMap(RecordIDKind.init) else {
      throw file.unusable("this program does not know its kind of record ids; use a newer one")
    }
    var configuration = try HNSWConfiguration(
      dimension: int(file, .dimension), metric: metric, recordIDKind: kind, storage: storage,
      connectivity: int(file, .connectivity), constructionEffort: int(file, .constructionEffort),
      searchEffort: int(file, .searchEffort), seed: file.require(.seed))
    configuration.rotates = try rotates(file, storage)
    configuration.attributes = try attributes(.attributes, of: file)
    configuration.payload = try attributes(.payload, of: file).columns.map(\.name)
    // Files from before there were stamps have none.
    configuration.keepsStamps = try file.optional(.stamps) ?? false
    if let target = try file.optional(.recallTarget) { configuration.recallTarget = Float(target) }
    do throws(IndexError) {
      try configuration.validate()
    } catch {
      throw file.unusable("\(error)")
    }
    return configuration
  }

  /// Whether its rows are rotated. Those of files from before there was such a thing are not.
  private static func rotates(_ file: SnapshotFile, _ storage: VectorStorage) throws(SnapshotError) -> Bool {
    // Where rows are never rotated, the setting means nothing and is as it always is.
    guard let version = try file.optional(.rotation) else { return !storage.canRotate }
    guard storage.canRotate else {
      throw file.unusable("it says that its rows are rotated, which rows in \(storage.name) never are")
    }
    guard version == Rotation.version else {
      throw file.unusable(
        "its rows are rotated in way \(version), and this program knows \(Rotation.version); use a newer one")
    }
    return true
  }

  /// What its rows have beside their vectors; nothing in files from before there was such a thing. Columns of payload are listed as
  /// attributes of text are.
  private static func attributes(
    _ key: SnapshotMetadataKey<[UInt8]>, of file: SnapshotFile
  ) throws(SnapshotError) -> AttributeSchema {
    guard let bytes = try file.optional(key) else { return .empty }
    do throws(IndexError) {
      return try AttributeSchema(decoding: bytes)
    } catch {
      throw file.unusable("its metadata \"\(key.name)\" is no such thing: \(error)")
    }
  }

  /// What its calibration measured; nil when the index was never calibrated, or the file is older than that.
  private static func recallCurve(of file: SnapshotFile) throws(SnapshotError) -> RecallCurve? {
    guard let bytes = try file.optional(.recallCurve) else { return nil }
    do throws(IndexError) {
      return try RecallCurve(decoding: bytes)
    } catch {
      throw file.unusable("its metadata \"\(SnapshotMetadataKey.recallCurve.name)\" is no such thing: \(error)")
    }
  }

  private static func metadata(
    _ configuration: HNSWConfiguration, _ header: IndexPartsHeader, _ curve: RecallCurve?, _ origin: SnapshotOrigin
  ) -> SnapshotMetadata {
    var metadata = SnapshotMetadata()
    metadata[.collection] = origin.collection
    metadata[.source] = origin.source
    metadata[.systemID] = origin.systemID
    metadata[.timeline] = UInt64(origin.timeline)
    metadata[.appliedLSN] = origin.appliedLSN
    metadata[.createdAt] = origin.createdAt
    metadata[.writer] = origin.writer
    metadata[.definition] = origin.definition
    metadata[.storage] = configuration.storage.name
    metadata[.rotation] = configuration.rotationVersion
    metadata[.attributes] = configuration.attributes.isEmpty ? nil : configuration.attributes.encoded()
    metadata[.payload] = configuration.payloadSchema?.encoded()
    metadata[.stamps] = configuration.keepsStamps ? true : nil
    metadata[.metric] = configuration.metric.name
    metadata[.recordIDKind] = UInt64(configuration.recordIDKind.rawValue)
    metadata[.dimension] = UInt64(configuration.dimension)
    metadata[.connectivity] = UInt64(configuration.connectivity)
    metadata[.constructionEffort] = UInt64(configuration.constructionEffort)
    metadata[.recallTarget] = configuration.recallTargetDecimal
    metadata[.searchEffort] = UInt64(configuration.searchEffort)
    metadata[.recallCurve] = curve?.encoded()
    metadata[.seed] = configuration.seed
    metadata[.slots] = header.slots
    metadata[.rows] = header.rows
    metadata[.entrySlot] = UInt64(header.entrySlot)
    metadata[.entryLayer] = UInt64(header.entryLayer)
    metadata[.insertions] = header.insertions
    return metadata
  }

  private static func int(_ file: SnapshotFile, _ key: SnapshotMetadataKey<UInt64>) throws(SnapshotError) -> Int {
    Int(clamping: try file.require(key))
  }

  private static func narrow(_ file: SnapshotFile, _ key: SnapshotMetadataKey<UInt64>) throws(SnapshotError) -> UInt32 {
    guard let value = UInt32(exactly: try file.require(key)) else {
      throw file.unusable("its metadata \"\(key.name)\" is over 32 bits")
    }
    return value
  }
}

extension IndexPart {
  /// Sections are numbered as the parts are.
  package var sectionID: SnapshotSectionID { SnapshotSectionID(rawValue) }
}

extension SnapshotMetadataKey where Value == String {
  static let collection = Self("collection")
  static let source = Self("source")
  static let writer = Self("writer")
  static let definition = Self("definition")
  static let storage = Self("storage")
  static let metric = Self("metric")
}

extension SnapshotMetadataKey where Value == Bool {
  static let stamps = Self("stamps")
}

extension SnapshotMetadataKey where Value == Double {
  static let recallTarget = Self("recall_target")
}

extension SnapshotMetadataKey where Value == [UInt8] {
  static let recallCurve = Self("recall_curve")
  static let attributes = Self("attributes")
  static let payload = Self("payload")
}

extension SnapshotMetadataKey where Value == Int64 {
  static let createdAt = Self("created_at")
}

extension SnapshotMetadataKey where Value == UInt64 {
  static let systemID = Self("postgres.system_id")
  static let timeline = Self("postgres.timeline")
  static let appliedLSN = Self("postgres.applied_lsn")
  static let rotation = Self("rotation")
  static let recordIDKind = Self("record_id_kind")
  static let dimension = Self("dimension")
  static let connectivity = Self("connectivity")
  static let constructionEffort = Self("construction_effort")
  static let searchEffort = Self("search_effort")
  static let seed = Self("seed")
  static let slots = Self("slots")
  static let rows = Self("rows")
  static let entrySlot = Self("entry_slot")
  static let entryLayer = Self("entry_layer")
  static let insertions = Self("insertions")
}
