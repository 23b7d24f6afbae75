// Ingest of one worker: a lane per stream that claims, copies, commits and only then acknowledges.

import Election

final class Ingest {
  private let host: Host
  private let me: NodeIncarnation
  private let world: World
  /// Until `forget`.
  var worker: Worker?
  private(set) var term: TimelineTerm?
  private var accepting = false
  private var lanes: [Int: StreamLane] = [:]
  private var opening: OperationID?
  private var draining: OperationID?

  init(host: Host, me: NodeIncarnation) {
    self.host = host
    self.me = me
    world = host.world
  }

  var listening: Bool { accepting }

  func carryOut(_ id: OperationID, _ command: IngestCommand, deadline: Instant) {
    switch command {
    case .open(let term):
      opening = id
      worker?.after(world.random.microseconds(100...1_500)) { [self] in
        // An abort that came meanwhile is the last word.
        guard opening == id else { return }
        opening = nil
        self.term = term
        accepting = true
        $0.deliver(.ingestAnswered(id, .opened))
      }
    case .drain:
      draining = id
      accepting = false
      worker?.after(world.random.microseconds(20...100)) { [self] _ in noteDrained() }
      worker?.after(host.wait(until: deadline)) { [self] in
        guard draining == id else { return }
        draining = nil
        $0.deliver(.ingestAnswered(id, .drainTimedOut))
      }
    case .abort:
      worker?.after(world.random.microseconds(20...200)) { [self] in
        end(sayGoodbye: true)
        $0.deliver(.ingestAnswered(id, .aborted))
      }
    }
  }

  func noteDrained() {
    guard let id = draining, !lanes.values.contains(where: \.inFlight) else { return }
    draining = nil
    worker?.deliver(.ingestAnswered(id, .drained))
  }

  private func end(sayGoodbye: Bool) {
    accepting = false
    (opening, draining) = (nil, nil)
    term = nil
    for stream in lanes.keys.sorted() { lanes[stream]?.end(sayGoodbye: sayGoodbye) }
    lanes = [:]
  }

  func die(sayGoodbye: Bool) { end(sayGoodbye: sayGoodbye) }

  func forget() {
    worker = nil
    for lane in lanes.values { lane.forget() }
    lanes = [:]
  }

  /// A firewall forgets one connection: nothing passes any more, and the server learns of it by its keepalives.
  func holdLane() { for stream in lanes.keys.sorted() { lanes[stream]?.hold() } }

  func breakConnections() { for stream in lanes.keys.sorted() { lanes[stream]?.breakConnection() } }

  /// A client says hello; `nil` when nobody listens.
  func hello(_ connection: ClientConnection, oldest: Int) -> Bool {
    guard accepting, let term else { return false }
    let lane =
      lanes[connection.stream] ?? StreamLane(host: host, me: me, term: term, stream: connection.stream, of: self)
    lanes[connection.stream] = lane
    lane.hello(connection, oldest: oldest)
    return true
  }

  func batch(_ connection: ClientConnection, first: Int, last: Int) {
    guard accepting else { return }
    lanes[connection.stream]?.batch(connection, first: first, last: last)
  }
}

/// The lane of one stream, with one transaction at a time.
final class StreamLane {
  private enum Work { case batch(first: Int, last: Int), gap(first: Int, last: Int), barrier(then: Int?) }

  private let host: Host
  private let me: NodeIncarnation
  private let world: World
  private let term: TimelineTerm
  private let stream: Int
  private var ingest: Ingest?
  private var ended = false
  private var connection: ClientConnection?
  private var waitingHello: (ClientConnection, Int)?
  private var link: Link?
  private var formerSession: Session?
  private var work: Work?
  private var oldest = 1
  /// Grows with every attempt: what belongs to an earlier one is dropped.
  private var attempt = 0

  init(host: Host, me: NodeIncarnation, term: TimelineTerm, stream: Int, of ingest: Ingest) {
    self.host = host
    self.me = me
    world = host.world
    self.term = term
    self.stream = stream
    self.ingest = ingest
  }

  var inFlight: Bool { work != nil }
  private var database: Database { host.cluster.database }

  func end(sayGoodbye: Bool) {
    ended = true
    attempt += 1
    dropLink(sayGoodbye: sayGoodbye)
    connection?.reset(reachable: host.runs)
    waitingHello?.0.reset(reachable: host.runs)
    (connection, waitingHello) = (nil, nil)
  }

  /// The run is over.
  func forget() {
    ended = true
    ingest = nil
    link?.session.ended = { _ in }
    link = nil
    connection = nil
  }

  private func dropLink(sayGoodbye: Bool) {
    guard let link else { return }
    self.link = nil
    link.open = false
    formerSession = link.session
    if sayGoodbye { host.cluster.hangUp(link, host: host) }
  }

  func breakConnection() { if link != nil { failed() } }

  func hold() {
    guard let link, !link.held, inFlight else { return }
    world.trace(host.name.text, "lane \(stream) held, pid \(link.session.pid)")
    link.held = true
    world.after(world.random.milliseconds(2_000...4_000)) { [self] in database.hangUp(link.session) }
  }

  // MARK: From the client

  /// A newer hello takes over once what is in flight is settled.
  func hello(_ new: ClientConnection, oldest: Int) {
    if let old = connection, old !== new { old.reset(reachable: true) }
    connection = nil
    waitingHello = (new, oldest)
    if work == nil { takeHello() }
  }

  private func takeHello() {
    guard let (new, oldest) = waitingHello else { return }
    waitingHello = nil
    connection = new
    self.oldest = oldest
    resume()
  }

  func batch(_ from: ClientConnection, first: Int, last: Int) {
    guard connection === from, work == nil, !ended else { return }
    start(.batch(first: first, last: last))
  }

  // MARK: Attempts

  private func start(_ next: Work) {
    work = next
    tryNow()
  }

  private func tryNow() {
    guard !ended else { return }
    attempt += 1
    let attempt = attempt
    ingest?.worker?.after(1_500 * millisecond) { [self] _ in if self.attempt == attempt, work != nil { failed() } }
    guard let link, link.open else { return connect(attempt) }
    guard let work else { return }
    switch work {
    case .batch(let first, let last): write(.batch(stream: stream, first: first, last: last, gap: false), link, attempt)
    case .gap(let first, let last): write(.batch(stream: stream, first: first, last: last, gap: true), link, attempt)
    case .barrier: write(.barrier, link, attempt)
    }
  }

  /// The outcome is unknown: a new connection, the old backend ended, the same again.
  private func failed() {
    attempt += 1
    if world.has(.unknownOutcomeAcked), case .batch(_, let last)? = work { connection?.acknowledge(last) }
    dropLink(sayGoodbye: true)
    guard !ended, work != nil else { return }
    ingest?.worker?.after(world.random.milliseconds(5...50)) { [self] _ in tryNow() }
  }

  private func connect(_ attempt: Int) {
    host.cluster.connect(host, me, .lane) { [self] link in
      guard let worker = ingest?.worker else { return }
      worker.perform { [self] _ in
        guard let link else { return self.attempt == attempt ? failed() : () }
        guard self.attempt == attempt, !ended else { return host.cluster.hangUp(link, host: host) }
        self.link = link
        guard link.session.alive else { return serverClosed(link) }
        link.session.ended = { [self] _ in serverClosed(link) }
        greet(link, self.attempt)
      }
    }
  }

  /// The first exchange on a connection: which timeline is this, and the former backend is to end.
  private func greet(_ link: Link, _ attempt: Int) {
    let former = formerSession
    formerSession = nil
    var timeline: UInt32 = 0
    call(link, attempt) { [self] _ in
      timeline = database.store.timeline
      if let former { database.terminate(former, "replaced by its lane") }
    } _: { [self] in
      let careless = world.has(.timelineIgnored) || world.has(.epochWithoutToken)
      if timeline != term.timeline, !careless {
        ingest?.worker?.deliver(.laneFenced(term.term))
      } else {
        tryNow()
      }
    }
  }

  private func serverClosed(_ link: Link) {
    host.cluster.network.message(.answer, host: host.index) { [self] in
      ingest?.worker?.perform { [self] _ in if self.link === link { failed() } }
    }
  }

  /// There and back; dropped when it belongs to an earlier attempt.
  private func call(_ link: Link, _ attempt: Int, _ there: @escaping (Session) -> Void, _ back: @escaping () -> Void) {
    host.cluster.network.message(.request, host: host.index) { [self] in
      guard link.session.alive, !link.held else { return }
      there(link.session)
      answer(link, attempt, back)
    }
  }

  private func answer(_ link: Link, _ attempt: Int, _ back: @escaping () -> Void) {
    if link.held { return }
    host.cluster.network.message(.answer, host: host.index) { [self] in
      ingest?.worker?.perform { [self] _ in if self.attempt == attempt, !ended { back() } }
    }
  }

  // MARK: The fenced transaction

  private func write(_ kind: Transaction.Kind, _ link: Link, _ attempt: Int) {
    let transaction = Transaction(pid: link.session.pid, kind: kind, term: term.term)
    transaction.claimed = { [self] claimed in
      answer(link, attempt) { [self] in copy(claimed, link, attempt) }
    }
    transaction.finished = { [self] outcome in answer(link, attempt) { [self] in settled(outcome, attempt) } }
    call(link, attempt, { [self] in database.write($0, transaction) }, {})
  }

  /// The rows take a while; until they are there the transaction stays open.
  private func copy(_ transaction: Transaction, _ link: Link, _ attempt: Int) {
    if world.has(.ackBeforeCommit), case .batch(_, let last)? = work { connection?.acknowledge(last) }
    ingest?.worker?.after(world.random.milliseconds(1...60)) { [self] _ in
      guard self.attempt == attempt, !ended else { return }
      host.cluster.network.message(.request, host: host.index) { [self] in
        if link.session.alive, !link.held { host.cluster.database.store.commit(transaction) }
      }
    }
  }

  private func settled(_ outcome: Transaction.Outcome, _ attempt: Int) {
    guard let done = work else { return }
    switch outcome {
    case .committed:
      work = nil
      self.attempt += 1
      if case .batch(_, let last) = done { connection?.acknowledge(last) }
      switch done {
      case .batch: next()
      case .barrier(let committed?):
        connection?.welcome(committed)
        next()
      case .barrier, .gap: waitingHello == nil ? resume() : next()
      }
    case .fenced: ingest?.worker?.deliver(.laneFenced(term.term))
    case .duplicate, .gap:
      if world.has(.duplicateAcked), outcome == .duplicate, case .batch(_, let last) = done {
        connection?.acknowledge(last)
      }
      // Another attempt or another node was first, or the client is ahead: begin with a read.
      work = nil
      self.attempt += 1
      resume()
    case .lockTimedOut: failed()
    case .refused: world.fail("a writer was refused like a bump")
    }
  }

  private func next() {
    guard work == nil else { return }
    if waitingHello != nil { takeHello() }
    ingest?.noteDrained()
  }

  /// Reads what is committed. It is told to the client only behind a write of this term.
  private func resume() {
    guard let connection, !ended else { return next() }
    // A read is an attempt like any other: it needs a connection, and a lane that is busy with it.
    attempt += 1
    let attempt = attempt
    guard let link, link.open else { return start(.barrier(then: nil)) }
    var committed = 0
    ingest?.worker?.after(1_500 * millisecond) { [self] _ in
      if self.attempt == attempt { connection.reset(reachable: true) }
    }
    call(link, attempt, { [self] _ in committed = database.store.committed(stream) }) { [self] in
      self.attempt += 1
      if oldest - 1 > committed { return start(.gap(first: committed + 1, last: oldest - 1)) }
      if world.has(.ackFromRead) {
        connection.welcome(committed)
        return next()
      }
      start(.barrier(then: committed))
    }
  }
}
