// The core itself: its state, its one entry point, and the order in which it looks at things.

/// Decides who leads. Value type; no I/O, no clock, no randomness: `handle` is a function of state, event and time.
public struct LeadershipCore: Sendable {
  public let settings: Settings
  public let cluster: ShortName
  public let me: NodeIncarnation
  public let peers: [ShortName]

  /// `settings` must be without `faults()`; `peers` are the other nodes of the cluster.
  public init(
    settings: Settings, cluster: ShortName, node: ShortName, incarnation: Int64, peers: [ShortName], at now: Instant
  ) {
    precondition(settings.faults().isEmpty, "settings are checked where they are read")
    self.settings = settings
    self.cluster = cluster
    me = NodeIncarnation(node: node, incarnation: incarnation)
    self.peers = peers.filter { $0 != node }.sorted()
    _ = now
  }

  /// When `.ticked` is due at the latest. Changes with every `handle`.
  public var nextDeadline: Instant { Instant(nanoseconds: 0) }

  /// Takes one event and says what is to be done, in order. `now` is the own boot clock; a `now` before the last one
  /// counts as the last one.
  public mutating func handle(_ event: Event, at now: Instant) -> [Effect] { [] }

  /// What operators and the page see.
  public var status: Status {
    Status(
      node: me, state: .starting, term: nil, leaseUntil: nil, databaseReachable: false, addressHeld: false,
      listening: false, paused: false, noPromote: false, successor: nil, faults: [], leader: nil, clusterTerm: nil,
      peers: [], lastTransition: nil, lastTakeover: nil)
  }
}
