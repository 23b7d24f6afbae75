// Applies the schema's files: in order, once, each in a transaction of its own that leaves nothing behind when it fails.
public import Platform
public import Postgres

/// What a database has, compared with a folder of files.
public struct MigrationPlan: Equatable, Sendable {
  /// How many of the files are applied.
  public var applied: Int
  public var pending: [MigrationFile]
}

/// Compares `files` with the database. Throws where they can't belong together: a file that was changed after it was
/// applied, or a database that is ahead of the files. Changes nothing.
public func planMigrations(
  _ files: [MigrationFile], _ session: inout Connection, deadline: BootInstant
) throws(MigrationError) -> MigrationPlan {
  let rows: [[String?]]
  do {
    let there = try session.run("SELECT to_regclass('ha.migration') IS NOT NULL", deadline: deadline).scalar
    rows =
      there == "t"
      ? try session.run("SELECT number, name, checksum FROM ha.migration ORDER BY number", deadline: deadline).rows : []
  } catch {
    throw MigrationError("the list of applied migrations could not be read: \(error)")
  }
  for (index, row) in rows.enumerated() {
    guard row.count == 3, let number = row[0].flatMap({ Int($0) }), let name = row[1], let checksum = row[2] else {
      throw MigrationError("ha.migration has a row that is no migration")
    }
    guard index < files.count else {
      throw MigrationError(
        "the database has migration \(number) (\(name)), which these files end before; use the newer release's hactl")
    }
    let file = files[index]
    guard number == file.number, name == file.name else {
      throw MigrationError("\(file.path): the database has migration \(number) \"\(name)\" in its place")
    }
    guard checksum == file.checksum else {
      throw MigrationError(
        "\(file.path) was changed after it was applied; restore the file of the release, changes go into a new one")
    }
  }
  return MigrationPlan(applied: rows.count, pending: Array(files.dropFirst(rows.count)))
}

/// Applies what is pending; `note` is told of each file that was applied and of each wait for a lock. Another
/// `hactl migrate` at the same time waits its turn, or gives up.
/// - Returns: what was applied.
public func applyMigrations(
  _ files: [MigrationFile], _ session: inout Connection, attempts: Int = 20, note: (String) -> Void
) throws(MigrationError) -> [MigrationFile] {
  var applied: [MigrationFile] = []
  while true {
    let plan = try planMigrations(files, &session, deadline: .after(milliseconds: 10_000))
    guard let next = plan.pending.first else { return applied }
    var attempt = 1
    while true {
      do {
        if try apply(next, &session) {
          applied.append(next)
          note("applied \(next.fileName)")
        }
        break
      } catch {
        guard error.canRetry, attempt < attempts else { throw error }
        note("\(next.fileName): waits for a lock (attempt \(attempt) of \(attempts))")
        attempt += 1
        sleep(until: .after(milliseconds: 100 + Int64.random(in: 0...200)))
      }
    }
  }
}

/// False when somebody else applied it meanwhile.
private func apply(_ file: MigrationFile, _ session: inout Connection) throws(MigrationError) -> Bool {
  let deadline = BootInstant.after(milliseconds: 600_000)
  do {
    // The table that lists migrations does not exist before the first: so an advisory lock, for this transaction.
    let begin = """
      BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '200ms'; SET LOCAL statement_timeout = 0; \
      SET LOCAL idle_in_transaction_session_timeout = '60s'; SET LOCAL search_path = pg_catalog, pg_temp; \
      SET LOCAL synchronous_commit = on; SET LOCAL check_function_bodies = on; \
      SELECT pg_catalog.pg_advisory_xact_lock(\(migrationLock));
      """
    _ = try session.run(begin, deadline: deadline)
    let there = try session.run(
      "SELECT pg_catalog.pg_current_xact_id(), pg_catalog.to_regclass('ha.migration') IS NOT NULL", deadline: deadline)
    let transaction = there.rows.first?.first
    if there.rows.first?.last == "t" {
      let known = try session.query(
        "SELECT FROM ha.migration WHERE number = $1", ["\(file.number)"], deadline: deadline)
      if known.results.contains(where: { !$0.rows.isEmpty }) {
        rollBack(&session)
        return false
      }
    }
    _ = try session.run(file.script, deadline: deadline)
    let after = try session.run("SELECT pg_catalog.pg_current_xact_id()", deadline: deadline).rows.first?.first
    guard session.inTransaction, after == transaction else {
      rollBack(&session)
      throw MigrationError(
        "\(file.path) left its transaction; what it did so far may have stayed, look before you go on")
    }
    _ = try session.run("SET LOCAL ROLE standwatch_owner", deadline: deadline)
    _ = try session.query(
      "INSERT INTO ha.migration (number, name, checksum) VALUES ($1, $2, $3)",
      ["\(file.number)", file.name, file.checksum], deadline: deadline)
    _ = try session.run("COMMIT", deadline: deadline)
    return true
  } catch let error as MigrationError {
    throw error
  } catch let error as PostgresError {
    rollBack(&session)
    throw describe(error, file)
  } catch {
    throw MigrationError("\(file.path): \(error)")
  }
}

/// "standwatch/migrate" in ASCII, cut to eight bytes.
private let migrationLock: Int64 = 0x7377_2f6d_6967_7261

private func rollBack(_ session: inout Connection) {
  // A session that can't even roll back is lost, and its transaction with it: the next statement says so.
  _ = try? session.run("ROLLBACK", deadline: .after(milliseconds: 5_000))
}

private func describe(_ error: PostgresError, _ file: MigrationFile) -> MigrationError {
  // Roles belong to the whole server: another database's migration may just be making the same ones.
  let meets = error.constraint == "pg_authid_rolname_index" || error.message == "tuple concurrently updated"
  if meets {
    return MigrationError("\(file.path): another migration changes the same roles (\(error))", canRetry: true)
  }
  switch error.state {
  case "55P03", "40P01", "40001":
    return MigrationError(
      "\(file.path): another session holds a lock it needs (\(error)); nothing was changed, try again", canRetry: true)
  case "42501":
    return MigrationError(
      "\(file.path): \(error); nothing was changed. Run hactl migrate as a superuser or as the database's owner with "
        + "CREATEROLE: --connection 'host=... dbname=... user=postgres'")
  default:
    return MigrationError("\(file.path): \(error); nothing was changed")
  }
}
