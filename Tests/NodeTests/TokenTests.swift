// Tokens: who is let in as whom, at once and everywhere; and who is not.
import Platform
import Postgres
import TLS
import Telemetry
import Testing

@testable import Node

/// A token in the harness's database, as hactl makes one.
private func makeToken(_ harness: IngestHarness, _ source: String) throws -> SourceToken {
  let secret = SourceToken.newSecret()
  let id = try harness.number(
    "SELECT auth.add_token('\(source)', '\(hexText(SourceToken.hash(secret)))', 'test', '')")
  let token = SourceToken(id: Int64(id), secret: secret)
  try harness.wait("the token is known") { _ in harness.ingest.tokens.table?.entries[token.id] != nil }
  return token
}
private func set(_ harness: IngestHarness, required: Bool = true, open: String = "") throws {
  try harness.query("SELECT ha.set_setting('open_protocols', '\(open)', 'test')")
  try harness.query("SELECT ha.set_setting('require_tokens', '\(required ? "on" : "off")', 'test')")
  try harness.wait("the settings are known") { _ in
    harness.ingest.tokens.table?.isRequired == required
      && harness.ingest.tokens.table?.open.map(\.rawValue).sorted().joined(separator: ",") == open
  }
}
private func hello(_ harness: IngestHarness, _ source: String, _ token: String) throws -> NativeClient {
  let client = try NativeClient(harness.native)
  try client.send(Hello(source: source, stream: "s", oldest: 1, token: token).line)
  return client
}
private func refusals(_ harness: IngestHarness) -> [String: UInt64] { harness.ingest.tokens.status().refused }

@Suite struct `Tokens` {
  @Test func `a token's text is read back, and nothing else is one`() {
    let token = SourceToken(id: 12, secret: (0..<32).map { UInt8($0) })
    #expect(token.text == "swt_12_000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")
    #expect(SourceToken(token.text) == token)
    for text in [
      "", "swt_", "swt_12_", "swt_12_00", "swt_0_" + token.text.suffix(64), token.text + "0", "x" + token.text,
    ] {
      #expect(SourceToken(text) == nil, "\(text)")
    }
    #expect(hexText(SourceToken.hash([])) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  }

  @Test func `a token is judged by its secret, its state and its source`() {
    let (one, family) = (
      SourceToken(id: 1, secret: SourceToken.newSecret()), SourceToken(id: 2, secret: SourceToken.newSecret())
    )
    var table = TokenTable(revision: 1, isRequired: true)
    table.entries[1] = .init(source: "mes-07", hash: one.hash, isRevoked: false)
    table.entries[2] = .init(source: "mes-08/*", hash: family.hash, isRevoked: false)
    func judged(_ text: String, _ source: String?) -> TokenVerdict {
      table.judge(text, source: source, peer: "10.0.0.5")
    }
    #expect(judged(one.text, "mes-07") == .admitted(source: "mes-07", token: 1))
    #expect(judged(one.text, nil) == .admitted(source: "mes-07", token: 1))
    #expect(judged(one.text, "mes-07x") == .refused(.otherSource))
    #expect(judged(family.text, "mes-08/orders") == .admitted(source: "mes-08/orders", token: 2))
    #expect(judged(family.text, "mes-08") == .refused(.otherSource))
    #expect(judged(family.text, nil) == .admitted(source: "mes-08/10.0.0.5", token: 2))
    #expect(judged(SourceToken(id: 1, secret: family.secret).text, "mes-07") == .refused(.invalid))
    #expect(judged(SourceToken(id: 3, secret: one.secret).text, "mes-07") == .refused(.invalid))
    #expect(judged("", "mes-07") == .refused(.missing))
    table.entries[1]?.isRevoked = true
    #expect(judged(one.text, "mes-07") == .refused(.revoked))
    table.isRequired = false
    #expect(judged("", "mes-07") == .admitted(source: "mes-07", token: nil))
    // Who shows one is held to it even so.
    #expect(judged(one.text, "mes-07") == .refused(.revoked))
    #expect(table.objection(to: 1, source: "mes-07") == .revoked && table.objection(to: nil, source: "x") == nil)
  }

  @Test func `a client that invents a source for each refusal does not fill the log`() {
    var refusals = TokenRefusals()
    let start = BootInstant(nanoseconds: 1_000_000_000_000)
    func logged(_ count: Int, from first: Int, after milliseconds: Int64) -> Int {
      (first..<first + count).count {
        refusals.note(
          .invalid, source: "s\($0)", peer: "192.0.2.1", wire: "native", at: start.adding(milliseconds: milliseconds))
      }
    }
    #expect(logged(10_000, from: 0, after: 0) == TokenRefusals.mostLines)
    #expect(refusals.counts[.invalid] == 10_000)
    // Who is still known and was not told of has its line later; the rest of the minute is silent.
    #expect(logged(1, from: 9999, after: 59_000) == 0)
    #expect(logged(1, from: 9999, after: 60_000) == 1)
    #expect(logged(1, from: 9999, after: 61_000) == 0)
  }

  @Test func `an agent knows which refusals are about its token`() {
    for refusal in TokenRefusal.allCases {
      #expect(NativeReply.isAboutToken(refusal.rawValue) == (refusal != .unreadable), "\(refusal)")
    }
  }

  @Test(arguments: [
    ("Bearer swt_1_a", false, "swt_1_a"), ("bearer  abc", false, "abc"), ("Bearer abc", true, ""),
    ("Token swt_1_a", true, "swt_1_a"), ("Token user:swt_1_a", true, "swt_1_a"), ("Token other", true, ""),
    ("Basic dXNlcjpzd3RfMV9h", true, "swt_1_a"), ("Basic dXNlcjpwYXNz", true, ""), ("Basic ?", true, ""),
    ("Basic dXNlcjpzd3RfMV9h", false, "swt_1_a"), ("Digest x", false, ""), ("Bearer", false, ""), ("", false, ""),
  ]) func `a request's token is found where its protocol has it`(header: String, isInflux: Bool, token: String) {
    #expect(HTTPToken.text(["authorization": header], isInflux: isInflux) == token)
  }

  @Test func `a hello without a right token is told so, and nothing of it is stored`() throws {
    let harness = try IngestHarness().activate()
    let token = try makeToken(harness, "mes-07/*")
    let other = try makeToken(harness, "mes-09")
    try set(harness)
    for (text, refusal) in [
      ("", TokenRefusal.missing), ("secret", .invalid), (other.text, .otherSource),
      (SourceToken(id: token.id, secret: other.secret).text, .invalid),
    ] {
      let client = try hello(harness, "mes-07/orders", text)
      // It may be written before it is refused.
      try? client.send(queueLines(1...10))
      #expect(try client.awaitEnd() == refusal.rawValue)
    }
    let client = try hello(harness, "mes-07/orders", token.text)
    guard case .welcome(_, _, 0, _, _) = try client.reply() else { throw TestTimeout(what: "welcome") }
    try client.send(queueLines(1...10))
    try client.awaitAck(10)
    #expect(try harness.stored() == (10, 10))
    #expect(
      refusals(harness) == [
        TokenRefusal.missing.rawValue: 1, TokenRefusal.invalid.rawValue: 2, TokenRefusal.otherSource.rawValue: 1,
      ])
    try harness.wait("the counters") { _ in
      harness.ingest.snapshot().refusedByReason[TokenRefusal.invalid.rawValue] == 2
    }
    let lately = try #require(
      harness.ingest.tokens.status().lately.first { $0.reason == TokenRefusal.missing.rawValue })
    #expect(lately.source == "mes-07/orders" && lately.wire == "native" && lately.address == "127.0.0.1")
  }

  @Test func `a revocation ends the connections of its token and no other, within a second`() throws {
    let harness = try IngestHarness().activate()
    let other = try makeToken(harness, "mes-08")
    try set(harness)
    let stays = try hello(harness, "mes-08", other.text)
    _ = try stays.reply()
    let isSoon = try onceOf(3) {
      let token = try makeToken(harness, "mes-07")
      let client = try hello(harness, "mes-07", token.text)
      _ = try client.reply()
      let began = BootInstant.now()
      try harness.query("SELECT source FROM auth.revoke_token(\(token.id), 'test')")
      #expect(try client.awaitEnd() == TokenRefusal.revoked.rawValue)
      let took = BootInstant.now().milliseconds(since: began)
      #expect(try hello(harness, "mes-07", token.text).awaitEnd() == TokenRefusal.revoked.rawValue)
      return took < 1000
    }
    #expect(isSoon)
    try stays.send(queueLines(1...10))
    try stays.awaitAck(10)
  }

  @Test func `tokens that become required end connections without one, and open protocols stay`() throws {
    let harness = try IngestHarness(bounds: .init(allowAnonymous: true)).activate()
    let (without, _) = try NativeClient.open(harness)
    try without.send(queueLines(1...5))
    try without.awaitAck(5)
    let anonymous = try NativeClient(harness.native)
    try anonymous.send(
      "{\"type\":\"event\",\"ts\":\"\(rfc3339(wallMicroseconds: wallMicroseconds()))\",\"host\":\"h\",\"app\":\"a\",\"kind\":\"k\"}\n"
    )
    try harness.wait("anonymous lines") { _ in try harness.number("SELECT count(*) FROM telemetry.event") == 1 }
    let syslog = try NativeClient(harness.syslogTCP)
    let influx = try NativeClient(harness.influxTCP)
    try harness.wait("all are there") { _ in
      let seen = harness.ingest.snapshot().connections
      return seen.syslogTCP == 1 && seen.delivering["influx-tcp"] == 1
    }
    try set(harness, open: "syslog")
    #expect(try without.awaitEnd() == TokenRefusal.missing.rawValue)
    #expect(try anonymous.awaitEnd() == TokenRefusal.missing.rawValue)
    #expect(try influx.line() == nil)
    try syslog.send("<13>1 \(rfc3339(wallMicroseconds: wallMicroseconds())) press-7 app - - - taken\n")
    try harness.wait("syslog goes on") { _ in
      try harness.number("SELECT count(*) FROM telemetry.log WHERE message = 'taken'") == 1
    }
    try set(harness)
    #expect(try syslog.line() == nil)
    // New ones are closed at once, and datagrams are dropped and counted.
    for address in [harness.zabbix, harness.forward, harness.syslogTCP, harness.influxTCP] {
      // The reset may come before the connect is seen to have succeeded.
      let line = try? NativeClient(address).line()
      #expect((line ?? nil) == nil)
    }
    let socket = try bindDatagram(try #require(SocketAddress(host: "127.0.0.1", port: 0)))
    let before = harness.ingest.snapshot().shedMessages
    _ = sendDatagram(socket.raw, Array("<13>dropped".utf8), to: harness.syslogUDP)
    try harness.wait("it is counted") { _ in harness.ingest.snapshot().shedMessages == before + 1 }
    #expect(refusals(harness)[TokenRefusal.impossible.rawValue] ?? 0 >= 6)
    try set(harness, required: false)
    let (again, committed) = try NativeClient.open(harness)
    #expect(committed == 5)
    try again.send(queueLines(6...7))
    try again.awaitAck(7)
  }

  @Test func `forward clients that show the shared key need no token`() throws {
    let harness = try IngestHarness(forwardSharedKey: Array("secret".utf8)).activate()
    try set(harness)
    let client = try NativeClient(harness.forward)
    // The server greets first: it was not closed.
    var chunk = [UInt8](repeating: 0, count: 1024)
    _ = Platform.wait(client.descriptor.raw, for: .read, until: .after(milliseconds: longest))
    guard case .done(let count) = receive(client.descriptor.raw, into: &chunk) else { throw TestTimeout(what: "HELO") }
    #expect(String(decoding: chunk[..<count], as: UTF8.self).contains("HELO"))
  }

  @Test func `a node that can't read the tokens admits nobody who needs one, and says why`() throws {
    let harness = try IngestHarness().activate()
    let token = try makeToken(harness, "mes-07")
    try set(harness)
    var block = try harness.server.session(harness.database)
    _ = try block.run("BEGIN; LOCK TABLE auth.state", deadline: .after(milliseconds: longest))
    // The last answer is too old by then: a revocation could have been missed.
    try harness.wait("the last answer is too old") { _ in
      harness.ingest.tokens.judge(token.text, source: "mes-07", peer: "x") == nil
    }
    #expect(try hello(harness, "mes-07", token.text).awaitEnd() == TokenRefusal.unreadable.rawValue)
    _ = try block.run("COMMIT", deadline: .after(milliseconds: longest))
    try harness.wait("the tokens are read again") { _ in
      harness.ingest.tokens.judge(token.text, source: "mes-07", peer: "x") != nil
    }
  }

  @Test func `a change that nobody was told of is seen within two seconds`() throws {
    let harness = try IngestHarness().activate()
    let isSoon = try onceOf(3) {
      let token = try makeToken(harness, "mes-07")
      // As the functions do it, without NOTIFY.
      try harness.query("UPDATE auth.token SET revoked_at = now() WHERE id = \(token.id)")
      try harness.query("UPDATE auth.state SET revision = revision + 1")
      let began = BootInstant.now()
      try harness.wait("it is seen") { _ in harness.ingest.tokens.table?.entries[token.id]?.isRevoked == true }
      return BootInstant.now().milliseconds(since: began) < 2000
    }
    #expect(isSoon)
  }

  @Test func `over HTTP the token decides who sends, in each protocol's words`() throws {
    let bench = try HTTPBench(IngestHarness().activate())
    let harness = bench.harness
    let token = try makeToken(harness, "mes-07/*")
    let one = try makeToken(harness, "press")
    // Not required: Influx clients show what they like, others are held to what they show.
    #expect(
      try bench.post(Array("m v=1\n".utf8), path: "/write?db=d", headers: ["Authorization: Token whatever"]).status
        == 204)
    #expect(try bench.post(deliveryLines(1...1), headers: ["Authorization: Bearer whatever"]).status == 401)
    try set(harness)
    let none = try bench.post(deliveryLines(1...1))
    #expect(none.status == 401 && none.headers["www-authenticate"] == "Bearer realm=\"standwatch\"")
    #expect(none.body == "{\"error\":\"\(TokenRefusal.missing.rawValue)\"}\n")
    let bearer = "Authorization: Bearer \(token.text)"
    #expect(try bench.post(deliveryLines(1...1), headers: [bearer, "Standwatch-Source: mes-08"]).status == 403)
    #expect(
      try bench.post(deliveryLines(1...3, app: "X"), headers: [bearer, "Standwatch-Source: mes-07/x"]).status == 200)
    #expect(try harness.depths("X") == (3, 3))
    let otlp = try bench.post(Array("{}".utf8), path: "/v1/logs", headers: ["Content-Type: application/json"])
    #expect(otlp.status == 401 && otlp.body.contains("16"))
    let json = ["Content-Type: application/json", bearer]
    #expect(try bench.post(Array("{}".utf8), path: "/v1/logs", headers: json).status == 200)
    #expect(try bench.post(Array("m v=1\n".utf8), path: "/api/v2/write?bucket=b").status == 401)
    let influx = ["Authorization: Token \(one.text)"]
    #expect(try bench.post(Array("m v=1\nbad\n".utf8), path: "/api/v2/write?bucket=b", headers: influx).status == 400)
    // What is refused of it is kept under the token's own source.
    #expect(try harness.number("SELECT count(*) FROM ingest.rejected WHERE source = 'press'") == 1)
    #expect(try bench.post(Array("q=CREATE DATABASE x".utf8), path: "/query").status == 200)
    try harness.query("SELECT source FROM auth.revoke_token(\(one.id), 'test')")
    try harness.wait("it is revoked") { _ in harness.ingest.tokens.table?.entries[one.id]?.isRevoked == true }
    #expect(try bench.post(Array("m v=1\n".utf8), path: "/api/v2/write?bucket=b", headers: influx).status == 401)
  }
}
