// The thread "upkeep": partitions ahead, old claims pruned, drops written down. Never in the way of a promotion.
internal import Platform
internal import Postgres
internal import Telemetry

enum UpkeepCommand: Equatable, Sendable {
  case activate(Activation), halt
  /// A lane met a time without a partition.
  case ensurePartitions
  case shed([ShedRow])
  case shutDown
}

/// State of its thread. On a standby it only reads, so that the accepted times are known before they are needed.
struct Upkeep: ~Copyable {
  let sessions: DatabaseSessions
  let settings: IngestSettings
  let mailbox: Mailbox<UpkeepCommand>
  let interrupt: Interrupt
  let post: @Sendable (IntakeMessage) -> Void

  private var session: LaneConnection?
  private var activation: Activation?
  private var nextRound = BootInstant.now()
  private var nextWatch = BootInstant.now()
  private var quarantine: QuarantineReading
  /// Hosts that were watched when we last looked.
  private var watched = false
  private var shed: [ShedRow] = []
  private var mustEnsure = false
  private var window: TimeWindow?
  /// Integers of `ha.setting`.
  private var values: [String: Int64] = [:]
  private var toldQuota: [Int64] = []
  private var reportedFailure = ""

  /// A class, so that it can be dropped from within.
  private final class LaneConnection {
    var connection: Connection
    init(_ connection: consuming Connection) { self.connection = connection }
  }

  init(
    sessions: DatabaseSessions, settings: IngestSettings, mailbox: Mailbox<UpkeepCommand>, interrupt: Interrupt,
    quarantine: QuarantineReading, post: @escaping @Sendable (IntakeMessage) -> Void
  ) {
    (self.sessions, self.settings, self.mailbox) = (sessions, settings, mailbox)
    (self.interrupt, self.quarantine, self.post) = (interrupt, quarantine, post)
  }

  mutating func run() {
    sessions.refreshEndpoints()
    while true {
      for command in mailbox.takeAll() {
        switch command {
        case .activate(let activation):
          self.activation = activation
          quarantine.activated()
          // Not in the way of the promotion, unless nothing can be taken before.
          nextRound = .after(milliseconds: window == nil ? 0 : 2000)
        case .halt: activation = nil
        case .ensurePartitions:
          mustEnsure = true
          nextRound = .now()
        case .shed(let rows):
          // Bounded: counts of a database that is away for long are only kept so far.
          if shed.count < 4096 { shed += rows }
          nextRound = .now()
        case .shutDown: return
        }
      }
      // First of all: crashes that are not written down yet.
      if BootInstant.now() >= quarantine.next { readQuarantine() }
      if BootInstant.now() >= nextRound { round() }
      if activation != nil, BootInstant.now() >= nextWatch { readWatch() }
      let due = min(nextRound, quarantine.next)
      _ = wait(mailbox.descriptor, for: .read, until: activation == nil ? due : min(due, nextWatch))
    }
  }

  private mutating func readQuarantine() {
    do throws(PostgresError) {
      let session = try connected()
      if try quarantine.round(&session.connection, deadline: deadline) { post(.quarantineChanged) }
    } catch {
      failed(error)
      quarantine.postpone()
    }
  }

  private mutating func round() {
    do throws(PostgresError) {
      let session = try connected()
      try readSettings(session)
      try readWindow(session)
      if activation != nil || mustEnsure {
        try ensurePartitions(session)
        try readWindow(session)
      }
      if let activation {
        try writeShed(session, activation)
        try prune(session)
      }
      mustEnsure = false
      reportedFailure = ""
      nextRound = .after(milliseconds: window == nil ? 1000 : settings.upkeepMilliseconds)
    } catch {
      failed(error)
      nextRound = .after(milliseconds: mustEnsure ? 100 : 1000)
    }
  }

  private mutating func failed(_ error: PostgresError) {
    if error.state == nil { session = nil } else { leaveTransaction() }
    if error.reason == .interrupted { interrupt.clear() }
    // 55P03: something else holds a lock; tried again soon, as everything here can be.
    if "\(error)" != reportedFailure, error.state != "55P03", error.reason != .interrupted {
      reportedFailure = "\(error)"
      log(.warning, "upkeep failed", ["reason": "\(error)"])
    }
    if error.reason == .connect { sessions.refreshEndpoints() }
  }

  /// Who is watched, each second, so that an agent hears of it about as soon as somebody looks.
  private mutating func readWatch() {
    nextWatch = .after(milliseconds: 1000)
    // Without a session the next round opens one, and says what is wrong.
    guard let session else { return }
    do throws(PostgresError) {
      let rows = try session.connection.run("SELECT host, seconds FROM ingest.watched()", deadline: deadline).rows
      var hosts: [String: Int64] = [:]
      for row in rows where row.count == 2 { if let host = row[0] { hosts[host] = row[1].flatMap { Int64($0) } } }
      if watched || !hosts.isEmpty { post(.watched(hosts)) }
      watched = !hosts.isEmpty
    } catch {
      if error.state == nil { self.session = nil } else { leaveTransaction() }
      if error.reason == .interrupted { interrupt.clear() }
    }
  }

  private mutating func connected() throws(PostgresError) -> LaneConnection {
    if let session { return session }
    let opened = LaneConnection(
      try sessions.open(
        .upkeep, deadline: .after(milliseconds: settings.connectDeadlineMilliseconds), interrupt: interrupt))
    // Rounds are further apart than other idle sessions may be.
    _ = try opened.connection.run("SET idle_session_timeout = 0", deadline: deadline)
    session = opened
    return opened
  }
  private var deadline: BootInstant { .after(milliseconds: 10_000) }
  private mutating func leaveTransaction() {
    guard let session, session.connection.inTransaction else { return }
    do { _ = try session.connection.run("ROLLBACK", deadline: deadline) } catch { self.session = nil }
  }

  private mutating func readWindow(_ session: LaneConnection) throws(PostgresError) {
    let row =
      try session.connection.run(
        "SELECT from_us, until_us FROM telemetry.accepted_range()", deadline: deadline
      ).rows.first ?? []
    guard row.count == 2, let from = row[0].flatMap({ Int64($0) }), let until = row[1].flatMap({ Int64($0) }) else {
      return
    }
    let found = TimeWindow(from: from, until: until)
    if found != window { post(.window(found)) }
    window = found
  }

  /// Not fenced: it is idempotent, under a lock of its own, and must not keep a promotion waiting.
  private mutating func ensurePartitions(_ session: LaneConnection) throws(PostgresError) {
    let back = values["accept_past_days"].map { Int($0) } ?? settings.daysBack
    let ahead = values["accept_ahead_days"].map { Int($0) } ?? settings.daysAhead
    _ = try session.connection.run("SELECT telemetry.ensure_partitions(\(back), \(ahead))", deadline: deadline)
    _ = try session.connection.run("SELECT telemetry.ensure_rollups(\(back), \(ahead))", deadline: deadline)
  }
  private mutating func readSettings(_ session: LaneConnection) throws(PostgresError) {
    let rows = try session.connection.run(
      "SELECT s.key, coalesce(s.value, s.default_value) FROM ha.setting AS s WHERE s.kind = 'integer'",
      deadline: deadline
    ).rows
    for row in rows where row.count == 2 { if let key = row[0] { values[key] = row[1].flatMap { Int64($0) } } }
    let quota = [values["names_per_source_hour"], values["label_sets_per_source_hour"]].compactMap { $0 }
    if quota.count == 2, quota != toldQuota {
      post(.quota(names: quota[0], labelSets: quota[1]))
      toldQuota = quota
    }
  }

  private mutating func writeShed(_ session: LaneConnection, _ activation: Activation) throws(PostgresError) {
    guard !shed.isEmpty else { return }
    _ = try session.connection.run(FencedScript.begin(activation), deadline: deadline)
    _ = try session.connection.query(
      """
      INSERT INTO ingest.shed (node, listener, source, messages, bytes, reason)
      SELECT $1, s.listener, s.source, s.messages, s.bytes, s.reason
      FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::text[])
        AS s(listener, source, messages, bytes, reason)
      """,
      [
        sessions.node, textArray(shed.map(\.listener)), textArray(shed.map(\.source)),
        textArray(shed.map { String($0.messages) }), textArray(shed.map { String($0.bytes) }),
        textArray(shed.map(\.reason)),
      ], deadline: deadline)
    _ = try session.connection.run("COMMIT", deadline: deadline)
    shed = []
  }

  private mutating func prune(_ session: LaneConnection) throws(PostgresError) {
    let minutes = values["claim_keep_minutes"].map { Int($0) } ?? settings.claimKeepMinutes
    let hours = values["delivery_keep_hours"].map { Int($0) } ?? settings.deliveryKeepHours
    try prune(session, "ingest.prune_claims(pg_catalog.make_interval(mins => \(minutes)), 5000)")
    try prune(session, "ingest.prune_deliveries(pg_catalog.make_interval(hours => \(hours)), 5000)")
  }
  /// Small bites, so that no transaction is long; what is left is for the next round.
  private mutating func prune(_ session: LaneConnection, _ call: String) throws(PostgresError) {
    for _ in 0..<20 {
      let pruned = try session.connection.run("SELECT \(call)", deadline: deadline)
      if pruned.scalar.flatMap({ Int($0) }) ?? 0 < 5000 || !wait(mailbox.descriptor, for: .read, until: .now()).isEmpty
      {
        return
      }
    }
  }
}
