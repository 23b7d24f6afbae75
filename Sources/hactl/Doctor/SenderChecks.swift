// The senders, as PostgreSQL knows them: hosts that fell silent, and records that were refused, by source and reason.
internal import Platform
internal import Postgres

func checkHosts(_ session: inout Connection, _ deadline: BootInstant, _ checkup: inout Checkup) throws {
  let rows = try session.run(
    """
    SELECT h.host, to_char(h.last_seen_at, 'YYYY-MM-DD HH24:MI"Z"'), (h.silent_s * 1000)::bigint,
      count(*) FILTER (WHERE h.state = 'silent') OVER (), count(*) FILTER (WHERE h.state = 'reporting') OVER (), h.state
    FROM report.host_now AS h ORDER BY h.state <> 'silent', h.last_seen_at DESC, h.host LIMIT 4
    """, deadline: deadline
  ).rows.map(TextRow.init)
  guard let first = rows.first else { return checkup.note("no host has sent anything yet") }
  let silent = first.integer(3) ?? 0
  let reporting = first.integer(4) ?? 0
  if silent == 0 { return checkup.fine("no host is silent, \(grouped(reporting)) report") }
  let names = rows.filter { $0[5] == "silent" }.map { row in
    "\(singleLine(row[0] ?? "?")) since \(row[1] ?? "?") (\(milliseconds(row.number(2) ?? 0)))"
  }
  let more = silent > Int64(names.count) ? " and \(grouped(silent - Int64(names.count))) more" : ""
  checkup.warn(
    "\(grouped(silent)) host\(silent == 1 ? " is" : "s are") silent, \(grouped(reporting)) report: "
      + names.joined(separator: ", ") + more,
    "standwatch-agent --status there; all of them: hactl report hosts_at -n 1000")
}

/// As many as are looked at; beyond it is "at least".
private let mostRejected: Int64 = 100_000
/// So many in a day are a sender's or a quota's trouble; fewer are the odd broken line.
private let manyRejected: Int64 = 100

func checkRejected(_ session: inout Connection, _ deadline: BootInstant, _ checkup: inout Checkup) throws {
  let rows = try session.query(
    """
    WITH recent AS (
      SELECT j.source, j.reason FROM ingest.rejected AS j WHERE j.at > now() - interval '1 day' LIMIT $1::bigint
    )
    SELECT r.source, r.reason, count(*), (sum(count(*)) OVER ())::bigint, count(*) OVER ()
    FROM recent AS r GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT 3
    """, ["\(mostRejected)"], deadline: deadline
  ).rows.map(TextRow.init)
  guard let total = rows.first?.integer(3) else { return checkup.fine("no record was refused in the last day") }
  let groups = rows.map { row in
    "\(grouped(row.integer(2) ?? 0)) of \(singleLine(row[0] ?? "?")) (\(singleLine(row[1] ?? "?")))"
  }
  let others = (rows.first?.integer(4) ?? 0) - Int64(rows.count)
  let finding =
    "\(total >= mostRejected ? "at least " : "")\(grouped(total)) records were refused in the last day: "
    + groups.joined(separator: ", ") + (others > 0 ? " and others" : "")
  let overQuota = rows.contains { ($0[1] ?? "").contains("source has brought too many") }
  let mend =
    "SELECT source, reason, count(*), max(at) FROM ingest.rejected WHERE at > now() - interval '1 day' GROUP BY 1, 2"
    + (overQuota
      ? "; mend the source, or raise what it may bring: hactl config (names_per_source_hour, label_sets_per_source_hour)"
      : "")
  if total >= manyRejected || overQuota { checkup.warn(finding, mend) } else { checkup.note(finding, mend) }
}
