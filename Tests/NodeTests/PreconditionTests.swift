// What a node says to a database that cannot keep its promise, each against a real server.
import Platform
import Postgres
import Testing

@testable import Node

// Serialized: one of them changes a setting of the server that they share.
@Suite(.serialized) struct PreconditionTests {
  /// Waits for its disk, as a site's does; `PrivatePostgres.shared` does not.
  private static let sound: Result<PrivatePostgres, any Error> = Result { try PrivatePostgres() }

  @Test func `a sound database passes, and again at the next connect`() throws {
    let server = try Self.sound.get()
    let database = try server.makeDatabase()
    for _ in 0..<2 { #expect(try refusal(database) == nil) }
  }

  @Test func `a sound database that no cluster has used yet is pinned to the one that asks`() throws {
    let server = try Self.sound.get()
    try server.query("CREATE DATABASE fresh TEMPLATE sw_template", on: "postgres")
    #expect(try refusal(server.connection("fresh"), cluster: "first") == nil)
    #expect(try server.query("SELECT cluster FROM ha.cluster", on: "fresh") == [["first"]])
  }

  @Test func `fsync off is refused`() throws {
    let server = try PrivatePostgres.shared.get()
    #expect(
      try refusal(server.makeDatabase())
        == "fsync is off: a crash would lose acknowledged records. ALTER SYSTEM SET fsync = on, then reload")
  }

  @Test func `full_page_writes off is refused until it is mended as the sentence says`() throws {
    let server = try Self.sound.get()
    let database = try server.makeDatabase()
    try set("full_page_writes", "off", server)
    let said = try refusal(database)
    try set("full_page_writes", "on", server)
    #expect(
      said
        == "full_page_writes is off: a crash could corrupt stored records. "
        + "ALTER SYSTEM SET full_page_writes = on, then reload")
    #expect(try refusal(database) == nil)
  }

  @Test func `a database without the schema is refused`() throws {
    let server = try Self.sound.get()
    try server.query("CREATE DATABASE empty", on: "postgres")
    #expect(try refusal(server.connection("empty")) == "the schema is not installed. Run: hactl migrate")
  }

  @Test func `a login that is no member of standwatch_node is refused until it is granted`() throws {
    let server = try Self.sound.get()
    try server.query("CREATE DATABASE guarded TEMPLATE sw_template", on: "postgres")
    try server.query("CREATE ROLE stranger LOGIN", on: "postgres")
    let database = server.connection("guarded", user: "stranger")
    #expect(
      try refusal(database)
        == "role stranger is not a member of standwatch_node and could not end its own cluster's sessions. "
        + "GRANT standwatch_node TO stranger")
    try server.query("GRANT standwatch_node TO stranger", on: "postgres")
    #expect(try refusal(database) == nil)
  }

  @Test func `another cluster's database is refused`() throws {
    let server = try Self.sound.get()
    let said = try refusal(server.makeDatabase(cluster: "theirs"), cluster: "ours")
    #expect(
      said == "this database belongs to cluster \"theirs\", not to \"ours\". "
        + "Point database.connection at this cluster's own database, or give it a new one")
  }

  @Test func `a transaction pooler is refused`() throws {
    let server = try Self.sound.get()
    try server.query("CREATE DATABASE pooled TEMPLATE sw_template", on: "postgres")
    let relay = try Relay(to: server.port, isPooler: true)
    #expect(
      try refusal("host=127.0.0.1 port=\(relay.port) dbname=pooled user=standwatch")
        == "a transaction pooler stands between this node and PostgreSQL. "
        + "Connect to PostgreSQL directly, or through a pooler in session mode")
  }

  @Test func `a standby is refused`() throws {
    let server = try PrivatePostgres(settings: ["fsync = off"])
    defer { server.stop() }
    let database = try server.makeDatabase()
    // The server restarts after the crash of a session, and finds that it is to be a standby.
    #expect(throws: PostgresError.self) {
      try server.query("COPY (SELECT 1) TO PROGRAM 'touch standby.signal && kill -KILL $PPID'", on: "postgres")
    }
    try awaitAnswer("SELECT pg_is_in_recovery()", "t", server)
    #expect(
      try refusal(database)
        == "the server is in recovery (a standby). Name the primary, or all servers, in database.connection")
  }

  @Test func `the ordinary login may end its own sessions`() throws {
    let server = try Self.sound.get()
    try requireRightToEndSessions(try sessions(server.makeDatabase()), deadline: .after(milliseconds: longest))
  }

  @Test func `a login that may not end its own sessions is refused`() throws {
    let server = try Self.sound.get()
    try server.query("CREATE DATABASE strict TEMPLATE sw_template", on: "postgres")
    try server.query("REVOKE EXECUTE ON FUNCTION pg_terminate_backend(integer, bigint) FROM PUBLIC", on: "strict")
    let strict = try sessions(server.connection("strict"))
    do {
      try requireRightToEndSessions(strict, deadline: .after(milliseconds: longest))
      Issue.record("it passed")
    } catch {
      #expect(
        error.message == "this login may not end its own sessions. "
          + "Use one ordinary login role, member of standwatch_node, for all nodes")
    }
  }
}

/// The sentence with which `requirePreconditions` refuses; nil when it passes. Throws when it could not tell.
private func refusal(_ connection: String, cluster: String = "test") throws -> String? {
  let endpoints = try ConnectionString(connection).resolve()
  var session = try Connection.open(endpoints, deadline: .after(milliseconds: longest))
  do {
    try requirePreconditions(&session, cluster: cluster, deadline: .after(milliseconds: longest))
  } catch {
    if error.reason == .misuse { return error.message }
    throw error
  }
  return nil
}

private func sessions(_ connection: String) throws -> DatabaseSessions {
  let sessions = DatabaseSessions(
    connection: try ConnectionString(connection), cluster: "test", node: "a", incarnation: 1, leaseMilliseconds: 2000)
  sessions.refreshEndpoints()
  return sessions
}

private func set(_ setting: String, _ value: String, _ server: PrivatePostgres) throws {
  try server.query("ALTER SYSTEM SET \(setting) = \(value)", on: "postgres")
  try server.query("SELECT pg_reload_conf()", on: "postgres")
  try awaitAnswer("SHOW \(setting)", value, server)
}

/// Asks in new sessions until the answer comes; a server that is starting gives none.
private func awaitAnswer(_ question: String, _ answer: String, _ server: PrivatePostgres) throws {
  let deadline = BootInstant.after(milliseconds: patience(longest))
  while true {
    do {
      if try server.query(question, on: "postgres") == [[answer]] { return }
    } catch {
      if BootInstant.now() > deadline { throw error }
    }
    if BootInstant.now() > deadline { throw TestTimeout(what: question) }
    sleep(until: .after(milliseconds: 20))
  }
}
