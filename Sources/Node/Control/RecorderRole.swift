// The thread that writes the history into `ha.event`, when the database allows: never in the way of the election.
internal import Election
internal import Platform
internal import Postgres

/// Keeps what could not be written yet, at most 256 entries; the oldest goes first when it is full.
final class RecorderRole: Sendable {
  struct Entry: Sendable {
    var kind: String
    var epoch: Int64?
    var reason: String
    /// JSON: milliseconds by phase.
    var phases: String
    /// Wall clock, microseconds: when it happened, not when it could be written.
    var at: Int64
  }
  private let entries: Mailbox<Entry>
  private let interrupt: Interrupt
  private let sessions: DatabaseSessions
  private let finished: Mailbox<Bool>

  init(sessions: DatabaseSessions) throws(SystemError) {
    entries = try Mailbox(capacity: 256)
    interrupt = try Interrupt()
    finished = try Mailbox(capacity: 1)
    self.sessions = sessions
  }
  func record(_ entry: Entry) {
    if entries.post(entry) == .full { log(.warning, "history is behind, entry dropped", ["kind": entry.kind]) }
  }
  /// Takes no more, and waits until what there is has been written, at the longest until `deadline`.
  func finish(until deadline: BootInstant) {
    entries.close()
    _ = wait(finished.descriptor, for: .read, until: deadline)
    interrupt.raise()
  }

  func run() {
    var session: Connection? = nil
    var waiting: [Entry] = []
    var pause: Int64 = 250
    defer { finished.post(true) }
    while !entries.isClosed || !waiting.isEmpty {
      _ = wait(entries.descriptor, for: .read, until: .after(milliseconds: waiting.isEmpty ? 60_000 : pause))
      waiting += entries.takeAll()
      if waiting.count > 256 { waiting.removeFirst(waiting.count - 256) }
      if waiting.isEmpty { continue }
      do {
        try write(&waiting, &session)
        pause = 250
      } catch {
        session = nil
        if entries.isClosed { return }
        pause = min(pause * 2, 10_000)
      }
    }
  }

  private func write(_ waiting: inout [Entry], _ session: inout Connection?) throws(PostgresError) {
    let deadline = BootInstant.after(milliseconds: 2000)
    var standing =
      if let known = session.take() { known } else {
        try sessions.open(.upkeep, deadline: deadline, interrupt: interrupt)
      }
    while let entry = waiting.first {
      _ = try standing.query(
        """
        INSERT INTO ha.event (at, kind, node, incarnation, epoch, reason, phases)
        VALUES (timestamptz 'epoch' + $1::bigint * interval '1 microsecond', $2, $3, $4, $5, $6, $7::jsonb)
        """,
        [
          "\(entry.at)", entry.kind, sessions.node, "\(sessions.incarnation)", entry.epoch.map { "\($0)" },
          entry.reason,
          entry.phases,
        ], deadline: deadline)
      waiting.removeFirst()
    }
    session = consume standing
  }
}
