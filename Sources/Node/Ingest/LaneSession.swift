// A lane's session with PostgreSQL, and the old one that has to be gone before anything is tried again.
internal import Platform
internal import Postgres

/// A backend of ours, as `ha.own_session` named it: a pid alone can be somebody else's by now.
struct BackendIdentity: Equatable, Sendable {
  var pid: Int64
  var startedMicroseconds: Int64
}

/// An open session. A class, so that it can be dropped from within.
final class LaneSession {
  var connection: Connection
  let backend: BackendIdentity
  let openedAt: BootInstant

  /// Opens a session, and ends `former` first: as long as it lives, what it was doing can still commit.
  init(
    _ sessions: DatabaseSessions, lane: Int, former: BackendIdentity?, deadline: BootInstant, interrupt: Interrupt
  ) throws(PostgresError) {
    var connection = try sessions.open(.lane(lane), deadline: deadline, interrupt: interrupt)
    let own = try connection.run("SELECT pid, started_us FROM ha.own_session()", deadline: deadline).rows.first ?? []
    guard own.count == 2, let pid = own[0].flatMap({ Int64($0) }), let started = own[1].flatMap({ Int64($0) }) else {
      throw PostgresError(.misuse, "ha.own_session has no answer")
    }
    guard pid == Int64(connection.backend) else {
      throw PostgresError(.connect, "a transaction pooler is between the node and PostgreSQL")
    }
    if let former {
      while true {
        let gone = try connection.run(
          "SELECT ha.end_backend(\(former.pid)::integer, \(former.startedMicroseconds))", deadline: deadline)
        if gone.scalar == "t" { break }
        sleep(until: .after(milliseconds: 5))
      }
    }
    self.connection = connection
    backend = BackendIdentity(pid: pid, startedMicroseconds: started)
    openedAt = .now()
  }
}
