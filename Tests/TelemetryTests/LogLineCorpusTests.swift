// A corpus of malformed times and lines of followed files, each with what is read of it.
@testable import Telemetry
import Testing

/// No times; the scanner stays where it was.
private let noTimes: [String] = [
  "",
  "x",
  " ",
  "2026",
  "2026-",
  "2026-11-20",
  "2026-11-20T",
  "2026-11-20T09:00",
  "2026-11-20T9:00:00Z",
  "2026-11-20X09:00:00",
  "2026-13-01T00:00:00Z",
  "2026-00-01T00:00:00Z",
  "2026-02-29T09:00:00Z",
  "2026-11-31T09:00:00Z",
  "2026-11-00T09:00:00Z",
  "2026-11-20T24:00:00Z",
  "2026-11-20T09:60:00Z",
  "2026-11-20T09:00:61Z",
  "2026/11-20 09:00:00",
  "2026-11/20 09:00:00",
  "0000-01-01T00:00:00Z",
  "-026-11-20T09:00:00Z",
  "+2026-11-20T09:00:00Z",
  "20261120T090000Z",
  "2026-11-20  09:00:00",
  "2026.11.20 09:00:00",
  "179516520",
  "17951652000",
  "179516520012",
  "17951652001234",
  "179516520012345",
  "17951652001234567",
  "99999999999999999999999",
  "-1795165200",
  "0x1795165200",
  "20/Nov/2026:09:00:00",
  "20/Nvo/2026:09:00:00 +0000",
  "31/Nov/2026:09:00:00 +0000",
  "20/Nov/26:09:00:00 +0000",
  "20/Nov/2026 09:00:00 +0000",
  "20/11/2026:09:00:00 +0000",
  "2/Nov/2026:09:00:00 +0000",
  "20/Nov/2026:09:00:00 +25:00",
  "20/Nov/2026:09:00:00 UTC",
  "00/Nov/2026:09:00:00 +0000",
  "20/",
  "Nov",
  "Nov ",
  "Nov 20",
  "Nov 20 09:00",
  "Nov 0 09:00:00",
  "Nov 32 09:00:00",
  "Nov 31 09:00:00",
  "Nov20 09:00:00",
  "Nvo 20 09:00:00",
  "Fri",
  "Fri ",
  "Fri 20 Nov 2026 09:00:00",
  "Fri Nov 20",
  "Fri, Nov 20 09:00:00 2026",
  "F1i Nov 20 09:00:00 2026",
  "November 20 09:00:00",
  "Feb 29 09:00:00",
  "Fri Feb 29 09:00:00 2026",
  "Nov 20 25:00:00",
  "Nov -1 09:00:00",
  "Nov 99999999999999999999 09:00:00",
  "\0",
  "２０２６-11-20T09:00:00Z",
]
/// Times with something wrong behind them: µs after nine, and what is left.
private let oddTimes: [(String, Int64, String)] = [
  ("2026-11-20T09:00:00Z", 0, ""),
  ("2026-11-20T09:00:60Z", 60_000_000, ""),
  ("2026-11-20t09:00:00z", 0, "z"),
  ("2026-11-20T09:00:00.", 0, "."),
  ("2026-11-20T09:00:00.Z", 0, ".Z"),
  ("2026-11-20 09:00:00,5 x", 500_000, " x"),
  ("2026-11-20T09:00:00.12345678999999999999999", 123_456, ""),
  ("2026-11-20T09:00:00+2500", 0, "+2500"),
  ("2026-11-20T09:00:00+09:6", 0, "+09:6"),
  ("2026-11-20T09:00:00 -0000", 0, ""),
  ("2026-11-20T09:00:00-", 0, "-"),
  ("1795165200.", 0, "."),
  ("1795165200.99999999999999", 999_999, ""),
  ("1795165200,5", 0, ",5"),
  ("Nov  20 09:00:00", 0, ""),
  ("nov 20 09:00:00", 0, ""),
  ("Xyz Nov 20 09:00:00 1969", 0, " 1969"),
  ("Fri Nov 20 09:00:00 20x6", 0, " 20x6"),
]

/// Lines that are no such object: they are read as plain text.
private let noObjects: [String] = [
  #""#,
  #"{"#,
  #"}"#,
  #"{}"#,
  #"[]"#,
  #"null"#,
  #""x""#,
  #"{"msg":1}"#,
  #"{"msg":null}"#,
  #"{"msg":["x"]}"#,
  #"{"msg":{"a":"x"}}"#,
  #"{"Msg":"x"}"#,
  #"{"level":"info"}"#,
  #"{"msg":"x""#,
  #"{"msg":"x"}}"#,
  #"{"msg":"x"} {"#,
  #"{"msg":"x"},"#,
  #"{"msg":"x",}"#,
  #"{"msg" "x"}"#,
  #"{"msg":"x" "a":1}"#,
  #"{"msg":"\x"}"#,
  #"{"msg":"\ud800"}"#,
  #"{"msg":"\u0000"}"#,
  #"{"\u0000":1,"msg":"x"}"#,
  #"{"msg":"\u12"}"#,
  #"{'msg':'x'}"#,
  #"{msg:"x"}"#,
  #"{"msg":"x","a":NaN}"#,
  #"{"msg":"x","a":01}"#,
  #"{"msg":"x","a":+1}"#,
  #"{"msg":"x","a":1e99999}"#,
  #"{"msg":"x","a":[1,2}"#,
  #"{"msg":"x","a":tru}"#,
  #"{"msg":"x","a":.5}"#,
  #"{"msg":"x","a":1.}"#,
  #"{"msg":"x"} // y"#,
  #"x {"msg":"x"}"#,
  #"[{"msg":"x"}]"#,
  "{\"msg\":\"a\u{1}b\"}", "{\"msg\":\"tab\tb\"}", "\u{feff}{\"msg\":\"x\"}", "{\"msg\":\"x\"}\0",
  "{\"msg\":\"x\",\"a\":" + String(repeating: "[", count: 100_000),
]

private struct Read: Equatable {
  var message = "x"
  var severity: Int?
  /// µs after nine.
  var time: Int64?
  var isTraced = false
  var isSpan = false
  var attributes = "{}"
}
/// Objects with a message and members that don't mean what their names say.
private let oddObjects: [(String, Read)] = [
  (#"{"msg":"x","level":"loud"}"#, Read()),
  (#"{"msg":"x","level":8}"#, Read()),
  (#"{"msg":"x","level":-1}"#, Read()),
  (#"{"msg":"x","level":25}"#, Read()),
  (#"{"msg":"x","level":6.5}"#, Read()),
  (#"{"msg":"x","level":null}"#, Read()),
  (#"{"msg":"x","level":[]}"#, Read()),
  (#"{"msg":"x","level":""}"#, Read()),
  (#"{"msg":"x","level":99999999999999999999}"#, Read()),
  (#"{"msg":"x","level":"30"}"#, Read()),
  (#"{"msg":"x","level":20}"#, Read(severity: 7)),
  (#"{"msg":"x","level":"nope","severity":"ERR"}"#, Read(severity: 3)),
  (#"{"msg":"x","level":"err","level":"info"}"#, Read(severity: 3)),
  (#"{"msg":"x","time":"yesterday"}"#, Read()),
  (#"{"msg":"x","time":null}"#, Read()),
  (#"{"msg":"x","time":{}}"#, Read()),
  (#"{"msg":"x","time":1}"#, Read()),
  (#"{"msg":"x","time":-1795165200}"#, Read()),
  (#"{"msg":"x","time":"2026-13-01T00:00:00Z"}"#, Read()),
  (#"{"msg":"x","time":"","ts":"2026-11-20T09:00:00Z"}"#, Read(time: 0)),
  (#"{"msg":"x","time":1795165200.5}"#, Read(time: 500_000)),
  (#"{"msg":"x","time":1e9}"#, Read()),
  (#"{"msg":"x","ts":[1795165200]}"#, Read()),
  (#"{"msg":"x","time":true}"#, Read()),
  (#"{"msg":"x","trace_id":""}"#, Read(attributes: #"{"trace_id":""}"#)),
  (
    #"{"msg":"x","trace_id":"0af7651916cd43dd8448eb211c80319"}"#,
    Read(attributes: #"{"trace_id":"0af7651916cd43dd8448eb211c80319"}"#)
  ),
  (
    #"{"msg":"x","trace_id":"0af7651916cd43dd8448eb211c80319c0"}"#,
    Read(attributes: #"{"trace_id":"0af7651916cd43dd8448eb211c80319c0"}"#)
  ),
  (
    #"{"msg":"x","trace_id":"0af7651916cd43dd8448eb211c80319g"}"#,
    Read(attributes: #"{"trace_id":"0af7651916cd43dd8448eb211c80319g"}"#)
  ),
  (
    #"{"msg":"x","trace_id":"+af7651916cd43dd8448eb211c80319c"}"#,
    Read(attributes: #"{"trace_id":"+af7651916cd43dd8448eb211c80319c"}"#)
  ),
  (
    #"{"msg":"x","trace_id":"00000000000000000000000000000000"}"#,
    Read(attributes: #"{"trace_id":"00000000000000000000000000000000"}"#)
  ),
  (#"{"msg":"x","trace_id":7}"#, Read(attributes: #"{"trace_id":7}"#)),
  (#"{"msg":"x","trace_id":"0af7651916cd43dd8448eb211c80319c"}"#, Read(isTraced: true)),
  (#"{"msg":"x","span_id":""}"#, Read(attributes: #"{"span_id":""}"#)),
  (#"{"msg":"x","span_id":"b7ad6b716920333"}"#, Read(attributes: #"{"span_id":"b7ad6b716920333"}"#)),
  (#"{"msg":"x","span_id":"-7ad6b7169203331"}"#, Read(attributes: #"{"span_id":"-7ad6b7169203331"}"#)),
  (#"{"msg":"x","span_id":"+7ad6b7169203331"}"#, Read(attributes: #"{"span_id":"+7ad6b7169203331"}"#)),
  (#"{"msg":"x","span_id":"0000000000000000"}"#, Read(attributes: #"{"span_id":"0000000000000000"}"#)),
  (#"{"msg":"x","span_id":"b7ad6b7169203331"}"#, Read(isSpan: true)),
  (#"{"msg":"x","message":"y"}"#, Read(attributes: #"{"message":"y"}"#)),
  (#"{"msg":"x","":1}"#, Read(attributes: #"{"":1}"#)),
  (#"{"msg":"x","a":"\u00e9\n"}"#, Read(attributes: #"{"a":"é\n"}"#)),
  (#"{"msg":"x","message":5}"#, Read(attributes: #"{"message":5}"#)),
]

/// Plain lines: the message is always all of it.
private let oddTexts: [(String, Read)] = [
  ("", Read(message: "")), ("\0", Read(message: "\u{fffd}")), ("<13>", Read(message: "<13>", severity: 5)),
  ("<192>x", Read(message: "<192>x")), ("<>x", Read(message: "<>x")), ("<x>y", Read(message: "<x>y")),
  ("<3", Read(message: "<3")), ("<-3>x", Read(message: "<-3>x")), ("< 3>x", Read(message: "< 3>x")),
  ("<99999999999999999999>x", Read(message: "<99999999999999999999>x")), ("[", Read(message: "[")),
  ("[2026-11-20T09:00:00Z", Read(message: "[2026-11-20T09:00:00Z", time: 0)),
  ("[[2026-11-20T09:00:00Z] x", Read(message: "[[2026-11-20T09:00:00Z] x")),
  ("x 2026-11-20T09:00:00Z", Read(message: "x 2026-11-20T09:00:00Z")),
  ("2026-11-20T09:00:00ZERROR", Read(message: "2026-11-20T09:00:00ZERROR", severity: 3, time: 0)),
  ("ERRORERROR", Read(message: "ERRORERROR")), ("[ERROR", Read(message: "[ERROR", severity: 3)),
  ("ERROR_1", Read(message: "ERROR_1")), ("level=", Read(message: "level=")), ("level=lou", Read(message: "level=lou")),
  (
    String(repeating: " ", count: 200) + "ERROR",
    Read(message: String(repeating: " ", count: 200) + "ERROR", severity: 3)
  ),
  (String(repeating: "x ", count: 100) + "ERROR", Read(message: String(repeating: "x ", count: 100) + "ERROR")),
]

private func read(_ line: LogLine) -> Read {
  Read(
    message: line.message, severity: line.severity, time: line.time.map { $0 - nine }, isTraced: line.trace != nil,
    isSpan: line.span != nil, attributes: string(line.attributes.bytes))
}
private func string(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

@Test func `what is no time at the beginning of a line is none, and what is odd behind one is left`() {
  for text in noTimes {
    var scanner = ByteScanner(Array(text.utf8))
    #expect(scanLogTime(&scanner, zone: 0, now: nine) == nil, "\(text.debugDescription)")
    #expect(scanner.at == 0, "\(text.debugDescription)")
  }
  for (text, after, rest) in oddTimes {
    let bytes = Array(text.utf8)
    var scanner = ByteScanner(bytes)
    #expect(scanLogTime(&scanner, zone: 0, now: nine).map { $0 - nine } == after, "\(text)")
    #expect(string(Array(bytes[scanner.at...])) == rest, "\(text)")
  }
}

@Test func `each malformed line of a followed file is read as it has to be`() {
  for text in noObjects {
    #expect(LogLine(json: Array(text.utf8)[...], zone: 0, now: nine) == nil, "\(text.prefix(60))")
  }
  for (text, expected) in oddObjects {
    let line = LogLine(json: Array(text.utf8)[...], zone: 0, now: nine)
    #expect(line.map(read) == expected, "\(text)")
  }
  for (text, expected) in oddTexts {
    #expect(read(LogLine(text: Array(text.utf8)[...], zone: 0, now: nine)) == expected, "\(text.debugDescription)")
  }
}

@Test func `there are at least sixty malformed times, and as many lines`() {
  #expect(noTimes.count + oddTimes.count >= 60)
  #expect(noObjects.count + oddObjects.count + oddTexts.count >= 60)
}
