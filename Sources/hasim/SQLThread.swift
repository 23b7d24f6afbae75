// The threads of a worker that talk to PostgreSQL for the core: lease session and watch session.

import Election

/// One connection as its client sees it; the session at the other end may be gone already, or still be there.
final class Link {
  let session: Session
  var open = true
  /// This one flow is dropped by something in between, both ways.
  var held = false
  init(session: Session) { self.session = session }
}

/// One command on its way: begun by its thread, to the server, and back.
private final class Operation: Step {
  enum Stage { case beginning, asking, answering }
  let id: OperationID
  let ask: SQLThread.Ask
  let deadline: Instant
  /// Until the thread forgets the operation.
  let thread: SQLThread
  var done = false
  var stage = Stage.beginning
  var sentBoot: Int64 = 0
  var sent = Instant(nanoseconds: 0)
  var link: Link?
  var answer: Event?

  init(id: OperationID, ask: SQLThread.Ask, deadline: Instant, thread: SQLThread) {
    self.id = id
    self.ask = ask
    self.deadline = deadline
    self.thread = thread
  }
  override func happen() { thread.advance(self) }
}

final class SQLThread {
  enum Ask { case lease(LeaseCommand), watch(WatchCommand) }

  private let host: Host
  private let me: NodeIncarnation
  private let role: SessionRole
  private let world: World
  /// Until `forget`.
  var worker: Worker?
  private var link: Link?
  private var opened: OperationID?
  private var current: Operation?
  private var queue: [Operation] = []
  private var lastBeat: (id: OperationID, sentBoot: Int64)?
  private var deadline: Alarm?
  private var database: Database { host.cluster.database }

  init(host: Host, me: NodeIncarnation, role: SessionRole) {
    self.host = host
    self.me = me
    self.role = role
    world = host.world
    deadline = Alarm(world: world) { [self] in worker?.perform { [self] _ in checkDeadline() } }
  }

  func sentBoot(of id: OperationID) -> Int64? { lastBeat?.id == id ? lastBeat?.sentBoot : nil }

  func ask(_ id: OperationID, _ ask: Ask, deadline: Instant) {
    let operation = Operation(id: id, ask: ask, deadline: deadline, thread: self)
    if case .lease(.close) = ask { return close(operation) }
    if current == nil, queue.isEmpty { return take(operation) }
    queue.append(operation)
    next()
  }

  private func next() {
    guard current == nil, !queue.isEmpty else { return }
    take(queue.removeFirst())
  }

  private func take(_ operation: Operation) {
    current = operation
    deadline?.set(after: host.wait(until: operation.deadline))
    // What a fault at this very step can hold back; a read is the same a moment later.
    if case .watch(.read) = operation.ask { return begin(operation) }
    world.after(world.random.microseconds(10...80), operation)
  }

  private func checkDeadline() {
    guard let current else { return }
    let left = host.wait(until: current.deadline)
    if left > 0 { return deadline?.set(after: left) ?? () }
    drop(sayGoodbye: true)
    finish(current, failure: "deadline")
  }

  /// The operation's next step is due.
  fileprivate func advance(_ operation: Operation) {
    let network = host.cluster.network
    switch operation.stage {
    case .beginning:
      if worker?.runs == true { begin(operation) } else { worker?.perform { [self] _ in begin(operation) } }
    case .asking:
      if network.isCut(.request, host: host.index) { return network.hold(.step(operation), host: host.index) }
      arrive(operation)
    case .answering:
      if network.isCut(.answer, host: host.index) { return network.hold(.step(operation), host: host.index) }
      if worker?.runs == true { end(operation) } else { worker?.perform { [self] _ in end(operation) } }
    }
  }

  private func end(_ operation: Operation) {
    if operation.link?.open == true, let answer = operation.answer { finish(operation, answer) }
  }

  private func begin(_ operation: Operation) {
    guard !operation.done else { return }
    operation.sentBoot = host.boot
    operation.sent = host.clock
    switch operation.ask {
    case .lease(.connect):
      drop(sayGoodbye: true)
      connect(operation) { [self] in
        opened = operation.id
        finish(operation, .leaseAnswered(operation.id, .connected))
      }
    case .lease(let command):
      if case .beat = command { lastBeat = (operation.id, operation.sentBoot) }
      send(operation)
    case .watch:
      if link?.open == true { return send(operation) }
      connect(operation) { [self] in send(operation) }
    }
  }

  private func send(_ operation: Operation) {
    guard let link, link.open else { return finish(operation, failure: "not connected") }
    operation.link = link
    operation.stage = .asking
    host.cluster.network.message(.request, host: host.index, operation)
  }

  // MARK: At the server

  private func arrive(_ operation: Operation) {
    guard let link = operation.link else { return }
    guard link.session.alive else { return serverClosed(link, "reset") }
    switch operation.ask {
    case .lease(let command): lease(command, operation, link.session)
    case .watch(.read): reply(operation, .watchAnswered(operation.id, .read(database.watch(for: me.node))))
    case .watch(.fence(let term, let node, let counter)):
      let done = database.fence(term: term, node: node, counter: counter, by: me.node)
      reply(operation, .watchAnswered(operation.id, done ? .fenced : .mismatch))
    }
  }

  private func lease(_ command: LeaseCommand, _ operation: Operation, _ session: Session) {
    func answer(_ result: LeaseResult) { reply(operation, .leaseAnswered(operation.id, result)) }
    switch command {
    case .connect, .close: break
    case .waitLeader(let timeout):
      database.waitLeader(session, timeout: timeout.nanoseconds) { [self] in
        reply(operation, .leaseAnswered(operation.id, $0 ? .granted : .notGranted))
      }
    case .beat(let counter, let state):
      answer(.beatAnswered(sent: operation.sent, database.beat(session, counter: counter, state: state)))
    case .endOldSessions: answer(.oldSessionsEnded(remaining: database.endOldSessions(by: session)))
    case .bump(let expecting, let timeout):
      database.bump(session, expecting: expecting, timeout: timeout.nanoseconds) { [self] in
        reply(operation, .leaseAnswered(operation.id, $0))
      }
    case .markCleanRelease(let term, let successor):
      database.markCleanRelease(session, term: term, successor: successor)
      answer(.marked)
    case .unlock:
      database.unlock(session)
      answer(.unlocked)
    }
  }

  /// Every statement of a session that has ended meanwhile is answered by nobody.
  private func reply(_ operation: Operation, _ event: Event) {
    guard operation.link?.session.alive == true else { return }
    operation.answer = event
    operation.stage = .answering
    host.cluster.network.message(.answer, host: host.index, operation)
  }

  // MARK: The connection

  private func connect(_ operation: Operation, then: @escaping () -> Void) {
    host.cluster.connect(host, me, role) { [self] link in
      worker?.perform { [self] _ in
        guard let link else { return finish(operation, failure: "connection refused") }
        guard !operation.done else { return host.cluster.hangUp(link, host: host) }
        self.link = link
        if link.session.alive {
          link.session.ended = { [self] reason in serverClosed(link, reason) }
        } else {
          serverClosed(link, "ended at once")
        }
        then()
      }
    }
  }

  private func serverClosed(_ link: Link, _ reason: String) {
    host.cluster.network.message(.answer, host: host.index) { [self] in
      worker?.perform { [self] _ in lost(link, reason) }
    }
  }

  private func lost(_ link: Link, _ reason: String) {
    guard link.open else { return }
    link.open = false
    guard self.link === link else { return }
    self.link = nil
    if let current {
      finish(current, failure: reason)
    } else if role == .lease, let opened {
      worker?.deliver(.leaseSessionLost(session: opened, reason: reason))
    }
  }

  /// Keepalive or user timeout.
  func breakConnection() { if let link { lost(link, "timed out") } }

  func drop(sayGoodbye: Bool) {
    guard let link else { return }
    link.open = false
    self.link = nil
    if sayGoodbye { host.cluster.hangUp(link, host: host) }
  }

  /// What it had in hand; the run of this worker is over.
  func forget() {
    worker = nil
    current = nil
    queue = []
    link = nil
    deadline?.clear()
    deadline = nil
  }

  private func close(_ operation: Operation) {
    drop(sayGoodbye: true)
    let given = [current].compactMap(\.self) + queue
    current = nil
    queue = []
    for old in given where !old.done { report(old, failure: "closed") }
    worker?.after(world.random.microseconds(20...100)) { $0.deliver(.leaseAnswered(operation.id, .closed)) }
  }

  private func finish(_ operation: Operation, _ event: Event) {
    guard !operation.done else { return }
    operation.done = true
    if current === operation { current = nil }
    worker?.deliver(event)
    next()
  }

  private func finish(_ operation: Operation, failure: String) {
    guard !operation.done else { return }
    if current === operation { current = nil }
    report(operation, failure: failure)
    next()
  }

  private func report(_ operation: Operation, failure: String) {
    operation.done = true
    let event: Event =
      switch operation.ask {
      case .lease(.bump): .leaseAnswered(operation.id, .outcomeUnknown(failure))
      case .lease: .leaseAnswered(operation.id, .failed(failure, sessionLost: true))
      case .watch: .watchAnswered(operation.id, .failed(failure))
      }
    worker?.after(world.random.microseconds(5...40)) { $0.deliver(event) }
  }
}
