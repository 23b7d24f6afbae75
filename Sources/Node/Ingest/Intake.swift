// The ingest thread: owns every socket of the intake and decodes straight into the batches of the lanes.
internal import Platform
internal import Postgres
internal import TLS
internal import Telemetry

/// What other threads tell the intake.
enum IntakeMessage: Sendable {
  case activate(Activation, operation: UInt64)
  case stop(reason: String, operation: UInt64)
  case drain(reason: String, deadline: BootInstant, operation: UInt64)
  case deliver(Delivery, kind: String, WebTicket)
  case laneReturned(Int)
  case laneHalted(Int)
  case laneConnected(Int, Bool)
  /// Partitions exist for these times.
  case window(TimeWindow)
  /// What one source may bring in an hour.
  case quota(names: Int64, labelSets: Int64)
  /// What is refused has changed.
  case quarantineChanged
  /// Somebody watches these hosts for so many seconds more.
  case watched([String: Int64])
  case tokensRead(changed: Bool)
  case shutDown
}

/// State of the thread "ingest".
final class Intake {
  enum Phase {
    case standby
    case serving(Activation)
    /// Nothing is read any more; what is decoded is committed and acknowledged.
    case draining(Activation, reason: String, deadline: BootInstant, operation: UInt64)
    /// Everything is told; clients may close by themselves until then.
    case parting(Activation, until: BootInstant, operation: UInt64, complete: Bool)
    case halting(HaltAnswer)
  }
  enum HaltAnswer { case stopped(UInt64), drained(UInt64, complete: Bool) }

  let configuration: NodeConfiguration
  let settings: IngestSettings
  let node: String
  let report: @Sendable (IngestEvent) -> Void
  let mailbox: Mailbox<IntakeMessage>
  let gate: Gate
  let published: Guarded<IngestSnapshot>
  let upkeep: Mailbox<UpkeepCommand>
  let fronts: [LaneFront]
  let tokens: TokenDesk
  let quarantine: QuarantineBoard
  let evidence: CrashEvidence?
  let trap: PlantedTrap?

  var poller: Poller
  var phase = Phase.standby
  var listeners: [Listener] = []
  var connections: [UInt64: ClientConnection] = [:]
  /// Which connection a stream belongs to: the one with the newest hello.
  var streams: [Int64: UInt64] = [:]
  var sources: [String: SourceBudget] = [:]
  var perAddress: [String: Int] = [:]
  var desk = DeliveryDesk()
  var handshakes: HandshakeDesk
  var nextToken: UInt64 = 1 << 16
  var reserve: Descriptor?
  /// Of connections, however many are configured: descriptors are left for what is no client.
  var connectionLimit = 0
  var window: TimeWindow?
  var undecided: [UndecidedHello] = []
  /// Whether datagrams are taken: asked of the tokens when they change, not for each. Nil before they were ever read: then
  /// listeners whose senders show no token wait.
  var takesSyslog: Bool?
  /// Times are asked for in microseconds since 2000-01-01 (UTC) by the decoders.
  static let epoch2000Microseconds: Int64 = 946_684_800_000_000

  var scratch = [UInt8](repeating: 0, count: 65_536)
  /// What clients' lines and answers take beyond the least of each.
  var bufferBytes = 0
  var shed = ShedCounts()
  var counters = IngestSnapshot()
  var activatedAt: BootInstant?
  var hasCommitted = false
  var rate = Rate()
  var nextTick = BootInstant.now()
  var nextPublication = BootInstant.now()
  var nextShedFlush = BootInstant.now()
  var nextQuotas = BootInstant.after(milliseconds: 3_600_000)
  var lastAcceptWarning = BootInstant(nanoseconds: 0)
  var isShuttingDown = false

  init(
    configuration: NodeConfiguration, settings: IngestSettings, handles: [LaneHandle], gate: Gate,
    mailbox: Mailbox<IntakeMessage>, upkeep: Mailbox<UpkeepCommand>, published: Guarded<IngestSnapshot>,
    tokens: TokenDesk, quarantine: QuarantineBoard, evidence: CrashEvidence?, trap: PlantedTrap?,
    report: @escaping @Sendable (IngestEvent) -> Void
  ) throws(SystemError) {
    (self.configuration, self.settings, node) = (configuration, settings, configuration.node)
    (self.report, self.mailbox, self.gate) = (report, mailbox, gate)
    (self.published, self.upkeep, self.tokens) = (published, upkeep, tokens)
    (self.quarantine, self.evidence, self.trap) = (quarantine, evidence, trap)
    handshakes = HandshakeDesk(configuration.listen.tls)
    fronts = handles.map { LaneFront(handle: $0, maxLine: configuration.ingest.maxLine) }
    poller = try Poller()
    try poller.add(mailbox.descriptor, token: 0)
    reserve = spareDescriptor(like: mailbox.descriptor)
  }

  func run() {
    enterEvidence(evidence, .ingest)
    while !isShuttingDown {
      let count = poller.wait(until: nextDeadline())
      for index in 0..<count {
        let event = poller.event(index)
        switch event.token {
        case 0: takeMessages()
        case 1..<(1 << 16): listenerReady(Int(event.token) - 1)
        default: connectionReady(event)
        }
      }
      let now = BootInstant.now()
      serveNoted()
      for front in fronts { dispatch(front, now) }
      proceed(now)
      if now >= nextTick { tick(now) }
    }
    closeListeners()
    resetAll()
  }

  private func nextDeadline() -> BootInstant {
    var deadline = nextTick
    if !handshakes.noted.isEmpty { deadline = .now() }
    for front in fronts where !front.isBusy {
      if let begun = front.begunAt { deadline = min(deadline, begun.adding(milliseconds: lingerMilliseconds)) }
    }
    switch phase {
    case .draining(_, _, let until, _): deadline = min(deadline, until)
    case .parting(_, let until, _, _): deadline = min(deadline, until)
    case .standby, .serving, .halting: break
    }
    return deadline
  }

  private func takeMessages() {
    for message in mailbox.takeAll() {
      switch message {
      case .activate(let activation, let operation): activate(activation, operation)
      case .stop(let reason, let operation): stop(reason, .stopped(operation))
      case .drain(let reason, let deadline, let operation): drain(reason, deadline, operation)
      case .deliver(let delivery, let kind, let ticket): submit(delivery, kind: kind, from: .web(ticket))
      case .laneReturned(let number): returned(fronts[number])
      case .laneHalted(let number):
        fronts[number].haltsAwaited -= 1
        haltedFurther()
      case .laneConnected(let number, let has):
        fronts[number].hasSession = has
        if has, fronts.allSatisfy({ $0.hasSession }) { report(.lanesReady(fronts.count)) }
      case .window(let window):
        self.window = window
        for front in fronts {
          front.native.window = window
          front.syslog.window = window
          front.encoder.window = window
          resumeHeld(front)
        }
      case .quarantineChanged: judgeAll()
      case .watched(let hosts): tellWatched(hosts)
      case .tokensRead(let changed): tokensRead(changed: changed)
      case .quota(let names, let labelSets):
        for front in fronts { front.setQuota(names: names, labelSets: labelSets) }
      case .shutDown: isShuttingDown = true
      }
    }
  }

  // MARK: phases

  var activation: Activation? {
    switch phase {
    case .serving(let activation), .draining(let activation, _, _, _), .parting(let activation, _, _, _): activation
    case .standby, .halting: nil
    }
  }
  var isServing: Bool { if case .serving = phase { true } else { false } }

  private func activate(_ activation: Activation, _ operation: UInt64) {
    if self.activation != nil { abandon() }
    if case .halting(let answer) = phase { report(answer) }
    phase = .serving(activation)
    activatedAt = .now()
    quarantine.activated()
    hasCommitted = false
    counters.firstCommitMilliseconds = nil
    for front in fronts {
      front.isFenced = false
      front.handle.mailbox.post(.activate(activation))
    }
    upkeep.post(.activate(activation))
    do {
      try openListeners()
      report(.listening(operation: operation, at: .now()))
    } catch {
      closeListeners()
      report(.listenFailed(operation: operation, reason: "\(error)"))
    }
    publish()
  }

  /// Everything ends at once; answered when the lanes have given up, too.
  private func stop(_ reason: String, _ answer: HaltAnswer) {
    if !reason.isEmpty { log(.notice, "intake stops", ["reason": reason]) }
    abandon()
    phase = .halting(answer)
    for front in fronts {
      front.haltsAwaited += 1
      front.handle.mailbox.post(.halt)
    }
    publish()
  }
  private func abandon() {
    closeListeners()
    abandonDeliveries()
    resetAll()
    for front in fronts {
      countLost(front.fillingUnnumbered, "stopped")
      front.forget()
      front.held = []
    }
    undecided = []
    upkeep.post(.halt)
  }
  private func haltedFurther() {
    guard case .halting(let answer) = phase, fronts.allSatisfy({ $0.haltsAwaited == 0 }) else { return }
    phase = .standby
    report(answer)
    publish()
  }
  private func report(_ answer: HaltAnswer) {
    switch answer {
    case .stopped(let operation): report(.stopped(operation: operation))
    case .drained(let operation, let complete): report(.drained(operation: operation, complete: complete))
    }
  }

  private func drain(_ reason: String, _ deadline: BootInstant, _ operation: UInt64) {
    guard case .serving(let activation) = phase else {
      report(.drained(operation: operation, complete: false))
      return
    }
    log(.notice, "intake drains", ["reason": reason])
    readLastOfSyslog()
    closeListeners()
    closeOpening()
    phase = .draining(activation, reason: reason, deadline: deadline, operation: operation)
    retryParked()
    for connection in connections.values { adjust(connection) }
  }

  /// Moves a drain on as far as it can go.
  private func proceed(_ now: BootInstant) {
    switch phase {
    case .draining(let activation, let reason, let deadline, let operation):
      let isEmpty = fronts.allSatisfy { !$0.isBusy && $0.filling.isEmpty && $0.held.isEmpty } && desk.isEmpty
      guard isEmpty || now >= deadline else { return }
      abandonDeliveries()
      for connection in Array(connections.values) {
        switch connection.wire {
        case .native: perform(connection, connection.native.draining(reason: reason))
        case .syslogTCP: close(connection, resetting: false)
        case .delivery:
          // Its last answers are on their way: a close now could take them back.
          connection.closeAt = .after(milliseconds: settings.farewellMilliseconds)
          adjust(connection)
        }
      }
      phase = .parting(
        activation, until: now.adding(milliseconds: settings.farewellMilliseconds), operation: operation,
        complete: isEmpty)
    case .parting(_, let until, let operation, let complete):
      guard connections.isEmpty || now >= until else { return }
      gate.close()
      for front in fronts where front.isBusy { front.handle.interrupt.raise() }
      stop("", .drained(operation, complete: complete))
    case .standby, .serving, .halting: return
    }
  }

  private func resetAll() {
    for connection in Array(connections.values) { close(connection, resetting: true) }
  }
}
