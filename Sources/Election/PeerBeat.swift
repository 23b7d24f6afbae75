// What a node says of itself in a UDP beat.

/// What a node does, as it tells its peers and its operators. The numbers are part of the beat's format.
public enum NodeState: UInt8, CaseIterable, Sendable {
  /// Started, has not read the cluster's state yet or has not swept the address yet.
  case starting = 0
  /// Ready to lead.
  case standby = 1
  /// Holds the lock, does not serve yet (or has to claim its address again).
  case promoting = 2
  /// Serves: lease valid, listeners open, address held.
  case active = 3
  /// Hands over: finishes what is in flight.
  case draining = 4
  /// Takes down listeners and address.
  case steppingDown = 5
  /// Holds the address without a lease while nobody has the database; acknowledges nothing.
  case degraded = 6
  /// Not in the race: a local fault, or its hold-down.
  case faulty = 7
  /// Not in the race: paused, no-promote, or somebody else is the named successor.
  case excused = 8
  /// The worker ends.
  case stopped = 9

  /// Whether a node in this state leads or is about to: its term is then a claim.
  public var leads: Bool {
    switch self {
    case .promoting, .active, .draining: true
    case .starting, .standby, .steppingDown, .degraded, .faulty, .excused, .stopped: false
    }
  }
}

/// One beat. Content comes from the core, `stamp` from the shell per link and peer.
public struct PeerBeat: Equatable, Sendable {
  public var cluster: ShortName
  public var from: NodeIncarnation
  /// Grows with every beat of this incarnation.
  public var counter: UInt64
  /// The term led now, or led last by this incarnation; `nil` before the first.
  public var term: TimelineTerm?
  public var state: NodeState
  /// PostgreSQL answered within the last second and nothing failed since.
  public var databaseReachable: Bool
  public var addressHeld: Bool
  /// "I led `term` and stepped down": a session of mine that still holds the lock may be ended at once.
  public var resigned: Bool
  public var stamp = BeatStamp()

  public init(
    cluster: ShortName, from: NodeIncarnation, counter: UInt64, term: TimelineTerm?, state: NodeState,
    databaseReachable: Bool, addressHeld: Bool, resigned: Bool
  ) {
    self.cluster = cluster
    self.from = from
    self.counter = counter
    self.term = term
    self.state = state
    self.databaseReachable = databaseReachable
    self.addressHeld = addressHeld
    self.resigned = resigned
  }
}

/// Where and when a beat was sent, and the echo by which the receiver measures the round trip.
public struct BeatStamp: Equatable, Sendable {
  /// The sender's number of the link (its place in the configuration).
  public var link: UInt8 = 0
  /// The sender's boot clock at the sending.
  public var sent = Instant(nanoseconds: 0)
  public var echo: BeatEcho? = nil
  public init() {}
  public init(link: UInt8, sent: Instant, echo: BeatEcho?) {
    self.link = link
    self.sent = sent
    self.echo = echo
  }
}

/// The receiver's own last stamp, given back: round trip = now - `sent` - `held`.
public struct BeatEcho: Equatable, Sendable {
  /// `sent` of the last beat that came from the one this beat goes to.
  public var sent: Instant
  /// How long it lay here before this beat went out.
  public var held: Interval
  public init(sent: Instant, held: Interval) {
    self.sent = sent
    self.held = held
  }
}
