// What the lease session says to PostgreSQL, one statement or transaction a command.
internal import Election
internal import Platform
internal import Postgres

/// The statements of one node's lease session. Stateless; errors are PostgreSQL's.
struct LeaseStatements: Sendable {
  let me: NodeIncarnation

  /// The first beat of this incarnation: from here on observers can tell it from its predecessor.
  func register(_ session: inout Connection, _ deadline: BootInstant) throws(PostgresError) {
    _ = try session.query(
      "SELECT stored FROM ha.beat($1, $2, $3, $4)", [me.node.text, "\(me.incarnation)", "0", NodeState.starting.name],
      deadline: deadline)
  }

  func run(
    _ command: LeaseCommand, _ session: inout Connection, _ deadline: BootInstant
  ) throws(PostgresError) -> LeaseResult {
    switch command {
    case .connect, .close: preconditionFailure("carried out by the role itself")
    case .waitLeader(let lockTimeout):
      let outcome = try session.query(
        "SELECT ha.wait_leader($1)", ["\(lockTimeout.wholeMilliseconds)"], deadline: deadline)
      return outcome.scalar == "t" ? .granted : .notGranted
    case .beat(let counter, let state): return try beat(counter, state, &session, deadline)
    case .endOldSessions:
      return .oldSessionsEnded(remaining: try endOldSessions(&session, deadline))
    case .bump(let expected, let timeout): return try bump(expected, timeout, &session, deadline)
    case .markCleanRelease(let term, let successor):
      return try mark(term, successor, &session, deadline)
    case .unlock:
      let outcome = try session.query("SELECT ha.release_leader()", [], deadline: deadline)
      return outcome.scalar == "t" ? .unlocked : .failed("the lock is still held", sessionLost: false)
    }
  }

  /// One statement writes the beat and reads all that the core wants to know. `sent` is taken before it goes out.
  private func beat(
    _ counter: Int64, _ state: NodeState, _ session: inout Connection, _ deadline: BootInstant
  ) throws(PostgresError) -> LeaseResult {
    let sent = Instant.bootNow()
    let outcome = try session.query(
      """
      SELECT b.epoch, b.token, b.timeline, c.paused,
        EXISTS (SELECT FROM ha.no_promote AS p WHERE p.node = $1),
        CASE WHEN c.successor_expires_at > clock_timestamp() THEN c.successor END,
        c.clean_epoch, c.clean_token, b.holds_lock, pg_is_in_recovery(), b.stored
      FROM ha.beat($1, $2, $3, $4) AS b CROSS JOIN ha.control AS c
      """,
      [me.node.text, "\(me.incarnation)", "\(counter)", state.name], deadline: deadline)
    guard let row = outcome.rows.first.map(Fields.init), let epoch = row.int(0), let token = row.int(1),
      let timeline = row.timeline(2)
    else { return .failed("a beat without an answer: is this database pinned to the cluster?", sessionLost: false) }
    guard row.bool(10) else {
      return .failed("a newer run of node \(me.node) is alive", sessionLost: false)
    }
    let clean = row.int(6).flatMap { epoch in row.int(7).map { Term(epoch: epoch, token: $0) } }
    let cluster = ClusterReading(
      term: Term(epoch: epoch, token: token), timeline: timeline, paused: row.bool(3), noPromote: row.bool(4),
      successor: row.text(5).flatMap { ShortName($0) }, cleanRelease: clean)
    return .beatAnswered(sent: sent, BeatReading(cluster: cluster, lockHeld: row.bool(8), inRecovery: row.bool(9)))
  }

  /// Asks until they are gone, at most 20 ms: terminating is a request, and in a stalled COMMIT not even that. The
  /// bump is the fence; this only shortens its wait.
  private func endOldSessions(_ session: inout Connection, _ deadline: BootInstant) throws(PostgresError) -> Int {
    let patience = min(deadline, BootInstant.after(milliseconds: 20))
    while true {
      let outcome = try session.query(
        "SELECT ha.end_old_sessions($1, $2)", [me.node.text, "\(me.incarnation)"], deadline: deadline)
      let remaining = outcome.scalar.flatMap { Int($0) } ?? 0
      if remaining == 0 || BootInstant.now() >= patience { return remaining }
      sleep(until: BootInstant.after(milliseconds: 2))
    }
  }

  /// Durable before it counts: `synchronous_commit` is on for the bump alone. A warning at COMMIT (a cancelled wait
  /// for a synchronous standby) is an unknown outcome.
  private func bump(
    _ expected: Term, _ timeout: Interval, _ session: inout Connection, _ deadline: BootInstant
  ) throws(PostgresError) -> LeaseResult {
    let milliseconds = max(1, timeout.wholeMilliseconds)
    // Integers and a checked name only: nothing to quote.
    let outcome = try session.run(
      """
      BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = on; \
      SET LOCAL lock_timeout = \(milliseconds); SET LOCAL statement_timeout = \(milliseconds); \
      SELECT promoted, reason, epoch, token, timeline FROM ha.bump(\(expected.epoch), \(expected.token), \
      '\(me.node.text)', \(me.incarnation)); COMMIT
      """, deadline: deadline)
    guard outcome.warnings.isEmpty, outcome.results.last?.command == "COMMIT" else {
      return .outcomeUnknown(outcome.warnings.first ?? "no COMMIT")
    }
    guard let row = outcome.rows.first.map(Fields.init) else { return .outcomeUnknown("the bump gave no answer") }
    guard row.bool(0) else { return refusal(row.text(1) ?? "") }
    guard let epoch = row.int(2), let token = row.int(3), let timeline = row.timeline(4) else {
      return .outcomeUnknown("the bump's answer cannot be read")
    }
    return .bumped(TimelineTerm(timeline: timeline, term: Term(epoch: epoch, token: token)))
  }
  private func refusal(_ reason: String) -> LeaseResult {
    switch reason {
    case "lock-not-held": .bumpRefused(.lockNotHeld)
    case "epoch-moved": .bumpRefused(.epochMoved)
    case "paused": .bumpRefused(.paused)
    case "no-promote": .bumpRefused(.noPromote)
    case "successor-named": .bumpRefused(.otherSuccessor)
    case let other: .failed("bump refused: \(other)", sessionLost: false)
    }
  }

  /// The successor's name expires by itself, so that a successor that cannot lead keeps nobody out for long.
  private static let successorMilliseconds = 5000

  private func mark(
    _ term: Term, _ successor: ShortName?, _ session: inout Connection, _ deadline: BootInstant
  ) throws(PostgresError) -> LeaseResult {
    let outcome = try session.query(
      """
      SELECT ha.mark_clean_release($1, $2, $3), CASE WHEN $4::text IS NOT NULL
        THEN ha.set_successor($4, \(Self.successorMilliseconds), $3) END
      """, ["\(term.epoch)", "\(term.token)", me.node.text, successor?.text], deadline: deadline)
    return outcome.scalar == "t" ? .marked : .failed("the term has moved", sessionLost: false)
  }
}

/// A row's values by place, read without trapping.
struct Fields {
  private let row: [String?]
  init(_ row: [String?]) { self.row = row }
  func text(_ index: Int) -> String? { index < row.count ? row[index] : nil }
  func int(_ index: Int) -> Int64? { text(index).flatMap { Int64($0) } }
  func bool(_ index: Int) -> Bool { text(index) == "t" }
  /// The server's timelines are unsigned; its answer is a signed integer.
  func timeline(_ index: Int) -> UInt32? { int(index).map { UInt32(truncatingIfNeeded: $0) } }
}
