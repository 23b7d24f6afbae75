// `hactl migrate`: brings the schema to this release.
internal import Node
internal import Platform
internal import Postgres

let migrateSpec = CommandSpec(
  name: "migrate", usage: "[--dry-run] [--sql DIR] [--connection STRING]",
  summary: "create or update the schema in PostgreSQL",
  details: """
    Needs a superuser, or the database's owner with CREATEROLE: give --connection, since the nodes' own login may
    not do this. Each file is applied once, in a transaction of its own; one that fails leaves nothing behind. The
    files are found by --sql, $STANDWATCH_SQL, in ../share/standwatch/sql beside hactl, or in
    /usr/share/standwatch/sql.
    """,
  options: [
    OptionSpec(names: ["--dry-run", "-n"], value: nil, help: "only say what would be applied"),
    OptionSpec(names: ["--sql"], value: "DIR", help: "folder with the migrations"),
  ])

func migrate(_ arguments: Arguments, _ tool: Tool) throws -> Int32 {
  let folder = try findMigrationFolder(option: arguments["--sql"])
  let files = try readMigrations(folder: folder)
  let deadline = BootInstant.after(milliseconds: 10_000)
  do {
    var session = try tool.openSession(nil, deadline: deadline)
    if arguments.has("--dry-run") {
      let plan = try planMigrations(files, &session, deadline: deadline)
      for file in plan.pending { tool.print("would apply \(file.fileName)") }
      tool.print("\(plan.applied) of \(files.count) migrations are applied, \(plan.pending.count) pending")
      return ExitCode.done
    }
    let applied = try applyMigrations(files, &session) { tool.print($0) }
    tool.print(
      applied.isEmpty ? "the schema is up to date (\(files.count) migrations)" : "the schema is up to date now")
    return ExitCode.done
  } catch let error as PostgresError {
    throw failure(error)
  }
}
