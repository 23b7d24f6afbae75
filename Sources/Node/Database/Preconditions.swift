// What a database has to be before a node trusts its lease and its records to it: one clear sentence each.
public import Platform
public import Postgres

/// Refuses a database that cannot keep the promise. Run at every connect of the lease and watch sessions: a failover
/// of PostgreSQL can lead to another server than the one that was checked at the start.
///
/// Throws `misuse` with a sentence that names what is wrong and how to mend it; other reasons mean that the check could
/// not be made.
public func requirePreconditions(
  _ session: inout Connection, cluster: String, deadline: BootInstant
) throws(PostgresError) {
  if session.serverVersion < 140_000 {
    throw refused(
      "PostgreSQL \(session.serverVersion / 10_000) is too old", "Standwatch needs PostgreSQL 14 or newer")
  }
  // By the catalog: `to_regprocedure` raises an error for a login without rights on the schema.
  let outcome = try session.run(
    """
    SELECT pg_backend_pid(), pg_is_in_recovery(), current_setting('fsync'), current_setting('full_page_writes'), \
    current_user, EXISTS (SELECT FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace \
    WHERE n.nspname = 'ha' AND p.proname = 'pin'), \
    EXISTS (SELECT FROM pg_roles WHERE rolname = 'standwatch_node')
    """, deadline: deadline)
  guard let row = outcome.rows.first.map(Fields.init) else { throw refused("the server gave no answer", "Try again") }
  guard row.int(0) == Int64(session.backend) else {
    throw refused(
      "a transaction pooler stands between this node and PostgreSQL",
      "Connect to PostgreSQL directly, or through a pooler in session mode")
  }
  if row.bool(1) {
    throw refused("the server is in recovery (a standby)", "Name the primary, or all servers, in database.connection")
  }
  if row.text(2) != "on" {
    throw refused("fsync is off: a crash would lose acknowledged records", "ALTER SYSTEM SET fsync = on, then reload")
  }
  if row.text(3) != "on" {
    throw refused(
      "full_page_writes is off: a crash could corrupt stored records",
      "ALTER SYSTEM SET full_page_writes = on, then reload")
  }
  let user = row.text(4) ?? "?"
  guard row.bool(5), row.bool(6) else {
    throw refused("the schema is not installed", "Run: hactl migrate")
  }
  let member = try session.query(
    "SELECT pg_has_role(current_user, 'standwatch_node', 'USAGE')", [], deadline: deadline)
  guard member.scalar == "t" else {
    throw refused(
      "role \(user) is not a member of standwatch_node and could not end its own cluster's sessions",
      "GRANT standwatch_node TO \(user)")
  }
  do {
    _ = try session.query("SELECT ha.pin($1)", [cluster], deadline: deadline)
  } catch  where error.state == "SW004" {
    throw refused(error.message, "Point database.connection at this cluster's own database, or give it a new one")
  }
}

/// Proves for real that this login may end a session of its own: opens one and ends it.
func requireRightToEndSessions(_ sessions: DatabaseSessions, deadline: BootInstant) throws(PostgresError) {
  var judge = try sessions.open(.watch, deadline: deadline)
  let victim = try sessions.open(.web, deadline: deadline)
  do {
    let outcome = try judge.query("SELECT pg_terminate_backend($1, 1000)", ["\(victim.backend)"], deadline: deadline)
    if outcome.scalar == "t" { return }
  } catch  where error.state == "42501" {
    // Falls through to the sentence below.
  }
  throw refused(
    "this login may not end its own sessions", "Use one ordinary login role, member of standwatch_node, for all nodes")
}

private func refused(_ problem: String, _ mend: String) -> PostgresError {
  PostgresError(.misuse, "\(problem). \(mend)")
}
