// What the doctor and the reports say of a real database ($STANDWATCH_TEST_POSTGRES): each test changes it in a
// transaction that is rolled back, as the role of the nodes.
import Node
import Platform
import Postgres
import Testing

@testable import hactl

private let server = environmentValue("STANDWATCH_TEST_POSTGRES")
private var soon: BootInstant { .after(milliseconds: 60_000) }

private func open(_ database: String) throws -> Connection {
  let text = try #require(server).replacing("dbname=postgres", with: "dbname=\(database)")
  return try Connection.open(try ConnectionString(text).resolve(), deadline: soon)
}

/// One database with the whole schema, for all tests here.
private let installed: Result<String, any Error> = Result {
  let name = "doctor_\(UInt64.random(in: 0 ... .max))"
  var administrator = try open("postgres")
  _ = try administrator.run("CREATE DATABASE \(name)", deadline: soon)
  var session = try open(name)
  let folder = "\(#filePath)".split(separator: "/").dropLast(3).joined(separator: "/")
  _ = try applyMigrations(try readMigrations(folder: "/\(folder)/sql"), &session, note: { _ in })
  _ = try session.run(
    """
    UPDATE ha.setting SET value = '2' WHERE key = 'accept_past_days';
    SELECT telemetry.ensure_partitions(2, 1); CREATE ROLE \(name) LOGIN IN ROLE standwatch_node
    """, deadline: soon)
  return name
}

/// What the checks say after `change`, which a superuser makes.
private func findings(
  after change: String = "SELECT", _ check: (inout Connection, BootInstant, inout Checkup) throws -> Void
) throws -> [Check] {
  let database = try installed.get()
  var session = try open(database)
  _ = try session.run("BEGIN; \(change); SET LOCAL ROLE \(database)", deadline: soon)
  var checkup = Checkup()
  checkup.begin("x")
  try check(&session, soon, &checkup)
  return checkup.checks
}

@Suite(.serialized) struct `The doctor and the database` {
  @Test func `without the keeper's right retention is an error with its GRANT, and what is overdue is named`() throws {
    let said = try findings(
      after: "SELECT telemetry.ensure_partitions(40, 1); REVOKE standwatch_keeper FROM standwatch_upkeep",
      checkRetention)
    #expect(
      said.filter { $0.grade == .error }.map(\.mend)
        == ["as a superuser: GRANT standwatch_keeper TO standwatch_upkeep"])
    let late = said.filter { $0.grade == .warning }
    #expect(
      late.contains { $0.finding.hasPrefix("retention of telemetry.queue is more than a day late: 9 partitions") })
    #expect(late.allSatisfy { $0.mend == "the missing right above" })
  }
  @Test func `with every right and nothing overdue retention is well, and its last work is told`() throws {
    let said = try findings(
      after: """
        INSERT INTO telemetry.retention_log (at, node, epoch, action, object, reason, milliseconds)
        VALUES (now() - interval '3 h', 'a', 7, 'dropped', 'log_20261001', 'age', 12)
        """, checkRetention)
    #expect(said.map(\.grade) == [.fine])
    #expect(said.first?.finding == "retention last dropped log_20261001 (age), 3 h 0 min ago, by node a")
  }
  @Test func `a reader that keeps a partition is named with its process`() throws {
    var reader = try open(try installed.get())
    _ = try reader.run(
      "SET application_name = 'long report'; BEGIN; LOCK TABLE telemetry.log IN ACCESS SHARE MODE", deadline: soon)
    let said = try findings(after: "CREATE TABLE telemetry.log_20200101 (n int)", checkRetention)
    let late = try #require(said.first { $0.grade == .warning })
    #expect(late.finding.hasPrefix("retention of telemetry.log is half done: 1 partition from log_20200101 on"))
    #expect(late.finding.hasSuffix("in the way: postgres (long report), pid \(reader.backend)"), "\(late.finding)")
    #expect(late.mend.hasSuffix("SELECT pg_terminate_backend(\(reader.backend))"))
  }
  @Test func `a size that accepted days exceed by themselves is a warning`() throws {
    let change = """
      INSERT INTO telemetry.event (ts, app_id, host_id, kind_id, attrs)
      SELECT now(), 1, 1, 1, jsonb_build_object('x', repeat(md5(n::text), 9)) FROM generate_series(1, 9000) AS n;
      UPDATE ha.setting SET value = '1' WHERE key = 'keep_megabytes_event'
      """
    let said = try findings(after: change, checkRetention).filter { $0.grade == .warning }
    #expect(said.count == 1)
    #expect(said.first?.finding.hasPrefix("keep_megabytes_event = 1 can't be met: ") == true)
  }
  @Test func `silent hosts are counted and named, and control characters of their names do not reach the terminal`()
    throws
  {
    #expect(try findings(checkHosts).map(\.grade) == [.note])
    let said = try findings(
      after: """
        INSERT INTO telemetry.host (id, name) SELECT n, 'mes-' || n || E'\\x1b[2J' FROM generate_series(1, 5) AS n;
        INSERT INTO telemetry.rollup_delta (at, app_id, host_id, measure, key_id, n, errors)
        SELECT date_trunc('hour', now()) - n * interval '1 h', 1, n, 1, 1, 5, 0 FROM generate_series(2, 5) AS n
        """, checkHosts)
    #expect(said.map(\.grade) == [.warning])
    let finding = said.first?.finding ?? ""
    #expect(finding.hasPrefix("4 hosts are silent, 0 report: mes-2·[2J since "), "\(finding)")
    #expect(finding.contains("mes-5·[2J since "), "\(finding)")
    #expect(!finding.contains("\u{1b}"))
  }
  @Test func `many refused records are a warning with source and reason, a few are a note`() throws {
    func said(_ count: Int, _ reason: String) throws -> Check? {
      try findings(
        after: """
          INSERT INTO ingest.rejected (at, source, reason, raw)
          SELECT now() - interval '1 h', 'press-7', '\(reason)', '' FROM generate_series(1, \(count));
          INSERT INTO ingest.rejected (at, source, reason, raw) VALUES (now() - interval '2 days', 's', 'old', '')
          """, checkRejected
      ).first
    }
    #expect(try said(0, "x")?.grade == .fine)
    #expect(try said(5, "not JSON")?.grade == .note)
    let many = try #require(try said(1500, "not JSON"))
    #expect(many.grade == .warning)
    #expect(many.finding == "1 500 records were refused in the last day: 1 500 of press-7 (not JSON)")
    #expect(
      try said(2, "host is a new name, and its source has brought too many in this hour")?.mend.contains(
        "names_per_source_hour") == true)
  }
  @Test func `a report says which parameters it needs`() throws {
    var session = try open(try installed.get())
    let entries = try reportEntries(&session, soon)
    let transactions = try #require(entries.first { $0.name == "transactions" })
    #expect(transactions.parameters.filter(\.isRequired).map(\.name) == ["app"])
    let error = #expect(throws: UsageError.self) { _ = try reportCall(transactions, []) }
    #expect(error?.description.hasPrefix("transactions needs app=VALUE; it takes as well: ") == true)
    #expect(try reportCall(transactions, ["app=EQP-12"]).values == ["EQP-12"])
  }
}

@Suite struct `Settings that take no effect` {
  @Test func `fewer days than are accepted are told, whichever of the two was changed`() {
    var values = ["accept_past_days": "7", "keep_days_log": "3", "keep_days_span": "14", "keep_days_refusals": "2"]
    #expect(shortKeeps(values, changed: "keep_days_log").count == 1)
    #expect(shortKeeps(values, changed: "keep_days_span").isEmpty)
    #expect(shortKeeps(values, changed: "keep_days_refusals").isEmpty)
    values["accept_past_days"] = "30"
    let both = shortKeeps(values, changed: "accept_past_days")
    #expect(both.map { $0.prefix(18) } == ["keep_days_log = 3 ", "keep_days_span = 1"])
  }
}
