// The intake of the active node as the control thread sees it: start, activate, stop, drain, look.
public import Platform
internal import Postgres
internal import Telemetry

/// Owns the threads "ingest" (all sockets), "lane-0", "lane-1", ... (one PostgreSQL session each), "upkeep",
/// "retention", "rollups" and, where there are targets, "scrape".
public final class Ingest: Sendable {
  private let configuration: NodeConfiguration
  private let settings: IngestSettings
  private let sessions: DatabaseSessions
  private let report: @Sendable (IngestEvent) -> Void
  private let mailbox: Mailbox<IntakeMessage>
  private let upkeep: Mailbox<UpkeepCommand>
  private let upkeepInterrupt: Interrupt
  private let retention: Mailbox<HousekeepingCommand>
  private let retentionInterrupt: Interrupt
  private let scrape: Mailbox<ScrapeCommand>
  private let scraped = Guarded(ScrapeSnapshot())
  private let merging: Mailbox<HousekeepingCommand>
  private let mergingInterrupt: Interrupt
  private let gate = Gate()
  let tokens = TokenDesk()
  private let tokenCommands: Mailbox<TokenRole.Command>
  private let tokenInterrupt: Interrupt
  private let lanes: [LaneHandle]
  private let published = Guarded(IngestSnapshot())
  /// What is refused because workers crashed with it in hand, and what is known of such crashes.
  let quarantine = QuarantineBoard()
  let evidence: CrashEvidence?
  let trap: PlantedTrap?
  private let threads = Guarded<[ThreadBox]>([])

  /// A thread that is joined once.
  private final class ThreadBox {
    private var thread: RoleThread?
    init(_ thread: consuming RoleThread) { self.thread = consume thread }
    func join() { thread.take()?.join() }
  }

  /// `report` is called on the intake's own threads and has to return at once.
  public convenience init(
    configuration: NodeConfiguration, sessions: DatabaseSessions, evidence: CrashEvidence? = nil,
    trap: PlantedTrap? = nil, report: @escaping @Sendable (IngestEvent) -> Void
  ) throws {
    try self.init(
      configuration: configuration, sessions: sessions, settings: IngestSettings(configuration.ingest.patience),
      evidence: evidence, trap: trap, report: report)
  }
  init(
    configuration: NodeConfiguration, sessions: DatabaseSessions, settings: IngestSettings,
    evidence: CrashEvidence? = nil, trap: PlantedTrap? = nil,
    report: @escaping @Sendable (IngestEvent) -> Void
  ) throws {
    precondition(configuration.database.lanes > 0)
    (self.configuration, self.settings) = (configuration, settings)
    (self.sessions, self.report) = (sessions, report)
    (self.evidence, self.trap) = (evidence, trap)
    // Before PostgreSQL can be asked, the crashes that this node saw itself are known.
    var known = Quarantine()
    for crash in evidence?.pending().compactMap(Crash.init) ?? [] { known.suspect(crash.sender) }
    quarantine.set(known)
    mailbox = try Mailbox(capacity: 4096)
    upkeep = try Mailbox(capacity: 256)
    upkeepInterrupt = try Interrupt()
    retention = try Mailbox(capacity: 256)
    retentionInterrupt = try Interrupt()
    scrape = try Mailbox(capacity: 256)
    merging = try Mailbox(capacity: 256)
    mergingInterrupt = try Interrupt()
    tokenCommands = try Mailbox(capacity: 64)
    tokenInterrupt = try Interrupt()
    lanes = try (0..<configuration.database.lanes).map { try LaneHandle(number: $0) }
  }

  /// Starts the threads; lanes connect at once and stay warm.
  public func start() throws {
    let intake = try Intake(
      configuration: configuration, settings: settings, handles: lanes, gate: gate, mailbox: mailbox, upkeep: upkeep,
      published: published, tokens: tokens, quarantine: quarantine, evidence: evidence, trap: trap, report: report)
    let ingest = try RoleThread(name: "ingest") { intake.run() }
    keep(ingest)
    let (mailbox, upkeep, sessions, settings, report) = (mailbox, upkeep, sessions, settings, report)
    let post: @Sendable (IntakeMessage) -> Void = { mailbox.post($0) }
    let (hasRollups, evidence, trap) = (configuration.ingest.rollups, evidence, trap)
    for handle in lanes {
      let thread = try RoleThread(name: "lane-\(handle.number)") {
        enterEvidence(evidence, .lane(handle.number))
        var lane = Lane(
          handle: handle, sessions: sessions, settings: settings, hasRollups: hasRollups, trap: trap, report: report,
          post: post, needPartitions: { upkeep.post(.ensurePartitions) })
        lane.run()
      }
      keep(thread)
    }
    let interrupt = upkeepInterrupt
    let quarantine = quarantine
    let thread = try RoleThread(name: "upkeep") {
      var role = Upkeep(
        sessions: sessions, settings: settings, mailbox: upkeep, interrupt: interrupt,
        quarantine: QuarantineReading(board: quarantine, evidence: evidence, node: sessions.node), post: post)
      role.run()
    }
    keep(thread)
    let (retention, retentionInterrupt) = (retention, retentionInterrupt)
    let retaining = try RoleThread(name: "retention") {
      var role = Retention(
        sessions: sessions, settings: settings, mailbox: retention, interrupt: retentionInterrupt)
      role.run()
    }
    keep(retaining)
    let (merging, mergingInterrupt) = (merging, mergingInterrupt)
    let rollingUp = try RoleThread(name: "rollups") {
      var role = RollupMerging(
        sessions: sessions, settings: settings, mailbox: merging, interrupt: mergingInterrupt)
      role.run()
    }
    keep(rollingUp)
    try startTokens()
    if !configuration.scrape.targets.isEmpty { try startScraper() }
  }
  private func startTokens() throws {
    let (sessions, desk, commands) = (sessions, tokens, tokenCommands)
    let (interrupt, mailbox) = (tokenInterrupt, mailbox)
    keep(
      try RoleThread(name: "tokens") {
        var role = TokenRole(sessions: sessions, desk: desk, commands: commands, interrupt: interrupt) { changed in
          mailbox.post(.tokensRead(changed: changed))
        }
        role.run()
      })
  }
  private func startScraper() throws {
    let (mailbox, evidence, trap) = (mailbox, evidence, trap)
    let made = Guarded<Scraper?>(
      try Scraper(
        targets: configuration.scrape.targets, limits: ScrapeLimits(), commands: scrape, published: scraped,
        quarantine: quarantine, trap: trap
      ) { mailbox.post(.deliver($0, kind: "scrape", $1)) == .posted })
    keep(
      try RoleThread(name: "scrape") {
        guard var scraper = made.withLock({ $0.take() }) else { return }
        enterEvidence(evidence, .scrape)
        scraper.run()
      })
  }
  private func keep(_ thread: consuming RoleThread) {
    let box = ThreadBox(thread)
    threads.withLock { $0.append(box) }
  }

  /// Serves `epoch` on `timeline`: answered by `.listening` or `.listenFailed`.
  public func activate(epoch: Int64, token: Int64, timeline: UInt32, operation: UInt64) {
    tokens.activated()
    tokenCommands.post(.readNow)
    gate.open(epoch)
    let activation = Activation(epoch: epoch, token: token, timeline: timeline)
    mailbox.post(.activate(activation, operation: operation))
    retention.post(.activate(activation))
    scrape.post(.activate)
    merging.post(.activate(activation))
  }
  /// Demotion. When it returns, nothing is acknowledged any more; the rest is answered by `.stopped`.
  public func stop(reason: String, operation: UInt64) {
    gate.close()
    for lane in lanes { lane.interrupt.raise() }
    haltBystanders()
    mailbox.post(.stop(reason: reason, operation: operation))
  }
  /// Switchover: commits and acknowledges what was taken in, tells the clients; answered by `.drained`.
  public func drain(reason: String, deadline: BootInstant, operation: UInt64) {
    haltBystanders()
    mailbox.post(.drain(reason: reason, deadline: deadline, operation: operation))
  }
  private func haltBystanders() {
    retention.post(.halt)
    retentionInterrupt.raise()
    merging.post(.halt)
    mergingInterrupt.raise()
    scrape.post(.halt)
  }
  /// Whether deliveries can be taken now; a moment later it may be otherwise.
  var isServing: Bool { gate.isOpen }
  /// Hands a delivery over; `ticket` hears of its end. False when the intake is behind: then it never does.
  func deliver(_ delivery: Delivery, kind: String, _ ticket: WebTicket) -> Bool {
    mailbox.post(.deliver(delivery, kind: kind, ticket)) == .posted
  }
  /// Runs `body`, which tells clients what is committed, unless `epoch` is over; nil then.
  func whileServing<R>(_ epoch: Int64, _ body: () -> R) -> R? { gate.whileOpen(epoch, body) }
  /// At most a quarter of a second old.
  public func snapshot() -> IngestSnapshot { published.withLock { $0 } }
  /// Of the thread "scrape", as of its last step.
  public func scrapeSnapshot() -> ScrapeSnapshot { scraped.withLock { $0 } }

  /// Ends all threads and waits for them.
  public func shutDown() {
    gate.close()
    mailbox.post(.shutDown)
    for lane in lanes {
      lane.mailbox.post(.shutDown)
      lane.interrupt.raise()
    }
    upkeep.post(.shutDown)
    upkeepInterrupt.raise()
    scrape.post(.shutDown)
    tokenCommands.post(.shutDown)
    tokenInterrupt.raise()
    retention.post(.shutDown)
    retentionInterrupt.raise()
    merging.post(.shutDown)
    mergingInterrupt.raise()
    let running = threads.withLock { threads in
      let running = threads
      threads = []
      return running
    }
    for thread in running { thread.join() }
  }
}
