// The proof: what PostgreSQL holds of this run, compared with what was sent and what was acknowledged.
import Platform
import Postgres
import Telemetry

/// Counts of records of this run.
struct Verdict: Equatable {
  /// Different records that are stored.
  var stored: Int64 = 0
  /// Set aside with a reason; they count as committed.
  var rejected: Int64 = 0
  /// Acknowledged, but neither stored nor rejected.
  var lost: Int64 = 0
  /// Rows beyond the first of a record.
  var doubled: Int64 = 0
  /// Rows with a number that was never sent.
  var phantom: Int64 = 0
  /// Stored though not (yet) acknowledged: allowed, its acknowledgement was on the way.
  var storedUnacknowledged: Int64 = 0
  /// The first few lost records, for the search.
  var examples: [String] = []
  var isClean: Bool { lost == 0 && doubled == 0 && phantom == 0 }
}

/// What one source did.
struct SourceAccount {
  var name: String
  var stream: String
  var made: Int64
  var acked: Int64
}

private let factTables = ["queue", "step", "job", "metric", "log", "event", "process", "web", "span"]

/// `since` is the wall time before the first record, microseconds.
func verifyNative(
  _ accounts: [SourceAccount], since: Int64, database: ConnectionString
) throws(PostgresError) -> Verdict {
  var session = try openSession(database)
  let deadline = BootInstant.after(milliseconds: 600_000)
  // An analyst's session is read only, and may say otherwise: what is written is temporary.
  _ = try session.run("SET default_transaction_read_only = off", deadline: deadline)
  _ = try session.run(
    "CREATE TEMP TABLE sent (id bigint PRIMARY KEY, made bigint, acked bigint); SET work_mem = '256MB'",
    deadline: deadline)
  var index = 0
  while index < accounts.count {
    let part = accounts[index..<min(index + 1000, accounts.count)]
    // Numbers only: ids are computed, nothing is quoted.
    let values = part.map {
      "(\(NameHash.streamID(source: $0.name, stream: $0.stream)),\($0.made),\($0.acked))"
    }
    _ = try session.run("INSERT INTO sent VALUES " + values.joined(separator: ","), deadline: deadline)
    index += part.count
  }
  let from = "'" + rfc3339(wallMicroseconds: since - 60_000_000) + "'"
  let rows = factTables.map {
    "SELECT f.stream_id, f.seq FROM telemetry.\($0) AS f WHERE f.ts >= \(from) AND f.stream_id IN (SELECT id FROM sent)"
  }.joined(separator: " UNION ALL ")
  _ = try session.run(
    """
    CREATE TEMP TABLE held AS SELECT stream_id, seq, count(*) AS rows FROM (\(rows)) AS every GROUP BY stream_id, seq;
    CREATE TEMP TABLE refused AS SELECT DISTINCT r.stream AS stream_id, r.seq
      FROM ingest.rejected AS r JOIN sent AS s ON s.id = r.stream;
    ANALYZE held; ANALYZE refused
    """, deadline: deadline)
  let counts =
    try session.run(
      """
      SELECT count(*), coalesce(sum(h.rows - 1), 0),
        coalesce(sum(h.rows) FILTER (WHERE h.seq IS NULL OR h.seq < 1 OR h.seq > s.made), 0),
        count(*) FILTER (WHERE h.seq <= s.acked),
        count(*) FILTER (WHERE h.seq > s.acked AND h.seq <= s.made)
      FROM held AS h JOIN sent AS s ON s.id = h.stream_id
      """, deadline: deadline
    ).rows.first ?? []
  let refused =
    try session.run(
      """
      SELECT count(*), count(*) FILTER (WHERE r.seq <= s.acked AND NOT EXISTS (
        SELECT FROM held AS h WHERE h.stream_id = r.stream_id AND h.seq = r.seq))
      FROM refused AS r JOIN sent AS s ON s.id = r.stream_id
      """, deadline: deadline
    ).rows.first ?? []
  func number(_ row: [String?], _ column: Int) -> Int64 {
    column < row.count ? row[column].flatMap { Int64($0) } ?? 0 : 0
  }
  var verdict = Verdict(
    stored: number(counts, 0), rejected: number(refused, 0), doubled: number(counts, 1), phantom: number(counts, 2),
    storedUnacknowledged: number(counts, 4))
  verdict.lost = accounts.reduce(0) { $0 + $1.acked } - number(counts, 3) - number(refused, 1)
  if verdict.lost > 0 { verdict.examples = try firstLost(&session, deadline) }
  return verdict
}

private func firstLost(_ session: inout Connection, _ deadline: BootInstant) throws(PostgresError) -> [String] {
  try session.run(
    """
    SELECT s.id, n FROM sent AS s CROSS JOIN LATERAL generate_series(1, s.acked) AS n
    WHERE NOT EXISTS (SELECT FROM held AS h WHERE h.stream_id = s.id AND h.seq = n)
      AND NOT EXISTS (SELECT FROM refused AS r WHERE r.stream_id = s.id AND r.seq = n)
    ORDER BY 1, 2 LIMIT 20
    """, deadline: deadline
  ).rows.map { "stream \($0[0] ?? "?") seq \($0[1] ?? "?")" }
}

/// Syslog carries no stream: the records are found by their text. Waits until all are there or no more come.
func verifySyslog(
  _ accounts: [SourceAccount], run: String, since: Int64, database: ConnectionString
) throws(PostgresError) -> Verdict {
  var session = try openSession(database)
  let made = accounts.map { $0.made }
  let total = made.reduce(0, +)
  var last: Int64 = -1
  while true {
    let deadline = BootInstant.after(milliseconds: 600_000)
    let answer = try session.query(
      """
      SELECT source, count(*), coalesce(sum(rows), 0), min(seq), max(seq) FROM (
        SELECT split_part(l.message, ' ', 3)::bigint AS source, split_part(l.message, ' ', 4)::bigint AS seq,
          count(*) AS rows
        FROM telemetry.log AS l
        WHERE l.ts >= $1::timestamptz AND starts_with(l.message, 'standwatch-load ' || $2 || ' ')
        GROUP BY 1, 2) AS held
      GROUP BY source ORDER BY source
      """, [rfc3339(wallMicroseconds: since - 60_000_000), run], deadline: deadline)
    var verdict = Verdict()
    for row in answer.rows {
      let numbers = row.map { $0.flatMap { Int64($0) } ?? -1 }
      let known = numbers[0] >= 0 && numbers[0] < Int64(made.count) && numbers[3] >= 1
      if !known || numbers[4] > made[Int(numbers[0])] { verdict.phantom += numbers[2] }
      verdict.stored += numbers[1]
      verdict.doubled += numbers[2] - numbers[1]
    }
    // Nothing was acknowledged: what is stored less than sent is missing, not lost.
    if verdict.stored >= total || verdict.stored == last { return verdict }
    last = verdict.stored
    sleep(until: .after(milliseconds: 2000))
  }
}

private func openSession(_ database: ConnectionString) throws(PostgresError) -> Connection {
  let settings: [(keyword: String, value: String)] = [("application_name", "standwatch-load")]
  return try Connection.open(database.resolve(), settings: settings, deadline: .after(milliseconds: 15_000))
}
