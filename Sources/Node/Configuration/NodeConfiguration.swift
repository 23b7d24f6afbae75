// What one node is told by its file, `node.json5`: small and local. What the cluster shares lives in PostgreSQL.
public import Platform
public import Postgres

/// A node's own configuration, checked: every value here is usable as it stands.
public struct NodeConfiguration: Sendable {
  /// Cluster and node name, each `[a-z0-9-]{1,16}`.
  public var cluster: String
  public var node: String
  /// The user that the worker runs as; nil keeps the guard's.
  public var user: String?
  /// Holds the control socket and the lock file; lost at a reboot.
  public var runtimeFolder: String
  public var logLevel: LogLevel
  public var database: Database
  public var service: Service
  public var peers: Peers
  public var listen: Listen
  public var ingest: Ingest
  public var timing: Timing
  public var scrape = Scrape()

  public struct Database: Sendable {
    public var connection: ConnectionString
    /// Where reports are read, as an analyst: a replica, for instance. nil: `connection`.
    public var reports: ConnectionString?
    /// How many writer lanes; at least 2.
    public var lanes: Int
    public init(connection: ConnectionString, reports: ConnectionString? = nil, lanes: Int) {
      (self.connection, self.reports, self.lanes) = (connection, reports, lanes)
    }
  }

  /// The floating addresses and how they are claimed.
  public struct Service: Sendable {
    public var addresses: [ServiceAddress]
    /// Scripts in place of the built-in ones; nil renews and removes natively and claims with `ha/`'s own helpers.
    public var helpers: Helpers
    public init(addresses: [ServiceAddress], helpers: Helpers) {
      self.addresses = addresses
      self.helpers = helpers
    }
  }
  public struct ServiceAddress: Sendable, Equatable {
    /// Numeric IPv4 or IPv6, without a prefix length.
    public var address: String
    public var interface: String
    public init(address: String, interface: String) {
      self.address = address
      self.interface = interface
    }
  }
  /// Absolute paths of the helper scripts. `claim`, `release` and `status` always have one; `renew` is native when nil.
  public struct Helpers: Sendable, Equatable {
    public var claim: String
    public var renew: String?
    public var release: String
    public var status: String
    /// At most 400.
    public var deadlineMilliseconds: Int64
    public init(claim: String, renew: String?, release: String, status: String, deadlineMilliseconds: Int64 = 400) {
      self.claim = claim
      self.renew = renew
      self.release = release
      self.status = status
      self.deadlineMilliseconds = deadlineMilliseconds
    }
  }

  public struct Peers: Sendable {
    /// One UDP socket a link.
    public var listen: [SocketAddress]
    public var nodes: [Peer]
    /// As read at the start: the first key signs, every key verifies; each at least 32 bytes.
    public var keys: [[UInt8]]
    /// Where they are; the first one has companions during a rotation (see `BeatKeyFiles`).
    public var keyFiles: [String] = []
  }
  public struct Peer: Sendable, Equatable {
    public var node: String
    /// One address a link, in the order of `listen`.
    public var addresses: [SocketAddress]
  }

  /// Where clients are listened for. Only while active, but HTTP always; there records are taken while active.
  public struct Listen: Sendable {
    public var native: [SocketAddress]
    public var syslogTCP: [SocketAddress]
    public var syslogUDP: [SocketAddress]
    public var http: [SocketAddress]
    /// Fluent Forward, Zabbix sender protocol and Influx line protocol over TCP; none unless configured.
    public var forward: [SocketAddress] = []
    public var zabbix: [SocketAddress] = []
    public var influxTCP: [SocketAddress] = []
    /// What clients of `forward` have to show that they have; nil takes everybody.
    public var forwardSharedKey: [UInt8]?
    /// Syslog over TLS alone (RFC 5425); none unless configured.
    public var syslogTLS: [SocketAddress] = []
    /// TLS on the listeners above; nil is none.
    public var tls: TLS?
  }

  /// Bounds of the intake, in bytes and counts.
  public struct Ingest: Sendable {
    /// All buffered records together.
    public var memoryBytes: Int
    /// Records of one source on their way.
    public var perSourceBytes: Int
    public var maxConnections: Int
    public var maxConnectionsPerAddress: Int
    /// Longest line accepted, bytes.
    public var maxLine: Int
    /// Records a source may have unacknowledged.
    public var window: Int
    /// Whether lines without a hello are taken (and never acknowledged).
    public var allowAnonymous: Bool
    /// Whether rollups are written beside the records.
    public var rollups: Bool
    /// How slow a client may be.
    public var patience = Patience()
    public init(
      memoryBytes: Int = 64 << 20, perSourceBytes: Int = 4 << 20, maxConnections: Int = 8192,
      maxConnectionsPerAddress: Int = 4096, maxLine: Int = 65536, window: Int = 65536, allowAnonymous: Bool = false,
      rollups: Bool = true
    ) {
      self.memoryBytes = memoryBytes
      self.perSourceBytes = perSourceBytes
      self.maxConnections = maxConnections
      self.maxConnectionsPerAddress = maxConnectionsPerAddress
      self.maxLine = maxLine
      self.window = window
      self.allowAnonymous = allowAnonymous
      self.rollups = rollups
    }
  }

  /// How long a client is waited for, milliseconds; who needs longer is closed.
  public struct Patience: Sendable, Equatable {
    /// For its hello.
    public var helloMilliseconds: Int64 = 10_000
    /// For the rest of a line, chunk, packet or HTTP body that has begun; for an HTTP header half of it.
    public var messageMilliseconds: Int64 = 30_000
    /// Until it reads what it is answered.
    public var unreadMilliseconds: Int64 = 30_000
    public init() {}
  }

  /// The protocol's times, milliseconds. All nodes of a cluster have the same.
  public struct Timing: Sendable, Equatable {
    public var leaseMilliseconds: Int64 = 2000
    public var beatMilliseconds: Int64 = 250
    public var peerBeatMilliseconds: Int64 = 100
    public var silenceMilliseconds: Int64 = 500
    public var observationMilliseconds: Int64 = 750
    public init() {}
  }
}
