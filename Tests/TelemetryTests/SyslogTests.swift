// Syslog of both RFCs and of what is found in use, as rows of the log table.
@testable import Telemetry
import Testing

private struct Logged: Equatable {
  var host: String?
  var app: String?
  var severity: String?
  var message: String?
  var attrs: String?
  var ts: Int64 = 0
}
private func decodeAll(
  _ bytes: [UInt8], pieces: Int = 1 << 20, now: Int64 = nine, maxMessage: Int = 2048, zone: Int = 0,
  datagram: Bool = false
) throws -> [Logged] {
  var decoder = SyslogDecoder(
    window: TimeWindow(from: nine - 900_000_000_000, until: nine + 900_000_000_000), maxMessage: maxMessage,
    namesLog2: 10)
  decoder.zoneOffsetSeconds = zone
  var batch = Batch()
  if datagram {
    decoder.decodeDatagram(bytes.span, peer: "192.0.2.9", now: now, into: &batch)
  } else {
    var buffer = LineBuffer(initialCapacity: 64, maximumCapacity: 4096)
    var cursor = SyslogCursor(peer: "192.0.2.9")
    var at = 0
    while at < bytes.count {
      let piece = Array(bytes[at..<min(at + pieces, bytes.count)])
      at += buffer.append(piece.span)
      let stop = decoder.decode(&buffer, &cursor, now: now, into: &batch, rowLimit: 1 << 20, byteLimit: 1 << 28)
      #expect(stop == .incomplete)
    }
  }
  let found = try Contents(batch)
  return found[.log].map {
    Logged(
      host: found.name(.host, $0["host_id"]), app: found.name(.app, $0["app_id"]), severity: $0["severity"],
      message: $0["message"], attrs: $0["attrs"], ts: Int64($0["ts"] ?? "") ?? 0)
  }
}
private func one(_ text: String, now: Int64 = nine, zone: Int = 0) throws -> Logged {
  let all = try decodeAll(Array(text.utf8), now: now, zone: zone, datagram: true)
  try #require(all.count == 1)
  return all[0]
}

@Test func `a name holds no DEL, as no other control character`() throws {
  let logged = try decodeAll(Array("<13>Nov 20 09:00:00 host a\u{7f}pp\u{7f}: m".utf8), datagram: true)
  #expect(logged.map(\.host) == ["host"])
  #expect(logged.map(\.app) == ["app"])
}

@Test func `messages of RFC 5424 arrive with all parts of their header`() throws {
  #expect(
    try one("<34>1 2026-11-20T09:00:00.003Z mymachine.example.com su 77 ID47 - \u{feff}'su root' failed for lonvick")
      == Logged(
        host: "mymachine.example.com", app: "su", severity: "2", message: "'su root' failed for lonvick",
        attrs: #"{"facility":"auth","process":"77","msgid":"ID47"}"#, ts: nine + 3000))
  #expect(
    try one(
      #"<165>1 2026-11-20T09:00:00+00:00 h evntslog - - [ex@32473 iut="3" src="a\"b\\c\]d\e"][p@1 a="b" a2=""] An event"#
    )
      == Logged(
        host: "h", app: "evntslog", severity: "5", message: "An event",
        attrs: #"{"facility":"local4","sd":{"ex@32473":{"iut":"3","src":"a\"b\\c]d\\e"},"p@1":{"a":"b","a2":""}}}"#,
        ts: nine))
  #expect(
    try one("<0>1 - - - - - -")
      == Logged(host: "192.0.2.9", app: "syslog", severity: "0", message: "", attrs: #"{"facility":"kern"}"#, ts: nine))
  #expect(try one(#"<14>1 - h a - - [x]"#).attrs == #"{"facility":"user","sd":{"x":{}}}"#)
}

@Test func `messages of RFC 3164 and their many variants arrive with what they say`() throws {
  let user = #"{"facility":"user"}"#
  let cases: [(String, Logged)] = [
    (
      "<13>Nov 20 09:00:00 web-1 sshd[411]: Accepted publickey",
      Logged(
        host: "web-1", app: "sshd", severity: "5", message: "Accepted publickey",
        attrs: #"{"facility":"user","process":"411"}"#, ts: nine)
    ),
    (
      "<13>Nov 20 09:00:00 root: from logger without host",
      Logged(host: "192.0.2.9", app: "root", severity: "5", message: "from logger without host", attrs: user, ts: nine)
    ),
    (
      "<13>2026-11-20T09:00:00.123456+00:00 web-1 app: rsyslog's own form",
      Logged(host: "web-1", app: "app", severity: "5", message: "rsyslog's own form", attrs: user, ts: nine + 123_456)
    ),
    (
      "<13>Nov 20 2026 09:00:00 sw1 %LINK-3-UPDOWN: Interface down",
      Logged(host: "sw1", app: "%LINK-3-UPDOWN", severity: "5", message: "Interface down", attrs: user, ts: nine)
    ),
    (
      "<13>Nov 20 09:00:00 web-1 no tag here at all",
      Logged(host: "web-1", app: "syslog", severity: "5", message: "no tag here at all", attrs: user, ts: nine)
    ),
    (
      "<11>app[1]: no time",
      Logged(
        host: "192.0.2.9", app: "app", severity: "3", message: "no time",
        attrs: #"{"facility":"user","process":"1"}"#, ts: nine)
    ),
    (
      "just text, with: a colon",
      Logged(
        host: "192.0.2.9", app: "syslog", severity: "5", message: "just text, with: a colon", attrs: user, ts: nine)
    ),
    (
      "<999>text", Logged(host: "192.0.2.9", app: "syslog", severity: "5", message: "<999>text", attrs: user, ts: nine)
    ),
    (
      "<13>Nov 31 09:00:00 h a: no such day",
      Logged(
        host: "192.0.2.9", app: "syslog", severity: "5", message: "Nov 31 09:00:00 h a: no such day", attrs: user,
        ts: nine)
    ),
    (
      "<13>1 2026-11-20T09:00:00Z h",
      Logged(
        host: "192.0.2.9", app: "syslog", severity: "5", message: "1 2026-11-20T09:00:00Z h", attrs: user, ts: nine)
    ),
    ("<13>", Logged(host: "192.0.2.9", app: "syslog", severity: "5", message: "", attrs: user, ts: nine)),
  ]
  for (text, expected) in cases { #expect(try one(text) == expected, "\(text)") }
}

@Test func `the year that is left out is the one nearest to the clock`() throws {
  func at(_ year: Int, _ month: Int, _ day: Int) -> Int64 { Int64(daysSince2000(year, month, day)) * 86_400_000_000 }
  func ts(_ text: String, now: Int64) throws -> Int64 {
    var decoder = SyslogDecoder(window: TimeWindow(from: .min, until: .max), namesLog2: 10)
    var batch = Batch()
    decoder.decodeDatagram(Array(text.utf8).span, peer: "p", now: now, into: &batch)
    return Int64(try Contents(batch)[.log][0]["ts"] ?? "") ?? 0
  }
  let dayMicros: Int64 = 86_400_000_000
  #expect(try ts("<1>Dec 31 23:59:59 h a: x", now: at(2027, 1, 1)) == at(2027, 1, 1) - 1_000_000)
  #expect(try ts("<1>Jan  1 00:00:00 h a: x", now: at(2026, 12, 31)) == at(2027, 1, 1))
  #expect(try ts("<1>Feb 29 00:00:00 h a: x", now: at(2028, 3, 1)) == at(2028, 2, 29))
  #expect(try ts("<1>Feb 29 00:00:00 h a: x", now: at(2027, 3, 1)) == at(2028, 2, 29))
  #expect(try ts("<1>Jun  9 00:00:00 h a: x", now: at(2026, 6, 10)) == at(2026, 6, 10) - dayMicros)
}

@Test func `local times are read in the zone that is given, and odd times keep their text`() throws {
  #expect(try one("<13>Nov 20 18:00:00 h a: x", zone: 9 * 3600).ts == nine)
  let old = try one("<13>1 2016-11-20T09:00:00Z h a - - - x")
  #expect(old.ts == nine && old.attrs == #"{"facility":"user","ts":"2016-11-20T09:00:00Z"}"#)
}

@Test func `octet-counted and newline framing are told apart for each message, however the bytes are cut`() throws {
  let first = "<13>1 - h a - - - with\nnewline"
  let stream =
    "\(first.utf8.count) \(first)<13>Nov 20 09:00:00 h b: line\n\n\r\n2026 was a year\n"
    + "11 <13>c: count\n15 <13>d: count2\n \n\0\n99 bottles\n<13>e: last\r\n"
  let expected: [(String?, String)] = [
    ("a", "with\nnewline"), ("b", "line"), ("syslog", "2026 was a year"), ("c", "coun"), ("syslog", "t"),
    ("d", "count2"), ("syslog", "99 bottles"), ("e", "last"),
  ]
  for pieces in [1, 2, 3, 7, 64, 1000] {
    let found = try decodeAll(Array(stream.utf8), pieces: pieces)
    #expect(found.map(\.message) == expected.map(\.1), "\(pieces)")
    #expect(found.map(\.app) == expected.map(\.0), "\(pieces)")
  }
}

@Test func `what is too long is cut and marked, and the next message is whole`() throws {
  let body = String(repeating: "é", count: 20_000)
  for prefix in ["", "\(body.utf8.count + 7) "] {
    for pieces in [10, 1000, 100_000] {
      let found = try decodeAll(Array("\(prefix)<13>a: \(body)\n<13>b: next\n".utf8), pieces: pieces)
      try #require(found.count == 2, "\(prefix) \(pieces)")
      #expect(found[0].app == "a" && found[1].message == "next")
      #expect(found[0].attrs?.contains(#""cut_from":"#) == true)
      let message = try #require(found[0].message)
      #expect(message.allSatisfy { $0 == "é" } && message.utf8.count > 1900 && message.utf8.count <= 2048)
    }
  }
}

@Test func `bytes that are no text are replaced, never refused`() throws {
  let found = try decodeAll(
    Array("<13>a[\"]: x".utf8) + [0, 0xff, 0xc3, 0x28, 0xe2, 0x82, 0xed, 0xa0, 0x80, 9, 1, 0, 0], datagram: true)
  #expect(found[0].message == "x\u{fffd}\u{fffd}\u{fffd}(\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\t\u{1}")
  #expect(try decodeAll([0, 0, 10], datagram: true).isEmpty)
  #expect(try decodeAll([], datagram: true).isEmpty)
  let data = try one("<13>1 - h a - - [i\u{2} a\u{1}b=\"\u{3}\" \u{4}=]x] m")
  #expect(data.message == "1 - h a - - [i\u{2} a\u{1}b=\"\u{3}\" \u{4}=]x] m")
  #expect(try one("<13>1 - h a - - [i\u{2} a=\"\u{3}\" ==x] m").message == "m")
}

@Test func `names that are too long are cut between characters`() throws {
  let odd = try one("<13>1 - x\(String(repeating: "é", count: 150)) a - - - m")
  #expect(odd.host == "x" + String(repeating: "é", count: 99))
  let found = try one("<13>1 - \(String(repeating: "é", count: 150)) \(String(repeating: "a", count: 300)) - - - m")
  #expect(found.host == String(repeating: "é", count: 100) && found.app == String(repeating: "a", count: 200))
}
