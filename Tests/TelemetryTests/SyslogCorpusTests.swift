// A corpus of malformed syslog: each with the row it becomes. Nothing is refused, so the outcome is what is believed of
// a header, and that all the rest arrives as the message.
@testable import Telemetry
import Testing

/// What a message becomes; `host` nil is the peer, `at` nil the time of arrival, otherwise seconds after nine.
private struct Outcome: Equatable {
  var app = "syslog"
  var severity = 5
  var message: String
  var host = "192.0.2.9"
  var attrs = #"{"facility":"user"}"#
  var at: Double?
}
private func all(_ message: String) -> Outcome { Outcome(message: message) }
private let sixtyFour = String(repeating: "a", count: 64)

/// Headers that are none, or only in part.
private let headers: [(String, Outcome?)] = [
  ("", nil),
  ("\n", nil),
  ("\r\n", nil),
  (" ", nil),
  ("\0\0", nil),
  (" \r\n\0", nil),
  ("   ", nil),
  // The priority.
  ("<", all("<")),
  ("<>", all("<>")),
  ("<>x", all("<>x")),
  ("<1", all("<1")),
  ("<192>x", all("<192>x")),
  ("<1000>x", all("<1000>x")),
  ("<0013>x", all("<0013>x")),
  ("<-1>x", all("<-1>x")),
  ("<+1>x", all("<+1>x")),
  ("< 1>x", all("< 1>x")),
  ("<1 >x", all("<1 >x")),
  ("<1x>y", all("<1x>y")),
  ("<<13>>x", all("<<13>>x")),
  ("x<13>y", all("x<13>y")),
  ("<１>x", all("<１>x")),
  (">13<x", all(">13<x")),
  (" <13>x", all("<13>x")),
  ("\0<13>x", all("\u{fffd}<13>x")),
  ("<13>", all("")),
  ("<13> ", all("")),
  ("<013>x", all("x")),
  ("<0>", Outcome(severity: 0, message: "", attrs: #"{"facility":"kern"}"#)),
  ("<191>x", Outcome(severity: 7, message: "x", attrs: #"{"facility":"local7"}"#)),
  // The tag of RFC 3164.
  ("<13>:", all(":")),
  ("<13>[1]: x", all("[1]: x")),
  ("<13>a[", all("a[")),
  ("<13>a[1", all("a[1")),
  ("<13>a[1 2]: x", all("a[1 2]: x")),
  ("<13>a:x", all("a:x")),
  ("<13>::: x", all("::: x")),
  ("<13>: x", all(": x")),
  ("<13>a\u{1}b: x", all("a\u{1}b: x")),
  ("<13>a[]: x", Outcome(app: "a", message: "x")),
  ("<13>a[1]x", Outcome(app: "a", message: "x", attrs: #"{"facility":"user","process":"1"}"#)),
  ("<13>a[1]]: x", Outcome(app: "a", message: "]: x", attrs: #"{"facility":"user","process":"1"}"#)),
  ("<13>a[1]:: x", Outcome(app: "a", message: ": x", attrs: #"{"facility":"user","process":"1"}"#)),
  ("<13>a:", Outcome(app: "a", message: "")),
  ("<13>a: \u{1b}[31mred", Outcome(app: "a", message: "\u{1b}[31mred")),
  ("<13>a: x   \r\n\0", Outcome(app: "a", message: "x")),
  ("<13>\(sixtyFour): x", Outcome(app: sixtyFour, message: "x")),
  ("<13>a\(sixtyFour): x", all("a\(sixtyFour): x")),
  // The time of RFC 3164.
  ("<13>Nov 20 9:00:00 h a: x", all("Nov 20 9:00:00 h a: x")),
  ("<13>Nov 00 09:00:00 h a: x", all("Nov 00 09:00:00 h a: x")),
  ("<13>Nov 20 24:00:00 h a: x", all("Nov 20 24:00:00 h a: x")),
  ("<13>Nov 20 09:60:00 h a: x", all("Nov 20 09:60:00 h a: x")),
  ("<13>Nov 20 09:00:61 h a: x", all("Nov 20 09:00:61 h a: x")),
  ("<13>Nov 20 09:00:00x h a: x", all("Nov 20 09:00:00x h a: x")),
  ("<13>Nvo 20 09:00:00 h a: x", all("Nvo 20 09:00:00 h a: x")),
  ("<13>November 20 09:00:00 h a: x", all("November 20 09:00:00 h a: x")),
  ("<13>Feb 30 09:00:00 h a: x", all("Feb 30 09:00:00 h a: x")),
  ("<13>Nov 31 2026 09:00:00 h a: x", all("Nov 31 2026 09:00:00 h a: x")),
  ("<13>Nov 20 0000 09:00:00 h a: x", all("Nov 20 0000 09:00:00 h a: x")),
  ("<13>Nov 20", all("Nov 20")),
  ("<13>Nov 20 09:00", all("Nov 20 09:00")),
  ("<13>2026-11-20T09:00:00 h a: x", all("2026-11-20T09:00:00 h a: x")),
  ("<13>2026-13-20T09:00:00Z h a: x", all("2026-13-20T09:00:00Z h a: x")),
  ("<13>Nov 20 09:00:00", Outcome(message: "", at: 0)),
  ("<13>Nov 20 09:00:00: a: x", Outcome(app: "a", message: "x", at: 0)),
  ("<13>Nov 20 09:00:00 h/x a: y", Outcome(message: "h/x a: y", at: 0)),
  ("<13>Nov 20 09:00:00 h", Outcome(message: "h", at: 0)),
  ("<13>Nov 20 09:00:00.99999999999999999999 h a: x", Outcome(app: "a", message: "x", host: "h", at: 0.999999)),
  (
    "<13>Nov 20 1999 09:00:00 h a: x",
    Outcome(app: "a", message: "x", host: "h", attrs: #"{"facility":"user","ts":"Nov 20 1999 09:00:00"}"#)
  ),
  // The header of RFC 5424.
  ("<13>1", all("1")),
  ("<13>1 -", all("1 -")),
  ("<13>1 - - - -", all("1 - - - -")),
  ("<13>1 - - - - -", all("1 - - - - -")),
  ("<13>1 - - - - - -x", all("1 - - - - - -x")),
  ("<13>1  - - - - - - x", all("1  - - - - - - x")),
  ("<13>2 - - - - - - x", all("2 - - - - - - x")),
  ("<13>10 - - - - - - x", all("10 - - - - - - x")),
  ("<13>1\t- - - - - - x", all("1\t- - - - - - x")),
  ("<13>1 2026-13-20T09:00:00Z h a - - - x", all("1 2026-13-20T09:00:00Z h a - - - x")),
  ("<13>1 2026-11-20T09:00:00 h a - - - x", all("1 2026-11-20T09:00:00 h a - - - x")),
  ("<13>1 2026-11-20 09:00:00Z h a - - - x", all("1 2026-11-20 09:00:00Z h a - - - x")),
  ("<13>1 20261120T090000Z h a - - - x", all("1 20261120T090000Z h a - - - x")),
  ("<13>1 now h a - - - x", all("1 now h a - - - x")),
  ("<13>1 2026-11-20T25:00:00Z h a - - - x", all("1 2026-11-20T25:00:00Z h a - - - x")),
  ("<13>1 - h a - - -\u{feff}x", all("1 - h a - - -\u{feff}x")),
  ("<13>1 - - - - - -", all("")),
  ("<13>1 - - - - - - x", all("x")),
  ("<13>1 - h a - - - \u{feff}", Outcome(app: "a", message: "", host: "h")),
  (
    "<13>1 9999-12-31T23:59:59Z h a - - - x",
    Outcome(app: "a", message: "x", host: "h", attrs: #"{"facility":"user","ts":"9999-12-31T23:59:59Z"}"#)
  ),
  // Structured data.
  ("<13>1 - h a - - [ x", all("1 - h a - - [ x")),
  ("<13>1 - h a - - [a x", all("1 - h a - - [a x")),
  ("<13>1 - h a - - [a b=\"c] x", all("1 - h a - - [a b=\"c] x")),
  ("<13>1 - h a - - [a b=\"c\\\"] x", all("1 - h a - - [a b=\"c\\\"] x")),
  ("<13>1 - h a - - [a b=\"c\"]x m", all("1 - h a - - [a b=\"c\"]x m")),
  ("<13>1 - h a - - [", all("1 - h a - - [")),
  ("<13>1 - h a - - x m", all("1 - h a - - x m")),
  ("<13>1 - h a - - [a b=\"c\\", all("1 - h a - - [a b=\"c\\")),
  ("<13>1 - h a - - [] x", Outcome(app: "a", message: "x", host: "h", attrs: #"{"facility":"user","sd":{"":{}}}"#)),
  (
    "<13>1 - h a - - [a b=\"c\"] [d] m",
    Outcome(app: "a", message: "[d] m", host: "h", attrs: #"{"facility":"user","sd":{"a":{"b":"c"}}}"#)
  ),
  (
    "<13>1 - h a - - [a b=c] m",
    Outcome(app: "a", message: "m", host: "h", attrs: #"{"facility":"user","sd":{"a":{"b":"","c":""}}}"#)
  ),
  (
    "<13>1 - h a - - [a \"b\"] m",
    Outcome(app: "a", message: "m", host: "h", attrs: #"{"facility":"user","sd":{"a":{"":"b"}}}"#)
  ),
  (
    "<13>1 - h a - - [a b=\"c\\n\"] m",
    Outcome(app: "a", message: "m", host: "h", attrs: #"{"facility":"user","sd":{"a":{"b":"c\\n"}}}"#)
  ),
  (
    "<13>1 - h a - - [a][b] m",
    Outcome(app: "a", message: "m", host: "h", attrs: #"{"facility":"user","sd":{"a":{},"b":{}}}"#)
  ),
  (
    "<13>1 - h a - - [a =] m",
    Outcome(app: "a", message: "m", host: "h", attrs: #"{"facility":"user","sd":{"a":{"":""}}}"#)
  ),
  (
    "<13>1 - h a - - [a b=\"]\"] m",
    Outcome(app: "a", message: "m", host: "h", attrs: #"{"facility":"user","sd":{"a":{"b":"]"}}}"#)
  ),
]

/// Streams over TCP whose counts and line ends lie, and the messages that come out of them.
private let streams: [(String, [String])] = [
  ("4 <1>a", ["a"]), ("4 <1>a5 <1>bc", ["a", "bc"]), ("4 <1>a\n4 <1>b\n", ["a", "b"]), ("\n\n\n4 <1>a", ["a"]),
  // A count that is too long takes from the next message, or waits; one that is too short leaves a line.
  ("5 <1>a", []), ("9999999 <1>a\n", []), ("7 <1>a\nb<1>c\n", ["a\nb<", "1>c"]), ("4 <1>ab\n", ["a", "b"]),
  ("3 <1>", [""]), ("1 <1>a\n", ["<", "1>a"]), ("2 <1>a\n", ["<1", ">a"]), ("4 <1>é", ["\u{fffd}"]),
  ("4 <1>é\n", ["\u{fffd}", "\u{fffd}"]),
  // What is no count is a line.
  ("0 <1>a\n", ["0 <1>a"]), ("04 <1>a\n", ["04 <1>a"]), ("-4 <1>a\n", ["-4 <1>a"]), ("+4 <1>a\n", ["+4 <1>a"]),
  ("4<1>a\n", ["4<1>a"]), ("4  <1>a\n", ["4  <1>a"]), ("4\t<1>a\n", ["4\t<1>a"]), ("4 1>a\n", ["4 1>a"]),
  ("4 \n", ["4"]), ("4\n", ["4"]), ("12345678 <1>a\n", ["12345678 <1>a"]), ("4,5 <1>a\n", ["4,5 <1>a"]),
  ("99999999999999999999 <1>a\n", ["99999999999999999999 <1>a"]), ("0x4 <1>a\n", ["0x4 <1>a"]),
  ("4.0 <1>a\n", ["4.0 <1>a"]),
  // Not whole yet.
  ("4", []), ("4 ", []), ("<1>a", []), ("<", []), ("\n", []),
  // Ends of lines.
  ("<1>a\r\n", ["a"]), ("<1>a\n\r", ["a"]), ("<1>a\r<1>b\n", ["a\r<1>b"]), ("<1>a\0<1>b\n", ["a\u{fffd}<1>b"]),
  ("\0\0<1>a\n\0", ["a"]), ("<1>a\0\n<1>b\0\r\n", ["a", "b"]), (" \n\t\n<1>a\n", ["\t", "a"]), ("\n4\n", ["4"]),
]

private func decoder() -> SyslogDecoder {
  SyslogDecoder(
    window: TimeWindow(from: nine - 900_000_000_000, until: nine + 900_000_000_000), maxMessage: 2048, namesLog2: 10)
}
private let arrival = nine + 60_000_000

@Test func `each malformed header of syslog becomes the row that is left of it`() throws {
  for (text, expected) in headers {
    var decoder = decoder()
    var batch = Batch()
    decoder.decodeDatagram(Array(text.utf8).span, peer: "192.0.2.9", now: arrival, into: &batch)
    let found = try Contents(batch)
    let rows = found[.log].map { row in
      let time = Int64(row["ts"] ?? "") ?? 0
      return Outcome(
        app: found.name(.app, row["app_id"]) ?? "", severity: Int(row["severity"] ?? "") ?? -1,
        message: row["message"] ?? "", host: found.name(.host, row["host_id"]) ?? "", attrs: row["attrs"] ?? "",
        at: time == arrival ? nil : Double(time - nine) / 1_000_000)
    }
    #expect(rows == (expected.map { [$0] } ?? []), "\(text.debugDescription)")
    #expect(decoder.empty == (expected == nil ? 1 : 0), "\(text.debugDescription)")
  }
}

@Test func `counts and line ends that lie give the messages they have to, however the bytes are cut`() throws {
  for (text, expected) in streams {
    for pieces in [1, 3, 1000] {
      var decoder = decoder()
      var batch = Batch()
      var buffer = LineBuffer(initialCapacity: 64, maximumCapacity: 4096)
      var cursor = SyslogCursor(peer: "192.0.2.9")
      let bytes = Array(text.utf8)
      var at = 0
      while at < bytes.count {
        at += buffer.append(Array(bytes[at..<min(at + pieces, bytes.count)]).span)
        let stop = decoder.decode(
          &buffer, &cursor, now: arrival, into: &batch, rowLimit: 1 << 20, byteLimit: 1 << 28)
        #expect(stop == .incomplete)
      }
      let messages = try Contents(batch)[.log].map { $0["message"] }
      #expect(messages == expected, "\(text.debugDescription) in pieces of \(pieces)")
    }
  }
}

@Test func `there are at least sixty malformed headers of syslog, and forty streams`() {
  #expect(headers.count >= 60 && streams.count >= 40)
}
