// Faults between the intake and PostgreSQL: whatever fails, a record that was acknowledged is stored exactly once.
import Glibc
import Platform
import Postgres
import Telemetry
import Testing

@testable import Node

@Suite struct IngestFaultTests {
  @Test func `lane sessions that are ended again and again lose and double nothing`() throws {
    let harness = try IngestHarness(settings: impatient(batchRows: 300)).activate()
    let clients = try (0..<4).map { try NativeClient.open(harness, source: "s\($0)").client }
    let (server, database, ended) = (harness.server, harness.database, Guarded(false))
    let killer = try RoleThread(name: "killer") {
      while !ended.withLock({ $0 }) {
        // A session that is gone already is as good.
        _ = try? server.query(
          """
          SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = '\(database)' AND application_name LIKE '%/lane%'
          """, on: "postgres")
        sleep(until: .after(milliseconds: 15))
      }
    }
    // A fast machine stores a few thousand records between two ends of a session, and a slow one takes long to
    // connect again: records are sent until a lane has lost its session twice.
    let (share, patience) = (Int64(1000), BootInstant.after(milliseconds: 30_000))
    var sent: Int64 = 0
    repeat {
      for client in clients { try client.send(queueLines(sent + 1...sent + share)) }
      sent += share
      sleep(until: .after(milliseconds: 100))
    } while .now() < patience && !harness.ingest.snapshot().lanes.contains { $0.sessions > 2 }
    ended.withLock { $0 = true }
    killer.join()
    for client in clients { try client.awaitAck(sent) }
    #expect(try harness.stored() == (Int(sent) * 4, Int(sent) * 4))
    #expect(harness.ingest.snapshot().lanes.contains { $0.sessions > 2 })
  }

  @Test(arguments: [Relay.Fault.silence, .cut])
  func `a COMMIT whose answer is lost is found out and not repeated`(fault: Relay.Fault) throws {
    let server = try PrivatePostgres.shared.get()
    let relay = try Relay(to: server.port)
    let harness = try IngestHarness(server: server, settings: impatient(), relay: relay).activate()
    let (client, _) = try NativeClient.open(harness)
    relay.swallowCommits(3, fault)
    try client.send(queueLines(1...1000))
    try client.awaitAck(1000)
    relay.swallowCommits(2, fault)
    try client.send(queueLines(1001...1500))
    try client.awaitAck(1500)
    #expect(try harness.stored() == (1500, 1500))
    #expect(harness.ingest.snapshot().lanes.contains { $0.retries > 0 })
  }

  @Test func `a hello whose COMMIT is lost is welcomed all the same`() throws {
    let server = try PrivatePostgres.shared.get()
    let relay = try Relay(to: server.port)
    let harness = try IngestHarness(server: server, settings: impatient(), relay: relay).activate()
    relay.swallowCommits(1, .cut)
    let (client, committed) = try NativeClient.open(harness)
    #expect(committed == 0)
    try client.send(queueLines(1...2))
    try client.awaitAck(2)
  }

  @Test func `a server that stands still for longer than the deadline doubles nothing`() throws {
    let server = try PrivatePostgres(settings: ["fsync = off"])
    defer { server.stop() }
    let harness = try IngestHarness(server: server, settings: impatient(batchRows: 500)).activate()
    let (client, _) = try NativeClient.open(harness)
    for round in Int64(0)..<3 {
      try client.send(queueLines(round * 2000 + 1...round * 2000 + 2000))
      sleep(until: .after(milliseconds: 10 + round * 20))
      try server.signal(SIGSTOP)
      sleep(until: .after(milliseconds: 700))
      try server.signal(SIGCONT)
    }
    try client.awaitAck(6000)
    #expect(try harness.stored() == (6000, 6000))
  }

  @Test func `what is committed but not replicated is acknowledged only when it is`() throws {
    let server = try PrivatePostgres(settings: ["fsync = off", "synchronous_commit = on"])
    defer { server.stop() }
    let harness = try IngestHarness(server: server, settings: impatient()).activate()
    let (client, _) = try NativeClient.open(harness)
    // The names, too, are written by transactions that would wait.
    try client.send(queueLines(1...1))
    try client.awaitAck(1)
    try server.stopReplication()
    try client.send(queueLines(2...100))
    // The first attempt's session is ended after its deadline, which makes its rows visible.
    try harness.wait("the rows") { _ in try harness.stored() == (100, 100) }
    #expect(throws: TestTimeout.self) { try client.awaitAck(100, milliseconds: 1000) }
    try server.query("ALTER SYSTEM RESET synchronous_standby_names", on: "postgres")
    try server.query("SELECT pg_reload_conf()", on: "postgres")
    try client.awaitAck(100)
    #expect(try harness.stored() == (100, 100))
  }

  @Test func `records that PostgreSQL refuses are set aside alone`() throws {
    let harness = try IngestHarness().activate()
    try harness.server.query(
      "ALTER TABLE telemetry.queue ADD CONSTRAINT not_666 CHECK (depth <> 666)", on: harness.database)
    let (client, _) = try NativeClient.open(harness)
    let time = rfc3339(wallMicroseconds: wallMicroseconds())
    let poisoned: Set<Int64> = [1, 250, 251, 500]
    var lines: [UInt8] = []
    for seq in Int64(1)...500 {
      let depth = poisoned.contains(seq) ? 666 : 1
      lines += Array(
        #"{"seq":\#(seq),"type":"queue","ts":"\#(time)","host":"h","app":"a","queue":"q","depth":\#(depth)}"#.utf8)
      lines.append(0x0a)
    }
    try client.send(lines)
    let rejects = try client.awaitAck(500)
    #expect(Set(rejects.map(\.seq)) == poisoned)
    #expect(rejects.allSatisfy { $0.reason.contains("not_666") }, "\(rejects)")
    #expect(try harness.stored() == (496, 496))
    #expect(
      try harness.query("SELECT seq, source FROM ingest.rejected ORDER BY seq")
        == poisoned.sorted().map { ["\($0)", "mes-07/collector"] })
    #expect(try NativeClient.open(harness).committed == 500)
  }

  @Test func `a missing partition is made, and nothing is refused for it`() throws {
    let harness = try IngestHarness().activate()
    let (client, _) = try NativeClient.open(harness)
    let today = try #require(
      try harness.query("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')").first?.first ?? nil)
    try harness.server.query("DROP TABLE telemetry.queue_\(today)", on: harness.database)
    try client.send(queueLines(1...100))
    #expect(try client.awaitAck(100).isEmpty)
    #expect(try harness.stored() == (100, 100))
  }

  @Test func `after a promotion elsewhere nothing more commits, and it is reported`() throws {
    let harness = try IngestHarness().activate(1)
    let (client, _) = try NativeClient.open(harness)
    try client.send(queueLines(1...10))
    try client.awaitAck(10)
    try harness.promote(2)
    try client.send(queueLines(11...20))
    try harness.wait("the fence") { $0.contains(.fenced(epoch: 1)) }
    #expect(throws: TestTimeout.self) { try client.awaitAck(11, milliseconds: 200) }
    #expect(try harness.stored() == (10, 10))
    try harness.stop()
    try harness.activate(3)
    let (again, committed) = try NativeClient.open(harness)
    #expect(committed == 10)
    try again.send(queueLines(11...20))
    try again.awaitAck(20)
    #expect(try harness.stored() == (20, 20))
  }

  @Test func `a server on another timeline than the lease session's is reported and not written to`() throws {
    let harness = try IngestHarness()
    try harness.promote(1)
    harness.ingest.activate(epoch: 1, token: 1007, timeline: try harness.timeline() + 1, operation: 1)
    try harness.wait("listening") { $0.contains { if case .listening = $0 { true } else { false } } }
    let client = try NativeClient(harness.native)
    try client.send(Hello(source: "s", stream: "t", oldest: 1).line)
    try harness.wait("the timeline") { $0.contains { if case .timelineChanged = $0 { true } else { false } } }
    #expect(try harness.number("SELECT count(*) FROM ingest.stream") == 0)
  }

  @Test func `nothing is acknowledged once stop has returned`() throws {
    let harness = try IngestHarness().activate()
    let (client, _) = try NativeClient.open(harness)
    var block = try harness.server.session(harness.database)
    _ = try block.run("BEGIN; LOCK TABLE ha.fence IN EXCLUSIVE MODE", deadline: .after(milliseconds: longest))
    try client.send(queueLines(1...10))
    try harness.wait("the records") { _ in harness.ingest.snapshot().received == 10 }
    harness.ingest.stop(reason: "test", operation: 99)
    _ = try block.run("COMMIT", deadline: .after(milliseconds: longest))
    #expect(try client.line() == nil)
    try harness.wait("stopped") { $0.contains(.stopped(operation: 99)) }
    try harness.activate(2)
    let (again, committed) = try NativeClient.open(harness)
    try again.send(queueLines(committed + 1...12))
    try again.awaitAck(12)
    #expect(try harness.stored() == (12, 12))
  }

  @Test func `a promotion right behind a stop starts afresh`() throws {
    let harness = try IngestHarness().activate()
    var next: Int64 = 1
    for epoch in Int64(2)...6 {
      let (client, committed) = try NativeClient.open(harness)
      try client.send(queueLines(committed + 1...committed + 3000))
      next = committed + 3001
      if epoch == 4 { try client.awaitAck(next - 1) }
      harness.ingest.stop(reason: "test", operation: UInt64(1000 + epoch))
      // Not waited for: the lanes may still be giving up when the next epoch begins.
      try harness.activate(epoch)
      #expect(harness.events.contains(.stopped(operation: UInt64(1000 + epoch))))
    }
    let (client, committed) = try NativeClient.open(harness)
    #expect(committed < next)
    try client.send(queueLines(committed + 1...committed + 100))
    try client.awaitAck(committed + 100)
    #expect(try harness.stored() == (Int(committed) + 100, Int(committed) + 100))
  }

  @Test func `a drain acknowledges all that it took, says bye and resets`() throws {
    let harness = try IngestHarness(settings: impatient(batchRows: 500, deadline: 3000)).activate()
    let (client, _) = try NativeClient.open(harness)
    let descriptor = client.descriptor.raw
    let sender = try RoleThread(name: "sender") {
      var seq: Int64 = 1
      while true {
        let lines = queueLines(seq...seq + 99)
        var sent = 0
        while sent < lines.count {
          switch send(descriptor, lines, from: sent) {
          case .done(let more): sent += more
          case .wouldBlock:
            if wait(descriptor, for: .write, until: .after(milliseconds: 3000)).isEmpty { return }
          case .closed, .failed: return
          }
        }
        seq += 100
      }
    }
    try client.awaitAck(1000)
    let begun = BootInstant.now()
    #expect(try harness.drain())
    let took = BootInstant.now().milliseconds(since: begun)
    var (acked, reason): (Int64, String?) = (0, nil)
    while let reply = try client.reply() {
      if case .ack(let seq) = reply { acked = seq }
      if case .bye(let why) = reply { reason = why }
    }
    sender.join()
    #expect(reason == "switchover")
    #expect(try harness.stored() == (Int(acked), Int(acked)))
    #expect(took < Double(patience(5000)))
    #expect(throws: SystemError.self) { _ = try NativeClient(harness.native) }
  }
}
