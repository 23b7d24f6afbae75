// How every session of a node with PostgreSQL is opened: identity, settings, deadline.
public import Platform
public import Postgres

/// What a session is for; the last part of its `application_name`.
public enum SessionRole: Equatable, Sendable, CustomStringConvertible {
  case lease, watch, lane(Int), upkeep, retention, rollups, tokens, keys, operatorTool, web
  public var description: String {
    switch self {
    case .lease: "lease"
    case .watch: "watch"
    case .lane(let number): "lane\(number)"
    case .upkeep: "upkeep"
    case .retention: "retention"
    case .rollups: "rollups"
    case .tokens: "tokens"
    case .keys: "keys"
    case .operatorTool: "hactl"
    case .web: "web"
    }
  }
}

/// Opens sessions for one incarnation of one node. Shared by all its threads.
public final class DatabaseSessions: Sendable {
  public let cluster: String
  public let node: String
  /// Grows with every start of the node's worker: microseconds of the wall clock at its start.
  public let incarnation: Int64
  public let connection: ConnectionString
  private let leaseMilliseconds: Int64
  private let endpoints: Guarded<[Endpoint]>

  public init(
    connection: ConnectionString, cluster: String, node: String, incarnation: Int64, leaseMilliseconds: Int64
  ) {
    self.connection = connection
    self.cluster = cluster
    self.node = node
    self.incarnation = incarnation
    self.leaseMilliseconds = leaseMilliseconds
    endpoints = Guarded([])
  }

  /// `sw/<cluster>/<node>/<incarnation>/<role>`: at most 63 bytes, all that PostgreSQL keeps.
  public func applicationName(_ role: SessionRole) -> String { "sw/\(cluster)/\(node)/\(incarnation)/\(role)" }

  /// Looks the hosts up again; blocks as long as the resolver does. Keeps the old answer when nothing is found.
  public func refreshEndpoints() {
    let found = connection.resolve()
    if !found.isEmpty { endpoints.withLock { $0 = found } }
  }

  /// Opens a session on the server that takes writes, with the settings of its role.
  public func open(
    _ role: SessionRole, deadline: BootInstant, interrupt: Interrupt? = nil
  ) throws(PostgresError) -> Connection {
    let known = endpoints.withLock { $0 }
    var session = try Connection.open(
      known,
      settings: [
        ("application_name", applicationName(role)), ("target_session_attrs", "read-write"), ("options", ""),
        ("keepalives", "1"), ("keepalives_idle", "1"), ("keepalives_interval", "1"), ("keepalives_count", "2"),
        ("tcp_user_timeout", "2000"), ("client_encoding", "UTF8"),
      ], deadline: deadline, interrupt: interrupt)
    _ = try session.run(settings(role), deadline: deadline)
    if session.serverVersion >= 170_000 {
      // A site's default would end a waiter for the lock, again and again.
      _ = try session.run("SET transaction_timeout = 0", deadline: deadline)
    }
    do {
      _ = try session.run("SET client_connection_check_interval = '500ms'", deadline: deadline)
    } catch  where error.state == "22023" {
      // The server's platform cannot watch a client's socket; keepalives still find a dead one.
    }
    return session
  }

  // Everything explicitly: server, database and role defaults can be anything. Without `jit = off` the server compiles
  // the observer's small query for half a second each time. A warning that is held back (`client_min_messages`) would
  // make a commit that was never replicated look like a good one.
  private func settings(_ role: SessionRole) -> String {
    let common = """
      SET search_path = pg_catalog; SET tcp_keepalives_idle = 1; SET tcp_keepalives_interval = 1; \
      SET tcp_keepalives_count = 2; SET tcp_user_timeout = 2000; SET default_transaction_read_only = off; \
      SET default_transaction_isolation = 'read committed'; SET default_transaction_deferrable = off; \
      SET DateStyle = 'ISO, YMD'; SET TimeZone = 'UTC'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; \
      SET extra_float_digits = 1; SET jit = off; SET standard_conforming_strings = on; SET statement_timeout = 0; \
      SET client_min_messages = notice; SET idle_in_transaction_session_timeout = '1500ms';
      """
    return switch role {
    case .lease:
      // A waiter that was stopped must not win the lock and keep it; a slow fsync must not depose an active.
      common + " SET idle_session_timeout = '\(leaseMilliseconds)ms'; SET synchronous_commit = off;"
        + " SET lock_timeout = '2s';"
    case .watch:
      common + " SET idle_session_timeout = '30s'; SET synchronous_commit = off; SET lock_timeout = '500ms';"
        + " SET statement_timeout = '1500ms';"
    case .lane:
      // An acknowledgement needs a commit on disk. And a plan that was made while a table was nearly empty is kept: it has
      // to be the one by index, or a thousand hellos read a growing table a thousand times until somebody analyzes it.
      common + " SET enable_seqscan = off; SET idle_session_timeout = 0; SET synchronous_commit = on;"
        + " SET lock_timeout = '1500ms';"
    case .tokens, .keys:
      common + " SET idle_session_timeout = 0; SET synchronous_commit = off; SET lock_timeout = '500ms';"
        + " SET statement_timeout = '1500ms';"
    case .rollups:
      // What a crash takes back it takes back whole, and is done again.
      common + " SET idle_session_timeout = '60s'; SET synchronous_commit = off; SET lock_timeout = '200ms';"
    case .upkeep, .retention, .operatorTool, .web:
      common + " SET idle_session_timeout = '60s'; SET synchronous_commit = on; SET lock_timeout = '200ms';"
    }
  }
}
