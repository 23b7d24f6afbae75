// Retention: what it did last, what it should have done long ago, what is in its way, and bounds that can't be met.
internal import Platform
internal import Postgres

func checkRetention(_ session: inout Connection, _ deadline: BootInstant, _ checkup: inout Checkup) throws {
  try checkLastRemoval(&session, deadline, &checkup)
  let mayDetach = try checkKeeper(&session, deadline, &checkup)
  try checkOverdue(&session, mayDetach, deadline, &checkup)
  for bound in try unmetBounds(&session, deadline) { checkup.warn(bound.finding, bound.mend) }
}

private func checkLastRemoval(_ session: inout Connection, _ deadline: BootInstant, _ checkup: inout Checkup) throws {
  let last = try session.run(
    """
    SELECT l.action, l.object, l.reason, l.node, (extract(epoch FROM now() - l.at) * 1000)::bigint
    FROM telemetry.retention_log AS l ORDER BY l.at DESC LIMIT 1
    """, deadline: deadline
  ).rows.first.map(TextRow.init)
  guard let last else { return checkup.note("retention has taken nothing away yet") }
  checkup.fine(
    "retention last \(last[0] ?? "?") \(last[1] ?? "?") (\(last[2] ?? "?")), "
      + "\(milliseconds(Double(max(0, last.integer(4) ?? 0)))) ago, by node \(last[3] ?? "?")")
}

/// Whether this login, which is the nodes', may do what retention does. A right that is missing shows here before
/// anything is overdue.
private func checkKeeper(
  _ session: inout Connection, _ deadline: BootInstant, _ checkup: inout Checkup
) throws -> Bool {
  let row = TextRow(
    try session.run(
      """
      SELECT pg_has_role(current_user, 'standwatch_keeper', 'MEMBER'), \
      pg_has_role('standwatch_upkeep', 'standwatch_keeper', 'MEMBER'), \
      pg_has_role('standwatch_node', 'standwatch_upkeep', 'MEMBER')
      """, deadline: deadline
    ).rows.first ?? [])
  if !row.boolean(0) {
    let grants = [
      row.boolean(1) ? nil : "GRANT standwatch_keeper TO standwatch_upkeep",
      row.boolean(2) ? nil : "GRANT standwatch_upkeep TO standwatch_node",
    ].compactMap { $0 }
    checkup.error(
      "retention fails: the nodes' login may not become standwatch_keeper, so no old partition leaves",
      grants.isEmpty
        ? "use a login that is a member of standwatch_node" : "as a superuser: \(grants.joined(separator: "; "))")
  }
  let foreign = try session.run(
    """
    SELECT c.relname, pg_get_userbyid(c.relowner) FROM pg_class AS c WHERE c.relnamespace = 'telemetry'::regnamespace \
    AND c.relkind = 'p' AND pg_get_userbyid(c.relowner) <> 'standwatch_keeper' ORDER BY 1 LIMIT 20
    """, deadline: deadline
  ).rows.map(TextRow.init)
  for row in foreign {
    checkup.error(
      "retention fails: telemetry.\(row[0] ?? "?") belongs to \(row[1] ?? "?")",
      "as a superuser: ALTER TABLE telemetry.\(row[0] ?? "?") OWNER TO standwatch_keeper")
  }
  return row.boolean(0) && foreign.isEmpty
}

/// Work that retention, which looks each minute, would have done: by age more than a day late, half done, or by size
/// while nothing of that table has left for a day.
private func checkOverdue(
  _ session: inout Connection, _ mayDetach: Bool, _ deadline: BootInstant, _ checkup: inout Checkup
) throws {
  let overdue = try session.run(
    """
    SELECT r.parent, count(*), min(r.partition), string_agg(DISTINCT r.reason, ', '), sum(r.bytes)::bigint, \
    bool_or(r.step <> 'detach'), string_agg(r.partition, ',') \
    FROM telemetry.retention_plan() AS r LEFT JOIN telemetry.partitions() AS p ON p.partition = r.partition \
    WHERE r.step <> 'detach' \
    OR r.reason = 'age' AND p.until_ts + telemetry.keep('keep_days_' || r.parent) * interval '1 day' \
    < now() - interval '1 day' \
    OR r.reason = 'size' AND NOT EXISTS (SELECT FROM telemetry.retention_log AS l \
    WHERE l.at > now() - interval '1 day' AND starts_with(l.object, r.parent || '_')) \
    GROUP BY r.parent ORDER BY r.parent
    """, deadline: deadline
  ).rows.map(TextRow.init)
  for row in overdue {
    let parent = row[0] ?? "?"
    let count = row.integer(1) ?? 0
    let finding =
      "retention of telemetry.\(parent) is \(row.boolean(5) ? "half done" : "more than a day late"): "
      + "\(count) partition\(count == 1 ? "" : "s") from \(row[2] ?? "?") on, \(bytes(row.integer(4) ?? 0)) "
      + "(\(row[3] ?? "?"))"
    let readers = try readers(of: [parent] + (row[6] ?? "").split(separator: ",").map(String.init), &session, deadline)
    if !readers.isEmpty {
      checkup.warn(
        "\(finding); in the way: \(readers.map(\.name).joined(separator: ", "))",
        "let them end, or: SELECT pg_terminate_backend(\(readers[0].pid))")
    } else if !mayDetach {
      checkup.warn(finding, "the missing right above")
    } else {
      checkup.warn(finding, "the log of the active node has the reason: journalctl -u standwatchd -g retention")
    }
  }
}

/// Sessions with a lock on one of the tables of telemetry, oldest first. Of other logins PostgreSQL shows neither state
/// nor age; of our own the short ones are the nodes' writing and in nobody's way.
private func readers(
  of tables: [String], _ session: inout Connection, _ deadline: BootInstant
) throws -> [(pid: String, name: String)] {
  try session.query(
    """
    SELECT a.pid, a.usename, a.application_name, (extract(epoch FROM now() - min(a.xact_start)) * 1000)::bigint
    FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()
      AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
      AND l.relation IN (SELECT c.oid FROM pg_class AS c WHERE c.relnamespace = 'telemetry'::regnamespace
        AND c.relname = ANY (string_to_array($1, ',')))
      AND coalesce(a.xact_start < now() - interval '5 s', true)
    GROUP BY 1, 2, 3 ORDER BY min(a.xact_start), 1 LIMIT 3
    """, [tables.joined(separator: ",")], deadline: deadline
  ).rows.map(TextRow.init).map { row in
    let program = row[2].flatMap { $0.isEmpty ? nil : " (\(singleLine($0)))" } ?? ""
    let age = row.number(3).map { " for \(milliseconds($0))" } ?? ""
    return (row[0] ?? "0", "\(row[1].map(singleLine) ?? "a worker")\(program), pid \(row[0] ?? "?")\(age)")
  }
}

/// A bound that the days which records are still accepted for exceed by themselves.
struct UnmetBound: Equatable {
  var finding: String
  var mend: String
}

/// `key`: only of that setting.
func unmetBounds(
  of key: String? = nil, _ session: inout Connection, _ deadline: BootInstant
) throws(PostgresError) -> [UnmetBound] {
  try session.run(
    """
    SELECT p.parent, sum(p.bytes)::bigint, telemetry.keep('keep_megabytes_' || p.parent), \
    telemetry.keep('accept_past_days') FROM telemetry.partitions() AS p \
    WHERE p.until_ts > date_trunc('day', now()) - telemetry.keep('accept_past_days') * interval '1 day' \
    GROUP BY p.parent \
    HAVING sum(p.bytes) > nullif(telemetry.keep('keep_megabytes_' || p.parent), 0) * 1048576 ORDER BY 1
    """, deadline: deadline
  ).rows.map(TextRow.init).filter { key == nil || key == "keep_megabytes_\($0[0] ?? "")" }.map { row in
    UnmetBound(
      finding: "keep_megabytes_\(row[0] ?? "?") = \(row[2] ?? "?") can't be met: the days that records are still "
        + "accepted for (accept_past_days = \(row[3] ?? "?"), and those ahead) take \(bytes(row.integer(1) ?? 0))",
      mend: "raise it, or lower accept_past_days")
  }
}
