// What is recorded and shown: transitions with their reasons and phases, warnings, and the status snapshot.

/// Why the state changed.
public enum Reason: Equatable, Sendable, CustomStringConvertible {
  case started
  case ready
  case lockWon
  case served
  case leaseExpired
  case sessionLost(String)
  case lockLost
  case fenced(Term)
  case laneFenced
  case outranked(by: ShortName, TimelineTerm)
  case cutOff
  case addressLost
  case claimFailed(String)
  case renewFailed(String)
  case listenersFailed(String)
  case localFault(LocalFault)
  case faultsOver
  case notAllowed(String)
  case promotionFailed(String)
  case databaseUnreachable
  case databaseReturned(saidBy: ShortName)
  case peerSilent(ShortName)
  case switchover(to: ShortName?)
  case stopRequested
  case steppedDown
  case addressNotRemoved

  public var description: String {
    switch self {
    case .started: "started"
    case .ready: "ready to lead"
    case .lockWon: "lock won"
    case .served: "listeners open and address held"
    case .leaseExpired: "lease expired"
    case .sessionLost(let why): "lease session lost: \(why)"
    case .lockLost: "the lock is no longer held by the lease session"
    case .fenced(let term): "fenced: the database is at epoch \(term.epoch)"
    case .laneFenced: "a writer lane found another term or timeline"
    case .outranked(let by, let term): "\(by) leads epoch \(term.term.epoch) on timeline \(term.timeline)"
    case .cutOff: "cut off from PostgreSQL while a peer has it"
    case .addressLost: "address lost"
    case .claimFailed(let why): "address not claimed: \(why)"
    case .renewFailed(let why): "address not renewed: \(why)"
    case .listenersFailed(let why): "listeners not opened: \(why)"
    case .localFault(let fault): fault.description
    case .faultsOver: "local faults over"
    case .notAllowed(let why): why
    case .promotionFailed(let why): "promotion failed: \(why)"
    case .databaseUnreachable: "no node reaches PostgreSQL"
    case .databaseReturned(let node): "\(node) reaches PostgreSQL"
    case .peerSilent(let node): "\(node) fell silent"
    case .switchover(let node): "switchover to \(node?.text ?? "whoever wins")"
    case .stopRequested: "stop requested"
    case .steppedDown: "stepped down"
    case .addressNotRemoved: "address could not be removed"
    }
  }
}

/// A step of a takeover or switchover.
public enum Phase: String, Equatable, Sendable, CaseIterable {
  // Takeover, from the last sign of life of the former active (or the start of the wait).
  case detected, fenced, lockWon, leaseProven, oldSessionsEnded, bumped, listening, probed, claimed
  // Switchover.
  case drained, aborted, released, marked, unlocked
}

/// When a phase ended, measured from the transition's `began`.
public struct PhaseTime: Equatable, Sendable {
  public var phase: Phase
  public var after: Interval
  public init(phase: Phase, after: Interval) {
    self.phase = phase
    self.after = after
  }
}

/// One change of state, for the log, `ha.event` and `hactl history`.
public struct Transition: Equatable, Sendable {
  public var from: NodeState
  public var to: NodeState
  /// The term led, or led last.
  public var term: TimelineTerm?
  public var reason: Reason
  /// What the phases are measured from.
  public var began: Instant
  public var at: Instant
  /// Empty except for the end of a takeover or switchover.
  public var phases: [PhaseTime]
  public init(
    from: NodeState, to: NodeState, term: TimelineTerm?, reason: Reason, began: Instant, at: Instant,
    phases: [PhaseTime] = []
  ) {
    self.from = from
    self.to = to
    self.term = term
    self.reason = reason
    self.began = began
    self.at = at
    self.phases = phases
  }
}

/// What an operator should know though the state did not change. Each is given once per episode.
public enum Warning: Equatable, Sendable {
  /// No beat, yet the counter in the database moves: a broken link, not a death.
  case peerLinkBroken(ShortName)
  case peerLinkMended(ShortName)
  /// The core asks for this fence now.
  case fencing(NodeIncarnation, FenceReason)
  case fenceRefused(NodeIncarnation)
  case sessionsNotEnded(Int)
  /// Somebody answered for the address for longer than any of our nodes can; it is claimed all the same.
  case foreignAddressHolder(String)
  case duplicateAddress(String)
  case addressReclaimed
  case overslept(Interval)
  case sweepFailed(String)
}

/// Why the holder of the lock is fenced.
public enum FenceReason: String, Equatable, Sendable {
  /// No beat and no movement of its counter.
  case silent
  /// It said that it stepped down, yet its session holds the lock.
  case resigned
  /// Its counter has not moved for a lease lifetime, whatever it says.
  case stuck
  /// It has not bumped within a lease lifetime of winning the lock.
  case notBumped
}

/// A snapshot for `hactl status`, the page and the metrics.
public struct Status: Equatable, Sendable {
  public struct Link: Equatable, Sendable {
    public var link: UInt8
    public var lastHeard: Instant
    public var roundTrip: Interval?
  }
  public struct Peer: Equatable, Sendable {
    public var node: ShortName
    /// `nil` when nothing was heard since the start.
    public var lastBeat: PeerBeat?
    public var links: [Link]
    public var silent: Bool
  }
  public var node: NodeIncarnation
  public var state: NodeState
  /// The term led, or led last.
  public var term: TimelineTerm?
  /// `nil` while there is no lease.
  public var leaseUntil: Instant?
  public var databaseReachable: Bool
  public var addressHeld: Bool
  public var listening: Bool
  public var paused: Bool
  public var noPromote: Bool
  public var successor: ShortName?
  public var faults: [LocalFault]
  /// As the last read of the watch session said.
  public var leader: NodeIncarnation?
  public var clusterTerm: Term?
  public var peers: [Peer]
  public var lastTransition: Transition?
  /// The last completed promotion of this incarnation, with its phases.
  public var lastTakeover: Transition?
}
