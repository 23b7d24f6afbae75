// Everything a node tells of itself: to `hactl status`, over HTTP and in metrics. Written by the node's control role,
// read by everybody else as a snapshot; its JSON is the answer of the control socket.

/// A snapshot of one node. Durations are milliseconds counted back from the moment the snapshot was asked for.
public struct NodeStatus: Codable, Equatable, Sendable {
  public var cluster: String
  public var node: String
  public var incarnation: Int64
  public var version: String
  /// The worker's process, and the guard's (0 when there is none).
  public var pid: Int32
  public var guardPid: Int32 = 0

  /// Of the election core: starting, standby, promoting, active, draining, stepping-down, degraded, faulty, excused,
  /// stopped.
  public var state: String = "starting"
  /// Of the last transition, in words for people.
  public var reason: String = ""
  /// Since the last transition.
  public var stateMilliseconds: Int64 = 0
  /// The epoch led, or led last; nil before the first.
  public var epoch: Int64?
  public var timeline: UInt32?
  /// Nil while there is no lease.
  public var leaseLeftMilliseconds: Double?
  /// Who leads, and its epoch, as the last read of the database said.
  public var leader: String?
  public var clusterEpoch: Int64?
  /// Whether clients can connect to the intake.
  public var listening: Bool = false
  public var serviceAddresses: [Address] = []
  public var database = Database()
  public var peers: [Peer] = []
  public var paused: Pause?
  /// Nodes that an operator excluded from promotion.
  public var noPromote: [String] = []
  /// The node that alone may promote itself now.
  public var successor: String?
  /// What makes this node unfit to lead, in words for people.
  public var faults: [String] = []
  public var ingest = Ingest()
  public var tokens = Tokens()
  /// Filled where it is served, so only over HTTP.
  public var http = HTTP()
  public var lastTakeover: Takeover?
  public var process = Process()
  /// Of every critical thread, milliseconds since it last said that it is alive.
  public var threads: [Thread] = []

  public init(cluster: String, node: String, incarnation: Int64, version: String, pid: Int32) {
    self.cluster = cluster
    self.node = node
    self.incarnation = incarnation
    self.version = version
    self.pid = pid
  }

  /// One service IP. `held` is what was verified last.
  public struct Address: Codable, Equatable, Sendable {
    public var address: String
    public var interface: String
    public var held: Bool
    public init(address: String, interface: String, held: Bool) {
      self.address = address
      self.interface = interface
      self.held = held
    }
  }

  /// PostgreSQL as this node sees it.
  public struct Database: Codable, Equatable, Sendable {
    public var reachable = false
    /// Host and port, without secrets.
    public var server = ""
    /// Since the last answer; nil when there was none yet.
    public var lastAnswerMilliseconds: Double?
    /// How long the last beat in the lease session took.
    public var beatMilliseconds: Double?
    /// The last error; nil while it answers.
    public var error: String?
    public init() {}
  }

  /// Another node, as its beats tell.
  public struct Peer: Codable, Equatable, Sendable {
    public var node: String
    /// `unknown` when nothing was heard since the start.
    public var state = "unknown"
    public var incarnation: Int64?
    public var epoch: Int64?
    public var databaseReachable = false
    public var addressHeld = false
    public var silent = true
    public var links: [Link] = []
    public init(node: String) { self.node = node }
  }
  /// One way to a peer.
  public struct Link: Codable, Equatable, Sendable {
    /// The peer's address on this link.
    public var link: String
    /// Nil when nothing was heard on it yet.
    public var lastHeardMilliseconds: Double?
    public var roundTripMilliseconds: Double?
    public var received: UInt64 = 0
    /// Beats dropped, by reason (`BeatGate.Refusal`, `BeatFault`, `authentication`).
    public var dropped: [String: UInt64] = [:]
    public init(link: String) { self.link = link }
  }

  public struct Pause: Codable, Equatable, Sendable {
    public var by: String
    public var why: String
    public init(by: String, why: String) {
      self.by = by
      self.why = why
    }
  }

  /// The intake. Counters are since the start of the worker.
  public struct Ingest: Codable, Equatable, Sendable {
    /// Open client connections by protocol: `native`, `syslog-tcp`.
    public var connections: [String: Int] = [:]
    /// Committed, over the last second or so.
    public var recordsPerSecond: Double = 0
    /// Taken off the wire.
    public var received: UInt64 = 0
    /// Committed to PostgreSQL.
    public var committed: UInt64 = 0
    /// Acknowledged to their senders.
    public var acknowledged: UInt64 = 0
    public var rejected: UInt64 = 0
    public var overQuota: UInt64 = 0
    /// Dropped because their protocol can't wait.
    public var shed: UInt64 = 0
    public var bufferedBytes: Int64 = 0
    public var bufferLimitBytes: Int64 = 0
    /// Connections refused or closed by us, by reason.
    public var refused: [String: UInt64] = [:]
    /// Records refused one by one, by reason.
    public var rejectedByReason: [String: UInt64] = [:]
    /// Deliveries of stock senders by how they ended: `stored`, `repeated`, `refused`, `unavailable`.
    public var deliveries: [String: UInt64] = [:]
    public var deliveriesUnderWay = 0
    public var lanes: [Lane] = []
    /// Targets of the configuration; scraped by the active node only.
    public var scrape: [ScrapeTarget] = []
    public init() {}
  }
  /// Who may send.
  public struct Tokens: Codable, Equatable, Sendable {
    /// As last read.
    public var required = false
    /// Protocols without tokens that are taken even so.
    public var open: [String] = []
    public var valid = 0
    /// Since they were read last; nil before the first time.
    public var readMilliseconds: Double?
    /// Hellos, requests and connections refused, by reason.
    public var refused: [String: UInt64] = [:]
    /// The last of each source and reason, the newest first; at most 64.
    public var lately: [TokenRefused] = []
    public init() {}
  }
  public struct TokenRefused: Codable, Equatable, Sendable {
    /// What it called itself, or its address.
    public var source: String
    public var address: String
    public var wire: String
    public var reason: String
    public var mend: String
    public var count: UInt64
    public var agoMilliseconds: Double
    public init(
      source: String, address: String, wire: String, reason: String, mend: String, count: UInt64,
      agoMilliseconds: Double
    ) {
      (self.source, self.address, self.wire) = (source, address, wire)
      (self.reason, self.mend, self.count) = (reason, mend, count)
      self.agoMilliseconds = agoMilliseconds
    }
  }
  /// The node's own web server.
  public struct HTTP: Codable, Equatable, Sendable {
    /// By status.
    public var answers: [Int: UInt64] = [:]
    /// Connections closed without an answer, by reason.
    public var refused: [String: UInt64] = [:]
    public init() {}
  }
  public struct ScrapeTarget: Codable, Equatable, Sendable {
    public var url: String
    /// Nil where this node did not scrape it since it became active.
    public var isUp: Bool?
    /// Of the last scrape.
    public var samples = 0
    /// Scrapes committed, made but not stored, and never begun.
    public var stored = 0
    public var lost = 0
    public var skipped = 0
    public init(url: String) { self.url = url }
  }
  public struct Lane: Codable, Equatable, Sendable {
    public var lane: Int
    /// `idle`, `connecting`, `writing`, `stopped`, ...
    public var state: String
    public var batches: UInt64 = 0
    public var records: UInt64 = 0
    /// How long the last batch took from its BEGIN to its COMMIT.
    public var lastCommitMilliseconds: Double?
    public var retries: UInt64 = 0
    public init(lane: Int, state: String) {
      self.lane = lane
      self.state = state
    }
  }

  /// A promotion that was completed.
  public struct Takeover: Codable, Equatable, Sendable {
    public var epoch: Int64
    public var node: String
    /// RFC 3339.
    public var at: String
    public var reason: String
    /// When each phase ended, milliseconds from the beginning of the takeover.
    public var phases: [String: Double]
    public init(epoch: Int64, node: String, at: String, reason: String, phases: [String: Double]) {
      self.epoch = epoch
      self.node = node
      self.at = at
      self.reason = reason
      self.phases = phases
    }
  }

  public struct Process: Codable, Equatable, Sendable {
    public var residentKilobytes: Int = 0
    public var uptimeSeconds: Double = 0
    public init() {}
  }
  public struct Thread: Codable, Equatable, Sendable {
    public var name: String
    public var lastTickMilliseconds: Double
    /// A tick older than this means that the thread hangs.
    public var limitMilliseconds: Double
    public init(name: String, lastTickMilliseconds: Double, limitMilliseconds: Double = 1000) {
      self.name = name
      self.lastTickMilliseconds = lastTickMilliseconds
      self.limitMilliseconds = limitMilliseconds
    }
  }
}

extension NodeStatus {
  /// The process lives and no critical thread hangs.
  public var isHealthy: Bool { threads.allSatisfy { $0.lastTickMilliseconds <= $0.limitMilliseconds } }
  /// Serves clients.
  public var isActive: Bool { state == "active" }
  /// Leads, or could at once: nil; otherwise what is in the way.
  public var unreadiness: String? {
    if !isHealthy { return "a critical thread hangs" }
    if isActive { return nil }
    if !database.reachable { return "PostgreSQL is not reachable" }
    if let fault = faults.first { return fault }
    if state != "standby" && state != "promoting" { return "state is \(state)" }
    return nil
  }
}
