// The thread "rollups": deltas into minutes, minutes into hours, hours into days, in small bites, on the active node.
internal import Platform
internal import Postgres

/// State of its thread. It has a session only while its node is active.
///
/// Not fenced, and need not be: each step moves rows under the lock of `telemetry.rollup_state`, in one transaction, and
/// is right whoever does it. What one node leaves, the next goes on with.
struct RollupMerging: ~Copyable {
  let sessions: DatabaseSessions
  let settings: IngestSettings

  private var housekeeping: Housekeeping
  private var session: RollupSession?
  private var lasting = LastingFailure()

  /// A class, so that it can be dropped from within.
  private final class RollupSession {
    var connection: Connection
    init(_ connection: consuming Connection) { self.connection = connection }
  }

  init(
    sessions: DatabaseSessions, settings: IngestSettings, mailbox: Mailbox<HousekeepingCommand>, interrupt: Interrupt
  ) {
    (self.sessions, self.settings) = (sessions, settings)
    housekeeping = Housekeeping(
      mailbox: mailbox, interrupt: interrupt, delayMilliseconds: settings.rollupMilliseconds)
  }

  mutating func run() {
    while true {
      var isHalted = false
      let activation = housekeeping.awaitRound { isHalted = true }
      if isHalted { session = nil }
      guard activation != nil else { return }
      round()
    }
  }

  private mutating func round() {
    housekeeping.nextRound = .after(milliseconds: settings.rollupMilliseconds)
    do throws(PostgresError) {
      let session = try connected()
      let wait = "pg_catalog.make_interval(secs => \(Double(settings.rollupWaitMilliseconds) / 1000))"
      while housekeeping.mayGoOn {
        let merged = try session.connection.run(
          "SELECT telemetry.merge_rollups(\(wait), \(settings.rollupRows))", deadline: deadline)
        if merged.scalar.flatMap({ Int($0) }) ?? 0 < settings.rollupRows { break }
      }
      // Later than the merging, so that it finds whole minutes as a rule.
      while housekeeping.mayGoOn {
        let folded = try session.connection.run(
          "SELECT telemetry.fold_rollups(\(wait) + interval '1 minute')", deadline: deadline)
        if folded.scalar != "t" { break }
      }
      lasting.ended()
    } catch {
      if error.state == nil { session = nil }
      // 55P03: another node is at it, or a partition is being made.
      if error.reason == .interrupted || error.state == "55P03" || !lasting.isDue("\(error)", at: .now()) { return }
      log(.warning, "rollups are not merged, tried again", ["reason": "\(error)"])
    }
  }

  private mutating func connected() throws(PostgresError) -> RollupSession {
    if let session { return session }
    let opened = RollupSession(
      try sessions.open(
        .rollups, deadline: .after(milliseconds: settings.connectDeadlineMilliseconds),
        interrupt: housekeeping.interrupt))
    session = opened
    return opened
  }
  /// Ten minutes of a large site are folded in one step.
  private var deadline: BootInstant { .after(milliseconds: 60_000) }
}
