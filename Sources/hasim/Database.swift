// A simulated PostgreSQL: sessions, the advisory lock with its queue, beat rows, and what an instance goes through.

import Election

enum SessionRole { case lease, watch, lane }

/// A backend.
final class Session {
  let pid: Int32
  let owner: NodeIncarnation
  let host: Int
  let role: SessionRole
  fileprivate(set) var alive = true
  /// Ends the statement in progress, whatever it is.
  fileprivate var transaction: Transaction?
  /// `idle_session_timeout` of a lease session.
  fileprivate var idleTimeout: Alarm?
  /// Backends up to this one were to be ended before the bump.
  fileprivate var endedUpTo: Int32 = 0
  /// The other end learns of it unless the network hides it.
  var ended: (String) -> Void = { _ in }

  init(pid: Int32, owner: NodeIncarnation, host: Int, role: SessionRole) {
    self.pid = pid
    self.owner = owner
    self.host = host
    self.role = role
  }
}

final class Database {
  struct BeatEntry {
    var node: NodeIncarnation
    var counter: Int64
    var state: NodeState
    var writtenAt: Moment = 0
  }
  private struct Waiter {
    var session: Session
    var ticket: Int
    var answer: (Bool) -> Void
  }

  let world: World
  let store: Store
  private(set) var up = true
  private(set) var sessions: [Session] = []
  private var lastPID: Int32 = 100
  private(set) var lockHolder: Session? { didSet { lockSince = world.now } }
  private var lockSince: Moment = 0
  private var waiters: [Waiter] = []
  private var tickets = 0
  private(set) var beats: [BeatEntry] = []
  var paused = false { didSet { forbiddenSince = world.now } }
  var noPromote: [ShortName] = [] { didSet { forbiddenSince = world.now } }
  private var forbiddenSince: Moment = 0
  /// A commit that begins now takes so long (a stalled disk).
  var commitStall: Moment = 0
  /// When the instance or its way out was last disturbed.
  private(set) var disturbedAt: Moment = 0
  let leaseLifetime: Moment
  /// For the check of a fence: whether that worker is awake and leads by its own lights.
  var believesToLead: (NodeIncarnation) -> Bool = { _ in false }

  init(world: World, leaseLifetime: Moment) {
    self.world = world
    self.leaseLifetime = leaseLifetime
    store = Store(world: world)
  }

  func disturbed() { disturbedAt = world.now }

  // MARK: Sessions

  /// `nil` when the server is down.
  func connect(_ owner: NodeIncarnation, host: Int, role: SessionRole) -> Session? {
    guard up else { return nil }
    lastPID += 1
    let session = Session(pid: lastPID, owner: owner, host: host, role: role)
    sessions.append(session)
    if role == .lease {
      register(owner)
      idle(session)
    }
    return session
  }

  private func register(_ owner: NodeIncarnation) {
    if let index = beats.firstIndex(where: { $0.node.node == owner.node }) {
      if beats[index].node.incarnation < owner.incarnation {
        beats[index] = BeatEntry(node: owner, counter: 0, state: .starting)
      }
    } else {
      beats.append(BeatEntry(node: owner, counter: 0, state: .starting))
    }
  }

  /// `pg_terminate_backend`: false while a COMMIT is stalled, and then the COMMIT succeeds.
  @discardableResult
  func terminate(_ session: Session, _ reason: String) -> Bool {
    guard session.alive else { return true }
    if let transaction = session.transaction, !store.abort(transaction) { return false }
    session.alive = false
    session.idleTimeout = nil
    sessions.removeAll { $0 === session }
    waiters.removeAll { $0.session === session }
    if lockHolder === session { releaseLock() }
    world.trace(
      "database", "session \(session.pid) of \(session.owner.node)/\(session.owner.incarnation) ends: \(reason)")
    let ended = session.ended
    session.ended = { _ in }
    ended(reason)
    return true
  }

  /// The client is gone: what was sent is still carried out, then the backend ends.
  func hangUp(_ session: Session) {
    guard !terminate(session, "client gone") else { return }
    world.after(50 * millisecond) { [self] in hangUp(session) }
  }

  /// The run is over.
  func forget() {
    for session in sessions {
      session.ended = { _ in }
      session.idleTimeout = nil
      session.transaction?.letGo()
    }
    waiters = []
    store.letGo()
  }

  // MARK: The advisory lock

  private func idle(_ session: Session) {
    let timeout =
      session.idleTimeout
      ?? Alarm(world: world) { [unowned self] in
        if session.alive { terminate(session, "idle_session_timeout") }
      }
    session.idleTimeout = timeout
    timeout.set(after: leaseLifetime)
  }

  /// A statement of the lease session begins; it is idle again when it ends.
  private func busy(_ session: Session) { session.idleTimeout?.clear() }

  func waitLeader(_ session: Session, timeout: Moment, answer: @escaping (Bool) -> Void) {
    guard session.alive else { return }
    busy(session)
    if lockHolder == nil || lockHolder === session {
      lockHolder = session
      idle(session)
      return answer(true)
    }
    tickets += 1
    let ticket = tickets
    waiters.append(Waiter(session: session, ticket: ticket, answer: answer))
    world.after(timeout) { [self] in
      guard let index = waiters.firstIndex(where: { $0.ticket == ticket }) else { return }
      waiters.remove(at: index)
      idle(session)
      answer(false)
    }
  }

  func unlock(_ session: Session) {
    if session.alive { idle(session) }
    if lockHolder === session { releaseLock() }
  }

  private func releaseLock() {
    lockHolder = nil
    guard !waiters.isEmpty else { return }
    let next = waiters.removeFirst()
    lockHolder = next.session
    idle(next.session)
    world.trace(
      "database", "lock to \(next.session.owner.node)/\(next.session.owner.incarnation) pid \(next.session.pid)")
    next.answer(true)
  }

  // MARK: Statements of the lease and watch sessions

  func beat(_ session: Session, counter: Int64, state: NodeState) -> BeatReading {
    idle(session)
    if let index = beats.firstIndex(where: { $0.node == session.owner }) {
      beats[index].counter = counter
      beats[index].state = state
      beats[index].writtenAt = world.now
    }
    return BeatReading(cluster: reading(for: session.owner.node), lockHeld: lockHolder === session)
  }

  func reading(for node: ShortName) -> ClusterReading {
    ClusterReading(
      term: store.term, timeline: store.timeline, paused: paused, noPromote: noPromote.contains(node),
      successor: store.namedSuccessor, cleanRelease: store.cleanRelease)
  }

  func watch(for node: ShortName) -> WatchReading {
    WatchReading(
      cluster: reading(for: node), leader: store.leader,
      holder: lockHolder.map { LockHolder(node: $0.owner, backend: $0.pid) },
      rows: beats.map { BeatRow(node: $0.node, counter: $0.counter, state: $0.state) })
  }

  /// Ends sessions of older incarnations and every writing session, the own ones of an earlier term, too; how many are
  /// left.
  func endOldSessions(by session: Session) -> Int {
    busy(session)
    defer { if session.alive { idle(session) } }
    session.endedUpTo = lastPID
    if world.has(.oldSessionsKept) { return 0 }
    let old = sessions.filter { other in
      if other === session { return false }
      let current = beats.first { $0.node.node == other.owner.node }?.node.incarnation ?? 0
      return other.owner.incarnation < current || other.role == .lane
    }
    return old.count { !terminate($0, "ended by \(session.owner.node)") }
  }

  /// The bump's own part: lock timeout, conditions and commit are the store's.
  func bump(_ session: Session, expecting: Term, timeout: Moment, answer: @escaping (LeaseResult) -> Void) {
    busy(session)
    let token = Int64(truncatingIfNeeded: world.random.next())
    let transaction = Transaction(pid: session.pid, kind: .bump(by: session.owner, token: token))
    session.transaction = transaction
    let began = world.now
    let holdsLock = { [unowned self] in lockHolder === session }
    transaction.refusal = { [unowned self] in
      if world.has(.unconditionalBump) { return nil }
      if !holdsLock() { return .lockNotHeld }
      if store.term != expecting { return .epochMoved }
      if world.has(.pauseNotAsked) { return nil }
      if paused { return .paused }
      if noPromote.contains(session.owner.node) { return .noPromote }
      if let named = store.namedSuccessor, named != session.owner.node { return .otherSuccessor }
      return nil
    }
    transaction.applied = { [unowned self] in
      let by = session.owner.node
      if !holdsLock() { world.fail("\(by) bumped the epoch without holding the lock") }
      guard forbiddenSince < began else { return }
      if paused { world.fail("\(by) was promoted while the cluster is paused") }
      if noPromote.contains(by) { world.fail("\(by) was promoted though no-promote is set for it") }
    }
    transaction.finished = { [unowned self] result in
      session.transaction = nil
      if session.alive { idle(session) }
      switch result {
      case .committed: answer(.bumped(TimelineTerm(timeline: store.timeline, term: store.term)))
      case .refused(let refusal): answer(.bumpRefused(refusal))
      case .lockTimedOut:
        if store.isHeldOpen(byBackendsUpTo: session.endedUpTo) {
          world.fail("the bump of \(session.owner.node) waited in vain for a session that could have been ended")
        }
        answer(.failed("lock_timeout", sessionLost: false))
      case .fenced, .duplicate, .gap: answer(.failed("unexpected", sessionLost: false))
      }
    }
    store.begin(transaction, lockTimeout: timeout)
  }

  /// Only between two statements: no session loses its lock in the midst of one.
  func loseLock(_ session: Session) { if session.transaction == nil { unlock(session) } }

  func markCleanRelease(_ session: Session, term: Term, successor: ShortName?) {
    idle(session)
    store.markCleanRelease(term, successor: successor)
  }

  /// Compares under the lock of the beat row, then ends every session of that incarnation.
  func fence(term: Term, node: NodeIncarnation, counter: Int64, by: ShortName) -> Bool {
    let row = beats.first { $0.node.node == node.node }
    let same = row?.node == node && row?.counter == counter && store.term == term
    guard same || world.has(.judgeWithoutCompare) else { return false }
    world.trace("database", "\(by) fences \(node.node)/\(node.incarnation)")
    let ended = sessions.filter { $0.owner.node == node.node && (same ? $0.owner == node : true) }
    if !same, ended.contains(where: { $0 === lockHolder }) {
      world.fail("\(by) fenced \(node.node), which had shown life since it was judged")
    }
    // A beat of an earlier hold of the lock says nothing of this one, which has led nobody yet.
    if same, let row, row.writtenAt >= lockSince, world.now - row.writtenAt < 600 * millisecond,
      ended.contains(where: { $0 === lockHolder }), believesToLead(node), !isLateToBump(node)
    {
      world.fail(
        "\(by) fenced \(node.node), which had written its beat \((world.now - row.writtenAt) / millisecond) ms before")
    }
    for session in ended { terminate(session, "fenced by \(by)") }
    return true
  }

  /// It has held the lock for a lease lifetime, on the judge's clock, and not bumped: a beat does not save it.
  private func isLateToBump(_ node: NodeIncarnation) -> Bool {
    store.leader != node && world.now - lockSince >= leaseLifetime * 9 / 10
  }

  // MARK: Lanes

  /// `finished` is called at the server; the lane's backend may be gone by then.
  func write(_ session: Session, _ transaction: Transaction) {
    session.transaction = transaction
    let finished = transaction.finished
    transaction.finished = { outcome in
      session.transaction = nil
      finished(outcome)
    }
    store.begin(transaction, lockTimeout: 2 * second)
  }

  // MARK: The instance

  /// Everything in the WAL survives; every session ends. Back after `downtime`.
  func restart(downtime: Moment, clean: Bool) {
    guard up else { return }
    disturbed()
    up = false
    world.trace("database", clean ? "restarts" : "crashes")
    dropSessions(clean ? "terminating connection due to administrator command" : "server closed the connection")
    store.settle()
    world.after(downtime) { [self] in comeUp() }
  }

  /// A standby takes over on a new timeline; what it had not received is gone.
  func failOver(downtime: Moment, tellsClients: Bool) {
    guard up else { return }
    disturbed()
    up = false
    // A dead machine tells nobody.
    dropSessions(tellsClients ? "connection reset" : nil)
    let lost = store.failOver()
    world.trace("database", "fails over to timeline \(store.timeline), \(lost) commits lost, epoch \(store.term.epoch)")
    world.after(downtime) { [self] in comeUp() }
  }

  private func comeUp() {
    up = true
    disturbed()
    world.trace("database", "up")
  }

  private func dropSessions(_ reason: String?) {
    let all = sessions
    sessions = []
    waiters = []
    lockHolder = nil
    for session in all {
      session.alive = false
      session.transaction = nil
      session.idleTimeout = nil
      let ended = session.ended
      session.ended = { _ in }
      if let reason { ended(reason) }
    }
  }
}
