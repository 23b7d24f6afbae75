// Counters of the intake, for status and metrics.
public import Platform

/// A consistent picture of the intake, at most a quarter of a second old. Counters grow from the start of the process.
public struct IngestSnapshot: Sendable, Equatable {
  /// Open connections by protocol; `greeting` have not said hello yet and are counted in `native`, too.
  public struct Connections: Sendable, Equatable {
    public var native = 0
    public var greeting = 0
    public var syslogTCP = 0
    /// Of protocols that deliver, by name.
    public var delivering: [String: Int] = [:]
    /// Of all of these, those over TLS, handshakes included.
    public var encrypted = 0
    /// Turned away because a bound was reached.
    public var refused = 0
    /// Waiting because a bound in bytes or records was reached.
    public var held = 0
    public init() {}
  }
  /// Bodies, chunks and packets of stock senders.
  public struct Deliveries: Sendable, Equatable {
    public var taken = 0
    /// Committed as a whole, for the first time.
    public var stored = 0
    /// Stored before, at least in part, or come again while they were under way.
    public var repeated = 0
    /// Never storable as they were.
    public var refused = 0
    /// Told to come again: the node stopped, or was full, or the source had its share.
    public var unavailable = 0
    /// Of them, those that found a bound reached.
    public var turnedAway = 0
    public var underWay = 0
    public var bytes = 0
    public init() {}
  }
  public enum LaneState: String, Sendable, Equatable { case connecting, warm, idle, writing, retrying, fenced, halted }
  public struct Lane: Sendable, Equatable {
    public var state = LaneState.connecting
    /// Transactions with records that committed.
    public var batches = 0
    public var rows = 0
    /// Attempts beyond the first, of any batch.
    public var retries = 0
    public var sessions = 0
    public var lastCommitMilliseconds = 0.0
    /// Records and bytes that wait for the lane, in hand and under way.
    public var queuedRows = 0
    public var queuedBytes = 0
    public init() {}
  }
  /// The epoch that is served; nil on a standby.
  public var epoch: Int64?
  /// When the intake's thread last said something of itself; old when it hangs.
  public var publishedAt = BootInstant(nanoseconds: 0)
  public var listening = false
  public var connections = Connections()
  public var deliveries = Deliveries()
  /// Records decoded, refused ones included.
  public var received = 0
  /// Records of numbered streams whose acknowledgement was sent.
  public var acknowledged = 0
  /// Records that committed, of senders with and without streams, refused ones included.
  public var committed = 0
  public var rejected = 0
  /// New names and label sets refused because their source had brought too many.
  public var overQuota = 0
  /// By reason; at most 64 reasons, the rest under `other`.
  public var rejectedByReason: [String: Int] = [:]
  /// Connections closed for breaking the protocol, by reason; bounded as above.
  public var refusedByReason: [String: Int] = [:]
  /// Messages and bytes that had to be dropped (UDP, or a lane given up).
  public var shedMessages = 0
  public var shedBytes = 0
  public var gaps = 0
  /// Connections, records and bodies refused because a worker crashed with them in hand.
  public var quarantined = 0
  public var bytesBuffered = 0
  /// Over the last second.
  public var committedPerSecond = 0.0
  public var lanes: [Lane] = []
  /// From activation to the first commit of records; nil before it.
  public var firstCommitMilliseconds: Double?
  public init() {}
}
