// TLS on the listeners, through sockets into a real PostgreSQL.
import Glibc
import Platform
import TLS
import Telemetry
import Testing

@testable import Node

@Suite struct IngestTLSTests {
  let certificates: Certificates
  init() throws { certificates = try Certificates.shared.get() }

  /// A harness whose listeners all have the same mode.
  private func harness(
    _ mode: TLSMode, trusting authority: String? = nil, settings: IngestSettings = IngestSettings(),
    forwardSharedKey: [UInt8]? = nil
  ) throws -> IngestHarness {
    var tls = try certificates.listening(trusting: authority)
    (tls.native, tls.syslogTCP, tls.forward, tls.zabbix, tls.influxTCP) = (mode, mode, mode, mode, mode)
    return try IngestHarness(settings: settings, forwardSharedKey: forwardSharedKey, tls: tls).activate()
  }
  private func trusting() throws -> TLSCredentials { try certificates.credentials(nil, trusting: "ca") }
  private func refused(_ harness: IngestHarness) -> [String: Int] { harness.ingest.snapshot().refusedByReason }

  @Test func `records over TLS are acknowledged and stored once, though batches and lines are small or large`() throws {
    let harness = try harness(.required, settings: impatient(batchRows: 97, deadline: 3000))
    let client = try EncryptedClient(harness.native, trusting())
    #expect(try client.hello("mes-07/collector") == 0)
    try client.send(queueLines(1...20_000))
    try client.awaitAck(20_000)
    try client.send(queueLines(20_001...20_001, extra: #","x":"\#(String(repeating: "y", count: 40_000))""#))
    try client.awaitAck(20_001)
    let stored = try harness.stored()
    #expect(stored.rows == stored.distinct && stored.rows >= 20_000)
    #expect(harness.ingest.snapshot().connections.encrypted == 1)
  }

  @Test func `what is left in a session when its source has its share is decoded without another byte`() throws {
    var settings = impatient(batchRows: 10, deadline: 3000)
    settings.turnBytes = 100
    let harness = try harness(.required, settings: settings)
    let client = try EncryptedClient(harness.native, trusting())
    #expect(try client.hello("mes-07/collector") == 0)
    // Records of TLS that are full to the last byte, and then silence.
    try client.send(queueLines(1...3000))
    try client.awaitAck(3000)
    #expect(try harness.stored().distinct == 3000)
  }

  @Test func `an optional listener takes both, a required one tells who comes in plain text`() throws {
    let both = try harness(.optional)
    let encrypted = try EncryptedClient(both.native, trusting())
    #expect(try encrypted.hello("over-tls") == 0)
    try encrypted.send(queueLines(1...10))
    try encrypted.awaitAck(10)
    let (plain, _) = try NativeClient.open(both, source: "in-plain-text")
    try plain.send(queueLines(1...10))
    try plain.awaitAck(10)
    let late = try NativeClient(both.native)
    sleep(until: .after(milliseconds: 300))
    try late.send(Hello(source: "late", stream: "s", oldest: 1).line)
    guard case .welcome = try late.reply() else { throw TestTimeout(what: "a welcome for who speaks late") }

    let strict = try harness(.required)
    let client = try NativeClient(strict.native, source: "in-plain-text")
    #expect(try client.awaitEnd() == "TLS is required here")
    let syslog = try NativeClient(strict.syslogTCP)
    try syslog.send("<13>one\n")
    #expect(try syslog.line() == nil)
    try strict.wait("it is counted") { _ in refused(strict)["TLS is required here"] == 2 }
    #expect(try strict.stored("log").rows == 0)
  }

  @Test func `a client without a certificate, or with a stranger's, is never welcomed where one is asked for`() throws {
    let harness = try harness(.required, trusting: "ca")
    for name in [nil, "stranger"] {
      // In TLS 1.3 the client's handshake is over before its certificate is looked at.
      guard let client = try? EncryptedClient(harness.native, certificates.credentials(name, trusting: "ca")) else {
        continue
      }
      let committed = try? client.hello("intruder")
      #expect(committed ?? nil == nil)
    }
    try harness.wait("both are counted") { _ in
      refused(harness)["TLS: the client showed no certificate"] == 1
        && refused(harness).contains { $0.key.contains("comes from none of the authorities") && $0.value == 1 }
    }
    #expect(try harness.number("SELECT count(*) FROM ingest.stream") == 0)
    let client = try EncryptedClient(harness.native, certificates.credentials("agent", trusting: "ca"))
    #expect(try client.hello("mes-07/collector") == 0)
    try client.send(queueLines(1...100))
    try client.awaitAck(100)
  }

  @Test func `syslog, Zabbix, Influx and Forward with its shared key go the same way over TLS`() throws {
    let harness = try harness(.required, forwardSharedKey: Array("secret".utf8))
    for (number, address) in [harness.syslogTCP, harness.syslogTLS].enumerated() {
      let client = try EncryptedClient(address, trusting())
      let message = "<13>1 - web-1 app - - - counted \(number)"
      try client.send(Array("\(message.utf8.count) \(message)<13>by line \(number)\n".utf8))
      try harness.wait("messages of \(number)") { _ in try harness.stored("log").rows == 2 * (number + 1) }
    }
    // Forward's server speaks first, when the handshake is over: HELO.
    let forward = try EncryptedClient(harness.forward, trusting())
    #expect(try forward.receive(6) == [0x92, 0xa4] + Array("HELO".utf8))
    let influx = try EncryptedClient(harness.influxTCP, trusting())
    try influx.send(Array("press,host=press-7 temperature=21.5\n".utf8))
    try harness.wait("the point") { _ in try harness.stored("metric").rows == 1 }
    let zabbix = try EncryptedClient(harness.zabbix, trusting())
    let body = Array(#"{"request":"sender data","data":[{"host":"press-7","key":"oil","value":"3"}]}"#.utf8)
    try zabbix.send(Array("ZBXD".utf8) + [1, UInt8(body.count), 0, 0, 0, 0, 0, 0, 0] + body)
    #expect(String(decoding: try zabbix.receive(120), as: UTF8.self).contains("processed: 1"))
  }

  @Test func `a cut connection leaves no half message of syslog behind`() throws {
    let harness = try harness(.required)
    do {
      let client = try EncryptedClient(harness.syslogTLS, trusting())
      try client.send(Array("<13>whole\n<13>half of a mess".utf8))
    }
    try harness.wait("the whole one, and the end") { _ in
      try harness.stored("log").rows == 1 && harness.ingest.snapshot().connections.encrypted == 0
    }
    sleep(until: .after(milliseconds: 300))
    #expect(try harness.stored("log").rows == 1)
  }

  @Test func `a thousand handshakes that never end cost others nothing`() throws {
    var settings = IngestSettings()
    (settings.handshakeMilliseconds, settings.greetingMilliseconds) = (300_000, 600_000)
    let harness = try harness(.optional, settings: settings)
    let hello = try firstFlight()
    let before = residentKilobytes()
    var idle: [NativeClient] = []
    for number in 0..<1000 {
      let client = try NativeClient(harness.native)
      // Half of a ClientHello, a whole one, or garbage that begins like one.
      let bytes: [UInt8] =
        switch number % 3 {
        case 0: Array(hello.prefix(hello.count / 2))
        case 1: hello
        default: [0x16, 3, 1, 0, 200, 1, 0, 0, 196]
        }
      try client.send(bytes)
      idle.append(client)
    }
    let began = BootInstant.now()
    let client = try EncryptedClient(harness.native, trusting())
    #expect(try client.hello("mes-07/collector") == 0)
    try client.send(queueLines(1...1000))
    try client.awaitAck(1000)
    #expect(BootInstant.now().milliseconds(since: began) < Double(patience(10_000)))
    // What other tests hold meanwhile they give back; these connections keep what is theirs.
    let bound = (64 << 10) * memoryFactor
    var grown = Int.max
    while grown >= bound, harness.ingest.snapshot().connections.native > 200 {
      grown = min(grown, residentKilobytes() - before)
      sleep(until: .after(milliseconds: 20))
    }
    #expect(grown < bound, "\(grown) KiB")
    // As many as may be under way, less those that were no TLS.
    #expect(harness.ingest.snapshot().connections.native > 200)
  }

  @Test func `handshakes that never end are ended`() throws {
    var settings = IngestSettings()
    settings.handshakeMilliseconds = 500
    let harness = try harness(.optional, settings: settings)
    let hello = try firstFlight()
    let idle = try (0..<12).map { _ in try NativeClient(harness.native) }
    for (number, client) in idle.enumerated() { try client.send(number % 2 == 0 ? hello : Array(hello.prefix(100))) }
    try harness.wait("all are counted") { _ in refused(harness)["TLS: no handshake in time"] == 12 }
    // The server's part of the handshake may come before.
    for client in idle { while try client.line() != nil {} }
    try harness.wait("all are gone") { _ in harness.ingest.snapshot().connections.native == 0 }
  }

  @Test func `who is refused before his handshake is over is closed without a word`() throws {
    var settings = IngestSettings()
    (settings.handshakeMilliseconds, settings.greetingMilliseconds) = (300_000, 1000)
    let harness = try harness(.required, settings: settings)
    let client = try NativeClient(harness.native)
    try client.send(Array(try firstFlight().prefix(100)))
    #expect(try client.line() == nil)
    try harness.wait("it is counted") { _ in refused(harness)["no hello in time"] == 1 }
    try harness.stop()
  }
  /// Neither when its hello is due nor when all are told of a switchover: there is no session to say it in.
  @Test(arguments: [100, 60_000]) func `a client whose handshake failed and that stays is told nothing`(
    _ greeting: Int64
  ) throws {
    var settings = IngestSettings()
    (settings.greetingMilliseconds, settings.farewellMilliseconds) = (greeting, 2000)
    let harness = try harness(.optional, settings: settings)
    let client = try NativeClient(harness.native)
    try client.send([0x16] + Array(repeating: 7, count: 300))
    try harness.wait("its handshake has failed") { _ in refused(harness).keys.contains { $0.hasPrefix("TLS: ") } }
    // A tick or two.
    sleep(until: .after(milliseconds: 700))
    #expect(try harness.drain())
    #expect(refused(harness)["no hello in time"] == nil)
  }

  /// A client's first bytes.
  private func firstFlight() throws -> [UInt8] {
    let pair = try SocketPair()
    var session = TLSSession.client(pair.a.raw, try trusting(), serverName: "127.0.0.1")
    #expect(session.handshake() == .wouldBlock)
    var buffer = [UInt8](repeating: 0, count: 4096)
    guard case .done(let count) = receive(pair.b.raw, into: &buffer) else { throw TestTimeout(what: "a ClientHello") }
    return Array(buffer[..<count])
  }

  @Test func `garbage inside of a session ends it, and what came before is stored`() throws {
    let harness = try harness(.required)
    let client = try EncryptedClient(harness.native, trusting())
    #expect(try client.hello("mes-07/collector") == 0)
    try client.send(queueLines(1...10))
    try client.awaitAck(10)
    client.sendRaw([UInt8](repeating: 0x55, count: 500))
    #expect(try client.reply() == nil)
    #expect(try harness.stored().rows == 10)
  }

  @Test func `a drain tells encrypted clients, and everything taken in is acknowledged before`() throws {
    let harness = try harness(.optional)
    let client = try EncryptedClient(harness.native, trusting())
    let waiting = try connectStream(harness.native, deadline: .after(milliseconds: longest))
    #expect(try client.hello("mes-07/collector") == 0)
    try client.send(queueLines(1...500))
    try harness.wait("records are taken in") { _ in harness.ingest.snapshot().received >= 500 }
    #expect(try harness.drain())
    var (acked, reason): (Int64, String?) = (0, nil)
    while let reply = try client.reply() {
      if case .ack(let seq) = reply { acked = seq }
      if case .bye(let why) = reply { reason = why }
    }
    #expect(acked == 500 && reason == "switchover")
    var buffer = [UInt8](repeating: 0, count: 10)
    _ = wait(waiting.raw, for: .read, until: .after(milliseconds: longest))
    #expect(receive(waiting.raw, into: &buffer) != .wouldBlock)
    #expect(try harness.stored().distinct == 500)
  }
}
