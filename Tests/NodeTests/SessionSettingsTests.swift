// Sessions against a site that has set other defaults for the nodes' role.
import Platform
import Postgres
import Testing

@testable import Node

@Suite struct SessionSettingsTests {
  @Test func `a role that hears no warnings still acknowledges nothing that was not replicated`() throws {
    let server = try PrivatePostgres(settings: ["fsync = off", "synchronous_commit = on"])
    defer { server.stop() }
    try server.query("ALTER ROLE standwatch SET client_min_messages = error", on: "postgres")
    let harness = try IngestHarness(server: server).activate()
    let (client, _) = try NativeClient.open(harness)
    // The names, too, are written by transactions that would wait.
    try client.send(queueLines(1...1))
    try client.awaitAck(1)
    try server.stopReplication()
    try client.send(queueLines(2...100))
    // Somebody cancels the wait, again and again: COMMIT answers, with a warning.
    var cancelled = 0
    try harness.wait("waits that were cancelled") { _ in
      cancelled += try server.query(
        """
        SELECT pg_cancel_backend(pid) FROM pg_stat_activity
        WHERE wait_event = 'SyncRep' AND application_name LIKE '%/lane%'
        """, on: "postgres"
      ).count
      sleep(until: .after(milliseconds: 50))
      return cancelled >= 3
    }
    #expect(throws: TestTimeout.self) { try client.awaitAck(2, milliseconds: 200) }
    try server.query("ALTER SYSTEM RESET synchronous_standby_names", on: "postgres")
    try server.query("SELECT pg_reload_conf()", on: "postgres")
    try client.awaitAck(100)
    #expect(try harness.stored() == (100, 100))
  }
}
