// The Zabbix sender protocol: packets, values, answers; and malformed packets, each with what has to become of it.
import Chance
@testable import Telemetry
import Testing

private func packet(_ json: String, flags: UInt8 = 1, reserved: Int = 0) -> [UInt8] {
  packet(Array(json.utf8), flags, reserved)
}
private func packet(_ data: [UInt8], _ flags: UInt8 = 1, _ reserved: Int = 0) -> [UInt8] {
  Array("ZBXD".utf8) + [flags] + big(UInt64(data.count), 4).reversed() + big(UInt64(reserved), 4).reversed() + data
}
private func values(_ items: String) -> String { #"{"request":"sender data","data":[\#(items)]}"# }
private func item(_ value: String, key: String = "k") -> String {
  #"{"host":"h","key":"\#(key)","value":\#(value),"clock":\#(nineUnix),"ns":123456789}"#
}
private func session() -> ZabbixSession {
  ZabbixSession(peer: "192.0.2.9", limits: DeliveryLimits(), unpack: realUnpack)
}
/// zlib's own bytes of `values(item("1"))`: a stored block (RFC 1950, 1951).
private func zlib(_ text: String) -> [UInt8] {
  let bytes = Array(text.utf8)
  var (a, b): (UInt32, UInt32) = (1, 0)
  for byte in bytes { (a, b) = ((a + UInt32(byte)) % 65_521, (b + a + UInt32(byte)) % 65_521) }
  let count = big(UInt64(bytes.count), 2).reversed()
  return [0x78, 0x01, 0x01] + count + count.map { ~$0 } + bytes + big(UInt64(b << 16 | a), 4)
}
private func answer(_ actions: [DeliveryAction]) -> String {
  String(decoding: actions.sent.joined().dropFirst(13), as: UTF8.self)
}

@Suite struct ZabbixMessages {
  func record(_ item: String) -> Record? {
    var session = session()
    return session.received(packet(values(item)), now: 7).deliveries.first?.records.first
  }

  @Test func `numbers become metrics, texts log lines`() {
    let time = nine + 123_456
    var labels = JSONObject()
    labels.add("parameters", "/,used")
    #expect(
      record(item(#""31.5""#, key: "vfs.fs.size[/,used]"))
        == Record(
          time: time, host: "h", app: "zabbix", .metric(Record.Metric(name: "vfs.fs.size", value: 31.5, labels: labels))
        ))
    for (text, number) in [
      ("\"7\"", 7.0), ("7", 7), ("-1.5e3", -1500), ("\" 4 \"", 4), ("\"+2\"", 2), ("\"007\"", 7), ("1e-3", 0.001),
    ] {
      #expect(record(item(text))?.body == .metric(Record.Metric(name: "k", value: number)))
    }
    for text in ["up", "1.5.2", "nan", "inf", "0x10", "", "1 2", "-", "1e999"] {
      let found = record(item("\"\(text)\"", key: "agent.version"))
      #expect(found?.log?.message == text)
      #expect(found?.attributesText == #"{"key":"agent.version"}"#)
    }
    #expect(record(#"{"host":"h","key":"k","value":"1"}"#)?.time == 7)
    #expect(
      record(#"{"host":"h","key":"k","value":"1","clock":99999999999999}"#)?.time == 399_053_315_200_000_000)
    #expect(ZabbixValue.split("[a]").name == "[a]")
    #expect(ZabbixValue.split("a[b]c").parameters == nil)
    #expect(ZabbixValue.split("a[]").parameters == "")
    #expect(ZabbixValue.split("a[b[c]]").parameters == "b[c]")
  }

  @Test func `values are answered when they are stored, and the connection closes`() {
    var session = session()
    let body = values(item("\"1\"") + "," + item("\"2\"") + #",{"host":"h","key":"k"}"#)
    let actions = session.received(packet(body), now: 1_000_000)
    #expect(actions.map(\.isDelivery) == [true])
    #expect(actions.deliveries.first?.key == nil)
    #expect(actions.deliveries.first?.faults.map(\.raw) == [Array(#"{"host":"h","key":"k"}"#.utf8)])
    #expect(actions.deliveries.first?.source == "192.0.2.9")
    #expect(!session.mayReceive)
    #expect(session.ended(now: 0) == [])
    let outcome = DeliveryOutcome.stored(
      isDuplicate: false,
      rejects: [DeliveryReject(index: 1, reason: "time"), DeliveryReject(index: 2, reason: "no value")])
    let after = session.delivered(1, outcome, now: 3_000_050)
    #expect(
      answer(after) == #"{"response":"success","info":"processed: 1; failed: 2; total: 3; seconds spent: 2.000050"}"#)
    #expect(after.sent.first.map { Array($0.prefix(5)) } == Array("ZBXD".utf8) + [1])
    #expect(after.closings == [""])
    #expect(session.delivered(1, stored, now: 0) == [])
  }

  @Test func `what could not be stored is not answered with success`() {
    var unavailable = session()
    _ = unavailable.received(packet(values(item("1"))), now: 0)
    #expect(unavailable.delivered(1, .unavailable(retryAfterSeconds: 1), now: 0) == [.close(reason: "")])
    var refused = session()
    _ = refused.received(packet(values(item("1"))), now: 0)
    #expect(answer(refused.delivered(1, .refused(reason: "full"), now: 0)) == #"{"response":"failed","info":"full"}"#)
  }

  @Test func `compressed packets and pretty JSON are taken, in pieces of any size`() {
    let pretty =
      "\n{\r\n  \"request\" : \"agent data\",\n \"session\": \"x\", \"data\": [\n\t" + item("\"1\"") + "\n ]\n}\n"
    for bytes in [packet(pretty), packet(values(item("1"))), packet(zlib(pretty), 3, pretty.utf8.count)] {
      for size in [1, 2, 3, 7, 1000] {
        var session = session()
        var actions: [DeliveryAction] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
          actions += session.received(Array(bytes[start..<min(start + size, bytes.count)]), now: 0)
        }
        #expect(
          actions.deliveries.map(\.records) == [
            [Record(time: nine + 123_456, host: "h", app: "zabbix", .metric(Record.Metric(name: "k", value: 1)))]
          ])
      }
    }
  }
}

private enum Ending: Equatable {
  case closes(String)
  /// Told to the sender, and closed.
  case refuses(String)
  case waits
  case takes(Int, failed: Int)

  init(_ actions: [DeliveryAction]) {
    let text = answer(actions)
    if let info = text.split(separator: "\"info\":\"").last?.dropLast(2), !text.isEmpty {
      self = .refuses(String(info))
    } else if let reason = actions.closings.first {
      self = .closes(reason)
    } else {
      self = actions.deliveries.first.map { .takes($0.records.count, failed: $0.faults.count) } ?? .waits
    }
  }
}
private func wrong(_ why: String) -> Ending { .refuses("the request is wrong: \(why)") }
private let noJSON = Ending.refuses("the request is not valid JSON")
private let noZabbix = Ending.closes("no packet of Zabbix's protocols")
private let tooLong = Ending.closes("a packet of more than 4194304 bytes")
private let tooMuch = Ending.closes("a packet that unpacks to too much")
private let nothing = Ending.refuses("processed: 0; failed: 0; total: 0; seconds spent: 0.000000")
private let good = item("1")

private let zeroByte = packet(Array(#"{"request":"sender data","data":[{"host":"h"#.utf8) + [0])
private let corpus: [(name: String, bytes: [UInt8], fate: Ending)] = [
  ("nothing", [], .waits),
  ("HTTP", Array("GET / HTTP/1.1\r\n\r\n".utf8), noZabbix),
  ("one wrong byte", [0x41], noZabbix),
  ("a wrong fourth byte", Array("ZBXE".utf8), noZabbix),
  ("JSON without a header, as before Zabbix 4", Array(values(good).utf8), noZabbix),
  ("no flag of the protocol", packet(values(good), flags: 0), noZabbix),
  ("a large packet", packet(values(good), flags: 5), .closes("a packet with flags 5")),
  ("an unknown flag", packet(values(good), flags: 0x81), .closes("a packet with flags 129")),
  ("a header cut off", Array("ZBXD".utf8) + [1, 5, 0, 0], .waits),
  ("a header alone", Array("ZBXD".utf8) + [1, 5, 0, 0, 0, 0, 0, 0, 0], .waits),
  ("a packet of 2^32 - 1 bytes", Array("ZBXD".utf8) + [1, 255, 255, 255, 255, 0, 0, 0, 0], tooLong),
  ("a packet of a byte too many", Array("ZBXD".utf8) + [1, 1, 0, 64, 0, 0, 0, 0, 0], tooLong),
  ("unpacked 2^32 - 1 bytes", Array("ZBXD".utf8) + [3, 5, 0, 0, 0, 255, 255, 255, 255], tooMuch),
  ("unpacked to 128 KiB and a byte", Array("ZBXD".utf8) + [3, 5, 0, 0, 0, 1, 0, 2, 0], tooMuch),
  ("unpacked to 128 KiB", Array("ZBXD".utf8) + [3, 5, 0, 0, 0, 0, 0, 2, 0], .waits),
  (
    "compressed, but not", packet(values(good), flags: 3, reserved: 100),
    .closes("compressed: can't be unpacked: incorrect header check")
  ),
  (
    "compressed, more than announced", packet(zlib(values(good)), 3, 10),
    .closes("compressed: more than 10 bytes when unpacked")
  ),
  (
    "compressed, less than announced", packet(zlib(values(good)), 3, 1000),
    .closes("compressed: not as long as announced")
  ),
  (
    "compressed, cut off", packet(Array(zlib(values(good)).dropLast(9)), 3, 100),
    .closes("compressed: can't be unpacked: it ends too early")
  ),
  (
    "compressed, a wrong sum", packet(zlib(values(good)).dropLast() + [0], 3, 200),
    .closes("compressed: can't be unpacked: incorrect data check")
  ),
  ("an empty packet", packet(""), wrong("has to be an object")),
  ("blanks", packet("  \n "), wrong("has to be an object")),
  ("an array", packet("[]"), wrong("has to be an object")),
  ("a text", packet("\"x\""), wrong("has to be an object")),
  ("an empty object", packet("{}"), .refuses("only values are taken here")),
  ("another request", packet(#"{"request":"active checks","host":"h"}"#), .refuses("only values are taken here")),
  ("a request that is a number", packet(#"{"request":1}"#), wrong("has to be a string")),
  ("no request", packet(#"{"data":[\#(good)]}"#), .refuses("only values are taken here")),
  ("no data", packet(#"{"request":"sender data"}"#), nothing),
  ("data that are an object", packet(#"{"request":"sender data","data":{}}"#), nothing),
  ("data that are nothing", packet(#"{"request":"sender data","data":null}"#), nothing),
  ("no values", packet(values("")), nothing),
  ("an object that is not closed", packet(#"{"request":"sender data","data":[\#(good)]"#), noJSON),
  ("an array that is not closed", packet(#"{"request":"sender data","data":[\#(good)"#), noJSON),
  ("a comma too many", packet(values(good + ",")), wrong("has to be an object")),
  ("a comma before the end", packet(#"{"request":"sender data",}"#), wrong("has to be a string")),
  ("no comma", packet(values(good + good)), noJSON),
  ("something behind", packet(values(good) + "x"), wrong("something follows the record")),
  ("two requests", packet(values(good) + values(good)), wrong("something follows the record")),
  ("single quotes", packet("{'request':'sender data'}"), wrong("has to be a string")),
  ("a key without value", packet(#"{"request"}"#), noJSON),
  ("a value that is a word", packet(values(item("up"))), noJSON),
  ("a value that is a number with two points", packet(values(item("1.2.3"))), noJSON),
  ("a value with a leading zero", packet(values(item("01"))), noJSON),
  ("a text that is not closed", packet(values(#"{"host":"h"#)), wrong("holds a control character")),
  ("a raw newline in a text", packet(values(item("\"a\nb\""))), wrong("holds a control character")),
  ("a raw tab in a text", packet(values(item("\"a\tb\""))), wrong("holds a control character")),
  ("a zero byte in a text", zeroByte, wrong("holds a control character")),
  ("an escaped zero character", packet(values(item(#""\u0000""#))), wrong("\\\\u0000 can't be stored")),
  ("half of a surrogate pair", packet(values(item(#""\ud800""#))), wrong("half of a surrogate pair")),
  ("a low surrogate alone", packet(values(item(#""\udc00""#))), wrong("half of a surrogate pair")),
  ("an unknown escape", packet(values(item(#""\q""#))), wrong("not a valid escape")),
  ("text that is no UTF-8", packet(Array(#"{"request":""#.utf8) + [0xff, 0x22, 0x7d]), wrong("not valid UTF-8")),
  ("an overlong sequence", packet(Array(#"{"request":""#.utf8) + [0xc0, 0xaf, 0x22, 0x7d]), wrong("not valid UTF-8")),
  ("a sequence cut off by the end", packet(Array(#"{"request":""#.utf8) + [0xe2, 0x82]), wrong("not valid UTF-8")),
  ("nested 100,000 deep", packet(values(String(repeating: "[", count: 100_000))), wrong("has to be an object")),
  (
    "a member nested 100,000 deep", packet(#"{"x":"# + String(repeating: "[", count: 100_000)),
    wrong("nested too deeply")
  ),
  (
    "objects nested 100,000 deep", packet(#"{"x":"# + String(repeating: #"{"a":"#, count: 100_000)),
    wrong("nested too deeply")
  ),
  ("an item that is a number", packet(values("1")), wrong("has to be an object")),
  ("an item that is nothing", packet(values("null")), wrong("has to be an object")),
  ("an item without host", packet(values(#"{"key":"k","value":"1"}"#)), .takes(0, failed: 1)),
  ("an item without key", packet(values(#"{"host":"h","value":"1"}"#)), .takes(0, failed: 1)),
  ("an item without value", packet(values(#"{"host":"h","key":"k"}"#)), .takes(0, failed: 1)),
  ("an empty host", packet(values(#"{"host":"","key":"k","value":"1"}"#)), .takes(0, failed: 1)),
  (
    "a host of 201 bytes", packet(values(#"{"host":"\#(String(repeating: "h", count: 201))","key":"k","value":"1"}"#)),
    .takes(0, failed: 1)
  ),
  (
    "a host with a control character", packet(values(#"{"host":"a\u0001","key":"k","value":"1"}"#)),
    .takes(0, failed: 1)
  ),
  ("a host that is a number", packet(values(#"{"host":1,"key":"k","value":"1"}"#)), .takes(0, failed: 1)),
  ("an empty key", packet(values(#"{"host":"h","key":"","value":"1"}"#)), .takes(0, failed: 1)),
  (
    "a key of 201 bytes with a number", packet(values(item("1", key: String(repeating: "k", count: 201)))),
    .takes(0, failed: 1)
  ),
  ("a value that is an object", packet(values(item("{}"))), .takes(0, failed: 1)),
  ("a value that is nothing", packet(values(item("null"))), .takes(0, failed: 1)),
  ("a number that no double holds", packet(values(item("1e999"))), .takes(0, failed: 1)),
  (
    "a text of 65,537 bytes", packet(values(item("\"\(String(repeating: "x", count: 65_537))\""))), .takes(0, failed: 1)
  ),
  ("an item among bad ones", packet(values(#"{},"# + good + #",{"host":1}"#)), .takes(1, failed: 2)),
  ("a clock that is a text", packet(values(#"{"host":"h","key":"k","value":"1","clock":"x"}"#)), .takes(1, failed: 0)),
  (
    "nanoseconds of more than a second",
    packet(values(#"{"host":"h","key":"k","value":"1","clock":1,"ns":99999999999}"#)), .takes(1, failed: 0)
  ),
  (
    "a clock of 30 digits",
    packet(values(#"{"host":"h","key":"k","value":"1","clock":999999999999999999999999999999}"#)), .takes(1, failed: 0)
  ),
  ("65,537 values", packet(values(String(repeating: "{},", count: 65_536) + "{}")), .refuses("more than 65536 values")),
  ("a packet and rubbish behind it", packet(values(good)) + [1, 2, 3], .takes(1, failed: 0)),
]

@Suite struct ZabbixMalformed {
  @Test func `each malformed packet has its own end`() {
    #expect(corpus.count >= 60)
    #expect(Set(corpus.map(\.name)).count == corpus.count)
    for (name, bytes, fate) in corpus {
      var session = session()
      #expect(Ending(session.received(bytes, now: 0)) == fate, "\(name)")
    }
  }

  @Test func `a packet cut off at any byte delivers nothing, and is taken when the rest comes`() {
    for bytes in [packet(values(good)), packet(zlib(values(good)), 3, values(good).utf8.count)] {
      for cut in 0..<bytes.count {
        var session = session()
        #expect(session.received(Array(bytes[..<cut]), now: 0) == [])
        #expect(session.mayReceive)
        #expect(session.received(Array(bytes[cut...]), now: 0).deliveries.count == 1)
        var ended = ZabbixSession(peer: "p", limits: DeliveryLimits(), unpack: realUnpack)
        _ = ended.received(Array(bytes[..<cut]), now: 0)
        #expect(ended.ended(now: 0) == [.close(reason: cut == 0 ? "" : "the connection ended within a packet")])
      }
    }
  }

  @Test func `JSON cut off at any byte is refused, and the sender is told`() {
    let text = Array(values(item("\"é\\n\"") + ", " + good).utf8)
    for cut in 0..<text.count {
      var session = session()
      let actions = session.received(packet(Array(text[..<cut])), now: 0)
      #expect(actions.deliveries.isEmpty && answer(actions).hasPrefix(#"{"response":"failed""#), "cut at \(cut)")
    }
  }

  @Test func `mutated packets never trap and deliver only what can be stored`() {
    var random = SplitMix64(seed: 10_051)
    let seeds = [
      values(good + "," + item("\"é\\u00e9 x\"", key: "a[b]")),
      #"{"request":"agent data","data":[{"host":"h","key":"k","value":1.5e3}]}"#,
    ]
    var taken = 0
    for round in 0..<20_000 {
      let body = mutate(seeds[round % seeds.count], &random)
      var session = session()
      for record in session.received(packet(body), now: 0).deliveries.flatMap(\.records) {
        taken += 1
        #expect((1...200).contains(record.host.utf8.count))
        if let log = record.log { #expect(!log.message.utf8.contains(0)) }
      }
    }
    #expect(taken > 1000)
  }
}
