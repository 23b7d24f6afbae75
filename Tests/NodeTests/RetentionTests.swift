// Retention against a real server: what leaves, what stays, and who is in nobody's way.
import Platform
import Postgres
import Telemetry
import Testing

@testable import Node

@Suite struct RetentionTests {
  private func settings() -> IngestSettings {
    var settings = IngestSettings()
    (settings.retentionDelayMilliseconds, settings.retentionMilliseconds) = (50, 100)
    return settings
  }
  /// Partitions of `parent` that lie wholly before `days` ago.
  private func partitions(_ harness: IngestHarness, _ parent: String, olderThan days: Int) throws -> Int {
    try harness.number(
      "SELECT count(*) FROM telemetry.partitions() WHERE parent = '\(parent)' AND until_ts <= now() - \(days) * '1 day'::interval"
    )
  }

  @Test func `what is older than its table's days leaves, the rest stays, and the log says who did it`() throws {
    let harness = try IngestHarness(settings: settings())
    try harness.query("SELECT telemetry.ensure_partitions(40, 1)")
    try harness.query("UPDATE ha.setting SET value = '5' WHERE key = 'keep_days_log'")
    try harness.query(
      """
      INSERT INTO ingest.rejected (at, source, reason, raw) SELECT now() - n * '1 day'::interval, 's', 'r', ''
      FROM generate_series(80, 99) AS n
      """)
    try harness.activate(3)
    try harness.wait("retention") { _ in
      try partitions(harness, "log", olderThan: 5) == 0 && partitions(harness, "queue", olderThan: 30) == 0
        && harness.number("SELECT count(*) FROM ingest.rejected") == 10
        && harness.number("SELECT count(*) FROM telemetry.retention_plan()") == 0
    }
    #expect(try partitions(harness, "queue", olderThan: 10) >= 19)
    #expect(try partitions(harness, "log", olderThan: 1) >= 3)
    let dropped = try harness.query(
      "SELECT count(*), min(node), min(epoch), min(reason) FROM telemetry.retention_log WHERE action = 'dropped' AND object LIKE 'log%'"
    )
    #expect(dropped.first?[1...] == ["a", "3", "age"])
    #expect(
      try harness.number("SELECT sum(rows)::int FROM telemetry.retention_log WHERE object = 'ingest.rejected'") == 10)
  }

  @Test func `the oldest days leave when a table is larger than allowed, but never those still accepted`() throws {
    let harness = try IngestHarness(settings: settings())
    try harness.query("SELECT telemetry.ensure_partitions(9, 1)")
    try harness.query(
      """
      INSERT INTO telemetry.event (ts, app_id, host_id, kind_id, attrs)
      SELECT now() - d * '1 day'::interval, 1, 1, 1, jsonb_build_object('x', md5(d::text || n::text))
      FROM generate_series(0, 8) AS d, generate_series(1, 4000) AS n
      """)
    let each = try harness.number(
      "SELECT bytes FROM telemetry.partitions() WHERE parent = 'event' ORDER BY until_ts LIMIT 1 OFFSET 2")
    #expect(each > 500_000)
    try harness.query("UPDATE ha.setting SET value = '2' WHERE key = 'accept_past_days'")
    try harness.query("UPDATE ha.setting SET value = '1' WHERE key = 'keep_megabytes_event'")
    try harness.activate()
    try harness.wait("what the size allows") { _ in
      try harness.number("SELECT count(*) FROM telemetry.retention_plan()") == 0
        && harness.number(
          "SELECT count(*) FROM telemetry.partitions() WHERE parent = 'event' AND until_ts <= date_trunc('day', now()) - '2 days'::interval"
        ) == 0
    }
    // Two days back are still accepted: too large, and here all the same.
    #expect(try harness.number("SELECT count(DISTINCT ts::date) FROM telemetry.event") == 3)
    #expect(try harness.number("SELECT count(*) FROM telemetry.retention_log WHERE reason = 'size'") >= 6)
    #expect(try partitions(harness, "queue", olderThan: 2) >= 6)
  }

  @Test func `a reader in a long transaction keeps its table and delays nobody, and the next node ends what was begun`()
    throws
  {
    let harness = try IngestHarness(settings: settings())
    try harness.query("SELECT telemetry.ensure_partitions(33, 1)")
    var reader = try harness.server.session(harness.database)
    _ = try reader.run("BEGIN; SELECT count(*) FROM telemetry.queue", deadline: .after(milliseconds: longest))
    try harness.activate()
    try harness.wait("a detach that waits for the reader") { _ in
      try harness.number("SELECT count(*) FROM telemetry.retention_plan() WHERE step = 'finalize' AND parent = 'queue'")
        == 1
        && harness.number("SELECT count(*) FROM telemetry.retention_plan() WHERE parent <> 'queue'") == 0
    }
    let (client, _) = try NativeClient.open(harness)
    try client.send(queueLines(1...500))
    #expect(try client.awaitAck(500).isEmpty)
    try harness.stop()
    // Otherwise it may end what it began, once the reader has gone.
    try harness.wait("the end of the first one's session") { _ in
      try harness.number(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'ALTER TABLE%DETACH%'"
      ) == 0
    }
    _ = try reader.run("SELECT count(*) FROM telemetry.queue; COMMIT", deadline: .after(milliseconds: longest))
    try harness.activate(2)
    try harness.wait("the end of what was begun") { _ in
      try harness.number("SELECT count(*) FROM telemetry.retention_plan()") == 0
    }
    #expect(
      try harness.number(
        "SELECT count(*) FROM telemetry.retention_log WHERE epoch = 2 AND reason = 'interrupted' AND action = 'detached'"
      ) == 1)
    #expect(try harness.stored() == (500, 500))
  }

  @Test func `a failure that lasts is told again after ten minutes, another one and one that came back at once`() {
    var failure = LastingFailure()
    var told: [Int64] = []
    for second in stride(from: Int64(0), through: 1260, by: 60) {
      let reason = second < 720 ? "no right" : "no space"
      if second == 1080 { failure.ended() }
      if failure.isDue(reason, at: BootInstant(nanoseconds: second * 1_000_000_000)) { told.append(second) }
    }
    #expect(told == [0, 600, 720, 1080])
  }
}
