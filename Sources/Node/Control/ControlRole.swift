// The control thread: the one place where events reach the election core and its effects are carried out.
internal import Election
internal import Platform

/// Owns the core, the channel to the guard and the wishes of operators. Everything else posts into its mailbox.
final class ControlRole {
  enum Message: Sendable {
    case event(Event)
    case ingest(IngestEvent)
    case switchover(to: ShortName?, timeoutMilliseconds: Int64, reply: @Sendable (OperatorReply) -> Void)
    case stop
  }
  /// The executors that the effects go to.
  struct Executors {
    let lease: LeaseRole
    let watch: WatchRole
    let peers: PeerRole
    let recorder: RecorderRole
    let ingest: Ingest
    let web: WebRole
  }
  private struct Wish {
    var reply: @Sendable (OperatorReply) -> Void
    var deadline: BootInstant
  }

  private var core: LeadershipCore
  private let mailbox: Mailbox<Message>
  private let executors: Executors
  private let guardClient: GuardClient
  private let translation: GuardTranslation
  private let pulses: Pulses
  private let board: StatusBoard
  private let timer: BootTimer
  private var wishes: [CommandID: Wish] = [:]
  private var lastCommand: UInt64 = 0
  private var threadsTicking = true
  private var ingestWatchdog = Watchdog(patienceMilliseconds: 10_000)
  private var handWatch = HandWatch(patienceMilliseconds: 5000)
  private var nextHandLook = BootInstant(nanoseconds: 0)
  private var nextAlive = BootInstant(nanoseconds: 0)
  private var nextPublication = BootInstant(nanoseconds: 0)
  private var exitStatus: Int32?

  init(
    core: LeadershipCore, mailbox: Mailbox<Message>, executors: Executors, guardClient: GuardClient,
    interfaces: [String], pulses: Pulses,
    board: StatusBoard
  ) throws(SystemError) {
    self.core = core
    self.mailbox = mailbox
    self.executors = executors
    self.guardClient = guardClient
    translation = GuardTranslation(interfaces: interfaces)
    self.pulses = pulses
    self.board = board
    timer = try BootTimer()
  }

  /// Runs until the core ends the worker; the process's exit status.
  func run() -> Int32 {
    guardClient.send(.ready)
    while true {
      let now = BootInstant.now()
      beAlive(at: now)
      checkThreads(at: now)
      checkIngest(at: now)
      handle(.ticked)
      expireWishes(at: now)
      publish(at: now, force: false)
      if let exitStatus { return exitStatus }
      let deadline = min(BootInstant(core.nextDeadline), min(nextAlive, nextPublication))
      pulses.waits(.control, until: deadline)
      timer.set(deadline)
      _ = wait([timer.descriptor, mailbox.descriptor, guardClient.descriptor], for: .read, until: nil)
      timer.acknowledge()
      pulses.ticked(.control)
      // What was said before is heard before time is told to have passed.
      for message in mailbox.takeAll() { take(message) }
      takeFromGuard()
      if let exitStatus { return exitStatus }
    }
  }

  // MARK: What comes in

  private func take(_ message: Message) {
    switch message {
    case .event(let event):
      board.note(event, at: .now())
      handle(event)
    case .ingest(let event): take(event)
    case .switchover(let to, let timeout, let reply):
      lastCommand += 1
      let id = CommandID(number: lastCommand)
      wishes[id] = Wish(reply: reply, deadline: .after(milliseconds: timeout))
      handle(.commanded(id, .switchover(to: to)))
    case .stop:
      lastCommand += 1
      handle(.commanded(CommandID(number: lastCommand), .stop))
    }
  }

  private func take(_ event: IngestEvent) {
    func answer(_ operation: UInt64, _ result: IngestResult) {
      handle(.ingestAnswered(OperationID(number: operation), result))
    }
    switch event {
    case .listening(let operation, _): answer(operation, .opened)
    case .listenFailed(let operation, let reason): answer(operation, .failed(reason))
    case .stopped(let operation): answer(operation, .aborted)
    case .drained(let operation, let complete): answer(operation, complete ? .drained : .drainTimedOut)
    case .fenced, .timelineChanged:
      // A lane speaks of the term it was given; that is the term led now, or it is too late to matter.
      if let term = core.status.term?.term, event.concerns(term) { handle(.laneFenced(term)) }
    case .firstCommit(let epoch, let at): board.noteFirstCommit(epoch: epoch, at: at)
    case .lanesReady(let count): log(.info, "writer lanes ready", ["lanes": "\(count)"])
    case .laneFailed(let lane, let reason): log(.warning, "writer lane failed", ["lane": "\(lane)", "reason": reason])
    }
  }

  private func takeFromGuard() {
    while let reply = guardClient.receive() {
      if let event = translation.event(reply) { handle(event) }
    }
    guard guardClient.isClosed, exitStatus == nil else { return }
    // Without the guard nobody but the kernel removes the address: stop acknowledging and go.
    log(.error, "the guard is gone, the worker ends")
    executors.ingest.stop(reason: "guard gone", operation: 0)
    exitStatus = WorkerExit.guardGone
  }

  private func checkThreads(at now: BootInstant) {
    let stalled = pulses.stalled(at: now)
    guard stalled.isEmpty != threadsTicking else { return }
    threadsTicking = stalled.isEmpty
    if threadsTicking {
      log(.notice, "all critical threads tick again")
    } else {
      log(
        .error, "critical threads stalled, no beats are sent",
        ["threads": stalled.map { "\($0)" }.joined(separator: ",")])
    }
    handle(.criticalThreads(ticking: threadsTicking))
  }

  /// An intake that hangs holds lease and address while nobody is served. Nothing can be asked of it any more, not even
  /// to stop: the worker ends at once, and guard and standby do the rest.
  private func checkIngest(at now: BootInstant) {
    // Not at each event: what each thread has in hand stands in memory of its own.
    if now >= nextHandLook, let evidence = executors.ingest.evidence {
      nextHandLook = now.adding(milliseconds: 200)
      for slot in 0..<CrashEvidence.slots where handWatch.look(slot, evidence.inHand(slot: slot)) {
        hung(EvidenceSlot(number: slot) ?? .ingest)
      }
    }
    if ingestWatchdog.look(executors.ingest.snapshot().publishedAt, at: now) { hung(.ingest) }
  }
  private func hung(_ slot: EvidenceSlot) {
    log(.error, "a thread of the intake hangs, the worker ends", ["thread": "\(slot)"])
    executors.ingest.evidence?.hung(slot: slot.number)
    exitNow(WorkerExit.ingestHung)
  }

  /// The guard takes the address away from a worker that is silent for 600 ms.
  private func beAlive(at now: BootInstant) {
    guard now >= nextAlive else { return }
    nextAlive = now.adding(milliseconds: 100)
    if threadsTicking { guardClient.send(.alive) }
  }

  // MARK: What goes out

  private func handle(_ event: Event) {
    let effects = core.handle(event, at: .bootNow())
    var changed = false
    for effect in effects {
      carryOut(effect)
      if case .record = effect { changed = true }
    }
    if changed { publish(at: .now(), force: true) }
  }

  private func carryOut(_ effect: Effect) {
    switch effect {
    case .lease(let id, let command, let deadline): executors.lease.submit(id, command, deadline: deadline)
    case .watch(let id, let command, let deadline): executors.watch.submit(id, command, deadline: deadline)
    case .address(let id, let command, _):
      guardClient.send(translation.request(id, command))
    case .ingest(let id, let command, let deadline): carryOut(id, command, BootInstant(deadline))
    case .sendBeat(let beat): executors.peers.send(beat)
    case .reply(let id, let reply): answer(id, reply)
    case .record(let transition): record(transition)
    case .warn(let warning): warn(warning)
    case .exitWorker(let reason):
      log(.notice, "worker ends", ["reason": "\(reason)"])
      exitStatus = WorkerExit.status(reason)
    }
  }

  private func carryOut(_ id: OperationID, _ command: IngestCommand, _ deadline: BootInstant) {
    switch command {
    case .open(let led):
      executors.ingest.activate(
        epoch: led.term.epoch, token: led.term.token, timeline: led.timeline, operation: id.number)
    case .drain: executors.ingest.drain(reason: "switchover", deadline: deadline, operation: id.number)
    case .abort:
      executors.ingest.stop(reason: core.status.state.name, operation: id.number)
      // Clients of the service IP connect again, to whoever holds it then.
      executors.web.closeConnections()
    }
  }

  private func answer(_ id: CommandID, _ reply: CommandReply) {
    guard let wish = wishes[id] else { return }
    switch reply {
    case .started: return
    case .refused(let why): wish.reply(.refused(why))
    case .failed(let why): wish.reply(.refused("the switchover failed: \(why)"))
    case .done(let phases):
      wish.reply(OperatorReply(ok: true, message: "handed over", phases: phaseTable(phases)))
    }
    wishes[id] = nil
  }
  private func expireWishes(at now: BootInstant) {
    for (id, wish) in wishes where wish.deadline <= now {
      wish.reply(.refused("no outcome in time; hactl status shows who leads"))
      wishes[id] = nil
    }
  }

  // MARK: What is told

  private func record(_ transition: Transition) {
    let level: LogLevel = transition.to == .steppingDown || transition.to == .faulty ? .warning : .notice
    var fields: [(String, String)] = [
      ("from", transition.from.name), ("to", transition.to.name), ("reason", transition.reason.description),
    ]
    if let term = transition.term { fields.append(("epoch", "\(term.term.epoch)")) }
    if !transition.phases.isEmpty { fields.append(("phases", phaseText(transition.phases))) }
    log(level, "transition", fields)
    executors.recorder.record(
      RecorderRole.Entry(
        kind: transition.to.name, epoch: transition.term?.term.epoch, reason: transition.reason.description,
        phases: phaseJSON(transition.phases), at: wallMicroseconds()))
    board.note(transition)
    guardClient.send(.state(GuardTranslation.state(transition.to), epoch: transition.term?.term.epoch ?? 0))
  }

  private func publish(at now: BootInstant, force: Bool) {
    guard force || now >= nextPublication else { return }
    nextPublication = now.adding(milliseconds: 200)
    board.publish(core.status, traffic: executors.peers.traffic)
  }
}
