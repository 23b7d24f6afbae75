// Records that are acknowledged as one: what the sessions of stock senders' protocols ask of the intake.

/// A body, chunk or packet of a stock sender, decoded. Acknowledged after the COMMIT of all its records.
public struct Delivery: Equatable, Sendable {
  /// What tells it from every other delivery of its source, when the sender repeats it: 1 to 200 bytes. A delivery with
  /// a key is stored once, however often it comes; without one it is stored each time (at least once).
  public var key: [UInt8]?
  /// Who sends: the name of a token, a client's own name, or its address. Bounds and quotas are per source.
  public var source: String
  /// In an order that decoding the same bytes again repeats: a second attempt goes on where the first ended.
  public var records: [Record]
  /// Records that are lines of the native protocol; they count behind `records`.
  public var lines = NativeLines()
  /// What of it is no record at all: kept in `ingest.rejected`, in the transaction of the records. They count behind
  /// records and lines: the index of the first one in `DeliveryReject` is `records.count + lines.count`.
  public var faults: [DeliveryFault]
  /// Where senders choose keys freely: tells contents apart, so that a key used again with others is refused instead of
  /// taken for a repetition. 0 where the key says enough.
  public var digest: Int64
  public init(
    key: [UInt8]?, source: String, records: [Record], faults: [DeliveryFault] = [], digest: Int64 = 0
  ) {
    (self.key, self.source, self.records) = (key, source, records)
    (self.faults, self.digest) = (faults, digest)
  }
  /// Why one is refused whose key came before with another `digest`.
  public static let keyConflict = "the key was used before, for other contents"
  /// Whether a sender may be called so.
  public static func isSource(_ name: String) -> Bool {
    isName(name.utf8)
  }
  /// Why one is refused that is called otherwise.
  public static let badSource = "the source has to have 1 to 200 bytes, without control characters"
  /// Records, lines and faults.
  public var count: Int { records.count + lines.count + faults.count }
  /// About what it takes in memory.
  public var heldBytes: Int {
    lines.heldBytes + records.reduce(0) { $0 + $1.heldBytes }
      + faults.reduce(0) { $0 + 64 + $1.raw.count + $1.reason.utf8.count }
  }
}

/// Bytes that a decoder could make no record of.
public struct DeliveryFault: Equatable, Sendable {
  public var reason: String
  /// As received; cut at 64 KiB when it is stored.
  public var raw: [UInt8]
  public init(reason: String, raw: [UInt8]) { (self.reason, self.raw) = (reason, raw) }
}

/// Bounds of one session or request; what exceeds them is refused or waits, but is never held.
public struct DeliveryLimits: Equatable, Sendable {
  /// Of one message, chunk or body as it comes off the wire.
  public var messageBytes = 4 << 20
  /// Of one message, chunk or body when it is unpacked; and how many times its packed size it may have, beyond the
  /// third. Telemetry packs to a tenth or a thirtieth; what packs to a thousandth was made to keep us busy.
  public var inflatedBytes = 8 << 20
  public var inflatedRatio = 100
  public var inflatedFreely = 128 << 10
  /// In one delivery.
  public var records = 65_536
  /// Arrays and maps inside each other.
  public var depth = 64
  /// Deliveries of one connection that are not answered yet: a session with as many asks not to be read.
  public var underWay = 64
  public init() {}

  /// How much may come out of so many packed bytes.
  public func inflatedBytes(ofPacked count: Int) -> Int {
    min(inflatedBytes, max(inflatedFreely, min(count, messageBytes) * inflatedRatio))
  }
}

/// How a delivery ended.
public enum DeliveryOutcome: Equatable, Sendable {
  /// Everything is in PostgreSQL, each record either as a row or, refused, in `ingest.rejected`. `isDuplicate`: it was
  /// there already.
  case stored(isDuplicate: Bool, rejects: [DeliveryReject])
  /// Nothing may be acknowledged; the sender may try again after this many seconds (the node stops, or is full).
  case unavailable(retryAfterSeconds: Int)
  /// As `unavailable`, but others may still be taken: this source alone has its share of what may be under way.
  case overShare(retryAfterSeconds: Int)
  /// It can never be stored as it is (too many records, a key used for other contents): a repetition won't help.
  case refused(reason: String)
}

/// A record that was refused, by its index in `Delivery.records`.
public struct DeliveryReject: Equatable, Sendable {
  public var index: Int
  public var reason: String
  public init(index: Int, reason: String) { (self.index, self.reason) = (index, reason) }
}

/// What a session of a TCP protocol wants done, in this order.
public enum DeliveryAction: Equatable, Sendable {
  case send([UInt8])
  /// Answered by `delivered(number, outcome)`; the session numbers its deliveries from 1 on.
  case deliver(number: Int, Delivery)
  /// Close when everything is sent. A reason that is not empty is counted and logged.
  case close(reason: String)
}
