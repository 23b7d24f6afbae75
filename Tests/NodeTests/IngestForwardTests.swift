// Fluent Forward and the Zabbix sender protocol through sockets into a real PostgreSQL.
import Glibc
import Platform
import Postgres
import TLS
import Telemetry
import Testing

@testable import Node

private func big(_ value: Int, _ count: Int) -> [UInt8] {
  (0..<count).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
}
private func text(_ text: String) -> [UInt8] { [0xd9, UInt8(text.utf8.count)] + text.utf8 }
private func now() -> [UInt8] { [0xd7, 0] + big(Int(wallMicroseconds() / 1_000_000), 4) + big(500_000_000, 4) }
/// A Forward message of `count` records with a chunk.
private func message(_ chunk: String, _ count: Int) -> [UInt8] {
  var bytes: [UInt8] = [0x93] + text("app") + [0xdc] + big(count, 2)
  for number in 0..<count {
    bytes.append(0x92)
    bytes += now()
    bytes.append(0x81)
    bytes += text("message")
    bytes += text("\(chunk)/\(number)")
  }
  bytes.append(0x81)
  bytes += text("chunk")
  return bytes + text(chunk)
}
private func ack(_ chunk: String) -> [UInt8] {
  let head: [UInt8] = [0x81, 0xa3]
  return head + Array("ack".utf8) + [0xa0 | UInt8(chunk.utf8.count)] + Array(chunk.utf8)
}
/// Pieces one after the other; a long sum takes the compiler minutes.
private func joined(_ pieces: [UInt8]...) -> [UInt8] { Array(pieces.joined()) }

@Suite struct IngestForwardTests {
  @Test func `a chunk is acknowledged once it is stored, and stored once however often it comes`() throws {
    let harness = try IngestHarness().activate()
    let repeated = message("c1", 500)
    for round in 0..<3 {
      let client = try RawClient(harness.forward)
      try client.send(repeated)
      #expect(try client.receive(ack("c1").count) == ack("c1"), "round \(round)")
    }
    // Twice on one connection, both are answered.
    let client = try RawClient(harness.forward)
    let short = message("c2", 3)
    try client.send(short + short)
    #expect(try client.receive(2 * ack("c2").count) == ack("c2") + ack("c2"))
    #expect(try harness.number("SELECT count(*) FROM telemetry.log") == 503)
    #expect(try harness.number("SELECT count(DISTINCT message) FROM telemetry.log") == 503)
    #expect(
      try harness.query(
        "SELECT DISTINCT a.name, h.name FROM telemetry.log AS l JOIN telemetry.app AS a ON a.id = l.app_id JOIN telemetry.host AS h ON h.id = l.host_id"
      ) == [["app", "127.0.0.1"]])
  }

  @Test func `a chunk whose answer was lost is stored once, by whoever is active then`() throws {
    let harness = try IngestHarness().activate()
    let messages = (0..<5).map { message("c\($0)", 200) }
    for message in messages { try RawClient(harness.forward).send(message) }
    try harness.wait("something stored") { _ in try harness.number("SELECT count(*) FROM telemetry.log") > 0 }
    try harness.stop()
    try harness.activate(2)
    let client = try RawClient(harness.forward)
    for (number, message) in messages.enumerated() {
      try client.send(message)
      #expect(try client.receive(ack("c1").count) == ack("c\(number)"))
    }
    #expect(try harness.number("SELECT count(*) FROM telemetry.log") == 1000)
    #expect(try harness.number("SELECT count(DISTINCT message) FROM telemetry.log") == 1000)
  }

  @Test func `a client that begins to count its chunks again loses nothing that was acknowledged`() throws {
    let harness = try IngestHarness().activate()
    for messages in 1...3 {
      let client = try RawClient(harness.forward)
      try client.send(message("1", messages))
      #expect(try client.receive(ack("1").count) == ack("1"))
    }
    #expect(try harness.number("SELECT count(*) FROM telemetry.log") == 6)
  }

  @Test func `records out of time are kept as refused, and their chunk is acknowledged`() throws {
    let harness = try IngestHarness().activate()
    let client = try RawClient(harness.forward)
    let good = joined([0x92], now(), [0x81], text("message"), text("good"))
    let old = joined([0x92, 0x01, 0x81], text("message"), text("old"))
    try client.send(joined([0x93], text("app"), [0x92], good, old, [0x81], text("chunk"), text("c")))
    #expect(try client.receive(ack("c").count) == ack("c"))
    #expect(try harness.query("SELECT message FROM telemetry.log") == [["good"]])
    #expect(try harness.number("SELECT count(*) FROM ingest.rejected") == 1)
  }

  @Test func `what is no message closes the connection and is counted, and a heartbeat is answered`() throws {
    let harness = try IngestHarness().activate()
    let client = try RawClient(harness.forward)
    try client.send(Array("GET / HTTP/1.1\r\n\r\n".utf8))
    #expect(try client.receive(1) == [])
    try harness.wait("counted") { _ in
      harness.ingest.snapshot().refusedByReason["no message of the Forward protocol"] == 1
    }
    let socket = try bindDatagram(try #require(SocketAddress(host: "127.0.0.1", port: 0)))
    var answer = [UInt8](repeating: 9, count: 16)
    var size = 0
    try harness.wait("an answered heartbeat") { _ in
      _ = sendDatagram(socket.raw, [0], to: harness.forward)
      size = receiveDatagram(socket.raw, into: &answer)?.size ?? 0
      return size > 0
    }
    #expect(size == 1 && answer[0] == 0)
  }

  @Test func `chunks that wait for room when the node stops are stored when they come again`() throws {
    var settings = impatient()
    // A source may have one under way.
    settings.deliveriesUnderWay = 4
    let harness = try IngestHarness(settings: settings).activate()
    var block = try harness.server.session(harness.database)
    _ = try block.run("BEGIN; LOCK TABLE ha.fence IN EXCLUSIVE MODE", deadline: .after(milliseconds: 20_000))
    let chunks = (0..<5).map { message("c\($0)", 10) }
    let first = try RawClient(harness.forward)
    try first.send(Array(chunks.joined()))
    try harness.wait("one under way") { _ in harness.ingest.snapshot().deliveries.underWay == 1 }
    try harness.stop()
    #expect(harness.ingest.snapshot().deliveries.underWay == 0)
    _ = try block.run("COMMIT", deadline: .after(milliseconds: patience(5000)))
    try harness.activate(2)
    let again = try RawClient(harness.forward)
    for (number, chunk) in chunks.enumerated() {
      try again.send(chunk)
      #expect(try again.receive(ack("c1").count) == ack("c\(number)"))
    }
    #expect(try harness.number("SELECT count(*) FROM telemetry.log") == 50)
    #expect(try harness.drain())
  }

  @Test func `a part of a message that came with a whole one has its time, too`() throws {
    var settings = IngestSettings()
    settings.messageMilliseconds = 1000
    let harness = try IngestHarness(settings: settings).activate()
    let client = try RawClient(harness.forward)
    let whole = message("c1", 3)
    try client.send(whole + whole.dropLast(2))
    #expect(try client.receive(ack("c1").count) == ack("c1"))
    #expect(try client.receive(1).isEmpty)
    #expect(try harness.number("SELECT count(*) FROM telemetry.log") == 3)
  }

  @Test func `thousands of messages of four bytes are stored and hold up nobody`() throws {
    let harness = try IngestHarness(settings: impatient(deadline: 3000)).activate()
    // Tag "", time 0 (out of the times that are taken), a record without members.
    let least: [UInt8] = [0x93, 0xa0, 0x00, 0x80]
    let count = 16_000
    let client = try RawClient(harness.forward)
    try client.send(Array(repeatElement(least, count: count).joined()))
    let other = try RawClient(harness.forward)
    let sent = BootInstant.now()
    try other.send(message("c1", 1))
    #expect(try other.receive(ack("c1").count) == ack("c1"))
    let waited = BootInstant.now().milliseconds(since: sent)
    #expect(waited < Double(patience(2000)), "\(waited) ms")
    try harness.wait("all of them", milliseconds: 60_000) { _ in
      harness.ingest.snapshot().deliveries.stored == count + 1
    }
    #expect(try harness.number("SELECT count(*) FROM ingest.rejected") == count)
  }

  @Test func `only a client with the shared key is heard`() throws {
    let harness = try IngestHarness(forwardSharedKey: Array("s3cret".utf8)).activate()
    for key in ["wrong", "s3cret"] {
      let client = try RawClient(harness.forward)
      let hello = try client.receive(64)
      let nonce = Array(hello[15..<47])
      let digest = sha512(joined([7], Array("c".utf8), nonce, Array(key.utf8)))
      let digits = digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
      try client.send(
        joined([0x96], text("PING"), text("c"), text("\u{7}"), [0xd9, 128], Array(digits.utf8), text(""), text("")))
      let isRight = key == "s3cret"
      let pong = try client.receive(isRight ? 151 : 29)
      #expect(Array(pong.prefix(7)) == joined([0x95, 0xa4], Array("PONG".utf8), [isRight ? 0xc3 : 0xc2]))
      try client.send(message("c1", 1))
      #expect(try client.receive(8) == (isRight ? ack("c1") : []))
    }
    #expect(try harness.number("SELECT count(*) FROM telemetry.log") == 1)
    #expect(try harness.query("SELECT name FROM telemetry.host") == [["c"]])
  }

  @Test func `Zabbix values are answered once they are stored`() throws {
    let harness = try IngestHarness().activate()
    let clock = wallMicroseconds() / 1_000_000
    let items = (0..<300).map {
      #"{"host":"h","key":"vfs.fs.size[/,used]","value":"\#($0)","clock":\#(clock),"ns":\#($0 + 1)000}"#
    }
    let json =
      #"{"request":"sender data","data":[\#(items.joined(separator: ",")),{"host":"h","key":"log","value":"up"},{"host":"h"}]}"#
    let client = try RawClient(harness.zabbix)
    try client.send(
      joined(Array("ZBXD".utf8), [1], big(json.utf8.count, 4).reversed(), [0, 0, 0, 0], Array(json.utf8)))
    let answer = String(decoding: try client.receive(4096).dropFirst(13), as: UTF8.self)
    #expect(
      answer.hasPrefix(#"{"response":"success","info":"processed: 301; failed: 1; total: 302; seconds spent: "#))
    #expect(
      try harness.number(
        "SELECT count(DISTINCT value) FROM telemetry.metric WHERE labels = '{\"parameters\": \"/,used\"}'") == 300)
    #expect(try harness.query("SELECT message, attrs ->> 'key' FROM telemetry.log") == [["up", "log"]])
    #expect(try harness.query("SELECT convert_from(raw, 'UTF8') FROM ingest.rejected") == [[#"{"host":"h"}"#]])
  }
}

/// A blocking client that receives bytes.
private final class RawClient {
  private let client: NativeClient
  private var received: [UInt8] = []
  init(_ address: SocketAddress) throws { client = try NativeClient(address) }
  func send(_ bytes: [UInt8]) throws { try client.send(bytes) }
  /// `count` bytes, or fewer when the connection ends.
  func receive(_ count: Int, milliseconds: Int64 = longest) throws -> [UInt8] {
    defer { received.removeFirst(min(count, received.count)) }
    var buffer = [UInt8](repeating: 0, count: 65_536)
    let deadline = BootInstant.after(milliseconds: patience(milliseconds))
    while received.count < count {
      switch Platform.receive(client.descriptor.raw, into: &buffer) {
      case .done(let more): received += buffer[..<more]
      case .wouldBlock:
        guard BootInstant.now() < deadline else { throw TestTimeout(what: "\(count) bytes, got \(received.count)") }
        sleep(until: .after(milliseconds: 2))
      case .closed, .failed: return Array(received.prefix(count))
      }
    }
    return Array(received.prefix(count))
  }
}
