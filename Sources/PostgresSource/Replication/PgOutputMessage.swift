// What a publication's stream says, message by message: the values of pgoutput's protocol 2, without its streaming of open transactions.
//
//     begin, { relation | type | origin | insert | update | delete | truncate | message }…, commit
//
// A relation comes before the first row of its table on a connection, and again after the table was altered: a row's fields are those of the
// relation last seen with its id. The values of a row are not copied: a field is the place of its bytes within the message, which whoever
// holds the message keeps beside it.
//
// May use: LSN.

/// One message of pgoutput. ``init(_:)-(UnsafeRawBufferPointer)`` makes it of its bytes (PgOutputDecoder.swift).
package enum PgOutputMessage: Hashable, Sendable {
  /// The first message of a transaction.
  case begin(Begin)
  /// The last message of a transaction.
  case commit(Commit)
  /// The table that later rows with its id belong to. Where partitions are published as their root, the partition's comes as well, and no row
  /// with its id follows.
  case relation(Relation)
  case insert(Insert)
  case update(Update)
  case delete(Delete)
  case truncate(Truncate)
  /// The name of a type that is not built in, before a relation which uses it.
  case type(TypeName)
  /// The transaction was replicated to the server from elsewhere.
  case origin(Origin)
  /// What `pg_logical_emit_message` wrote.
  case message(LogicalMessage)
  /// An open transaction that was streamed has ended. Nothing is streamed unless it was asked for, but PostgreSQL 18 sends it all the same:
  /// it means nothing here.
  case streamAbort(StreamAbort)
}

// MARK: Transactions

extension PgOutputMessage {
  package struct Begin: Hashable, Sendable {
    /// The position of the commit record: ``Commit/commitLSN`` of the message that ends the transaction. Transactions come in its order.
    package var finalLSN: LSN
    /// Microseconds since 2000-01-01 00:00 UTC.
    package var commitMicroseconds: Int64
    /// The transaction's id without its epoch.
    package var transactionID: UInt32

    package init(finalLSN: LSN, commitMicroseconds: Int64, transactionID: UInt32) {
      self.finalLSN = finalLSN
      self.commitMicroseconds = commitMicroseconds
      self.transactionID = transactionID
    }
  }

  package struct Commit: Hashable, Sendable {
    package var commitLSN: LSN
    /// One past the end of the commit record: where to go on once the transaction was applied.
    package var endLSN: LSN
    /// Microseconds since 2000-01-01 00:00 UTC.
    package var commitMicroseconds: Int64

    package init(commitLSN: LSN, endLSN: LSN, commitMicroseconds: Int64) {
      self.commitLSN = commitLSN
      self.endLSN = endLSN
      self.commitMicroseconds = commitMicroseconds
    }
  }

  package struct Origin: Hashable, Sendable {
    /// The commit's position on the server of origin.
    package var commitLSN: LSN
    package var name: String

    package init(commitLSN: LSN, name: String) {
      self.commitLSN = commitLSN
      self.name = name
    }
  }

  package struct LogicalMessage: Hashable, Sendable {
    /// A message that is not comes at once, and outside of every transaction.
    package var isTransactional: Bool
    package var lsn: LSN
    package var prefix: String
    /// Where its bytes are in the message.
    package var content: Range<Int>

    package init(isTransactional: Bool, lsn: LSN, prefix: String, content: Range<Int>) {
      self.isTransactional = isTransactional
      self.lsn = lsn
      self.prefix = prefix
      self.content = content
    }
  }

  package struct StreamAbort: Hashable, Sendable {
    package var transactionID: UInt32
    package var subtransactionID: UInt32

    package init(transactionID: UInt32, subtransactionID: UInt32) {
      self.transactionID = transactionID
      self.subtransactionID = subtransactionID
    }
  }
}

// MARK: Tables

extension PgOutputMessage {
  /// What of an old row Postgres writes to its log when the row is changed or deleted.
  package enum ReplicaIdentity: UInt8, Hashable, Sendable {
    /// Its primary key, if there is one.
    case primaryKey = 0x64
    case nothing = 0x6E
    /// All of it.
    case full = 0x66
    /// The columns of an index that was named.
    case index = 0x69
  }

  package struct Relation: Hashable, Sendable {
    /// The table's object id; of a partitioned table that is published as such: the root's.
    package var id: UInt32
    /// As the stream has it, which writes `pg_catalog` as an empty name.
    package var schema: String
    package var name: String
    package var replicaIdentity: ReplicaIdentity
    /// The published columns, in the order of the fields of its rows.
    package var columns: [Column]

    package init(
      id: UInt32, schema: String, name: String, replicaIdentity: ReplicaIdentity, columns: [Column]
    ) {
      self.id = id
      self.schema = schema
      self.name = name
      self.replicaIdentity = replicaIdentity
      self.columns = columns
    }
  }

  package struct Column: Hashable, Sendable {
    /// Whether it belongs to the replica identity; with the identity `full`, every column does.
    package var isKey: Bool
    package var name: String
    /// As it is declared: a domain's own, not its base type's.
    package var typeOID: UInt32
    /// As it is declared, or -1. Of a vector: its dimension.
    package var typeModifier: Int32

    package init(isKey: Bool, name: String, typeOID: UInt32, typeModifier: Int32) {
      self.isKey = isKey
      self.name = name
      self.typeOID = typeOID
      self.typeModifier = typeModifier
    }
  }

  package struct TypeName: Hashable, Sendable {
    /// As it stands in ``Column/typeOID``.
    package var oid: UInt32
    /// Of a domain: those of its base type.
    package var schema: String
    package var name: String

    package init(oid: UInt32, schema: String, name: String) {
      self.oid = oid
      self.schema = schema
      self.name = name
    }
  }
}

// MARK: Rows

extension PgOutputMessage {
  /// A value of a row.
  package enum Field: Hashable, Sendable {
    /// NULL; in an old row of which only the key was sent, also "not sent".
    case null
    /// A value that is kept out of line and was not changed: it is not sent.
    case unchanged
    /// As the type's output function writes it. Types without a binary form come so.
    case text(Range<Int>)
    /// As the type's send function writes it, which is as a binary COPY has it.
    case binary(Range<Int>)
  }

  /// The fields of a row, in the order of ``Relation/columns``. Their ranges count from the message's first byte (its kind).
  package struct Tuple: Hashable, Sendable {
    package var fields: [Field]
    package init(_ fields: [Field]) { self.fields = fields }
  }

  /// What is sent of a row as it was.
  package enum OldRow: Hashable, Sendable {
    /// The columns of the replica identity; all others are ``Field/null``.
    case key(Tuple)
    /// All of it: the replica identity is `full`.
    case full(Tuple)
  }

  package struct Insert: Hashable, Sendable {
    package var relation: UInt32
    package var new: Tuple

    package init(relation: UInt32, new: Tuple) {
      self.relation = relation
      self.new = new
    }
  }

  package struct Update: Hashable, Sendable {
    package var relation: UInt32
    /// Nil: no column of the replica identity was changed.
    package var old: OldRow?
    package var new: Tuple

    package init(relation: UInt32, old: OldRow?, new: Tuple) {
      self.relation = relation
      self.old = old
      self.new = new
    }
  }

  package struct Delete: Hashable, Sendable {
    package var relation: UInt32
    package var old: OldRow

    package init(relation: UInt32, old: OldRow) {
      self.relation = relation
      self.old = old
    }
  }

  package struct Truncate: Hashable, Sendable {
    package var relations: [UInt32]
    package var cascades: Bool
    package var restartsIdentity: Bool

    package init(relations: [UInt32], cascades: Bool, restartsIdentity: Bool) {
      self.relations = relations
      self.cascades = cascades
      self.restartsIdentity = restartsIdentity
    }
  }
}
