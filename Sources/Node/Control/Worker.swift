// The unprivileged worker: starts every role of the node, and ends them.
internal import Configuration
internal import Election
internal import Platform
internal import Postgres

/// Runs the worker until it is asked to stop or has to go; the process's exit status (see `WorkerExit`).
/// Called in the process that the guard started, with the channel to the guard as descriptor 3.
///
/// `trap` is for a program of the tests alone: the worker then crashes on records that hold its marker.
public func runWorker(configurationPath: String, trap: PlantedTrap? = nil) -> Int32 {
  let configuration: NodeConfiguration
  do {
    configuration = try NodeConfiguration.load(path: configurationPath)
  } catch {
    return refuse(error.description)
  }
  configureLog(
    threshold: configuration.logLevel, identity: "cluster=\(configuration.cluster) node=\(configuration.node)")
  ignoreBrokenPipe()
  do {
    // Blocked before the first thread starts, so that no thread takes them.
    let signals = try SignalDescriptor([15, 2])
    let guardClient = try enterWorker(configuration: configuration)
    let evidence = inheritedEvidence()
    let sessions = try databaseSessions(configuration)
    let worker = try Worker(
      configuration: configuration, sessions: sessions, guardClient: guardClient, evidence: evidence, trap: trap)
    return worker.run(signals: signals)
  } catch let error as PostgresError {
    return refuse(error.message)
  } catch {
    return refuse("\(error)")
  }
}

private func refuse(_ why: String) -> Int32 {
  log(.error, "refused to start", ["reason": why])
  return WorkerExit.refused
}

/// Checks the database when it answers. A database that is away is no reason to stay down: the node waits for it.
private func databaseSessions(_ configuration: NodeConfiguration) throws(PostgresError) -> DatabaseSessions {
  func sessions(_ incarnation: Int64) -> DatabaseSessions {
    let sessions = DatabaseSessions(
      connection: configuration.database.connection, cluster: configuration.cluster, node: configuration.node,
      incarnation: incarnation, leaseMilliseconds: configuration.timing.leaseMilliseconds)
    sessions.refreshEndpoints()
    return sessions
  }
  let first = sessions(wallMicroseconds())
  let deadline = BootInstant.after(milliseconds: 3000)
  do {
    var session = try first.open(.watch, deadline: deadline)
    try requirePreconditions(&session, cluster: configuration.cluster, deadline: deadline)
    try requireRightToEndSessions(first, deadline: deadline)
    // The wall clock may have gone back since the last run; an incarnation never does.
    let stored = try session.query(
      "SELECT incarnation FROM ha.node WHERE node = $1", [configuration.node], deadline: deadline)
    if let last = stored.scalar.flatMap({ Int64($0) }), last >= first.incarnation { return sessions(last + 1) }
  } catch  where error.reason == .misuse {
    throw error
  } catch {
    log(.warning, "PostgreSQL cannot be checked yet, the node waits for it", ["reason": error.description])
  }
  return first
}

/// The roles of one node and their threads.
final class Worker {
  private let configuration: NodeConfiguration
  private let sessions: DatabaseSessions
  private let mailbox: Mailbox<ControlRole.Message>
  private let executors: ControlRole.Executors
  private let control: Guarded<ControlRole?>
  private let board: StatusBoard
  private let keys: KeyRole
  private let ended: Mailbox<Int32>

  init(
    configuration: NodeConfiguration, sessions: DatabaseSessions, guardClient: GuardClient, evidence: CrashEvidence?,
    trap: PlantedTrap?
  ) throws {
    self.configuration = configuration
    self.sessions = sessions
    guard let cluster = ShortName(configuration.cluster), let node = ShortName(configuration.node) else {
      throw SystemError(call: "names were checked with the configuration", code: 22)
    }
    let core = LeadershipCore(
      settings: settings(configuration.timing), cluster: cluster, node: node, incarnation: sessions.incarnation,
      peers: configuration.peers.nodes.compactMap { ShortName($0.node) }, at: .bootNow())
    let mailbox = try Mailbox<ControlRole.Message>(capacity: 4096)
    let post: @Sendable (Event) -> Void = { event in
      if mailbox.post(.event(event)) == .full { log(.error, "the control thread is behind, an event is lost", [:]) }
    }
    let pulses = Pulses()
    let beatKeys = BeatKeys(files: configuration.peers.keyFiles, keys: configuration.peers.keys)
    keys = try KeyRole(keys: beatKeys, sessions: sessions)
    let ingest = try Ingest(configuration: configuration, sessions: sessions, evidence: evidence, trap: trap) {
      mailbox.post(.ingest($0))
    }
    let board = StatusBoard(
      status: core.status, configuration: configuration, sessions: sessions, ingest: ingest, pulses: pulses)
    self.board = board
    executors = ControlRole.Executors(
      lease: try LeaseRole(sessions: sessions, me: core.me, pulses: pulses, report: post),
      watch: try WatchRole(sessions: sessions, pulses: pulses, report: post),
      peers: try PeerRole(
        configuration: configuration, cluster: cluster, me: node, keys: beatKeys, pulses: pulses, report: post),
      recorder: try RecorderRole(sessions: sessions), ingest: ingest,
      web: try WebRole(
        addresses: configuration.listen.http, ingest: ingest,
        perAddress: configuration.ingest.maxConnectionsPerAddress, patience: configuration.ingest.patience,
        status: { board.status() }))
    control = Guarded(
      try ControlRole(
        core: core, mailbox: mailbox, executors: executors, guardClient: guardClient,
        interfaces: configuration.service.addresses.map(\.interface), pulses: pulses, board: board))
    self.mailbox = mailbox
    ended = try Mailbox(capacity: 1)
  }

  func run(signals: borrowing SignalDescriptor) -> Int32 {
    do {
      let board = board
      let operators = try OperatorServer(
        path: configuration.controlSocketPath, status: { board.status() }, handle: operatorHandler())
      try startThreads()
      log(.notice, "worker started", ["incarnation": "\(sessions.incarnation)", "version": standwatchVersion])
      let status = waitForEnd(signals)
      operators.stop()
      executors.web.stop()
      endThreads()
      return status
    } catch {
      log(.error, "refused to start", ["reason": "\(error)"])
      return WorkerExit.refused
    }
  }

  private func startThreads() throws {
    let executors = executors
    try RoleThread(name: "lease", scheduling: .realtime(priority: 8)) { executors.lease.run() }.detach()
    try RoleThread(name: "watch", scheduling: .realtime(priority: 7)) { executors.watch.run() }.detach()
    try RoleThread(name: "peers", scheduling: .realtime(priority: 7)) { executors.peers.run() }.detach()
    try RoleThread(name: "recorder") { executors.recorder.run() }.detach()
    let keys = keys
    try RoleThread(name: "keys") { keys.run() }.detach()
    try executors.ingest.start()
    let control = control
    let ended = ended
    try RoleThread(name: "control", scheduling: .realtime(priority: 10)) {
      guard let role = control.withLock({ $0.take() }) else { return }
      ended.post(role.run())
    }.detach()
  }

  /// Signals become a stop; look-ups of the database's hosts, which block, are made here too, where nobody waits.
  private func waitForEnd(_ signals: borrowing SignalDescriptor) -> Int32 {
    while true {
      let ready = wait([signals.descriptor, ended.descriptor], for: .read, until: .after(milliseconds: 30_000))
      if let status = ended.takeAll().first { return status }
      if ready.isEmpty { sessions.refreshEndpoints() }
      while let signal = signals.next() {
        log(.notice, "asked to stop", ["signal": "\(signal)"])
        mailbox.post(.stop)
      }
    }
  }

  /// The process ends right after: threads are asked, not waited for, but for the history's last lines.
  private func endThreads() {
    executors.ingest.shutDown()
    executors.lease.shutDown()
    executors.watch.shutDown()
    executors.peers.shutDown()
    keys.shutDown()
    executors.recorder.finish(until: .after(milliseconds: 300))
  }

  private func operatorHandler() -> @Sendable (OperatorRequest, @escaping OperatorServer.Answer) -> Void {
    let mailbox = mailbox
    let board = board
    return { request, reply in
      switch request {
      case .status:
        var answer = OperatorReply.done("")
        answer.status = board.status()
        reply(answer)
      case .switchover(let to, let timeout):
        let name = to.flatMap { ShortName($0) }
        if to != nil, name == nil { return reply(.refused("that is not a node's name")) }
        if mailbox.post(.switchover(to: name, timeoutMilliseconds: timeout, reply: reply)) != .posted {
          reply(.refused("the node is too busy; try again"))
        }
      }
    }
  }
}

private func settings(_ timing: NodeConfiguration.Timing) -> Settings {
  var settings = Settings()
  settings.leaseLifetime = .milliseconds(timing.leaseMilliseconds)
  settings.addressLifetime = .milliseconds(timing.leaseMilliseconds)
  settings.leaseBeatInterval = .milliseconds(timing.beatMilliseconds)
  settings.peerBeatInterval = .milliseconds(timing.peerBeatMilliseconds)
  settings.peerSilence = .milliseconds(timing.silenceMilliseconds)
  settings.bumpTimeout = .milliseconds(min(1000, timing.leaseMilliseconds / 2))
  settings.judgeWindow = .milliseconds(timing.observationMilliseconds)
  return settings
}
