// Rollups through real lanes into PostgreSQL: always what the records say, whatever fails and whenever they are merged.
import Foundation
import Platform
import Postgres
import Telemetry
import Testing

@testable import Node

/// Tests/Schema/rollup_check.sql, which compares all rollups with all records in one snapshot.
private func checkScript() throws -> String {
  let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  return try String(contentsOf: folder.appending(path: "Schema/rollup_check.sql"), encoding: .utf8)
}

extension IngestHarness {
  /// What differs between the rollups of `unit` and the records; empty when nothing does. Also says how many records
  /// (several measures of one count each) were compared.
  fileprivate func differences(_ unit: String) throws -> (wrong: [String], compared: Int) {
    var session = try server.session(database)
    _ = try session.run(try checkScript(), deadline: .after(milliseconds: longest))
    let rows = try session.run(
      "SELECT kind, differences, keys, records FROM pg_temp.rollup_differences('\(unit)')",
      deadline: .after(milliseconds: longest)
    ).rows
    let wrong = rows.filter { $0[1] != "0" }.map { "\(unit) \($0[0] ?? ""): \($0[1] ?? "") of \($0[2] ?? "")" }
    return (wrong, rows.first?[3].flatMap { Int($0) } ?? 0)
  }
}

/// Records of all nine types with values of all sizes, over the last minutes, some of them days late.
private func mixedLines(_ range: ClosedRange<Int64>, seed: UInt64) -> [UInt8] {
  var state = seed
  func random(_ bound: Int64) -> Int64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return Int64(state >> 33) % bound
  }
  func magnitude() -> Int64 { random([10, 1000, 100_000, 10_000_000_000][Int(random(4))]) }
  let now = wallMicroseconds()
  let zeros = String(repeating: "0", count: 15)
  var text: [UInt8] = []
  for seq in range {
    let status = ["ok", "ok", "Failed", "nok", "unset", "TIMEOUT"][Int(random(6))]
    let body =
      switch random(9) {
      case 0:
        #""type":"queue","queue":"q\#(random(3))","depth":\#(magnitude())"#
          + (random(2) == 0 ? #","enqueued":\#(magnitude())"# : "")
          + (random(2) == 0 ? #","dequeued":\#(magnitude())"# : "")
          + (random(2) == 0 ? #","oldest_ms":\#(magnitude())"# : "")
      case 1:
        #""type":"step","txn":"T\#(seq)","step":"s\#(random(3))","status":"\#(status)""#
          + (random(2) == 0 ? #","elapsed_us":\#(magnitude())"# : "")
      case 2: #""type":"job","job":"j\#(random(3))","duration_us":\#(magnitude()),"status":"\#(status)","sql_us":4"#
      case 3: #""type":"metric","name":"m\#(random(3))","value":\#(random(2) == 0 ? "-" : "")\#(magnitude()).25"#
      case 4:
        #""type":"process","process":"p","state":"running","pid":7"#
          + (random(2) == 0 ? #","cpu":\#(random(100)).5"# : "")
          + (random(2) == 0 ? #","memory":\#(magnitude())"# : "")
      case 5: #""type":"log","severity":\#(random(8)),"message":"lot \#(seq) is \#(["here", "late"][Int(random(2))])""#
      case 6:
        #""type":"web","method":"GET","path":"/","code":\#([200, 404, 500, 503][Int(random(4))])"#
          + (random(2) == 0 ? #","bytes":5"# : "") + (random(2) == 0 ? #","duration_us":\#(magnitude())"# : "")
      case 7:
        #""type":"span","trace":"\#(zeros)1\#(zeros)2","span":"\#(zeros)3","name":"n\#(random(3))","#
          + #""duration_us":\#(magnitude()),"status":"\#(status)""#
      default: #""type":"event","kind":"k\#(random(2))""#
      }
    let age = random(50) == 0 ? random(6 * 86_400) : random(200)
    let time = rfc3339(wallMicroseconds: now - age * 1_000_000)
    // Some are no records.
    let host = random(40) == 0 ? "" : "h\(random(2))"
    text += Array(#"{"seq":\#(seq),"ts":"\#(time)","host":"\#(host)","app":"a\#(random(3))",\#(body)}"#.utf8)
    text.append(0x0a)
  }
  return text
}
/// Merges anything at all, at once.
private func mergingAtOnce(batchRows: Int = 20_000) -> IngestSettings {
  var settings = IngestSettings()
  settings.batchRows = batchRows
  settings.rollupMilliseconds = 20
  settings.rollupWaitMilliseconds = -3_600_000
  settings.rollupRows = 200
  return settings
}

@Suite struct RollupTests {
  @Test func `rollups are what the records say, at every moment and on every level, while deltas are merged`() throws {
    let harness = try IngestHarness(settings: mergingAtOnce(batchRows: 700)).activate()
    let clients = try (0..<3).map { try NativeClient.open(harness, source: "s\($0)").client }
    for round in Int64(0)..<4 {
      for (index, client) in clients.enumerated() {
        try client.send(mixedLines(round * 1000 + 1...round * 1000 + 1000, seed: UInt64(index * 100) + UInt64(round)))
      }
      // In the middle of it.
      for unit in ["minute", "hour", "day"] { #expect(try harness.differences(unit).wrong == []) }
    }
    for client in clients { try client.awaitAck(4000) }
    try harness.wait("the last merge") { _ in try harness.number("SELECT count(*) FROM telemetry.rollup_delta") == 0 }
    for unit in ["minute", "hour", "day"] {
      let found = try harness.differences(unit)
      #expect(found.wrong == [] && found.compared > 12_000)
    }
    // It was merged, and nothing twice: a key has one row.
    #expect(try harness.number("SELECT count(*) FROM telemetry.rollup_hour") > 10)
    #expect(try harness.number("SELECT count(*) FROM ingest.rejected") > 100)
    // Every log message has its pattern.
    #expect(
      try harness.query(
        "SELECT DISTINCT p.name FROM telemetry.log AS l LEFT JOIN telemetry.log_pattern AS p ON p.id = l.pattern_id ORDER BY 1"
      )
        == [["lot * is here"], ["lot * is late"]])
  }

  @Test func `lanes and mergers that are ended again and again leave the rollups exact`() throws {
    var settings = mergingAtOnce(batchRows: 300)
    (settings.batchDeadlineMilliseconds, settings.connectDeadlineMilliseconds) = (400, 400)
    let harness = try IngestHarness(settings: settings).activate()
    let clients = try (0..<3).map { try NativeClient.open(harness, source: "s\($0)").client }
    let (server, database, ended) = (harness.server, harness.database, Guarded(false))
    let killer = try RoleThread(name: "killer") {
      while !ended.withLock({ $0 }) {
        // A session that is gone already is as good.
        _ = try? server.query(
          """
          SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '\(database)'
            AND (application_name LIKE '%/lane%' OR application_name LIKE '%/rollups')
          """, on: "postgres")
        sleep(until: .after(milliseconds: 25))
      }
    }
    for (index, client) in clients.enumerated() { try client.send(mixedLines(1...2000, seed: UInt64(index))) }
    for _ in 0..<3 { #expect(try harness.differences("minute").wrong == []) }
    try harness.wait("lanes that were ended") { _ in
      harness.ingest.snapshot().lanes.contains { $0.sessions > 2 }
    }
    ended.withLock { $0 = true }
    killer.join()
    for client in clients { try client.awaitAck(2000) }
    for unit in ["minute", "hour", "day"] { #expect(try harness.differences(unit).wrong == []) }
  }

  @Test(arguments: [Relay.Fault.silence, .cut])
  func `a COMMIT whose answer is lost leaves the rollups exact`(fault: Relay.Fault) throws {
    let server = try PrivatePostgres.shared.get()
    let relay = try Relay(to: server.port)
    var settings = mergingAtOnce()
    (settings.batchDeadlineMilliseconds, settings.connectDeadlineMilliseconds) = (400, 400)
    let harness = try IngestHarness(server: server, settings: settings, relay: relay).activate()
    let (client, _) = try NativeClient.open(harness)
    relay.swallowCommits(3, fault)
    try client.send(mixedLines(1...800, seed: 5))
    try client.awaitAck(800)
    relay.swallowCommits(2, fault)
    try client.send(mixedLines(801...1200, seed: 6))
    try client.awaitAck(1200)
    #expect(harness.ingest.snapshot().lanes.contains { $0.retries > 0 })
    for unit in ["minute", "hour"] { #expect(try harness.differences(unit).wrong == []) }
  }

  @Test func `what PostgreSQL refuses is in no rollup, and the rest of its batch is`() throws {
    let harness = try IngestHarness().activate()
    try harness.server.query(
      "ALTER TABLE telemetry.job ADD CONSTRAINT odd CHECK (duration_us % 97 <> 5)", on: harness.database)
    let (client, _) = try NativeClient.open(harness)
    try client.send(mixedLines(1...2000, seed: 77))
    let rejects = try client.awaitAck(2000)
    #expect(rejects.contains { $0.reason.contains("odd") })
    #expect(try harness.differences("minute").wrong == [])
  }

  @Test func `another active goes on where the first left off`() throws {
    let harness = try IngestHarness(settings: mergingAtOnce()).activate()
    let (client, _) = try NativeClient.open(harness)
    try client.send(mixedLines(1...500, seed: 1))
    try client.awaitAck(500)
    try harness.stop()
    try harness.activate(2)
    let (again, committed) = try NativeClient.open(harness)
    #expect(committed == 500)
    try again.send(mixedLines(501...900, seed: 2))
    try again.awaitAck(900)
    try harness.wait("the last merge") { _ in try harness.number("SELECT count(*) FROM telemetry.rollup_delta") == 0 }
    for unit in ["minute", "hour", "day"] { #expect(try harness.differences(unit).wrong == []) }
  }

  @Test func `without rollups nothing is written beside the records`() throws {
    let harness = try IngestHarness(bounds: .init(rollups: false)).activate()
    let (client, _) = try NativeClient.open(harness)
    try client.send(mixedLines(1...200, seed: 3))
    try client.awaitAck(200)
    #expect(try harness.number("SELECT count(*) FROM telemetry.minute") == 0)
  }
}
