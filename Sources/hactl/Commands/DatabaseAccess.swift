// A session for one command, and PostgreSQL's refusals in words that say what to do.
internal import Node
internal import Platform
internal import Postgres

extension Tool {
  /// Opens a session and does `work`; every error of PostgreSQL becomes a `Failure`.
  func withSession<R>(
    _ configuration: NodeConfiguration? = nil, milliseconds: Int64 = 5000,
    _ work: (inout Connection, BootInstant) throws -> R
  ) throws -> R {
    let deadline = BootInstant.after(milliseconds: milliseconds)
    do {
      var session = try openSession(configuration, deadline: deadline)
      return try work(&session, deadline)
    } catch let error as PostgresError {
      throw failure(error)
    }
  }

  /// As `withSession`, where reports are read: perhaps on a replica, and without the right to write.
  func withReports<R>(_ work: (inout Connection, BootInstant) throws -> R) throws -> R {
    let deadline = BootInstant.after(milliseconds: 60_000)
    let connection =
      connectionOption == nil
      ? try configuration().database.reports ?? configuration().database.connection : try connectionString(nil)
    do {
      var session = try openToolSession(connection, target: "any", deadline: deadline)
      _ = try session.run(
        "SET default_transaction_read_only = on; SET statement_timeout = '55s'; SET jit = off", deadline: deadline)
      return try work(&session, deadline)
    } catch let error as PostgresError {
      throw failure(error)
    }
  }
}

/// PostgreSQL's error with the mend that most often helps.
func failure(_ error: PostgresError) -> Failure {
  switch error.reason {
  case .connect, .deadline, .interrupted, .lost:
    return Failure(
      "PostgreSQL: \(error)", mend: "check that it runs, and the connection string in the configuration",
      code: ExitCode.unreachable)
  case .misuse: return Failure("PostgreSQL: \(error)")
  case .server(let state):
    switch state {
    case "42P01", "3F000", "42883":
      return Failure(
        "the schema of Standwatch is not there, or older than this tool: \(error.message)", mend: "hactl migrate")
    case "42501":
      return Failure(
        "this login may not do that: \(error.message)",
        mend: "use a member of standwatch_node (the nodes' login), or --connection", code: ExitCode.permission)
    case "55P03":
      return Failure("a takeover or a migration is under way: \(error.message)", mend: "try again in two seconds")
    default: return Failure(error.message, code: ExitCode.failed)
    }
  }
}
