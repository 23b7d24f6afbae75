// What is durable: the log of commits, the state it adds up to, the table lock of the fence, and replication.

import Election

/// One transaction that writes: a bump, a batch, or a barrier (a fenced transaction without rows).
final class Transaction {
  enum Kind {
    case bump(by: NodeIncarnation, token: Int64)
    /// `first...last` of a stream. `gap`: records that their sender no longer has.
    case batch(stream: Int, first: Int, last: Int, gap: Bool)
    case barrier
  }
  enum Outcome: Equatable { case committed, fenced, duplicate, gap, refused(BumpRefusal), lockTimedOut }
  enum Stage { case queued, open, committing, replicating, done }

  let pid: Int32
  let kind: Kind
  /// The term a writer believes in; `nil` for a bump.
  var term: Term?
  var stage = Stage.queued
  /// For a bump: what the conditional UPDATE says, and the checks when it is visible.
  var refusal: () -> BumpRefusal? = { nil }
  var applied: () -> Void = {}
  /// A writer's rows are awaited here: called when the claim is made; `proceed` continues to COMMIT.
  /// It is handed itself: what captured it would keep one alive that is never begun.
  var claimed: (Transaction) -> Void = { _ in }
  var finished: (Outcome) -> Void = { _ in }

  init(pid: Int32, kind: Kind, term: Term? = nil) {
    self.pid = pid
    self.kind = kind
    self.term = term
  }
  /// What it would have called refers back to it.
  func letGo() {
    (refusal, applied, claimed, finished) = ({ nil }, {}, { _ in }, { _ in })
  }
  var exclusive: Bool { if case .bump = kind { true } else { false } }
}

final class Store {
  struct Entry {
    enum Change {
      case bump(Term, leader: NodeIncarnation)
      case batch(stream: Int, first: Int, last: Int, gap: Bool, term: Term)
      case barrier(Term)
      case release(Term, successor: ShortName?, expires: Moment)
    }
    var change: Change
    var visible = false
    var transaction: Transaction?
  }
  struct Stored {
    var first: Int
    var last: Int
    var gap: Bool
  }

  private let world: World
  private(set) var timeline: UInt32 = 1
  private(set) var term = Term(epoch: 0, token: 0)
  private(set) var leader: NodeIncarnation?
  private(set) var cleanRelease: Term?
  private var successor: (node: ShortName, expires: Moment)?
  /// Visible batches per stream, in the order of their commits.
  private(set) var stored: [Int: [Stored]] = [:]
  /// The highest record of each.
  private var committedTo: [Int: Int] = [:]
  /// Everything in the WAL, in its order.
  private var log: [Entry] = []
  /// The standby has so many entries of `log`.
  private var replicated = 0
  /// An answer waits for the standby.
  var synchronous = false
  var replicationStalled = false { didSet { shipSoon() } }
  private var shipping = false
  var commitStall: () -> Moment = { 0 }
  /// Acknowledged or not, these were lost by an asynchronous failover: (stream, first, last).
  private(set) var excused: [(stream: Int, first: Int, last: Int)] = []
  /// Who bumped to a term, for the checks.
  private(set) var owners: [TimelineTerm: NodeIncarnation] = [:]

  // The lock on ha.fence: holders share it, or one holds it exclusively; the queue is fair.
  private var holders: [Transaction] = []
  private var queue: [Transaction] = []
  // Claims of transactions in progress: who waits for them tries again when they end.
  private var claims: [Int: Transaction] = [:]
  private var claimQueue: [(stream: Int, retry: () -> Void)] = []

  init(world: World) { self.world = world }

  var namedSuccessor: ShortName? { successor.flatMap { world.now < $0.expires ? $0.node : nil } }

  func committed(_ stream: Int) -> Int { committedTo[stream] ?? 0 }

  // MARK: The table lock

  /// Whether one of these backends holds the lock and could have been ended.
  func isHeldOpen(byBackendsUpTo pid: Int32) -> Bool { holders.contains { $0.stage == .open && $0.pid <= pid } }

  func begin(_ transaction: Transaction, lockTimeout: Moment) {
    let bare = world.has(.noFence) || world.has(.fenceWithoutTableLock)
    if !transaction.exclusive, bare { return opened(transaction) }
    queue.append(transaction)
    serve()
    world.after(lockTimeout) { [self] in
      guard transaction.stage == .queued, let place = queue.firstIndex(where: { $0 === transaction }) else { return }
      queue.remove(at: place)
      transaction.stage = .done
      serve()
      let finished = transaction.finished
      transaction.letGo()
      finished(.lockTimedOut)
    }
  }

  private func serve() {
    while let first = queue.first {
      let free = first.exclusive ? holders.isEmpty : !holders.contains { $0.exclusive }
      guard free else { return }
      queue.removeFirst()
      holders.append(first)
      world.after(world.random.microseconds(30...100)) { [self] in if first.stage == .queued { opened(first) } }
    }
  }

  private func opened(_ transaction: Transaction) {
    transaction.stage = .open
    switch transaction.kind {
    case .bump:
      if let refusal = transaction.refusal() { return end(transaction, .refused(refusal)) }
      commit(transaction)
    case .barrier:
      guard check(transaction) else { return end(transaction, .fenced) }
      commit(transaction)
    case .batch(let stream, let first, _, _):
      guard check(transaction) else { return end(transaction, .fenced) }
      claim(transaction, stream: stream, first: first)
    }
  }

  /// `ha.check(epoch, token)`.
  private func check(_ transaction: Transaction) -> Bool {
    if world.has(.noFence) { return true }
    if world.has(.epochWithoutToken) { return transaction.term?.epoch == term.epoch }
    return transaction.term == term
  }

  private func claim(_ transaction: Transaction, stream: Int, first: Int) {
    guard transaction.stage == .open else { return }
    if world.has(.claimNotChecked) { return transaction.claimed(transaction) }
    let locked = !world.has(.claimNotLocked)
    if locked, claims[stream] != nil {
      return claimQueue.append((stream, { [self] in claim(transaction, stream: stream, first: first) }))
    }
    let committed = committed(stream)
    if first - 1 < committed { return end(transaction, .duplicate) }
    if first - 1 > committed { return end(transaction, .gap) }
    claims[stream] = transaction
    transaction.claimed(transaction)
  }

  // MARK: COMMIT

  /// The rows are there. From here on the transaction can't be aborted any more.
  func commit(_ transaction: Transaction) {
    guard transaction.stage == .open else { return }
    transaction.stage = .committing
    var takes = world.random.microseconds(300...2_500)
    if !transaction.exclusive { takes += commitStall() }
    world.after(takes) { [self] in if transaction.stage == .committing { flushed(transaction) } }
  }

  private func flushed(_ transaction: Transaction) {
    let change: Entry.Change
    switch transaction.kind {
    case .bump(let by, let token): change = .bump(Term(epoch: term.epoch + 1, token: token), leader: by)
    case .batch(let stream, let first, let last, let gap):
      change = .batch(stream: stream, first: first, last: last, gap: gap, term: transaction.term ?? term)
    case .barrier: change = .barrier(transaction.term ?? term)
    }
    log.append(Entry(change: change, transaction: transaction))
    shipSoon()
    if synchronous {
      transaction.stage = .replicating
    } else {
      show(log.count - 1)
    }
  }

  /// Every 10 ms, while there is something that the standby has not got.
  private func shipSoon() {
    guard !shipping, !replicationStalled, replicated < log.count else { return }
    shipping = true
    let pause = 10 * millisecond
    world.after(pause - world.now % pause) { [self] in
      shipping = false
      replicate(world.random.int(1...50))
      shipSoon()
    }
  }

  private func replicate(_ count: Int) {
    guard !replicationStalled else { return }
    let reached = min(log.count, replicated + count)
    let fresh = replicated..<max(replicated, reached)
    replicated = fresh.upperBound
    for index in fresh where !log[index].visible { show(index) }
  }

  /// The entry becomes visible to everybody and its transaction ends.
  private func show(_ index: Int) {
    guard !log[index].visible else { return }
    log[index].visible = true
    apply(log[index].change, live: true)
    if let transaction = log[index].transaction {
      log[index].transaction = nil
      transaction.applied()
      end(transaction, .committed)
    }
  }

  private func apply(_ change: Entry.Change, live: Bool) {
    switch change {
    case .bump(let next, let by):
      term = next
      leader = by
      cleanRelease = nil
      let name = TimelineTerm(timeline: timeline, term: next)
      if live, let owner = owners[name], owner != by { world.fail("epoch \(next.epoch) has two owners") }
      if live { owners[name] = by }
      if live { world.trace("database", "epoch \(next.epoch) to \(by.node)/\(by.incarnation)") }
    case .batch(let stream, let first, let last, let gap, let written):
      if live, written != term {
        world.fail("a batch of epoch \(written.epoch) became visible in epoch \(term.epoch) (stream \(stream))")
      }
      if live { world.trace("database", "stored stream \(stream) \(first) to \(last)\(gap ? " gap" : "")") }
      stored[stream, default: []].append(Stored(first: first, last: last, gap: gap))
      committedTo[stream] = max(last, committed(stream))
    case .barrier: break
    case .release(let of, let node, let expires):
      cleanRelease = of
      successor = node.map { ($0, expires) }
    }
  }

  func markCleanRelease(_ of: Term, successor: ShortName?) {
    log.append(Entry(change: .release(of, successor: successor, expires: world.now + 5 * second)))
    show(log.count - 1)
    shipSoon()
  }

  private func end(_ transaction: Transaction, _ outcome: Transaction.Outcome) {
    guard transaction.stage != .done else { return }
    forget(transaction)
    let finished = transaction.finished
    transaction.letGo()
    finished(outcome)
  }

  private func forget(_ transaction: Transaction) {
    transaction.stage = .done
    holders.removeAll { $0 === transaction }
    queue.removeAll { $0 === transaction }
    if case .batch(let stream, _, _, _) = transaction.kind, claims[stream] === transaction {
      claims[stream] = nil
      let waiting = claimQueue.filter { $0.stream == stream }
      claimQueue.removeAll { $0.stream == stream }
      for next in waiting { next.retry() }
    }
    serve()
  }

  /// The run is over.
  func letGo() {
    for transaction in holders + queue { giveUp(transaction) }
    claimQueue = []
  }

  /// Nobody hears of it again.
  private func giveUp(_ transaction: Transaction) {
    transaction.stage = .done
    transaction.letGo()
  }

  /// For `pg_terminate_backend`. False while the COMMIT is on its way to the disk.
  func abort(_ transaction: Transaction) -> Bool {
    switch transaction.stage {
    case .done: return true
    case .committing: return false
    case .queued, .open:
      forget(transaction)
      transaction.letGo()
      return true
    case .replicating:
      // The wait for the standby is cancelled: committed here, and visible, whether the standby has it or not.
      // What the client is told is a warning, and to a sound client that is no acknowledgement.
      if !world.has(.warningIgnored) { transaction.finished = { _ in } }
      if let index = log.lastIndex(where: { $0.transaction === transaction }) { show(index) }
      return true
    }
  }

  // MARK: The instance

  /// After a restart: what is in the WAL is visible, what was not flushed is gone.
  func settle() {
    let waiting = holders + queue
    for transaction in waiting where transaction.stage != .replicating { giveUp(transaction) }
    holders = []
    queue = []
    claims = [:]
    claimQueue = []
    for index in log.indices where !log[index].visible {
      if let transaction = log[index].transaction { giveUp(transaction) }
      log[index].transaction = nil
      show(index)
    }
  }

  /// The standby takes over with what it received; how many commits are gone.
  func failOver() -> Int {
    for transaction in holders + queue { giveUp(transaction) }
    for index in log.indices { log[index].transaction = nil }
    let lost = log[replicated...]
    for entry in lost where !synchronous {
      if case .batch(let stream, let first, let last, _, _) = entry.change { excused.append((stream, first, last)) }
    }
    for entry in lost { world.trace("database", "lost \(entry.change)") }
    log.removeSubrange(replicated...)
    holders = []
    queue = []
    claims = [:]
    claimQueue = []
    timeline += 1
    (term, leader, cleanRelease, successor) = (Term(epoch: 0, token: 0), nil, nil, nil)
    stored = [:]
    committedTo = [:]
    for index in log.indices {
      log[index].visible = true
      apply(log[index].change, live: false)
    }
    return lost.count
  }
}
