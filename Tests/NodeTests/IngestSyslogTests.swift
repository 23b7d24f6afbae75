// Syslog over TCP and UDP into the log table.
import Glibc
import Platform
import Postgres
import Testing

@testable import Node

@Suite struct IngestSyslogTests {
  private func messages(_ harness: IngestHarness) throws -> [String] {
    try harness.query("SELECT message FROM telemetry.log ORDER BY message").compactMap { $0.first ?? nil }
  }

  @Test func `octet-counted and newline-framed messages of one connection are stored`() throws {
    let harness = try IngestHarness().activate()
    let client = try NativeClient(harness.syslogTCP)
    let time = rfc3339(wallMicroseconds: wallMicroseconds())
    let counted = "<13>1 \(time) web-1 app 17 ID1 - counted\nwith a newline"
    try client.send(
      "\(counted.utf8.count) \(counted)<14>1 \(time) web-1 app - - - by line\n<13>Nov 20 10:00:00 old su: plain\n")
    try harness.wait("three messages") { _ in try harness.stored("log").rows == 3 }
    #expect(try messages(harness) == ["by line", "counted\nwith a newline", "plain"])
    #expect(
      try harness.number(
        "SELECT count(*) FROM telemetry.log JOIN telemetry.host ON host.id = host_id WHERE name = 'web-1'") == 2)
  }

  @Test func `the last message may lack its line end`() throws {
    let harness = try IngestHarness().activate()
    do {
      let client = try NativeClient(harness.syslogTCP)
      try client.send("<13>one\n<13>two")
    }
    try harness.wait("both messages") { _ in try harness.stored("log").rows == 2 }
  }

  @Test func `datagrams are stored`() throws {
    let harness = try IngestHarness().activate()
    let socket = try bindDatagram(try #require(SocketAddress(host: "127.0.0.1", port: 0)))
    for index in 0..<200 { sendDatagram(socket.raw, Array("<13>message \(index)".utf8), to: harness.syslogUDP) }
    try harness.wait("the messages") { _ in try harness.stored("log").rows == 200 }
    #expect(Set(try messages(harness)).count == 200)
  }

  @Test func `sessions that are ended in mid batch double no message`() throws {
    var settings = IngestSettings()
    settings.batchRows = 100
    let server = try PrivatePostgres.shared.get()
    let relay = try Relay(to: server.port)
    let harness = try IngestHarness(server: server, settings: settings, relay: relay).activate()
    relay.swallowCommits(10, .cut)
    let client = try NativeClient(harness.syslogTCP)
    try client.send((0..<3000).map { "<13>message \($0)\n" }.joined())
    try harness.wait("the messages") { _ in try harness.stored("log").rows >= 3000 }
    sleep(until: .after(milliseconds: 200))
    #expect(try harness.stored("log").rows == 3000)
    #expect(Set(try messages(harness)).count == 3000)
    #expect(relay.faultsLeft == 0)
  }

  @Test func `datagrams that find no room are counted`() throws {
    var settings = IngestSettings()
    settings.datagramBufferBytes = 4096
    settings.shedFlushMilliseconds = 100
    settings.batchRows = 50
    let harness = try IngestHarness(settings: settings).activate()
    var block = try harness.server.session(harness.database)
    _ = try block.run("BEGIN; LOCK TABLE ha.fence IN EXCLUSIVE MODE", deadline: .after(milliseconds: longest))
    let socket = try bindDatagram(try #require(SocketAddress(host: "127.0.0.1", port: 0)))
    for index in 0..<2000 { sendDatagram(socket.raw, Array("<13>message \(index)".utf8), to: harness.syslogUDP) }
    try harness.wait("drops") { _ in harness.ingest.snapshot().shedMessages > 0 }
    _ = try block.run("COMMIT", deadline: .after(milliseconds: longest))
    try harness.wait("all of them accounted for") { _ in
      try harness.number("SELECT coalesce(sum(messages), 0) FROM ingest.shed") + harness.stored("log").rows == 2000
    }
  }
}
