// What the database says: rows and flags that come back from the lease session and the watch session.

/// The cluster's state as one statement read it.
public struct ClusterReading: Equatable, Sendable {
  /// `ha.leadership`.
  public var term: Term
  /// Read from live WAL: `pg_walfile_name(pg_current_wal_insert_lsn())`.
  public var timeline: UInt32
  /// No promotion anywhere.
  public var paused: Bool
  /// Not this node.
  public var noPromote: Bool
  /// The named successor of a switchover; `nil` when nobody is named or the database's clock says it expired.
  public var successor: ShortName?
  /// The term whose leader released the address verifiably before it unlocked; `nil` when there is none.
  public var cleanRelease: Term?
  /// The node that leads whenever it is sound, as operators set it; `nil`: nobody is preferred.
  public var failbackTo: ShortName?

  public init(
    term: Term, timeline: UInt32, paused: Bool = false, noPromote: Bool = false, successor: ShortName? = nil,
    cleanRelease: Term? = nil, failbackTo: ShortName? = nil
  ) {
    self.term = term
    self.timeline = timeline
    self.paused = paused
    self.noPromote = noPromote
    self.successor = successor
    self.cleanRelease = cleanRelease
    self.failbackTo = failbackTo
  }
}

/// One row of `ha.node`.
public struct BeatRow: Equatable, Sendable {
  public var node: NodeIncarnation
  public var counter: Int64
  public var state: NodeState
  public init(node: NodeIncarnation, counter: Int64, state: NodeState) {
    self.node = node
    self.counter = counter
    self.state = state
  }
}

/// The session that holds the advisory lock, from `pg_locks` joined with the parsed `application_name`.
public struct LockHolder: Equatable, Sendable {
  public var node: NodeIncarnation
  /// The backend's process id.
  public var backend: Int32
  public init(node: NodeIncarnation, backend: Int32) {
    self.node = node
    self.backend = backend
  }
}

/// What one read of the watch session returned.
public struct WatchReading: Equatable, Sendable {
  public var cluster: ClusterReading
  /// Who bumped to `cluster.term` (columns of `ha.leadership`); `nil` before the first promotion.
  public var leader: NodeIncarnation?
  /// `nil` when nobody holds the lock. A holder whose name can't be parsed is a matter for `doctor`, not for the core.
  public var holder: LockHolder?
  public var rows: [BeatRow]
  public init(cluster: ClusterReading, leader: NodeIncarnation?, holder: LockHolder?, rows: [BeatRow]) {
    self.cluster = cluster
    self.leader = leader
    self.holder = holder
    self.rows = rows
  }
}

/// What a beat in the lease session read back in its one statement.
public struct BeatReading: Equatable, Sendable {
  public var cluster: ClusterReading
  /// `pg_locks` shows the advisory lock with this very backend.
  public var lockHeld: Bool
  public var inRecovery: Bool
  public init(cluster: ClusterReading, lockHeld: Bool, inRecovery: Bool = false) {
    self.cluster = cluster
    self.lockHeld = lockHeld
    self.inRecovery = inRecovery
  }
}
