// A corpus of malformed entries of systemd's journal, each with what is read of it.
@testable import Telemetry
import Testing

private let head = #""__CURSOR":"s=1;i=2","__REALTIME_TIMESTAMP":"1795165200000001""#
private let time = #""__REALTIME_TIMESTAMP":"1""#
private let cursor = #""__CURSOR":"x""#

/// Lines that are no entry.
private let none: [String] = [
  "", " ", "{}", "[]", "{", "}", "null", "{\(head)", "{\(head)} x", "{\(head)}{}", "[{\(head)}]", "{\(head),}",
  "\(head)",
  "{\(cursor)}", "{\(time)}", "-- No entries --", "-- Reboot --", "\0", "{\(head)}\0", "\u{feff}{\(head)}",
  // Cursors.
  #"{"__CURSOR":"",\#(time)}"#, #"{"__CURSOR":1,\#(time)}"#, #"{"__CURSOR":null,\#(time)}"#,
  #"{"__CURSOR":{},\#(time)}"#, #"{"__CURSOR":[],\#(time)}"#, #"{"__CURSOR":[256],\#(time)}"#,
  #"{"__CURSOR":"\ud800",\#(time)}"#, #"{"__cursor":"x",\#(time)}"#,
  "{\"__CURSOR\":\"\(String(repeating: "x", count: 901))\",\(time)}",
  // Times.
  #"{\#(cursor),"__REALTIME_TIMESTAMP":1}"#, #"{\#(cursor),"__REALTIME_TIMESTAMP":""}"#,
  #"{\#(cursor),"__REALTIME_TIMESTAMP":"-1"}"#, #"{\#(cursor),"__REALTIME_TIMESTAMP":"1.5"}"#,
  #"{\#(cursor),"__REALTIME_TIMESTAMP":"1e9"}"#, #"{\#(cursor),"__REALTIME_TIMESTAMP":"0x1"}"#,
  #"{\#(cursor),"__REALTIME_TIMESTAMP":" 1"}"#, #"{\#(cursor),"__REALTIME_TIMESTAMP":"9223372036854775808"}"#,
  #"{\#(cursor),"__REALTIME_TIMESTAMP":null}"#, #"{\#(cursor),"__REALTIME_TIMESTAMP":"now"}"#,
  // Members that no JSON has.
  #"{\#(head),"MESSAGE":"\ud800"}"#, #"{\#(head),"MESSAGE":"\u0000"}"#, #"{\#(head),"MESSAGE":[1,}"#,
  #"{\#(head),"MESSAGE":[1,]}"#, #"{\#(head),"MESSAGE":"x}"#, #"{\#(head),"MESSAGE":x}"#, #"{\#(head),"MESSAGE":}"#,
  #"{\#(head),"MESSAGE"}"#, #"{\#(head) "MESSAGE":"x"}"#, #"{\#(head),"MESSAGE":"\x"}"#,
  "{\(head),\"MESSAGE\":\"a\u{1}b\"}", "{\(head),\"MESSAGE\":" + String(repeating: "[", count: 100_000),
  String(repeating: "[", count: 100_000),
]

private struct Read: Equatable {
  var message = ""
  var severity = 6
  var app = "journal"
  var attributes = "{}"
}
/// Entries whose fields are not what they should be.
private let odd: [(String, Read)] = [
  (#""MESSAGE":null"#, Read()),
  (#""MESSAGE":{}"#, Read()),
  (#""MESSAGE":true"#, Read()),
  (#""MESSAGE":1"#, Read()),
  (#""MESSAGE":[]"#, Read()),
  (#""MESSAGE":[[]]"#, Read()),
  (#""MESSAGE":[256]"#, Read()),
  (#""MESSAGE":[104,999]"#, Read()),
  (#""MESSAGE":[-1]"#, Read()),
  (#""MESSAGE":[null]"#, Read()),
  (#""MESSAGE":[{}]"#, Read()),
  (#""MESSAGE":[""]"#, Read()),
  (#""MESSAGE":["a","b"]"#, Read(message: "a")),
  (#""MESSAGE":[[104,105],"x"]"#, Read(message: "hi")),
  (#""MESSAGE":[104, 105]"#, Read(message: "hi")),
  (#""MESSAGE":[104,0]"#, Read(message: "h\u{fffd}")),
  (#""MESSAGE":[255,104]"#, Read(message: "\u{fffd}h")),
  (#""MESSAGE":["]"]"#, Read(message: "]")),
  (#""MESSAGE":"a","MESSAGE":"b""#, Read(message: "b")),
  (#""PRIORITY":"8""#, Read()),
  (#""PRIORITY":"-1""#, Read()),
  (#""PRIORITY":"x""#, Read()),
  (#""PRIORITY":"""#, Read()),
  (#""PRIORITY":3"#, Read()),
  (#""PRIORITY":"3.0""#, Read()),
  (#""PRIORITY":["3","4"]"#, Read(severity: 3)),
  (#""PRIORITY":null"#, Read()),
  (#""PRIORITY":"99999999999999999999""#, Read()),
  (#""SYSLOG_IDENTIFIER":"""#, Read()),
  (#""SYSLOG_IDENTIFIER":"\u0001""#, Read()),
  (#""SYSLOG_IDENTIFIER":"","_COMM":"c""#, Read(app: "c", attributes: #"{"command":"c"}"#)),
  (#""SYSLOG_IDENTIFIER":7"#, Read()),
  (#""SYSLOG_IDENTIFIER":"a\u007fb""#, Read(app: "ab")),
  (#""_PID":7"#, Read()),
  (#""_PID":"x""#, Read(attributes: #"{"pid":"x"}"#)),
  (#""_UID":"""#, Read(attributes: #"{"uid":""}"#)),
  (#""_UID":"\#(String(repeating: "u", count: 501))""#, Read()),
]

@Test func `each malformed entry of the journal is none, or is read as it has to be`() throws {
  for text in none { #expect(JournalEntry(Array(text.utf8)[...]) == nil, "\(text.prefix(80).debugDescription)") }
  for (members, expected) in odd {
    let entry = try #require(JournalEntry(Array("{\(head),\(members)}".utf8)[...]), "\(members)")
    let attributes = String(decoding: entry.attributes.bytes, as: UTF8.self)
    let found = Read(message: entry.message, severity: entry.severity, app: entry.app, attributes: attributes)
    #expect(found == expected, "\(members)")
    #expect(entry.cursor == "s=1;i=2" && entry.realtime == 1_795_165_200_000_001, "\(members)")
  }
}

@Test func `there are at least sixty malformed entries of the journal`() { #expect(none.count + odd.count >= 60) }
