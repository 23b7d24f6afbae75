// Log lines in text and JSON: severities that are meant, members of hostile objects, and never a trap.
import Chance
@testable import Telemetry
import Testing

private func severity(_ text: String) -> Int? { logSeverity(Array(text.utf8)[...]) }
private func members(_ text: String) -> [(name: String, value: JSONMember)]? { jsonMembers(Array(text.utf8)[...]) }

@Test func `a severity is a word that stands as one, not one in a sentence`() {
  let cases: [(String, Int?)] = [
    ("ERROR something", 3), ("error: something", 3), ("[error] 12#0: x", 3), ("[warn] x", 4), ("level=warning x", 4),
    ("\"level\":\"info\"", 6), ("(CRITICAL) x", 2), ("main DEBUG x", 7), ("app.NOTICE: x", 5), ("|FATAL|", 2),
    ("EMERG", 0), ("[alert]", 1), ("no error here", nil), ("the warning was ignored", nil), ("errors: 5", nil),
    ("ERRORS", nil), ("NO_ERROR", nil), ("ERROR_CODE", nil), ("ERROR5", nil), ("TERROR", nil), ("", nil), ("é", nil),
    ("information: x", 6), ("INFO", 6), ("trace: x", 7), ("in", nil), ("<err>", 3),
  ]
  for (text, expected) in cases { #expect(severity(text) == expected, "\(text)") }
}

@Test func `objects are taken apart into texts and JSON, and what is no object is none`() throws {
  let found = try #require(members(#" { "a" : "x\ty\u00e9" , "b":[1,{"c":null}],"":-1.5e3,"é":true,"a":"2" } "#))
  #expect(found.map(\.name) == ["a", "b", "", "é", "a"])
  #expect(
    found.map(\.value) == [
      .text("x\ty\u{e9}"), .other(Array(#"[1,{"c":null}]"#.utf8)), .other(Array("-1.5e3".utf8)),
      .other(Array("true".utf8)), .text("2"),
    ])
  #expect(members("{}")?.isEmpty == true)
  let odd = [
    "", " ", "{", "}", "[]", "{}{}", "{} x", "null", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, #"{,"a":1}"#,
    #"{"a":1 "b":2}"#,
    #"{"a":01}"#, #"{"a":+1}"#, #"{"a":.5}"#, #"{"a":1.}"#, #"{"a":1e}"#, #"{"a":NaN}"#, #"{"a":Infinity}"#,
    #"{"a":'x'}"#,
    #"{a:1}"#, #"{"a":"\x"}"#, #"{"a":"\ud800"}"#, #"{"a":"\udc00\ud800"}"#, #"{"a":"\u0000"}"#, #"{"a":"\u12"}"#,
    "{\"a\":\"\u{1}\"}", "{\"a\":\"x", #"{"a":[1,2}"#, #"{"a":{"b":1]}"#, #"{"a":tru}"#, #"{"a":nulll}"#, "{\u{0}}",
    "{\"a\":" + String(repeating: "[", count: 100_000), "{\"a\":" + String(repeating: "9", count: 5000) + "}",
    #"{"a":1e99999}"#, "// {}", "{/**/}", "\u{feff}{}",
  ]
  for text in odd { #expect(members(text) == nil, "\(text.prefix(40))") }
  #expect(jsonMembers(([UInt8(ascii: "{")] + [0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])[...]) == nil, "no UTF-8")
  let many = "{" + (0..<1000).map { "\"k\($0)\":\($0)" }.joined(separator: ",") + "}"
  #expect(members(many)?.count == 256)
}

@Test func `lines of any bytes never trap, and what they give is valid`() {
  var random = SplitMix64(seed: 2_026)
  let seeds = [
    "2026-11-20T09:00:00.123+09:00 ERROR [x] y", "Nov 20 09:00:00 h a[1]: warn: x", "<13>Fri Nov 20 09:00:00 2026 x",
    #"{"time":1795165200,"level":30,"msg":"x","trace_id":"0af7651916cd43dd8448eb211c80319c","a":{"b":[1,"\u00e9"]}}"#,
    "[20/Nov/2026:09:00:00 +0000] x", "1795165200.5 y",
  ]
  for round in 0..<30_000 {
    let bytes = mutate(seeds[round % seeds.count], &random)
    let plain = LogLine(text: bytes[...], zone: 0, now: nine)
    #expect(plain.severity.map { (0...7).contains($0) } ?? true)
    #expect(!plain.message.utf8.contains(0))
    if let json = LogLine(json: bytes[...], zone: 3600, now: nine) {
      #expect(SmallObject(json.attributes.bytes) != nil)
    }
  }
}
