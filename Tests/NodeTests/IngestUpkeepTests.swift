// What the upkeep thread does beside the lanes.
import Platform
import Postgres
import Telemetry
import Testing

@testable import Node

@Suite struct IngestUpkeepTests {
  @Test func `records wait for the first partitions instead of being refused`() throws {
    let harness = try IngestHarness()
    try harness.server.query(
      """
      DO $$ DECLARE part text; BEGIN
        FOR part IN SELECT inhrelid::regclass::text FROM pg_inherits AS i
          JOIN pg_class AS c ON c.oid = i.inhparent WHERE c.relkind = 'p' LOOP
          EXECUTE 'DROP TABLE ' || part;
        END LOOP;
      END $$
      """, on: harness.database)
    try harness.activate()
    let (client, _) = try NativeClient.open(harness)
    try client.send(queueLines(1...10))
    #expect(try client.awaitAck(10).isEmpty)
    #expect(try harness.stored() == (10, 10))
  }

  @Test func `old claims are pruned while the newest of every stream stays`() throws {
    var settings = IngestSettings()
    settings.upkeepMilliseconds = 200
    let harness = try IngestHarness(settings: settings)
    try harness.server.query(
      """
      INSERT INTO ingest.claim (stream, prev, last, at)
      SELECT s, n * 10, n * 10 + 10, now() - interval '2 days'
      FROM generate_series(1, 3) AS s, generate_series(0, 49) AS n
      """, on: harness.database)
    try harness.activate()
    try harness.wait("the prune") { _ in try harness.number("SELECT count(*) FROM ingest.claim WHERE stream < 4") == 3 }
    #expect(try harness.query("SELECT ingest.committed(2)") == [["500"]])
  }

  @Test func `a standby's lanes come back by themselves when PostgreSQL was restarted`() throws {
    let server = try PrivatePostgres(settings: ["fsync = off"])
    defer { server.stop() }
    let harness = try IngestHarness(server: server)
    try harness.wait("warm lanes") { $0.contains(.lanesReady(2)) }
    try server.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'sw/%'", on: "postgres")
    try harness.wait("warm lanes again") { $0.filter { $0 == .lanesReady(2) }.count >= 2 }
    try harness.activate()
    let (client, _) = try NativeClient.open(harness)
    try client.send(queueLines(1...1))
    try client.awaitAck(1)
  }
}
