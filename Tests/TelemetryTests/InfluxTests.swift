// Influx line protocol: what its lines become, what is refused and why, however the bytes are cut.
import Chance
@testable import Telemetry
import Testing

private let context = InfluxContext(database: "db", peer: "192.0.2.9", now: nine)
/// A record in one line: host/app name{labels}=value@µs after nine, or a log.
private func show(_ record: Record) -> String {
  let whose = "\(record.host)/\(record.app) "
  let time = record.time == nine ? "" : "@\(record.time - nine)"
  switch record.body {
  case .metric(let metric):
    let labels = metric.labels.map { String(decoding: $0.bytes, as: UTF8.self) } ?? ""
    return whose + "\(metric.name)\(labels)=\(metric.value)\(time)"
  case .log(let log):
    let attributes = log.attributes.map { String(decoding: $0.bytes, as: UTF8.self) } ?? ""
    return whose + "[\(log.severity)] \(log.message)\(attributes)\(time)"
  case .queue, .step, .job, .process, .web, .span, .event: return "?"
  }
}
private func decode(_ text: String, _ change: (inout InfluxContext) -> Void = { _ in }) -> InfluxWrite {
  var context = context
  change(&context)
  return InfluxWrite(Array(text.utf8), context)
}

@Test func `a point's numbers are metrics with its tags as labels, and its texts labels or a log`() {
  let cases: [(String, [String])] = [
    ("m value=1.5 1795165200000000000", ["192.0.2.9/db m=1.5"]),
    ("m value=1.5", ["192.0.2.9/db m=1.5"]),
    (
      "cpu,host=h1,app=a,core=0 user=1,sys=2i,n=3u,up=t",
      [
        #"h1/a cpu.user{"core":"0"}=1.0"#, #"h1/a cpu.sys{"core":"0"}=2.0"#, #"h1/a cpu.n{"core":"0"}=3.0"#,
        #"h1/a cpu.up{"core":"0"}=1.0"#,
      ]
    ),
    ("m,service=s f=False", ["192.0.2.9/s m.f=0.0"]),
    ("m,service=s,app=a f=1", [#"192.0.2.9/a m.f{"service":"s"}=1.0"#]),
    (#"m,t=x f=1,s="a\"b\\c\d""#, [#"192.0.2.9/db m.f{"t":"x","s":"a\"b\\c\\d"}=1.0"#]),
    (#"m,t=x f=1,t="other""#, [#"192.0.2.9/db m.f{"t":"x"}=1.0"#]),
    (
      #"m,t=x,level=error message="broke",code="7""#,
      [
        #"192.0.2.9/db [3] broke{"t":"x","level":"error","code":"7","measurement":"m"}"#
      ]
    ),
    (#"m value="up 3 days""#, [#"192.0.2.9/db [6] up 3 days{"measurement":"m"}"#]),
    (
      "m s=\"two\nlines\"\nn f=2",
      [#"192.0.2.9/db [6] two"# + "\n" + #"lines{"measurement":"m"}"#, "192.0.2.9/db n.f=2.0"]
    ),
    (
      "m f=1,s=\"x\ny\"\nm g=2,s=\"x\ny\",h=3 1795165200000000000",
      [
        "192.0.2.9/db m.f{\"s\":\"x\\ny\"}=1.0", "192.0.2.9/db m.g{\"s\":\"x\\ny\"}=2.0",
        "192.0.2.9/db m.h{\"s\":\"x\\ny\"}=3.0",
      ]
    ),
    (#"a\,b\ c,t\=1\,2\ 3=v\=1\,2\ 3 f\=x\ y=1"#, [#"192.0.2.9/db a,b c.f=x y{"t=1,2 3":"v=1,2 3"}=1.0"#]),
    (#"a\=b\c,t=C:\dir f=1"#, [#"192.0.2.9/db a\=b\c.f{"t":"C:\\dir"}=1.0"#]),
    (
      "# a comment\n\n   \t\n  m f=1  1795165200000000001  \r\n#x=\"\nn f=2\r\n",
      [
        "192.0.2.9/db m.f=1.0", "192.0.2.9/db n.f=2.0",
      ]
    ),
    ("로트,라인=삼 온도=21.5", [#"192.0.2.9/db 로트.온도{"라인":"삼"}=21.5"#]),
    (
      "m a=-1.5e-7,b=.5,c=1.,d=-0,e=1E3",
      [
        "192.0.2.9/db m.a=-1.5e-07", "192.0.2.9/db m.b=0.5", "192.0.2.9/db m.c=1.0", "192.0.2.9/db m.d=-0.0",
        "192.0.2.9/db m.e=1000.0",
      ]
    ),
    (
      "m a=9223372036854775807i,b=-9223372036854775808i,c=18446744073709551615u",
      [
        "192.0.2.9/db m.a=9.223372036854776e+18", "192.0.2.9/db m.b=-9.223372036854776e+18",
        "192.0.2.9/db m.c=1.8446744073709552e+19",
      ]
    ),
  ]
  for (text, expected) in cases {
    let write = decode(text)
    #expect(write.records.map(show) == expected, "\(text)")
    #expect(write.faults.isEmpty && !write.isTooLarge, "\(text)")
  }
}

@Test func `timestamps have the unit that was asked for, and their absence is seen`() {
  let cases: [(String, String, Int64)] = [
    ("ns", "1795165200000001999", 1), ("n", "1795165199999999999", -1), ("us", "1795165200000001", 1),
    ("u", "1795165200000001", 1), ("µ", "1795165200000002", 2), ("ms", "1795165200001", 1000),
    ("s", "1795165201", 1_000_000), ("m", "29919421", 60_000_000), ("h", "498658", 3_600_000_000),
    ("", "1795165200000001000", 1), ("ns", "-1", -946_684_800_000_001 - nine), ("s", "0", -946_684_800_000_000 - nine),
  ]
  for (unit, time, expected) in cases {
    let write = decode("m f=1 \(time)") { $0.precision = InfluxPrecision(unit) ?? .hours }
    #expect(write.records.map { $0.time - nine } == [expected], "\(unit) \(time)")
    #expect(write.isTimed)
  }
  #expect(InfluxPrecision("d") == nil && InfluxPrecision("NS") == nil)
  #expect(!decode("m f=1 1\nm f=2").isTimed)
  #expect(decode("m f=1 9223372036854775807") { $0.precision = .hours }.faults.map(\.kind) == [.badTime])
  #expect(decode("m f=1 -9223372036854775808") { $0.precision = .microseconds }.faults.map(\.kind) == [.badTime])
  #expect(decode("m f=1 -9223372036854775808").points == 1)
}

/// Each is a whole line; the good line behind it has to be taken nevertheless.
private let malformed: [(String, InfluxFaultKind)] = [
  ("m", .noFields), ("m ", .noFields), ("m,t=1", .noFields), ("m,t=1 ", .noFields), (",t=1 f=1", .noMeasurement),
  (", f=1", .noMeasurement), ("=", .noFields), ("m f", .badField), ("m f=", .badField), ("m =1", .badField),
  ("m =", .badField), ("m f=1,", .badField), ("m f=1,,g=2", .badField), ("m f=1,g", .badField), ("m ,f=1", .badField),
  ("m f =1", .badField), ("m f= 1", .badField), ("m, f=1", .badTag), ("m,t f=1", .badTag), ("m,t= f=1", .badTag),
  ("m,=v f=1", .badTag), ("m,t=v, f=1", .badTag), ("m,,t=v f=1", .badTag), ("m,t=a=b f=1", .badTag),
  ("m,t=a,t=b f=1", .repeatedTag), (#"m,t=a\ f=1"#, .badTag), (#"m\ f=1"#, .noFields), ("m f=+1", .badBoolean),
  ("m f=1x", .badNumber), ("m f=1.2.3", .badNumber), ("m f=1e", .badNumber), ("m f=1e+", .badNumber),
  ("m f=-", .badNumber),
  ("m f=.", .badNumber), ("m f=--1", .badNumber), ("m f=0x10", .badNumber), ("m f=1_000", .badNumber),
  ("m f=0x1p3", .badNumber), ("m f=nan", .badBoolean), ("m f=NaN", .badBoolean), ("m f=inf", .badBoolean),
  ("m f=-Inf", .badNumber), ("m f=1e999", .outOfRange), ("m f=-1e999", .outOfRange), ("m f=i", .badNumber),
  ("m f=-i", .badNumber), ("m f=1.5i", .badNumber), ("m f=9223372036854775808i", .outOfRange),
  ("m f=-9223372036854775809i", .outOfRange), ("m f=18446744073709551616u", .outOfRange), ("m f=-1u", .outOfRange),
  ("m f=u", .badNumber), ("m f=tru", .badNumber), ("m f=yes", .badBoolean), ("m f=tRUE", .badBoolean),
  ("m f=abc", .badBoolean), (#"m f="a"b"#, .openString), (#"m f="a"",g=1"#, .openString), (#"m f=a"b""#, .badBoolean),
  (#"m f='a'"#, .badBoolean), ("m f=1 x", .badTime), ("m f=1 1 2", .badTime), ("m f=1 1.5", .badTime),
  ("m f=1 +1", .badTime), ("m f=1 -", .badTime), ("m f=1 9223372036854775808", .badTime), ("m f=1 1e3", .badTime),
  ("m f=1 1i", .badTime), ("m f=1 0x1", .badTime), ("m,host=a\u{1}b f=1", .controlCharacter),
  ("m,app=a\u{7f} f=1", .controlCharacter), ("m\u{0} f=1", .controlCharacter), ("m f\u{2}=1", .controlCharacter),
  (String(repeating: "m", count: 199) + " f=1", .nameLength),
  ("m,host=\(String(repeating: "h", count: 201)) f=1", .nameLength),
  ("m,app=\(String(repeating: "é", count: 101)) f=1", .nameLength),
  ("m" + (0..<65).map { ",t\($0)=1" }.joined() + " f=1", .tooManyTags),
  ("m,t=\(String(repeating: "x", count: 9000)) f=1", .tooMuch),
  ("m,t=\(String(repeating: "x", count: 8000)) " + (0..<200).map { "f\($0)=1" }.joined(separator: ","), .tooMuch),
  ("m f=1,s=\"\(String(repeating: "\u{1}", count: 2000))\"", .tooMuch),
  ("m f=\(String(repeating: "1", count: 70_000))", .tooLong), (String(repeating: "a", count: 65_537), .tooLong),
  ("#" + String(repeating: "a", count: 65_537), .tooLong),
]
private let malformedBytes: [([UInt8], InfluxFaultKind)] = [
  ([0xff], .notUTF8), (Array("m".utf8) + [0xc3], .notUTF8),
  (Array("m,t=".utf8) + [0xed, 0xa0, 0x80] + Array(" f=1".utf8), .notUTF8),
  (Array("m f=\"".utf8) + [0x80] + Array("\"".utf8), .notUTF8),
  (Array("m ".utf8) + [0xf4, 0x90, 0x80, 0x80] + Array("=1".utf8), .notUTF8),
  (Array("m f=".utf8) + [0xff], .badBoolean), (Array("m f=1 ".utf8) + [0xff], .badTime),
  ([0xc0, 0x80, 0x20], .notUTF8),
]

@Test func `a malformed line is refused with its reason, and its neighbours are taken`() {
  let good = Array("good f=1\n".utf8)
  for (line, kind) in malformed.map({ (Array($0.0.utf8), $0.1) }) + malformedBytes {
    let write = InfluxWrite(good + line + [10] + good, context)
    let shown = String(decoding: line.prefix(80), as: UTF8.self)
    #expect(write.faults.map(\.kind) == [kind] && write.faults.map(\.line) == [2], "\(shown)")
    #expect(write.faults.first?.raw == Array(line.prefix(InfluxWrite.maxLine)), "\(shown)")
    #expect(write.points == 2 && write.records.count == 2, "\(shown)")
  }
  // A string without an end takes no other line with it.
  let open = decode("good f=1\nm f=\"a\ngood f=2\nm f=\"b\\\"\ngood f=3")
  #expect(open.points >= 2 && open.faults.count >= 1 && open.records.last.map(show) == "192.0.2.9/db good.f=3.0")
  #expect(decode("m f=\"a\\\"\ngood f=2").faults.map(\.kind) == [.openString])
}

@Test func `empty bodies, comments and blank lines are nothing, and faults count as records do`() {
  for text in ["", "\n", "\n\n\r\n", "#", "# m f=1", " \t ", "#\"\n#\""] {
    #expect(decode(text) == InfluxWrite(Array(text.utf8), context) && decode(text).records.isEmpty, "\(text)")
    #expect(decode(text).faults.isEmpty, "\(text)")
  }
  let many = decode(String(repeating: "bad\n", count: 5000))
  #expect(many.faults.count == 5000 && many.faults.last?.line == 5000)
  #expect(decode("bad\nbad\nbad") { $0.maxRecords = 2 }.isTooLarge)
}

@Test func `a body of more records or bytes than a delivery may hold is refused as a whole`() {
  #expect(decode("m a=1,b=2\nm a=3") { $0.maxRecords = 2 }.isTooLarge)
  #expect(!decode("m a=1,b=2") { $0.maxRecords = 2 }.isTooLarge)
  let tags = String(repeating: "x", count: 8000)
  let line = "m,t=\(tags) " + (0..<100).map { "f\($0)=1" }.joined(separator: ",") + "\n"
  #expect(decode(String(repeating: line, count: 120)).isTooLarge)
}

@Test func `a body cut at any byte gives the whole lines before the cut as they were`() {
  let text = "cpu,host=h,t\\ =a\\,b f=1,g=2i,s=\"x\ny\\\"z\" 1795165200000000000\nm f=t 5\n# c\nn,a=b v=3\n"
  let whole = decode(text).records
  let bytes = Array(text.utf8)
  for count in 0...bytes.count {
    let cut = InfluxWrite(Array(bytes.prefix(count)), context)
    let lines = min(cut.records.count, whole.count)
    // The last line may itself be cut to another valid one.
    if lines > 2 { #expect(cut.records.prefix(2) == whole.prefix(2), "\(count)") }
  }
}

/// All deliveries of a connection, answered at once.
private func overTCP(_ bytes: [UInt8], pieces: Int, limits: DeliveryLimits = DeliveryLimits()) -> [String] {
  var session = InfluxSession(peer: "192.0.2.9", limits: limits)
  var found: [String] = []
  func carryOut(_ actions: [DeliveryAction]) {
    for case .deliver(let number, let delivery) in actions {
      #expect(delivery.key == nil && delivery.source == "192.0.2.9" && delivery.count > 0)
      found +=
        delivery.records.map(show)
        + delivery.faults.map { "\($0.reason): \(String(decoding: $0.raw.prefix(9), as: UTF8.self))" }
      #expect(
        session.delivered(number, .stored(isDuplicate: false, rejects: [])).allSatisfy { $0 == .close(reason: "") })
    }
  }
  for start in stride(from: 0, to: bytes.count, by: pieces) {
    carryOut(session.received(Array(bytes[start..<min(start + pieces, bytes.count)]), now: nine))
  }
  carryOut(session.ended(now: nine))
  // Refused lines come behind the records that they arrived with.
  return found.sorted()
}

@Test func `a connection's records are the same however its bytes are cut, and bad lines are kept`() {
  let long = String(repeating: "x", count: 70_000)
  let text =
    "a,host=h f=1,s=\"x\ny\" 1795165200000000000\n\n# c\nbad\nb f=\"open\nc f=2\n\(long)\nd f=3\ne f=\"\(long)\ng f=4\nlast f=5"
  let whole = overTCP(Array(text.utf8), pieces: 1 << 20)
  #expect(whole.count == 9)
  #expect(whole.contains("192.0.2.9/influx last.f=5.0") && whole.contains("influx: missing fields: bad"))
  for pieces in [1, 2, 3, 7, 100, 65_535, 65_536, 65_537] {
    #expect(overTCP(Array(text.utf8), pieces: pieces) == whole, "\(pieces)")
  }
}

@Test func `a connection is not read while too much is under way, and closed when nothing can be taken`() {
  var limits = DeliveryLimits()
  limits.underWay = 2
  var session = InfluxSession(peer: "p", limits: limits)
  #expect(session.received(Array("m f=1\n".utf8), now: nine).count == 1 && session.mayReceive)
  #expect(session.received(Array("m f=1\n".utf8), now: nine).count == 1 && !session.mayReceive)
  #expect(session.delivered(1, .stored(isDuplicate: false, rejects: [])).isEmpty && session.mayReceive)
  guard case .close(let reason)? = session.delivered(2, .unavailable(retryAfterSeconds: 1)).first else {
    Issue.record("not closed")
    return
  }
  #expect(!reason.isEmpty && !session.mayReceive)
  #expect(session.received(Array("m f=1\n".utf8), now: nine).isEmpty)
}

@Test func `mutated line protocol never traps, and what is taken has valid names and labels`() {
  var random = SplitMix64(seed: 8086)
  let seeds = [
    "cpu,host=h1,app=a,core=0 user=1,sys=2i,n=3u,up=t 1795165200000000000\nm f=1",
    #"a\,b\ c,t\=1=v\=1 f\ y=1,s="a\"b\\" 5"#, "m,level=err message=\"x\ny\"\n# c\nn v=1e5,w=-7i",
  ]
  var taken = 0
  for round in 0..<30_000 {
    let bytes = mutate(seeds[round % seeds.count], &random)
    let write = InfluxWrite(bytes, context)
    taken += write.points
    for record in write.records {
      #expect((1...200).contains(record.host.utf8.count) && (1...200).contains(record.app.utf8.count))
      if case .metric(let metric) = record.body {
        #expect(metric.value.isFinite && (1...200).contains(metric.name.utf8.count))
        if let labels = metric.labels { #expect(SmallObject(labels.bytes) != nil) }
      }
    }
    if round % 10 == 0 { #expect(overTCP(bytes, pieces: 1 + round % 13) == overTCP(bytes, pieces: 1 << 20)) }
  }
  #expect(taken > 10_000)
}

@Test func `there are at least sixty malformed points`() { #expect(malformed.count >= 60) }

/// Each string is whole and holds a newline: once every one of those began a line, and each line was looked at to its
/// 65,536th byte. 400 kB took seconds then.
@Test func `strings with newlines in one endless line are looked at once, as a body and over a connection`() {
  let endless = Array("m f=1".utf8) + Array(repeatElement(Array(" a=\"\n\"".utf8), count: 60_000).joined())
  let write = InfluxWrite(endless, InfluxContext(database: "d", peer: "192.0.2.9", now: nine))
  #expect(write.records.isEmpty && write.faults.count <= endless.count / InfluxWrite.maxLine + 2)
  for pieces in [4096, 65_536, 1 << 20] { #expect(overTCP(endless, pieces: pieces).count == write.faults.count) }
}

@Test func `a string that nothing closes hides no line behind it, however many strings stand before it`() {
  let strings = String(repeating: " a=\"\n\"", count: 5000)
  let text = "m f=1\(strings) b=\"open\nlast f=2"
  let write = InfluxWrite(Array(text.utf8), InfluxContext(database: "d", peer: "192.0.2.9", now: nine))
  #expect(write.records.count == 1 && write.faults.count == 1)
  #expect(overTCP(Array(text.utf8), pieces: 100).count == 2)
}
