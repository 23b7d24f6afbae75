// The core itself: its state, its one entry point, and the order in which it looks at things.

/// Decides who leads. Value type; no I/O, no clock, no randomness: `handle` is a function of state, event and time.
///
/// Every call runs in the same order: what time alone ends (the lease first of all), then the event, then what is now
/// to be asked of each executor, then what peers and operators are to be told.
public struct LeadershipCore: Sendable {
  public let settings: Settings
  public let cluster: ShortName
  public let me: NodeIncarnation
  public let peers: [ShortName]

  var out: [Effect] = []
  var lastNow: Instant
  /// `nextDeadline` after the last event.
  package var deadlineAsked: Instant
  /// Start, or the end of the last oversleep: silence is never measured from before it.
  var awakeSince: Instant
  var lastID: UInt64 = 0

  var role = Role.standby
  var stopCommand: CommandID?
  /// The term led now or last by this incarnation.
  package var ledTerm: TimelineTerm?
  /// `ledTerm` was given up.
  var resigned = false
  var holdOffUntil: Instant
  var faults: [LocalFault] = []
  var faultFreeAt: Instant
  var threadsTicking = true

  // Lease session.
  var leaseOp: Pending<LeaseCommand>?
  var leaseSession: OperationID?
  var leaseRetryAt: Instant
  var leaseRetryPause: Interval
  var leaseUntil: Instant?
  /// Sending of the beat that proves the lease.
  var provenSent: Instant?
  var beatCounter: Int64 = 0
  var nextBeatAt: Instant

  // Watch session.
  var watchOp: Pending<WatchCommand>?
  /// The read in flight began before an oversleep.
  var watchOpOverslept = false
  var nextReadAt: Instant
  var reading: WatchReading? {
    didSet { (hasRead, isExcused) = (reading != nil, excuse != nil) }
  }
  /// The term last seen without the mark of a clean release, on the timeline it was seen on.
  var unreleasedTerm: TimelineTerm?
  /// What every event asks of `reading`, without a copy of it.
  private(set) var hasRead = false
  private(set) var isExcused = true
  var readingAt: Instant
  var window: JudgeWindow?
  /// The session that held the lock while its node said that it leads the term: what a resignation is about.
  var rulingSession: LockHolder?
  /// The last successful fence, for the phases of the takeover.
  var fencedHolder: (node: NodeIncarnation, askedAt: Instant, fencedAt: Instant)?
  var databaseSuccessAt: Instant?
  var databaseFailed = true
  var databaseBackAt: Instant

  // Address.
  package var address = AddressState.unknown
  var addressOp: Pending<AddressCommand>?
  var renewedAt: Instant?
  var renewDue = false
  var renewFailures = 0
  var reclaimedAt: Instant?
  var nextSweepAt: Instant
  var sweepWarned = false

  // Ingest.
  var ingest = IngestState.closed
  var ingestOp: Pending<IngestCommand>?

  // Peers.
  var views: [PeerView]
  var peerCounter: UInt64 = 0
  var nextPeerBeatAt: Instant
  var lastSent: PeerBeat?

  // What is told.
  /// The simulator looks at some parts with every event, without making a `Status`: they are visible to the package.
  package var published = NodeState.starting
  var why = Reason.started
  var lastTransition: Transition?
  var lastTakeover: Transition?

  /// `settings` must be without `faults()`; `peers` are the other nodes of the cluster; `incarnation` is positive.
  public init(
    settings: Settings, cluster: ShortName, node: ShortName, incarnation: Int64, peers: [ShortName], at now: Instant
  ) {
    precondition(settings.faults().isEmpty, "settings are checked where they are read")
    precondition(incarnation > 0, "an incarnation is positive")
    self.settings = settings
    self.cluster = cluster
    me = NodeIncarnation(node: node, incarnation: incarnation)
    self.peers = Set(peers).subtracting([node]).sorted()
    views = self.peers.map { PeerView(node: $0) }
    lastNow = now
    deadlineAsked = now
    awakeSince = now
    holdOffUntil = now
    faultFreeAt = now
    leaseRetryAt = now
    leaseRetryPause = settings.retryFirst
    nextBeatAt = now
    nextReadAt = now
    readingAt = now
    databaseBackAt = now
    nextSweepAt = now
    nextPeerBeatAt = now
  }

  /// Takes one event and says what is to be done, in order. `now` is the own boot clock; a `now` before the last one
  /// counts as the last one.
  public mutating func handle(_ event: Event, at now: Instant) -> [Effect] {
    if isStopped { return [] }
    let now = max(now, lastNow)
    lastNow = now
    if now > deadlineAsked + settings.oversleepLimit { overslept(at: now) }
    enforceTime(at: now)
    take(event, at: now)
    enforceTime(at: now)
    drive(at: now)
    tell(at: now)
    deadlineAsked = dueNext
    // Handed over, not copied; most events ask for nothing.
    if out.isEmpty { return [] }
    defer { out = [] }
    return out
  }

  private mutating func take(_ event: Event, at now: Instant) {
    switch event {
    case .ticked: break
    case .leaseAnswered(let id, let result): leaseAnswered(id, result, at: now)
    case .leaseSessionLost(let session, let reason):
      if session == leaseSession { leaseSessionLost(reason, at: now) }
    case .watchAnswered(let id, let result): watchAnswered(id, result, at: now)
    case .addressAnswered(let id, let result): addressAnswered(id, result, at: now)
    case .addressLost: addressLost(at: now)
    case .duplicateAddressSeen(let who): out.append(.warn(.duplicateAddress(who)))
    case .ingestAnswered(let id, let result): ingestAnswered(id, result, at: now)
    case .laneFenced(let term): laneFenced(term, at: now)
    case .peerBeat(let beat, let roundTrip): peerBeatHeard(beat, roundTrip: roundTrip, at: now)
    case .faultBegan(let fault): faultBegan(fault, at: now)
    case .faultEnded(let fault): faultEnded(fault, at: now)
    case .criticalThreads(let ticking): threadsTicking = ticking
    case .commanded(let id, let command): commanded(id, command, at: now)
    }
  }

  /// What was known of the others is as old as the sleep: the window starts again, silence counts from now.
  private mutating func overslept(at now: Instant) {
    out.append(.warn(.overslept(now - deadlineAsked)))
    awakeSince = now
    window = nil
    watchOpOverslept = watchOp != nil
  }

  private mutating func enforceTime(at now: Instant) {
    enforceAnswers(at: now)
    enforceLease(at: now)
    enforceDegraded(at: now)
  }

  private mutating func drive(at now: Instant) {
    if isStopped { return }
    driveHandover(at: now)
    driveIngest(at: now)
    driveAddress(at: now)
    driveLease(at: now)
    driveWatch(at: now)
    driveFailback(at: now)
  }

  private var isStopped: Bool { if case .stopped = role { true } else { false } }

  mutating func nextID() -> OperationID {
    lastID += 1
    return OperationID(number: lastID)
  }

  /// An executor that is late beyond the grace counts as failed; whatever it says afterwards is dropped.
  private mutating func enforceAnswers(at now: Instant) {
    let grace = settings.answerGrace
    if let op = leaseOp, now >= op.deadline + grace {
      if op.command == .close {
        leaseOp = nil
      } else {
        leaseAnswered(op.id, .failed("no answer in time", sessionLost: true), at: now)
      }
    }
    if let op = watchOp, now >= op.deadline + grace { watchAnswered(op.id, .failed("no answer in time"), at: now) }
    if let op = addressOp, now >= op.deadline + grace { addressAnswered(op.id, .failed("no answer in time"), at: now) }
    if let op = ingestOp, now >= op.deadline + grace { ingestAnswered(op.id, .failed("no answer in time"), at: now) }
  }

  /// When `.ticked` is due at the latest. Changes with every `handle`.
  public var nextDeadline: Instant { dueNext }

  // Asked with every event: a call from a mutating function would copy the whole core, here as in the other readers
  // that are inlined.
  @inline(__always)
  private var dueNext: Instant {
    if isStopped { return Instant(nanoseconds: .max) }
    var next = nextPeerBeatAt
    func consider(_ instant: Instant?) { if let instant, instant < next { next = instant } }
    /// What is past and not done yet waits for something that happens, not for time: no reason to wake again.
    func considerAhead(_ instant: Instant?) { if let instant, instant > lastNow { consider(instant) } }
    let grace = settings.answerGrace
    consider(leaseOp.map { $0.deadline + grace })
    consider(watchOp.map { $0.deadline + grace })
    consider(addressOp.map { $0.deadline + grace })
    consider(ingestOp.map { $0.deadline + grace })
    consider(leaseUntil)
    considerAhead(databaseSuccessAt.map { $0 + settings.reachabilityLifetime })
    if watchOp == nil { consider(nextReadAt) }
    switch role {
    case .standby, .degraded:
      if address == .unknown { considerAhead(nextSweepAt) }
      if leaseOp == nil, mayQueue(at: lastNow) {
        consider(leaseRetryAt)
      } else if leaseOp == nil {
        considerAhead(holdOffUntil)
        considerAhead(faultFreeAt)
        considerAhead(databaseBackAt + settings.headStart)
      }
      if case .degraded(let degraded) = role, !degraded.confirmed {
        considerAhead(degraded.since + settings.reachabilitySettle)
        considerAhead(degraded.decideBy)
      }
    case .steppingDown, .stopped: break
    case .reigning(let reign):
      if leaseOp == nil { consider(nextBeatAt) }
      if let op = leaseOp, case .beat = op.command { consider(op.began + settings.unansweredBeatLimit) }
      if addressOp == nil, !reign.mayClaim { considerAhead(reign.nextProbeAt) }
    case .handingOver: if leaseOp == nil { consider(nextBeatAt) }
    }
    if let window, let place = place(of: window.holder.node.node) {
      considerAhead(views[place].lastHeard.map { $0 + settings.peerSilence })
    }
    // What is due and could not be done now is tried again a millisecond later, never in a spin.
    return max(next, lastNow + .milliseconds(1))
  }

  /// What operators and the page see.
  public var status: Status {
    Status(
      node: me, state: published, term: ledTerm, leaseUntil: leaseUntil,
      databaseReachable: databaseReachable(at: lastNow), addressHeld: address == .held, listening: ingest == .open,
      paused: reading?.cluster.paused ?? false, noPromote: reading?.cluster.noPromote ?? false,
      successor: reading?.cluster.successor, faults: faults, leader: reading?.leader,
      clusterTerm: reading?.cluster.term,
      peers: views.map {
        Status.Peer(node: $0.node, lastBeat: $0.lastBeat, links: $0.links, silent: isSilent($0, at: lastNow))
      },
      lastTransition: lastTransition, lastTakeover: lastTakeover)
  }
}
