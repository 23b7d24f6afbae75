// PostgreSQL: the server, the rights of the nodes' login, the schema, and what is stored about the cluster.
internal import Node
internal import Platform
internal import Postgres

func checkDatabase(_ configuration: NodeConfiguration, _ tool: Tool, _ checkup: inout Checkup) throws {
  let began = BootInstant.now()
  let deadline = began.adding(milliseconds: 15_000)
  var session = try tool.openSession(configuration, deadline: began.adding(milliseconds: 3000))
  let took = BootInstant.now().milliseconds(since: began)
  let reached = try tool.connectionString(configuration)
  if took < 1000 {
    checkup.fine("\(reached) answers: a session took \(milliseconds(took))")
  } else {
    checkup.warn("a session with \(reached) took \(milliseconds(took))", "look-ups and authentication should take less")
  }
  try checkServer(&session, deadline, &checkup)
  try checkDurability(&session, configuration, deadline, &checkup)
  try checkClock(&session, deadline, &checkup)
  guard try checkSchema(&session, deadline, &checkup) else { return }
  try checkRights(&session, configuration, tool, deadline, &checkup)
  try checkAnalysts(&session, deadline, &checkup)
  checkup.begin("cluster in PostgreSQL")
  if try checkCluster(&session, configuration, deadline, &checkup) { try checkStored(&session, deadline, &checkup) }
  checkup.begin("what is monitored")
  try checkHosts(&session, deadline, &checkup)
  try checkRejected(&session, deadline, &checkup)
  try checkQuarantine(&session, deadline, &checkup)
  checkup.begin("retention")
  try checkRetention(&session, deadline, &checkup)
}

private func checkServer(_ session: inout Connection, _ deadline: BootInstant, _ checkup: inout Checkup) throws {
  let row = TextRow(
    try session.run(
      """
      SELECT pg_backend_pid(), pg_is_in_recovery(), current_setting('server_version'), \
      (SELECT s.ssl FROM pg_stat_ssl AS s WHERE s.pid = pg_backend_pid()), inet_server_addr() IS NULL \
      OR host(inet_server_addr()) IN ('127.0.0.1', '::1'), current_setting('max_connections')::integer \
      - current_setting('superuser_reserved_connections')::integer \
      - (SELECT count(*) FROM pg_stat_activity AS a WHERE a.backend_type = 'client backend')
      """, deadline: deadline
    ).rows.first ?? [])
  checkup.require(
    session.serverVersion >= 140_000, "PostgreSQL \(row[2] ?? "?")",
    else: "PostgreSQL \(row[2] ?? "?") is too old", "Standwatch needs 14 or newer")
  checkup.require(
    row.integer(0) == Int64(session.backend), "no transaction pooler stands between",
    else: "a transaction pooler stands between: sessions, and with them the lock, change under the node",
    "connect to PostgreSQL itself, or through a pooler in session mode")
  if row.boolean(1) { checkup.error("the server is a standby", "name all servers in database.connection") }
  if !row.boolean(3), !row.boolean(4) {
    checkup.warn("the way to PostgreSQL is not encrypted", "sslmode=verify-full sslrootcert=... in database.connection")
  }
  if let free = row.integer(5), free < 20 {
    checkup.warn("only \(free) connections are left in PostgreSQL", "raise max_connections, or end idle sessions")
  }
}

private func checkDurability(
  _ session: inout Connection, _ configuration: NodeConfiguration, _ deadline: BootInstant, _ checkup: inout Checkup
) throws {
  let row = TextRow(
    try session.run(
      """
      SELECT current_setting('fsync'), current_setting('full_page_writes'), \
      current_setting('synchronous_standby_names'), (SELECT count(*) FROM pg_stat_replication), \
      current_setting('data_checksums')
      """, deadline: deadline
    ).rows.first ?? [])
  for (index, name) in ["fsync", "full_page_writes"].enumerated() {
    checkup.require(
      row[index] == "on", "\(name) is on",
      else: "\(name) is off: a crash of PostgreSQL loses or corrupts stored records",
      "ALTER SYSTEM SET \(name) = on; SELECT pg_reload_conf();")
  }
  let standbys = row.integer(3) ?? 0
  if row[2]?.isEmpty == false {
    checkup.fine("replication is synchronous (\(row[2] ?? "")): PostgreSQL's own failover loses nothing")
  } else if standbys > 0 || configuration.database.connection.hosts.count > 1 {
    checkup.warn(
      "replication is asynchronous: PostgreSQL's own failover can lose records that were acknowledged",
      "set synchronous_standby_names if that must not be; what is missing is written to ingest.gap")
  } else {
    checkup.note("PostgreSQL has no standby: while it is down, nothing is stored, and senders keep their records")
  }
  if row[4] == "off" { checkup.note("data checksums are off", "pg_checksums --enable, while PostgreSQL is stopped") }
}

private func checkClock(_ session: inout Connection, _ deadline: BootInstant, _ checkup: inout Checkup) throws {
  let before = wallMicroseconds()
  let server = try session.run(
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint", deadline: deadline
  ).scalar.flatMap { Int64($0) }
  let after = wallMicroseconds()
  guard let server else { return }
  let off = Double(server - (before + after) / 2) / 1000
  if abs(off) < 1000 + Double(after - before) / 1000 {
    checkup.fine("this host's clock and PostgreSQL's agree within \(milliseconds(abs(off)))")
  } else {
    checkup.warn(
      "this host's clock is \(milliseconds(abs(off))) \(off > 0 ? "behind" : "ahead of") PostgreSQL's: nothing is decided "
        + "by it, but history is hard to read", "run an NTP client: timedatectl set-ntp true")
  }
}

/// False when there is nothing more to check.
private func checkSchema(
  _ session: inout Connection, _ deadline: BootInstant, _ checkup: inout Checkup
) throws -> Bool {
  let there = try session.run("SELECT to_regclass('ha.migration') IS NOT NULL", deadline: deadline).scalar == "t"
  guard there else {
    checkup.error("the schema is not installed", "hactl migrate --connection 'host=... dbname=... user=postgres'")
    return false
  }
  do {
    let files = try readMigrations(folder: findMigrationFolder(option: nil))
    let plan = try planMigrations(files, &session, deadline: deadline)
    checkup.require(
      plan.pending.isEmpty, "all \(files.count) migrations are applied, unchanged",
      else: "\(plan.pending.count) migrations are not applied: \(plan.pending.map(\.fileName).joined(separator: ", "))",
      "hactl migrate")
  } catch {
    checkup.warn("migrations: \(error)", "$STANDWATCH_SQL names the folder of this release's migrations")
  }
  return true
}

private func checkRights(
  _ session: inout Connection, _ configuration: NodeConfiguration, _ tool: Tool, _ deadline: BootInstant,
  _ checkup: inout Checkup
) throws {
  let row = TextRow(
    try session.run(
      """
      SELECT current_user, r.rolsuper, pg_has_role('standwatch_node', 'USAGE'), \
      (SELECT count(*) FROM pg_proc AS p WHERE p.pronamespace = 'pg_catalog'::regnamespace \
      AND (starts_with(p.proname::text, 'pg_advisory_') OR starts_with(p.proname::text, 'pg_try_advisory_')) \
      AND has_function_privilege('public', p.oid, 'EXECUTE')) FROM pg_roles AS r WHERE r.rolname = current_user
      """, deadline: deadline
    ).rows.first ?? [])
  let login = row[0] ?? "?"
  checkup.require(
    row.boolean(2), "login \(login) is a member of standwatch_node",
    else: "login \(login) is not a member of standwatch_node", "GRANT standwatch_node TO \(login)")
  if row.boolean(1) {
    checkup.warn(
      "login \(login) is a superuser: no right protects PostgreSQL from a broken node",
      "CREATE ROLE ... LOGIN IN ROLE standwatch_node, one for all nodes")
  }
  let victim = try tool.openSession(configuration, deadline: deadline)
  let ended = try session.query("SELECT pg_terminate_backend($1, 1000)", ["\(victim.backend)"], deadline: deadline)
  checkup.require(
    ended.scalar == "t", "the login may end its own sessions (tried)",
    else: "the login can't end its own sessions, so a former active node can't be fenced",
    "use one ordinary login role, member of standwatch_node, for all nodes")
  checkup.require(
    row.integer(3) == 0, "only nodes may take advisory locks",
    else: "everybody may take the leader's lock (\(row[3] ?? "?") advisory lock functions are open to PUBLIC)",
    "as a superuser: DO $$ DECLARE f regprocedure; BEGIN FOR f IN SELECT oid::regprocedure FROM pg_proc WHERE "
      + "proname ~ '^pg_(try_)?advisory_' LOOP EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f); "
      + "EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO standwatch_node, standwatch_owner', f); END LOOP; END $$")
}

/// False when no node has ever been here.
private func checkCluster(
  _ session: inout Connection, _ configuration: NodeConfiguration, _ deadline: BootInstant, _ checkup: inout Checkup
) throws -> Bool {
  let pinned = try session.run(
    """
    SELECT c.cluster, c.system_identifier = (SELECT s.system_identifier FROM pg_control_system() AS s) \
    AND c.database_oid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()) FROM ha.cluster AS c
    """, deadline: deadline
  ).rows.first.map(TextRow.init)
  guard let pinned else {
    checkup.note("the database is not pinned to a cluster yet: the first node that starts does it")
    return false
  }
  checkup.require(
    pinned[0] == configuration.cluster && pinned.boolean(1), "the database is pinned to \(configuration.cluster)",
    else: pinned[0] == configuration.cluster
      ? "this is not the database that \(configuration.cluster) was pinned to"
      : "the database belongs to cluster \(pinned[0] ?? "?")",
    "point database.connection at the cluster's own database; after a restore or pg_upgrade, with all nodes stopped: "
      + "DELETE FROM ha.cluster")
  let holders = try session.run("SELECT h.pid, h.node, h.role FROM ha.lock_holder() AS h", deadline: deadline)
  for row in holders.rows.map(TextRow.init) {
    checkup.require(
      row[1] != nil, "the leader's lock is held by node \(row[1] ?? "")",
      else: "the leader's lock is held by a session that is no node's (pid \(row[0] ?? "?"))",
      "as a superuser: SELECT pg_terminate_backend(\(row[0] ?? "?")); then find out who took it")
  }
  let view = try readCluster(&session, deadline: deadline)
  if let pause = view.pause { checkup.warn("promotions are paused by \(pause.by) since \(pause.at)", "hactl resume") }
  for excluded in view.excluded {
    checkup.warn(
      "\(excluded.node) is excluded from promotion by \(excluded.by)", "hactl no-promote \(excluded.node) --off")
  }
  let configured = Set([configuration.node] + configuration.peers.nodes.map(\.node))
  for node in configured.sorted() {
    guard let row = view.nodes.first(where: { $0.node == node }) else {
      checkup.warn("node \(node) has never written a beat", "start it, or mend its connection string")
      continue
    }
    if row.waits {
      checkup.fine("node \(node) waits for the lock")
    } else if row.isAlive {
      checkup.fine("node \(node) wrote its beat \(milliseconds(Double(row.beatAgeMilliseconds))) ago: \(row.state)")
    } else {
      checkup.error(
        "node \(node) has written no beat for \(milliseconds(Double(row.beatAgeMilliseconds)))",
        "systemctl status standwatchd on \(node)")
    }
  }
  for row in view.nodes where !configured.contains(row.node) && row.isAlive {
    checkup.error(
      "node \(row.node) is alive in the database, but not configured here as a peer", "add it to peers.nodes")
  }
  return true
}

private func checkStored(_ session: inout Connection, _ deadline: BootInstant, _ checkup: inout Checkup) throws {
  let row = TextRow(
    try session.run(
      """
      SELECT r.from_ts IS NOT NULL, extract(epoch FROM r.until_ts - now()) / 86400, \
      (SELECT coalesce(sum(g.last - g.first + 1), 0) FROM ingest.gap AS g WHERE g.at > now() - interval '7 days'), \
      (SELECT coalesce(sum(s.messages), 0) FROM ingest.shed AS s WHERE s.at > now() - interval '1 day'), \
      (SELECT extract(epoch FROM now() - max(d.started_at)) / 86400 FROM ha.drill AS d WHERE d.verdict = 'passed') \
      FROM telemetry.accepted_range() AS r
      """, deadline: deadline
    ).rows.first ?? [])
  if !row.boolean(0) {
    checkup.error(
      "there is no partition for today: no record can be stored", "the active node makes them; is there one?")
  } else if let ahead = row.number(1), ahead < 1 {
    checkup.error(
      "partitions end in \(milliseconds(ahead * 86_400_000))", "the active node makes them: look at its log")
  } else {
    checkup.fine("partitions reach \(Int((row.number(1) ?? 0).rounded())) days ahead")
  }
  if let lost = row.integer(2), lost > 0 {
    checkup.warn(
      "\(grouped(lost)) acknowledged records were lost by PostgreSQL in the last 7 days", "SELECT * FROM ingest.gap")
  }
  if let shed = row.integer(3), shed > 0 {
    checkup.note(
      "\(grouped(shed)) UDP messages were shed in the last day", "use syslog over TCP for what must not be lost")
  }
  if let days = row.number(4), days < 90 {
    checkup.fine("a drill passed \(milliseconds(days * 86_400_000)) ago")
  } else {
    checkup.note("no drill has passed in the last 90 days", "rehearse: hactl drill switchover, then hactl drill kill")
  }
}
