// The thread of the watch session: reads the others' beats, and fences when the core asks.
internal import Election
internal import Platform
internal import Postgres

/// Owns the watch session; connects by itself when it has none.
final class WatchRole: Sendable {
  private struct Order: Sendable {
    var operation: OperationID
    var command: WatchCommand
    var deadline: Instant
  }
  private let orders: Mailbox<Order>
  private let interrupt: Interrupt
  private let sessions: DatabaseSessions
  private let pulses: Pulses
  private let complaints = Complaints(about: "watch session")
  private let report: @Sendable (Event) -> Void

  init(
    sessions: DatabaseSessions, pulses: Pulses, report: @escaping @Sendable (Event) -> Void
  ) throws(SystemError) {
    orders = try Mailbox(capacity: 64)
    interrupt = try Interrupt()
    self.sessions = sessions
    self.pulses = pulses
    self.report = report
  }

  func submit(_ operation: OperationID, _ command: WatchCommand, deadline: Instant) {
    if orders.post(Order(operation: operation, command: command, deadline: deadline)) != .posted {
      report(.watchAnswered(operation, .failed("watch thread is behind")))
    }
  }
  func shutDown() {
    orders.close()
    interrupt.raise()
  }

  func run() {
    var session: Connection? = nil
    while !orders.isClosed {
      let deadline = BootInstant.after(milliseconds: 500)
      pulses.waits(.watch, until: deadline)
      _ = wait(orders.descriptor, for: .read, until: deadline)
      for order in orders.takeAll() {
        pulses.waits(.watch, until: BootInstant(order.deadline))
        report(.watchAnswered(order.operation, carryOut(order, &session)))
      }
    }
  }

  private func carryOut(_ order: Order, _ session: inout Connection?) -> WatchResult {
    let deadline = BootInstant(order.deadline)
    do {
      var standing = if let known = session.take() { known } else { try connect(deadline) }
      let result = try run(order.command, &standing, deadline)
      session = consume standing
      return result
    } catch {
      complaints.note(error)
      // Refusals too: the next command finds a session whose state is known.
      return .failed(error.description)
    }
  }

  private func connect(_ deadline: BootInstant) throws(PostgresError) -> Connection {
    var fresh = try sessions.open(.watch, deadline: deadline, interrupt: interrupt)
    try requirePreconditions(&fresh, cluster: sessions.cluster, deadline: deadline)
    return fresh
  }

  private func run(
    _ command: WatchCommand, _ session: inout Connection, _ deadline: BootInstant
  ) throws(PostgresError) -> WatchResult {
    switch command {
    case .read:
      let outcome = try session.query(
        """
        SELECT epoch, token, leader_node, leader_incarnation, timeline, holder_pid, holder_node, holder_incarnation,
          paused, successor, clean, node, incarnation, counter, state, no_promote,
          (SELECT coalesce(s.value, s.default_value) FROM ha.setting AS s WHERE s.key = 'failback_to')
        FROM ha.watch()
        """, [], deadline: deadline)
      return reading(outcome.rows).map { .read($0) } ?? .failed("the database is not pinned to a cluster yet")
    case .fence(let term, let node, let counter):
      let outcome = try session.query(
        "SELECT fenced, reason FROM ha.fence_node($1, $2, $3, $4, $5)",
        ["\(term.epoch)", "\(term.token)", node.node.text, "\(node.incarnation)", "\(counter)"], deadline: deadline)
      guard let row = outcome.rows.first.map(Fields.init) else { return .failed("the fence gave no answer") }
      return row.bool(0) ? .fenced : .mismatch
    }
  }

  /// One row a node, the cluster's columns repeated in each; nil without a row or on a server in recovery.
  private func reading(_ rows: [[String?]]) -> WatchReading? {
    guard let first = rows.first.map(Fields.init), let epoch = first.int(0), let token = first.int(1),
      let timeline = first.timeline(4)
    else { return nil }
    let term = Term(epoch: epoch, token: token)
    func identity(_ row: Fields, _ node: Int, _ incarnation: Int) -> NodeIncarnation? {
      row.text(node).flatMap { ShortName($0) }.flatMap { name in
        row.int(incarnation).map { NodeIncarnation(node: name, incarnation: $0) }
      }
    }
    var beats: [BeatRow] = []
    var noPromote = false
    for row in rows.map(Fields.init) {
      guard let node = identity(row, 11, 12), let counter = row.int(13) else { continue }
      if node.node.text == sessions.node { noPromote = row.bool(15) }
      beats.append(
        BeatRow(node: node, counter: counter, state: row.text(14).flatMap { NodeState(name: $0) } ?? .starting))
    }
    let holder = first.int(5).flatMap { pid in
      identity(first, 6, 7).map { LockHolder(node: $0, backend: Int32(truncatingIfNeeded: pid)) }
    }
    return WatchReading(
      cluster: ClusterReading(
        term: term, timeline: timeline, paused: first.bool(8), noPromote: noPromote,
        successor: first.text(9).flatMap { ShortName($0) }, cleanRelease: first.bool(10) ? term : nil,
        failbackTo: first.text(16).flatMap { ShortName($0) }),
      leader: identity(first, 2, 3), holder: holder, rows: beats)
  }
}
