// The Forward protocol as its clients use it: modes, acknowledgements, what becomes of records, the handshake.
@testable import Telemetry
@testable import TLS
import Testing

@Suite struct ForwardMessages {
  @Test func `all modes carry the same records, those with entries under the same key`() {
    let contents = ["one", "two", "three"].flatMap { entry($0).bytes }
    let key = ForwardSession.key(chunk: "c1", tag: "t", digest: NameHash.id(of: contents), part: 0)
    for (name, bytes) in modes("c1", ["one", "two", "three"]) {
      var session = forwardSession()
      let actions = session.received(bytes, now: 0)
      let delivery = actions.deliveries.first
      #expect(actions.count == 1, "\(name)")
      #expect(delivery?.records.map { $0.log?.message } == ["one", "two", "three"], "\(name)")
      #expect(delivery?.records.map(\.time) == Array(repeating: nine + 123_456, count: 3), "\(name)")
      #expect(delivery?.records.map(\.app) == ["t", "t", "t"])
      #expect(delivery?.records.first?.host == "192.0.2.7")
      #expect(delivery?.key == key, "\(name)")
      #expect(delivery?.source == "192.0.2.7")
    }
  }

  @Test func `a single message is taken with and without option`() {
    for bytes in [
      Pack.list([.text("t"), .int(nineUnix), line("x")]).bytes,
      Pack.list([.text("t"), .int(nineUnix), line("x"), option(nil)]).bytes,
      Pack.list([.text("t"), .int(nineUnix), line("x"), .null]).bytes,
      Pack.list([.text("t"), .raw([0xce] + big(UInt64(nineUnix), 4)), line("x")]).bytes,
      Pack.list([.text("t"), .double(Double(nineUnix)), line("x")]).bytes,
      Pack.list([.text("t"), .ext(0, big(UInt64(nineUnix), 4) + [0, 0, 0, 0]), line("x")]).bytes,
    ] {
      var session = forwardSession()
      let delivery = session.received(bytes, now: 0).deliveries.first
      #expect(delivery?.records.map(\.time) == [nine])
      #expect(delivery?.key == nil)
    }
  }

  @Test func `records are the same however their bytes are cut into pieces`() {
    let messages = modes("c1", ["one", "two"]).flatMap { Pack.null.bytes + $0.bytes }
    var whole = forwardSession()
    let expected = whole.received(messages, now: 5)
    #expect(expected.deliveries.count == 5)
    for size in [1, 2, 3, 7, 50] {
      var session = forwardSession()
      var actions: [DeliveryAction] = []
      for start in stride(from: 0, to: messages.count, by: size) {
        actions += session.received(Array(messages[start..<min(start + size, messages.count)]), now: 5)
      }
      #expect(actions == expected, "in pieces of \(size)")
    }
  }

  @Test func `two chunks of one name are two, and a repeated one is the same however it is packed`() {
    var session = forwardSession()
    func keys(_ messages: String...) -> [[UInt8]?] {
      modes("1", messages).flatMap { session.received($0.bytes, now: 0).deliveries.map(\.key) }
    }
    #expect(Set(keys("a", "b")).count == 1)
    #expect(Set(keys("a", "b") + keys("a", "c") + keys("a")).count == 3)
  }

  @Test func `a chunk is acknowledged when it is stored, and not before`() {
    var session = forwardSession()
    let message = Pack.list([.text("t"), .list([entry("x")]), option("c1")]).bytes
    #expect(session.received(message + message, now: 0).map(\.isDelivery) == [true, true])
    #expect(
      session.delivered(2, stored, now: 1) == [.send([0x81, 0xa3] + Array("ack".utf8) + [0xa2] + Array("c1".utf8))])
    #expect(session.delivered(2, stored, now: 1) == [])
    #expect(session.delivered(1, .stored(isDuplicate: true, rejects: []), now: 1).sent == [ForwardSession.ack("c1")])
  }

  @Test func `what could not be stored is never acknowledged`() {
    for (outcome, reason) in [
      (DeliveryOutcome.unavailable(retryAfterSeconds: 1), ""), (.refused(reason: "too much"), "too much"),
    ] {
      var session = forwardSession()
      _ = session.received(Pack.list([.text("t"), .list([entry("x")]), option("c1")]).bytes, now: 0)
      _ = session.received(Pack.list([.text("t"), .list([entry("y")]), option("c2")]).bytes, now: 0)
      #expect(session.delivered(1, outcome, now: 1) == [.close(reason: reason)])
      #expect(session.delivered(2, stored, now: 1) == [])
      #expect(!session.mayReceive)
      #expect(session.received(Pack.null.bytes, now: 2) == [])
    }
  }

  @Test func `a message of many records becomes several deliveries and is acknowledged after the last`() {
    var session = forwardSession { $0.records = 2 }
    let message = Pack.list([.text("t"), .binary(packed(["1", "2", "3"])), option("c1")]).bytes
    let deliveries = session.received(message, now: 0).deliveries
    #expect(deliveries.map(\.records.count) == [2, 1])
    #expect(deliveries.first?.key != deliveries.last?.key)
    #expect(session.delivered(2, stored, now: 1) == [])
    #expect(session.delivered(1, stored, now: 1).sent == [ForwardSession.ack("c1")])
    let five = Pack.list([.text("t"), .binary(packed(["1", "2", "3", "4", "5"])), option("c2")]).bytes
    #expect(session.received(five, now: 2) == [.close(reason: "too many records in a message")])
  }

  @Test func `a session with enough under way asks not to be read`() {
    var session = forwardSession { $0.underWay = 2 }
    let message = Pack.list([.text("t"), .int(nineUnix), line("x")]).bytes
    _ = session.received(message, now: 0)
    #expect(session.mayReceive)
    _ = session.received(message, now: 0)
    #expect(!session.mayReceive)
    #expect(session.delivered(1, stored, now: 0) == [])
    #expect(session.mayReceive)
  }

  @Test func `messages beyond what may be under way are decoded when one is answered`() {
    var session = forwardSession { $0.underWay = 3 }
    let messages = (1...7).flatMap { Pack.list([.text("t"), .list([entry("x")]), option("c\($0)")]).bytes }
    var actions = session.received(messages + [0x93], now: 0)
    #expect(actions.deliveries.count == 3)
    #expect(session.ended(now: 0) == [])
    for number in 1...4 {
      actions = session.delivered(number, stored, now: 0)
      #expect(actions.sent == [ForwardSession.ack("c\(number)")])
      #expect(actions.deliveries.count == 1)
    }
    // Behind the last one is a piece of another.
    #expect(session.delivered(5, stored, now: 0).last == .close(reason: "the connection ended within a message"))
  }

  @Test func `a client that closes its side first gets its acknowledgements`() {
    var session = forwardSession()
    _ = session.received(Pack.list([.text("t"), .list([entry("x")]), option("c1")]).bytes, now: 0)
    #expect(session.ended(now: 1) == [])
    #expect(session.delivered(1, stored, now: 2) == [.send(ForwardSession.ack("c1")), .close(reason: "")])
    var cut = forwardSession()
    _ = cut.received([0x93, 0xa1], now: 0)
    #expect(cut.ended(now: 1) == [.close(reason: "the connection ended within a message")])
    var idle = forwardSession()
    #expect(idle.ended(now: 1) == [.close(reason: "")])
  }

  @Test func `keys tell chunks, tags, contents and parts apart and never exceed 200 bytes`() {
    let long = String(repeating: "x", count: 1000)
    func key(_ chunk: String, _ tag: String, _ digest: Int64 = 1, _ part: Int = 0) -> [UInt8] {
      ForwardSession.key(chunk: chunk, tag: tag, digest: digest, part: part)
    }
    let keys = [
      key("a", "t"), key("a", "t", 1, 1), key("a", "t", 2), key("b", "t"), key("a", "u"), key("a", long + "1"),
      key("a", long + "2"), key(String(repeating: "c", count: 128), long),
    ]
    #expect(Set(keys).count == keys.count)
    #expect(keys.allSatisfy { (1...200).contains($0.count) })
  }
}

extension DeliveryAction {
  var isDelivery: Bool { if case .deliver = self { true } else { false } }
}

@Suite struct ForwardRecords {
  func record(_ map: Pack, tag: String = "app.access") -> Record? {
    var session = forwardSession()
    return session.received(Pack.list([.text(tag), eventTime(), map]).bytes, now: 0).deliveries.first?.records.first
  }

  @Test func `message, severity, host and application come from the names that loggers use`() {
    for (key, value, severity) in [
      ("level", Pack.text("ERROR"), 3), ("severity", .text("warn"), 4), ("priority", .int(2), 2),
      ("PRIORITY", .text("5"), 5),
      ("level", .text("Trace"), 7), ("level", .text("loud"), 6), ("level", .int(30), 6),
    ] {
      for message in ["message", "log", "msg", "MESSAGE"] {
        let found = record(
          .map([
            (.text(key), value), (.text(message), .text("hello\n")), (.text("hostname"), .text("web-1")),
            (.text("n"), .int(1)),
          ]))
        #expect(found?.log?.severity == severity)
        #expect(found?.log?.message == "hello")
        #expect(found?.host == "web-1")
        #expect(found?.app == "app.access")
        let isTaken = severity != 6
        #expect(found?.attributesText == (isTaken ? #"{"n":1}"# : #"{"level":\#(value.json),"n":1}"#))
      }
    }
    #expect(record(.object(["log": .text("a"), "message": .text("b"), "service": .text("shop")]))?.app == "shop")
    #expect(record(.object(["log": .text("a"), "message": .text("b")]))?.attributesText == #"{"log":"a"}"#)
    #expect(record(.object(["log": .text("a"), "host": .object(["ip": .text("x")])]))?.host == "192.0.2.7")
  }

  @Test func `attributes keep every kind of value`() {
    let deep = (0..<40).reduce(Pack.int(1)) { inner, _ in .list([inner]) }
    let found = record(
      .map([
        (.text("message"), .text("m")), (.text("a"), .null), (.text("b"), .bool(true)), (.text("c"), .double(1.5)),
        (.text("d"), .double(.infinity)), (.text("e"), .list([.int(-1), .text("q\"")])),
        (.text("f"), .object(["g": .int(1)])),
        (.text("h"), .binary(Array("text".utf8))), (.text("i"), .binary([0xff, 0, 1])),
        (.text("j"), .raw([0xcf] + big(.max, 8))),
        (.text("k"), .ext(5, [1, 2])), (.int(7), .int(1)), (.text("z\u{0}"), .text("\u{0}")),
        (.text("l"), .raw([0xa1, 0xff])),
      ]))
    #expect(
      found?.attributesText
        == #"{"a":null,"b":true,"c":1.5,"d":"inf","e":[-1,"q\""],"f":{"g":1},"h":"text","i":"/wAB","j":"18446744073709551615","k":"ext 5: AQI=","7":1,"z\#u{fffd}":"\#u{fffd}","l":"\#u{fffd}"}"#
    )
    #expect(record(.object(["message": .text("m"), "x": deep]))?.attributesText.contains("nested too deeply") == true)
  }

  @Test func `records that are no maps, have no message, or too much of one are kept`() {
    #expect(record(.text("just text"))?.log?.message == "just text")
    #expect(record(.list([.int(1)]))?.log?.message == "[1]")
    #expect(record(.object(["cpu": .double(0.5)]))?.log?.message == "app.access")
    let long = record(.object(["message": .text(String(repeating: "é", count: 40_000))]))
    #expect(long?.log?.message.utf8.count == 65_536)
    #expect(long?.attributesText == #"{"cut":80000}"#)
    let many = record(.map((0..<1025).map { (.text("k\($0)"), .int(1)) }))
    #expect(many?.attributesText.hasPrefix(#"{"record":{"k0":1,"#) == true)
  }

  @Test func `a trace joins, and Fluent Bit's metadata stay`() {
    let found = record(
      .object([
        "msg": .text("m"), "trace_id": .text("0af7651916cd43dd8448eb211c80319c"), "span_id": .text("b7ad6b7169203331"),
      ]))
    #expect(found?.log?.trace == TraceID(high: 0x0af7_6519_16cd_43dd, low: 0x8448_eb21_1c80_319c))
    #expect(found?.log?.span == 0xb7ad_6b71_6920_3331)
    #expect(found?.attributesText == "")
    var session = forwardSession()
    let bit = Pack.list([.text("t"), .list([.list([.list([eventTime(), .object(["k": .int(1)])]), line("x")])])]).bytes
    let kept = session.received(bit, now: 0).deliveries.first?.records.first
    #expect(kept?.attributesText == #"{"metadata":{"k":1}}"#)
    #expect(kept?.time == nine + 123_456)
  }

  @Test func `a map with all fields of a record type becomes that record, and one that lacks any stays a log`() {
    let queue: [(Pack, Pack)] = [
      (.text("type"), .text("queue")), (.text("queue"), .text("in")), (.text("depth"), .int(31)),
      (.text("capacity"), .null),
      (.text("app"), .text("EQP")), (.text("host"), .text("mes")),
    ]
    var expected = Record.Queue(queue: "in", depth: 31)
    expected.capacity = nil
    #expect(record(.map(queue)) == Record(time: nine + 123_456, host: "mes", app: "EQP", .queue(expected)))
    #expect(record(.map(queue + [(.text("other"), .int(1))]))?.log != nil)
    #expect(record(.map(queue.filter { if case .text("depth") = $0.0 { false } else { true } }))?.log != nil)
    let bodies: [(Pack, Record.Body)] = [
      (
        .object(["type": .text("metric"), "name": .text("n"), "value": .int(2), "labels": .object([:])]),
        .metric(Record.Metric(name: "n", value: 2, labels: JSONObject()))
      ),
      (
        .object(["type": .text("step"), "txn": .text("T"), "step": .text("s"), "status": .text("ok")]),
        .step(Record.Step(transaction: "T", step: "s", status: "ok"))
      ),
      (
        .object(["type": .text("job"), "job": .text("j"), "duration_us": .int(5), "status": .text("ok")]),
        .job(Record.Job(job: "j", durationMicroseconds: 5, status: "ok"))
      ),
      (
        .object(["type": .text("process"), "process": .text("p"), "state": .text("running")]),
        .process(Record.Process(process: "p", state: "running"))
      ),
      (
        .object(["type": .text("web"), "method": .text("GET"), "path": .text("/"), "code": .int(100)]),
        .web(Record.Web(method: "GET", path: "/", code: 100))
      ),
      (.object(["type": .text("event"), "kind": .text("deploy")]), .event(Record.Event(kind: "deploy"))),
      (
        .object(["type": .text("log"), "severity": .text("err"), "message": .text("m")]),
        .log(Record.Log(severity: 3, message: "m"))
      ),
    ]
    for (map, body) in bodies {
      #expect(record(map) == Record(time: nine + 123_456, host: "192.0.2.7", app: "app.access", body))
    }
    let span = record(
      .object([
        "type": .text("span"), "trace": .text("0af7651916cd43dd8448eb211c80319c"), "span": .text("b7ad6b7169203331"),
        "name": .text("GET /"), "duration_us": .int(9), "status": .text("ok"), "kind": .text("server"),
      ]))
    if case .span(let body)? = span?.body { #expect(body.kind == .server) } else { Issue.record("\(span as Any)") }
    for odd in [
      Pack.object(["type": .text("web"), "method": .text("GET"), "path": .text("/"), "code": .int(99)]),
      .object(["type": .text("metric"), "name": .text("n"), "value": .double(.nan)]),
      .object(["type": .text("queue"), "queue": .text(""), "depth": .int(1)]),
      .object(["type": .text("queue"), "queue": .text("q"), "depth": .int(-1)]), .object(["type": .int(1)]),
      .object(["type": .text("event"), "kind": .text("k"), "ts": .text("2026-11-20T09:00:00Z")]),
    ] { #expect(record(odd)?.log != nil) }
  }
}

extension Pack {
  var json: String {
    switch self {
    case .text(let text): "\"\(text)\""
    case .int(let value): "\(value)"
    default: ""
    }
  }
}

@Suite struct ForwardHandshake {
  let key = Array("s3cret".utf8)
  func session() -> ForwardSession {
    ForwardSession(
      peer: "192.0.2.7", limits: DeliveryLimits(),
      security: ForwardSecurity(key: key, server: "node-a", random: Array(0..<16), sha512: sha512), unpack: realUnpack)
  }
  let nonce = Array("000102030405060708090a0b0c0d0e0f".utf8)
  func hex(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }
  func ping(_ client: String, salt: [UInt8] = [1, 2, 255], key: [UInt8]) -> [UInt8] {
    Pack.list([
      .text("PING"), .text(client), .binary(salt), .text(hex(sha512(salt + Array(client.utf8) + nonce + key))),
      .text(""), .text(""),
    ]).bytes
  }

  @Test func `a client with the key is let in, and sees that the node has it`() {
    var session = session()
    let hello = Pack.list([
      .text("HELO"), .object(["nonce": .raw([0xc4, 32] + nonce), "auth": .text(""), "keepalive": .bool(true)]),
    ]).bytes
    #expect(session.opened() == [.send(hello)])
    let digest = Array(hex(sha512([1, 2, 255] + Array("node-a".utf8) + nonce + key)).utf8)
    let pong = Pack.list([.text("PONG"), .bool(true), .text(""), .text("node-a"), .raw([0xd9, 128] + digest)]).bytes
    let message = Pack.list([.text("t"), .list([entry("x")]), option("c1")]).bytes
    let actions = session.received(ping("fluentd-7", key: key) + message, now: 0)
    #expect(actions.first == .send(pong))
    #expect(actions.deliveries.first?.source == "fluentd-7")
    #expect(actions.deliveries.first?.records.first?.host == "fluentd-7")
  }

  @Test func `another key, another message, or the node's own name is refused`() {
    for (bytes, sends, reason) in [
      (ping("c", key: Array("other".utf8)), true, "another shared key"),
      (ping("node-a", key: key), true, "the server's own name"),
      (Pack.list([.text("t"), .int(1), line("x")]).bytes, false, "no PING where one is asked for"),
      (
        Pack.list([.text("PING"), .text("c"), .text("s"), .text("d"), .int(1), .text("")]).bytes, false,
        "no PING where one is asked for"
      ),
      (
        Pack.list([.text("PING"), .text(""), .text("s"), .text("d"), .text(""), .text("")]).bytes, false,
        "no PING where one is asked for"
      ),
      (
        Pack.list([.text("PING"), .text("c"), .text("s"), .text(""), .text(""), .text("")]).bytes, true,
        "another shared key"
      ),
      ([0xdd, 0xff, 0xff, 0xff, 0xff], false, "a message of more than 4096 bytes"),
      ([0x92, 0xdb, 0, 0, 0x20, 0], false, "a message of more than 4096 bytes"),
    ] {
      var session = session()
      let actions = session.received(bytes, now: 0)
      #expect(actions.closings == [reason])
      #expect(actions.sent.count == (sends ? 1 : 0))
      #expect(session.received(ping("c", key: key), now: 0) == [])
    }
  }

  @Test func `a handshake in single bytes ends as a whole one`() {
    var session = session()
    var actions: [DeliveryAction] = []
    for byte in ping("c", key: key) { actions += session.received([byte], now: 0) }
    #expect(actions.sent.count == 1)
    #expect(session.state == .open)
  }
}
