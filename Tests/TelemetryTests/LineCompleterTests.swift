// Lines of applications without a library: what they lack is filled in, what is wrong is named.
import Chance
@testable import Telemetry
import Testing

private let defaults = LineDefaults(time: nine, host: "mes-07", app: "local")
private func complete(_ line: String, maxLine: Int = 65_000) -> String {
  complete(Array(line.utf8), maxLine: maxLine)
}
private func complete(_ line: [UInt8], maxLine: Int = 65_000) -> String {
  var completer = LineCompleter(maxLine: maxLine)
  do throws(LineFault) {
    return String(decoding: try completer.complete(line[...], defaults), as: UTF8.self)
  } catch {
    return "\(error.field.map { $0.text + " " } ?? "")\(error.kind)"
  }
}
private let head = #"{"ts":"2026-11-20T09:00:00.000000Z","host":"mes-07","app":"local","#

@Test(arguments: [
  (#"{"type":"queue","queue":"in","depth":31}"#, head + #""type":"queue","queue":"in","depth":31}"#),
  (#" { "type" : "event" , "kind" : "x" } "#, head + #""type" : "event","kind" : "x"}"#),
  (
    #"{"ts":"2026-11-20T10:00:00Z","type":"event","kind":"x"}"#,
    #"{"host":"mes-07","app":"local","ts":"2026-11-20T10:00:00Z","type":"event","kind":"x"}"#
  ),
  (
    #"{"host":"other","app":"mine","seq":77,"type":"event","kind":"x"}"#,
    #"{"ts":"2026-11-20T09:00:00.000000Z","host":"other","app":"mine","type":"event","kind":"x"}"#
  ),
  (
    #"{"ts":null,"host":null,"type":"event","kind":"x","attrs":null}"#,
    head + #""type":"event","kind":"x","attrs":null}"#
  ),
  (
    #"{"type":"job","job":"j","duration_us":1,"status":"ok","attrs":{"a":[1,{"b":null}]}}"#,
    head + #""type":"job","job":"j","duration_us":1,"status":"ok","attrs":{"a":[1,{"b":null}]}}"#
  ),
]) func `what a line lacks is filled in`(line: String, whole: String) {
  #expect(complete(line) == whole + "\n")
}

private let deep = String(repeating: "[", count: 100_000)
private let event = #""type":"event","kind":"k""#
private let malformed: [(String, String)] = [
  ("x", "syntax"), ("{", "syntax"), ("}", "syntax"), ("[]", "syntax"), ("null", "syntax"), ("\"\"", "syntax"),
  ("17", "syntax"),
  ("{}", "type missing"), ("{,}", "syntax"), ("{\"a\"}", "syntax"), ("{\"a\":}", "syntax"), ("{\"a\":1,}", "syntax"),
  ("{\"a\" 1}", "syntax"), ("{a:1}", "syntax"), ("{'a':1}", "syntax"), ("{\(event)}}", "trailing"),
  ("{\(event)} x", "trailing"),
  ("{\(event)}{\(event)}", "trailing"), ("{\(event),\"kind\":\"l\"}", "repeated"),
  ("{\(event),\"type\":\"event\"}", "repeated"),
  ("{\(event),\"seq\":1,\"seq\":2}", "repeated"), ("{\(event),\"color\":1}", "unknownField"),
  ("{\(event),\"\":1}", "unknownField"),
  ("{\(event),\"depth\":1}", "depth foreign"), ("{\"type\":\"evnt\",\"kind\":\"k\"}", "type unknownType"),
  ("{\"type\":7,\"kind\":\"k\"}", "type notText"), ("{\"type\":null,\"kind\":\"k\"}", "type missing"),
  ("{\"type\":\"event\"}", "kind missing"),
  ("{\"type\":\"event\",\"kind\":\"\"}", "kind nameLength"),
  ("{\"type\":\"event\",\"kind\":\"\(String(repeating: "k", count: 201))\"}", "kind nameLength"),
  ("{\"type\":\"event\",\"kind\":\"a\\u0000\"}", "zeroCharacter"),
  ("{\"type\":\"event\",\"kind\":\"\\ud800\"}", "loneSurrogate"),
  ("{\"type\":\"event\",\"kind\":\"\\udc00x\"}", "loneSurrogate"),
  ("{\"type\":\"event\",\"kind\":\"\\u12\"}", "badEscape"),
  ("{\"type\":\"event\",\"kind\":\"\\x\"}", "badEscape"), ("{\"type\":\"event\",\"kind\":\"\t\"}", "controlCharacter"),
  ("{\"type\":\"event\",\"kind\":\"open", "controlCharacter"), ("{\"type\":\"event\",\"kind\":1}", "kind notText"),
  ("{\(event),\"attrs\":[]}", "attrs notAnObject"), ("{\(event),\"attrs\":\"x\"}", "attrs notAnObject"),
  ("{\(event),\"attrs\":{\"a\":\(deep)", "tooLong"), ("{\(event),\"attrs\":{\"a\":\(deep.prefix(60_000))", "tooDeep"),
  ("{\(event),\"attrs\":{\"a\":01}}", "syntax"), ("{\(event),\"attrs\":{\"a\":1e9999}}", "tooLarge"),
  ("{\(event),\"attrs\":{\"a\":tru}}", "syntax"),
  ("{\(event),\"ts\":\"yesterday\"}", "ts badTime"), ("{\(event),\"ts\":1763629200}", "ts badTime"),
  ("{\(event),\"ts\":\"2026-13-01T00:00:00Z\"}", "ts badTime"),
  ("{\(event),\"ts\":\"2026-11-20T09:00:00\"}", "ts badTime"),
  ("{\(event),\"ts\":\"2026-11-20T09:00:00+25:00\"}", "ts badTime"),
  ("{\(event),\"host\":\"\"}", "host nameLength"), ("{\(event),\"host\":[]}", "host notText"),
  ("{\(event),\"app\":true}", "app notText"),
  ("{\"type\":\"queue\",\"queue\":\"q\",\"depth\":-1}", "depth negative"),
  ("{\"type\":\"queue\",\"queue\":\"q\",\"depth\":1.5}", "depth notWhole"),
  ("{\"type\":\"queue\",\"queue\":\"q\",\"depth\":99999999999999999999}", "depth tooLarge"),
  ("{\"type\":\"queue\",\"queue\":\"q\",\"depth\":\"1\"}", "depth notWhole"),
  ("{\"type\":\"queue\",\"queue\":\"q\"}", "depth missing"),
  ("{\"type\":\"metric\",\"name\":\"n\",\"value\":1e999}", "value notFinite"),
  ("{\"type\":\"metric\",\"name\":\"n\",\"value\":NaN}", "syntax"),
  ("{\"type\":\"metric\",\"name\":\"n\",\"value\":true}", "value notANumber"),
  ("{\"type\":\"log\",\"severity\":8,\"message\":\"m\"}", "severity notASeverity"),
  ("{\"type\":\"log\",\"severity\":\"loud\",\"message\":\"m\"}", "severity notASeverity"),
  ("{\"type\":\"log\",\"severity\":3}", "message missing"),
  ("{\"type\":\"step\",\"txn\":\"t\",\"step\":\"s\"}", "status missing"),
  ("{\"type\":\"job\",\"job\":\"j\",\"status\":\"ok\"}", "durationUs missing"),
]
@Test(arguments: malformed.indices) func `a malformed line is refused with its reason`(_ index: Int) {
  let (line, reason) = malformed[index]
  #expect(complete(line).replacing("duration_us", with: "durationUs") == reason, "\(line.prefix(200))")
}
@Test func `there are at least sixty malformed lines`() { #expect(malformed.count >= 60) }

@Test func `bytes that are no UTF-8 are refused`() {
  for bytes: [UInt8] in [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xe2, 0x82]] {
    let line = Array("{\"type\":\"event\",\"kind\":\"".utf8) + bytes + Array("\"}".utf8)
    #expect(complete(line) == "notUTF8")
  }
}

@Test func `lines cut at every byte and mutated lines never trap, and what is taken a node takes`() throws {
  var random = SplitMix64(seed: 31)
  let seeds = nativeSeeds.prefix(6).map { $0.replacing("\"seq\":1,", with: "") }
  var lines: [[UInt8]] = []
  for seed in seeds { for cut in 0...seed.utf8.count { lines.append(Array(seed.utf8.prefix(cut))) } }
  for round in 0..<4000 { lines.append(mutate(seeds[round % seeds.count], &random, 1...1)) }
  var completer = LineCompleter(maxLine: 2000)
  var taken = 0
  for line in lines where !line.contains(0x0a) {
    do throws(LineFault) {
      let whole = try completer.complete(line[...], defaults)
      taken += 1
      var connection = Connection()
      connection.feed(Array("{\"seq\":1,".utf8) + whole.dropFirst())
      let contents = try? Contents(connection.batch)
      // Only what the node alone judges is left to it.
      let rejects = contents?.rejects ?? []
      #expect(rejects.allSatisfy { $0.reason.contains("outside of the accepted range") }, "\(rejects)")
      let stream = Hello(source: "mes-07", stream: "s1", oldest: 1).streamID
      #expect(contents?.claims == [Claim(stream: stream, first: 1, last: 1)])
    } catch {
      continue
    }
  }
  #expect(taken > 100)
}
