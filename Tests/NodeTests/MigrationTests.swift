// Migrations against a real PostgreSQL ($STANDWATCH_TEST_POSTGRES), each test in a database of its own.
import Glibc
import Platform
import Postgres
import Testing

@testable import Node

private let server = environmentValue("STANDWATCH_TEST_POSTGRES")

private func makeFolder() -> String {
  let folder = "/tmp/standwatch-migrations-\(UInt64.random(in: 0 ... .max))"
  _ = unsafe mkdir(folder, 0o700)
  return folder
}
private func removeFolder(_ folder: String) {
  for name in (try? namesInFolder(folder)) ?? [] { _ = unsafe unlink("\(folder)/\(name)") }
  _ = unsafe rmdir(folder)
}

/// A folder of files and an empty database; both are gone with it.
private final class Bench {
  let folder: String
  let database = "migration_\(UInt64.random(in: 0 ... .max))"
  init(_ files: [String: String]) throws {
    folder = makeFolder()
    for (name, text) in files { try write(name, text) }
    var administrator = try Self.open(try #require(server))
    _ = try administrator.run("CREATE DATABASE \(database)", deadline: soon)
  }
  deinit {
    removeFolder(folder)
    if var administrator = try? Self.open(server ?? "") {
      _ = try? administrator.run("DROP DATABASE \(database) WITH (FORCE)", deadline: soon)
    }
  }
  func write(_ name: String, _ text: String) throws { try replaceFile("\(folder)/\(name)", with: Array(text.utf8)) }
  func open() throws -> Connection {
    try Self.open((server ?? "").replacing("dbname=postgres", with: "dbname=\(database)"))
  }
  func files() throws -> [MigrationFile] { try readMigrations(folder: folder) }
  private static func open(_ text: String) throws -> Connection {
    try Connection.open(try ConnectionString(text).resolve(), deadline: soon)
  }
}
private var soon: BootInstant { .after(milliseconds: longest) }

private let first = """
  DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'standwatch_owner') THEN
    CREATE ROLE standwatch_owner NOLOGIN; END IF; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
  CREATE SCHEMA ha AUTHORIZATION standwatch_owner;
  SET LOCAL ROLE standwatch_owner;
  CREATE TABLE ha.migration (number integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now());
  RESET ROLE;
  """

@Suite struct `Migration files` {
  private func refusal(_ files: [String: String]) throws -> String {
    let folder = makeFolder()
    defer { removeFolder(folder) }
    for (name, text) in files { try replaceFile("\(folder)/\(name)", with: Array(text.utf8)) }
    return (#expect(throws: MigrationError.self) { try readMigrations(folder: folder) })?.description ?? ""
  }
  @Test func `a hole, a double number, a bad name and an empty folder are refused by name`() throws {
    #expect(try refusal(["0001_a.sql": "", "0003_c.sql": ""]).contains("migration number 2 is missing"))
    #expect(try refusal(["0001_a.sql": "", "0001_b.sql": ""]).contains("0001_b.sql: number 1 is there twice"))
    #expect(try refusal(["1_a.sql": ""]).contains("1_a.sql: a migration is named NNNN_name.sql"))
    #expect(try refusal(["0001_A b.sql": ""]).contains("0001_A b.sql"))
    #expect(try refusal(["readme.txt": ""]).contains("no migrations"))
  }
  @Test func `a statement that would leave the transaction is refused before anything runs`() throws {
    #expect(try refusal(["0001_a.sql": "CREATE TABLE x ();\nCOMMIT;\n"]).contains("\"COMMIT;\" would leave"))
    #expect(try refusal(["0001_a.sql": "begin;"]).contains("begin;"))
  }
  @Test func `the folder of an option that is none is named`() {
    let error = #expect(throws: MigrationError.self) { try findMigrationFolder(option: "/nowhere") }
    #expect(error?.description == "/nowhere (from --sql) is not a folder")
  }
}

@Suite(.enabled(if: server != nil, "needs a PostgreSQL: scripts/with-postgres"))
struct `Migrations` {
  @Test func `files are applied in order and once`() throws {
    let bench = try Bench(["0001_list.sql": first, "0002_b.sql": "CREATE TABLE ha.b (x int)"])
    var session = try bench.open()
    #expect(try planMigrations(try bench.files(), &session, deadline: soon).pending.map(\.number) == [1, 2])
    #expect(try applyMigrations(try bench.files(), &session) { _ in }.map(\.name) == ["list", "b"])
    #expect(try applyMigrations(try bench.files(), &session) { _ in }.isEmpty)
    try bench.write("0003_c.sql", "ALTER TABLE ha.b ADD COLUMN y int")
    #expect(try applyMigrations(try bench.files(), &session) { _ in }.map(\.number) == [3])
    let plan = try planMigrations(try bench.files(), &session, deadline: soon)
    #expect(plan.applied == 3 && plan.pending.isEmpty)
  }
  @Test func `a failed migration leaves the database as it was, and can be mended and run again`() throws {
    let bench = try Bench(["0001_list.sql": first, "0002_b.sql": "CREATE TABLE ha.b (x int); SELECT 1/0;"])
    var session = try bench.open()
    let error = #expect(throws: MigrationError.self) { try applyMigrations(try bench.files(), &session) { _ in } }
    #expect(error?.description.contains("0002_b.sql: division by zero (SQLSTATE 22012); nothing was changed") == true)
    #expect(try session.run("SELECT to_regclass('ha.b') IS NULL, current_user", deadline: soon).scalar == "t")
    #expect(try planMigrations(try bench.files(), &session, deadline: soon).applied == 1)
    try bench.write("0002_b.sql", "CREATE TABLE ha.b (x int)")
    #expect(try applyMigrations(try bench.files(), &session) { _ in }.map(\.number) == [2])
  }
  @Test func `a file that was changed after it was applied is named, and nothing runs`() throws {
    let bench = try Bench(["0001_list.sql": first, "0002_b.sql": "SELECT 1", "0003_c.sql": "SELECT 1"])
    var session = try bench.open()
    _ = try applyMigrations(try bench.files(), &session) { _ in }
    try bench.write("0002_b.sql", "SELECT 2")
    try bench.write("0004_d.sql", "CREATE TABLE ha.d ()")
    let error = #expect(throws: MigrationError.self) { try applyMigrations(try bench.files(), &session) { _ in } }
    #expect(error?.description.contains("0002_b.sql was changed after it was applied") == true)
    #expect(try session.run("SELECT to_regclass('ha.d') IS NULL", deadline: soon).scalar == "t")
  }
  @Test func `a database that is ahead of the files is refused`() throws {
    let bench = try Bench(["0001_list.sql": first, "0002_b.sql": "SELECT 1"])
    var session = try bench.open()
    _ = try applyMigrations(try bench.files(), &session) { _ in }
    let older = Array(try bench.files().prefix(1))
    let error = #expect(throws: MigrationError.self) { try planMigrations(older, &session, deadline: soon) }
    #expect(error?.description.contains("use the newer release's hactl") == true)
  }
  @Test func `a lock that is held is waited for a bounded time, and nothing is changed meanwhile`() throws {
    let bench = try Bench(["0001_list.sql": first, "0002_b.sql": "CREATE TABLE ha.b (x int)"])
    var session = try bench.open()
    _ = try applyMigrations(try bench.files(), &session) { _ in }
    try bench.write("0003_c.sql", "CREATE TABLE ha.c (); ALTER TABLE ha.b ADD COLUMN y int")
    var other = try bench.open()
    _ = try other.run("BEGIN; SELECT * FROM ha.b", deadline: soon)
    var waits = 0
    let error = #expect(throws: MigrationError.self) {
      try applyMigrations(try bench.files(), &session, attempts: 3) { _ in waits += 1 }
    }
    #expect(error?.canRetry == true && waits == 2)
    #expect(try session.run("SELECT to_regclass('ha.c') IS NULL", deadline: soon).scalar == "t")
    _ = try other.run("COMMIT", deadline: soon)
    #expect(try applyMigrations(try bench.files(), &session) { _ in }.map(\.number) == [3])
  }
  @Test func `two at a time apply everything exactly once`() throws {
    var files = ["0001_list.sql": first, "0002_count.sql": "CREATE TABLE ha.count (n int)"]
    for number in 3...9 {
      files["000\(number)_x.sql"] = "INSERT INTO ha.count VALUES (\(number)); SELECT pg_sleep(0.02)"
    }
    let bench = try Bench(files)
    let all = try bench.files()
    let faults = Guarded<[String]>([])
    let connection = (server ?? "").replacing("dbname=postgres", with: "dbname=\(bench.database)")
    func start() throws -> RoleThread {
      try RoleThread(name: "migrate") {
        do {
          var session = try Connection.open(try ConnectionString(connection).resolve(), deadline: soon)
          _ = try applyMigrations(all, &session, attempts: 100) { _ in }
        } catch { faults.withLock { $0.append("\(error)") } }
      }
    }
    let one = try start()
    let two = try start()
    one.join()
    two.join()
    #expect(faults.withLock { $0 } == [])
    var session = try bench.open()
    let counted = try session.run("SELECT count(*), count(DISTINCT n) FROM ha.count", deadline: soon)
    #expect(counted.rows == [["7", "7"]])
  }
  @Test func `a login without the rights is told whose are needed`() throws {
    let bench = try Bench(["0001_list.sql": "CREATE SCHEMA nope"])
    var session = try bench.open()
    _ = try session.run(
      "DROP ROLE IF EXISTS nobody_\(bench.database); CREATE ROLE nobody_\(bench.database); SET ROLE nobody_\(bench.database)",
      deadline: soon)
    let error = #expect(throws: MigrationError.self) { try applyMigrations(try bench.files(), &session) { _ in } }
    #expect(error?.description.contains("as a superuser or as the database's owner") == true)
    _ = try session.run("RESET ROLE; DROP ROLE nobody_\(bench.database)", deadline: soon)
  }
}
