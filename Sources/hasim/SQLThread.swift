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

final class SQLThread {
  enum Ask { case lease(LeaseCommand), watch(WatchCommand) }
  private final class Operation {
    let id: OperationID
    let ask: Ask
    let deadline: Instant
    var done = false
    var sentBoot: Int64 = 0
    init(id: OperationID, ask: Ask, deadline: Instant) {
      self.id = id
      self.ask = ask
      self.deadline = deadline
    }
  }

  private let host: Host
  private let me: NodeIncarnation
  private let role: SessionRole
  private let world: World
  weak var worker: Worker?
  private var link: Link?
  private var opened: OperationID?
  private var current: Operation?
  private var queue: [Operation] = []
  private var lastBeat: Operation?
  private var database: Database { host.cluster.database }

  init(host: Host, me: NodeIncarnation, role: SessionRole) {
    self.host = host
    self.me = me
    self.role = role
    world = host.world
  }

  func sentBoot(of id: OperationID) -> Int64? { lastBeat?.id == id ? lastBeat?.sentBoot : nil }

  func ask(_ id: OperationID, _ ask: Ask, deadline: Instant) {
    let operation = Operation(id: id, ask: ask, deadline: deadline)
    if case .lease(.close) = ask { return close(operation) }
    queue.append(operation)
    next()
  }

  private func next() {
    guard current == nil, !queue.isEmpty else { return }
    let operation = queue.removeFirst()
    current = operation
    worker?.after(world.random.microseconds(10...80)) { [self] _ in begin(operation) }
    worker?.after(host.wait(until: operation.deadline)) { [self] _ in
      guard !operation.done else { return }
      drop(sayGoodbye: true)
      finish(operation, failure: "deadline")
    }
  }

  private func begin(_ operation: Operation) {
    guard !operation.done else { return }
    operation.sentBoot = host.boot
    let sent = host.clock
    switch operation.ask {
    case .lease(.connect):
      drop(sayGoodbye: true)
      connect(operation) { [self] in
        opened = operation.id
        finish(operation, .leaseAnswered(operation.id, .connected))
      }
    case .lease(let command): lease(command, operation, sent: sent)
    case .watch(let command):
      if link?.open == true { return watch(command, operation) }
      connect(operation) { [self] in watch(command, operation) }
    }
  }

  // MARK: Commands

  private func lease(_ command: LeaseCommand, _ operation: Operation, sent: Instant) {
    let id = operation.id
    if case .beat = command { lastBeat = operation }
    call(operation) { [self] session, reply in
      func answer(_ result: LeaseResult) { reply(.leaseAnswered(id, result)) }
      switch command {
      case .connect, .close: break
      case .waitLeader(let timeout):
        database.waitLeader(session, timeout: timeout.nanoseconds) { answer($0 ? .granted : .notGranted) }
      case .beat(let counter, let state):
        answer(.beatAnswered(sent: sent, database.beat(session, counter: counter, state: state)))
      case .endOldSessions: answer(.oldSessionsEnded(remaining: database.endOldSessions(by: session)))
      case .bump(let expecting, let timeout):
        database.bump(session, expecting: expecting, timeout: timeout.nanoseconds, answer: answer)
      case .markCleanRelease(let term, let successor):
        database.markCleanRelease(session, term: term, successor: successor)
        answer(.marked)
      case .unlock:
        database.unlock(session)
        answer(.unlocked)
      }
    }
  }

  private func watch(_ command: WatchCommand, _ operation: Operation) {
    let id = operation.id
    call(operation) { [self] _, reply in
      switch command {
      case .read: reply(.watchAnswered(id, .read(database.watch(for: me.node))))
      case .fence(let term, let node, let counter):
        let done = database.fence(term: term, node: node, counter: counter, by: me.node)
        reply(.watchAnswered(id, done ? .fenced : .mismatch))
      }
    }
  }

  // MARK: The connection

  private func connect(_ operation: Operation, then: @escaping () -> Void) {
    host.cluster.connect(host, me, role) { [weak self] link in
      self?.worker?.perform { [weak self] _ in
        guard let self else { return }
        guard let link else { return finish(operation, failure: "connection refused") }
        guard !operation.done else { return host.cluster.hangUp(link, host: host) }
        self.link = link
        link.session.ended = { [weak self] reason in self?.serverClosed(link, reason) }
        if !link.session.alive { serverClosed(link, "ended at once") }
        then()
      }
    }
  }

  private func call(_ operation: Operation, _ work: @escaping (Session, @escaping (Event) -> Void) -> Void) {
    guard let link, link.open else { return finish(operation, failure: "not connected") }
    let network = host.cluster.network
    let index = host.index
    network.message(.request, host: index) { [self] in
      guard link.session.alive else { return serverClosed(link, "reset") }
      // Every statement of a session that has ended meanwhile is answered by nobody.
      work(link.session) { [self] event in
        guard link.session.alive else { return }
        network.message(.answer, host: index) { [weak self] in
          self?.worker?.perform { [weak self] _ in if link.open { self?.finish(operation, event) } }
        }
      }
    }
  }

  private func serverClosed(_ link: Link, _ reason: String) {
    host.cluster.network.message(.answer, host: host.index) { [weak self] in
      self?.worker?.perform { [weak self] _ in self?.lost(link, reason) }
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
