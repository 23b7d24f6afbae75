// The thread "retention": old partitions leave, one statement at a time, behind nobody and before nobody.
internal import Platform
internal import Postgres

/// State of its thread. It has a session only while its node is active. Everything is idempotent: what one node leaves
/// half done (a DETACH that was interrupted, a table that was not dropped) is in the plan of the next.
struct Retention: ~Copyable {
  let sessions: DatabaseSessions
  let settings: IngestSettings

  private var housekeeping: Housekeeping
  private var lasting = LastingFailure()
  private var isDistributed = false

  /// One line of `telemetry.retention_plan()`.
  private struct Removal {
    enum Step: String { case finalize, drop, detach }
    var step: Step
    var parent: String
    var partition: String
    var reason: String
    var bytes: String
  }

  init(
    sessions: DatabaseSessions, settings: IngestSettings, mailbox: Mailbox<HousekeepingCommand>, interrupt: Interrupt
  ) {
    (self.sessions, self.settings) = (sessions, settings)
    housekeeping = Housekeeping(
      mailbox: mailbox, interrupt: interrupt, delayMilliseconds: settings.retentionDelayMilliseconds)
  }

  mutating func run() { while let activation = housekeeping.awaitRound() { round(activation) } }

  private mutating func round(_ activation: Activation) {
    housekeeping.nextRound = .after(milliseconds: settings.retentionMilliseconds)
    do throws(PostgresError) {
      var session = try sessions.open(
        .retention, deadline: .after(milliseconds: settings.connectDeadlineMilliseconds),
        interrupt: housekeeping.interrupt)
      // The lock ends with the session, and so with the node.
      guard
        try ask(&session, "SELECT pg_catalog.pg_try_advisory_lock(ha.lock_key($1))", ["\(sessions.cluster)/retention"])
          == "t"
      else { return }
      // Citus has no DETACH CONCURRENTLY.
      isDistributed =
        try ask(&session, "SELECT EXISTS (SELECT FROM pg_catalog.pg_extension AS e WHERE e.extname = 'citus')", [])
        == "t"
      try deleteOld(&session, activation)
      var stuck: Set<String> = []
      while let removal = try nextRemoval(&session, without: stuck) {
        guard housekeeping.mayGoOn else { return }
        if try !perform(removal, &session, activation) { stuck.insert(removal.parent) }
      }
      // Somebody reads what has to go: soon again.
      if !stuck.isEmpty { housekeeping.nextRound = .after(milliseconds: min(5000, settings.retentionMilliseconds)) }
      lasting.ended()
    } catch {
      if error.reason == .interrupted { return }
      guard lasting.isDue("\(error)", at: .now()) else { return }
      log(.warning, "retention failed, tried again", ["reason": "\(error)"])
    }
  }

  /// The first removal whose table is not among those where somebody is in the way.
  private func nextRemoval(_ session: inout Connection, without stuck: Set<String>) throws(PostgresError) -> Removal? {
    let rows = try session.run(
      "SELECT r.step, r.parent, r.partition, r.reason, r.bytes FROM telemetry.retention_plan() AS r",
      deadline: deadline
    ).rows
    for row in rows where row.count == 5 {
      guard let step = row[0].flatMap(Removal.Step.init(rawValue:)), let parent = row[1], let partition = row[2],
        !stuck.contains(parent), isPlain(parent), isPlain(partition)
      else { continue }
      return Removal(step: step, parent: parent, partition: partition, reason: row[3] ?? "", bytes: row[4] ?? "0")
    }
    return nil
  }
  /// The names get into statements that take no parameters.
  private func isPlain(_ name: String) -> Bool {
    !name.isEmpty && name.utf8.count < 64
      && name.utf8.allSatisfy { ($0 >= 0x61 && $0 <= 0x7a) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x5f }
  }

  /// False when a reader is in the way (55P03). Then it is given up at once, so that nobody queues behind us.
  private func perform(
    _ removal: Removal, _ session: inout Connection, _ activation: Activation
  ) throws(PostgresError) -> Bool {
    do throws(PostgresError) {
      switch removal.step {
      case .finalize: try detach(removal, "FINALIZE", &session, activation)
      case .detach: try detach(removal, isDistributed ? "" : "CONCURRENTLY", &session, activation)
      case .drop: break
      }
      let begun = BootInstant.now()
      _ = try session.query("SELECT telemetry.drop_detached($1)", [removal.partition], deadline: deadline)
      try record("dropped", removal, since: begun, &session, activation)
    } catch {
      guard error.state == "55P03" else { throw error }
      return false
    }
    log(.info, "retention dropped a partition", ["partition": removal.partition, "reason": removal.reason])
    return true
  }

  /// As the keeper, whose right is needed for this alone.
  private func detach(
    _ removal: Removal, _ way: String, _ session: inout Connection, _ activation: Activation
  ) throws(PostgresError) {
    let begun = BootInstant.now()
    _ = try session.run("SET ROLE standwatch_keeper", deadline: deadline)
    var failure: PostgresError?
    do throws(PostgresError) {
      _ = try session.run(
        "ALTER TABLE telemetry.\(removal.parent) DETACH PARTITION telemetry.\(removal.partition) \(way)",
        deadline: deadline)
    } catch { failure = error }
    if failure == nil || failure?.state != nil { _ = try session.run("RESET ROLE", deadline: deadline) }
    if let failure { throw failure }
    try record("detached", removal, since: begun, &session, activation)
  }

  private func deleteOld(_ session: inout Connection, _ activation: Activation) throws(PostgresError) {
    // Small bites; what is left is for the next round.
    for _ in 0..<20 {
      guard housekeeping.mayGoOn else { return }
      let begun = BootInstant.now()
      let rows: [[String?]]
      do throws(PostgresError) {
        rows = try session.run("SELECT object, deleted FROM telemetry.delete_old(5000)", deadline: deadline).rows
      } catch {
        guard error.state == "55P03" else { throw error }
        return
      }
      for row in rows where row.count == 2 {
        try record("deleted", row[0] ?? "", "age", bytes: nil, rows: row[1], since: begun, &session, activation)
      }
      if rows.isEmpty { return }
    }
  }

  private func record(
    _ action: String, _ removal: Removal, since begun: BootInstant, _ session: inout Connection,
    _ activation: Activation
  ) throws(PostgresError) {
    try record(
      action, removal.partition, removal.reason, bytes: removal.bytes, rows: nil, since: begun, &session, activation)
  }
  private func record(
    _ action: String, _ object: String, _ reason: String, bytes: String?, rows: String?, since begun: BootInstant,
    _ session: inout Connection, _ activation: Activation
  ) throws(PostgresError) {
    let milliseconds = BootInstant.now().milliseconds(since: begun)
    _ = try session.query(
      """
      INSERT INTO telemetry.retention_log (node, epoch, action, object, reason, bytes, rows, milliseconds)
      VALUES ($1, $2::bigint, $3, $4, $5, $6::bigint, $7::bigint, $8::double precision)
      """,
      [
        sessions.node, String(activation.epoch), action, object, reason, bytes, rows, String(milliseconds),
      ], deadline: deadline)
  }

  private func ask(
    _ session: inout Connection, _ statement: String, _ parameters: [String?]
  ) throws(PostgresError) -> String? {
    try session.query(statement, parameters, deadline: deadline).scalar
  }
  private var deadline: BootInstant { .after(milliseconds: 10_000) }
}
