// Access logs of real servers as web records, templates of one's own, and what is no line of theirs.
import Chance
@testable import Telemetry
import Testing

/// 2026-11-20T09:00:00Z as access logs write it.
private let at = "20/Nov/2026:09:00:00 +0000"

private func parse(_ template: String, _ line: String, now: Int64 = nine) throws -> AccessLogEntry {
  try AccessLogFormat(template).parse(Array(line.utf8)[...], now: now)
}
private func fault(_ template: String, _ line: String) throws -> AccessLogFault? {
  let format = try AccessLogFormat(template)
  do throws(AccessLogFault) {
    _ = try format.parse(Array(line.utf8)[...], now: nine)
    return nil
  } catch {
    return error
  }
}
private func attributes(_ entry: AccessLogEntry) -> String? {
  entry.web.attributes.map { String(decoding: $0.bytes, as: UTF8.self) }
}

@Test func `lines of nginx and Apache in the combined form arrive with all they say`() throws {
  let entry = try parse(
    "combined",
    #"192.0.2.7 - kim [20/Nov/2026:18:00:00 +0900] "GET /orders?id=7 HTTP/1.1" 200 5316 "https://example.com/a" "Mozilla/5.0 (X11; \"q\")""#
  )
  #expect(entry.time == nine)
  let web = entry.web
  #expect(web.method == "GET" && web.path == "/orders" && web.code == 200 && web.bytes == 5316)
  #expect(web.client == "192.0.2.7" && web.referrer == "https://example.com/a")
  #expect(web.agent == #"Mozilla/5.0 (X11; "q")"# && web.durationMicroseconds == nil)
  #expect(attributes(entry) == #"{"user":"kim"}"#)
  #expect(web.session?.utf8.count == 16)
  let common = try parse("common", #"::1 - - [\#(at)] "HEAD / HTTP/1.0" 304 -"#)
  #expect(common.web.method == "HEAD" && common.web.bytes == 0 && common.web.client == "::1")
  #expect(common.web.attributes == nil && common.web.agent == nil)
}

@Test func `a template of one's own gives durations, cookies, servers and whatever else it holds`() throws {
  let nginx =
    #"$remote_addr - $remote_user [$time_iso8601] "$request" $status $body_bytes_sent $request_time $upstream_response_time "${http_x_forwarded_for}" $cookie_sid $host"#
  let entry = try parse(
    nginx,
    #"192.0.2.7 - - [2026-11-20T09:00:00+00:00] "POST /a HTTP/2.0" 502 17 1.250 0.001, 1.249 "198.51.100.1, 10.0.0.1" s-1 shop"#
  )
  #expect(entry.time == nine && entry.web.durationMicroseconds == 1_250_000 && entry.web.session == "s-1")
  #expect(
    attributes(entry)
      == #"{"upstream_response_time":"0.001, 1.249","http_x_forwarded_for":"198.51.100.1, 10.0.0.1","server":"shop"}"#)
  let apache = try parse(
    #"%v:%p %a %{usec}t \"%m %U%%\" %>s %O %D %{X-Request-Id}o %{session}C"#,
    #"shop:443 192.0.2.7 1795165200000123 "PUT /b%" 201 9 4711 id-9 -"#)
  #expect(apache.time == nine + 123 && apache.web.method == "PUT" && apache.web.path == "/b")
  #expect(apache.web.durationMicroseconds == 4711 && apache.web.session?.utf8.count == 16)
  #expect(attributes(apache) == #"{"server":"shop","port":"443","X-Request-Id":"id-9"}"#)
  let json = try parse(
    #"{"t":"$msec","a":"$remote_addr","r":"$request","s":$status}"#,
    #"{"t":"1795165200.500","a":"::1","r":"GET \/x?y=\"1\" HTTP/1.1","s":404}"#)
  #expect(json.time == nine + 500_000 && json.web.path == "/x" && json.web.code == 404)
}

@Test func `queries are dropped unless they are asked for`() throws {
  let line = #"::1 - - [\#(at)] "GET /a?token=secret&b HTTP/1.1" 200 1"#
  #expect(try attributes(parse("common", line)) == nil)
  var format = try AccessLogFormat("common")
  format.keepsQuery = true
  #expect(try attributes(format.parse(Array(line.utf8)[...], now: nine)) == #"{"query":"token=secret&b"}"#)
}

@Test func `a session is one client with one user agent on one day`() throws {
  func session(_ client: String, _ agent: String, _ day: String) throws -> String? {
    try parse("combined", #"\#(client) - - [\#(day)/Nov/2026:23:59:59 +0000] "GET / HTTP/1.1" 200 1 "-" "\#(agent)""#)
      .web.session
  }
  let one = try session("a", "x", "20")
  #expect(try session("a", "x", "20") == one)
  #expect(try session("b", "x", "20") != one)
  #expect(try session("a", "y", "20") != one)
  #expect(try session("a", "x", "21") != one)
  #expect(AccessLogFormat.session(nine, "192.0.2.7", "curl") == AccessLogFormat.session(nine + 1, "192.0.2.7", "curl"))
}

@Test func `templates that no line could be read with are refused with the reason`() throws {
  let cases: [(String, String)] = [
    ("", "has no status ($status, %>s)"),
    ("$request", "has no status ($status, %>s)"),
    ("$status", "has neither request nor path ($request, $uri, %r, %U)"),
    ("$status$request", "has two fields with nothing between them: no line could be taken apart"),
    ("$request $status ${x", #"has "${x" without its brace"#),
    ("$request $status $", "has a $ without a name behind it"),
    ("%r %>s %{a", #"has a "%{" without its brace"#),
    ("%r %>s %", "ends behind a %"),
    ("%r %>s %{%Y}t", #"has "%{%Y}t", which is not known"#),
    ("%r %>s %Z", #"has "%Z", which is not known"#),
    ("%r %>s %^FB", "has a %^ directive, which is not known"),
    ("%r %>s %{}C", #"has "%C", which is not known"#),
    (String(repeating: "a", count: 5000), "is longer than 4096 bytes"),
    (String(repeating: "$a ", count: 70) + "$status $request", "has more than 64 fields"),
  ]
  for (template, problem) in cases {
    do throws(AccessLogFormatError) {
      _ = try AccessLogFormat(template)
      Issue.record("taken: \(template)")
    } catch {
      #expect(error.problem == problem, "\(template)")
    }
  }
}

/// Lines of the form `combined` that are damaged, with what becomes of each; nil is taken after all.
private let damaged: [(String, AccessLogFault?)] = [
  ("", .mismatch), (" ", .mismatch), ("-", .mismatch), ("\u{0}", .mismatch), ("a", .mismatch), ("a - ", .mismatch),
  ("a - - [", .mismatch), ("a - - []", .mismatch), ("a - - [x] ", .mismatch), (#"a - - [\#(at)]"#, .mismatch),
  (#"a - - [\#(at)] "#, .mismatch), (#"a - - [\#(at)] ""#, .mismatch), (#"a - - [\#(at)] "" "#, .mismatch),
  (#"a - - [\#(at)] "" 200"#, .mismatch), (#"a - - [\#(at)] "" 200 "#, .mismatch),
  (#"a - - [\#(at)] "" 200 1"#, .mismatch), (#"a - - [\#(at)] "" 200 1 """#, .mismatch),
  (#"a - - [\#(at)] "" 200 1 "" "#, .mismatch), (#"a - - [\#(at)] "" 200 1 "" "x"#, .mismatch),
  (#"a - - [\#(at)] "" 200 1 "" "x\"#, .mismatch), (#"a - - [\#(at)] "" 200 1 "" "x\""#, .mismatch),
  (#"a - - [\#(at)] "" 200 1 "" "x"y"#, .trailing), (#"a - - [\#(at)] "" 200 1 "" "x" "#, .trailing),
  (#"a - - [\#(at)] "" 20 1 "" """#, .badStatus), (#"a - - [\#(at)] "" 2000 1 "" """#, .badStatus),
  (#"a - - [\#(at)] "" 099 1 "" """#, .badStatus), (#"a - - [\#(at)] "" 600 1 "" """#, .badStatus),
  (#"a - - [\#(at)] "" -20 1 "" """#, .badStatus), (#"a - - [\#(at)] "" abc 1 "" """#, .badStatus),
  (#"a - - [\#(at)] "" - 1 "" """#, .badStatus), (#"a - - [\#(at)] ""  1 "" """#, .badStatus),
  (#"a - - [\#(at)] "" 200 -1 "" """#, .badNumber), (#"a - - [\#(at)] "" 200 1.5 "" """#, .badNumber),
  (#"a - - [\#(at)] "" 200 99999999999999999999 "" """#, .badNumber),
  (#"a - - [\#(at)] "" 200 18446744073709551615 "" """#, .badNumber),
  (#"a - - [\#(at)] "" 200 9223372036854775808 "" """#, .badNumber),
  (#"a - - [\#(at)] "" 200 9223372036854775807 "" """#, nil), (#"a - - [\#(at)] "" 200 0x1 "" """#, .badNumber),
  (#"a - - [\#(at)] "" 200 1e3 "" """#, .badNumber), (#"a - - [\#(at)] "" 200 - "" """#, nil),
  (#"a - - [00/Nov/2026:09:00:00 +0000] "" 200 1 "" """#, .badTime),
  (#"a - - [31/Nov/2026:09:00:00 +0000] "" 200 1 "" """#, .badTime),
  (#"a - - [29/Feb/2027:09:00:00 +0000] "" 200 1 "" """#, .badTime),
  (#"a - - [29/Feb/2028:09:00:00 +0000] "" 200 1 "" """#, nil),
  (#"a - - [20/Nov/0000:09:00:00 +0000] "" 200 1 "" """#, .badTime),
  (#"a - - [20/Nov/9999:09:00:00 +0000] "" 200 1 "" """#, nil),
  (#"a - - [20/Nov/99999:09:00:00 +0000] "" 200 1 "" """#, .badTime),
  (#"a - - [20/Nov/2026:24:00:00 +0000] "" 200 1 "" """#, .badTime),
  (#"a - - [20/Nov/2026:09:60:00 +0000] "" 200 1 "" """#, .badTime),
  (#"a - - [20/Nov/2026:09:00:61 +0000] "" 200 1 "" """#, .badTime),
  (#"a - - [20/Nov/2026:09:00:60 +0000] "" 200 1 "" """#, nil),
  (#"a - - [20/Nov/2026:09:00:00] "" 200 1 "" """#, .badTime),
  (#"a - - [20/Nov/2026:09:00:00 +2400] "" 200 1 "" """#, .badTime),
  (#"a - - [20/Nov/2026:09:00:00 +0060] "" 200 1 "" """#, .badTime),
  (#"a - - [20/Nov/2026:09:00:00 +0000 ] "" 200 1 "" """#, .badTime),
  (#"a - - [20/Xxx/2026:09:00:00 +0000] "" 200 1 "" """#, .badTime),
  (#"a - - [2026-11-20T09:00:00Z] "" 200 1 "" """#, .badTime),
  (#"a - - [1795165200] "" 200 1 "" """#, .badTime), (#"a-- [\#(at)] "" 200 1 "" """#, .mismatch),
  (#"a - - \#(at) "" 200 1 "" """#, .mismatch), (#"a - - [\#(at)] GET / 200 1 "" """#, .mismatch),
  (#"a - - [\#(at)] "GET / HTTP/1.1 200 1 "" "x""#, .mismatch), (#"a - - [\#(at)] "\x16\x03\x01" 400 1 "-" "-""#, nil),
  (#"a - - [\#(at)] "-" 408 0 "-" "-""#, nil), (#"a - - [\#(at)] "GET  HTTP/1.1" 400 0 "-" "-""#, nil),
  (#"a - - [\#(at)] "GET /\" 200 1 "" "x""#, .mismatch), (#"a - b c [\#(at)] "" 200 1 "" "x""#, nil),
  (#"{"remote":"a"}"#, .mismatch), ("2026-11-20 09:00:00 [error] 1#1: open() failed", .mismatch),
]

@Test func `damaged lines are refused for what is wrong with them, and never taken for something else`() throws {
  #expect(damaged.count >= 60)
  for (line, expected) in damaged { #expect(try fault("combined", line) == expected, "\(line)") }
  let long = "a - - [\(at)] \"\" 200 1 \"\" \"" + String(repeating: "x", count: 70_000) + "\""
  #expect(try fault("combined", long) == .tooLong)
  #expect(try fault("$request $status $request_time", "GET 200 99999999999999.1") == .badNumber)
  #expect(try fault("$request $status $request_time", "GET 200 1.2.3") == .badNumber)
  #expect(try fault("$request $status $msec", "GET 200 9223372036854775807") == .badTime)
}

@Test func `requests that are no HTTP count with their status and keep what they were`() throws {
  let hello = try parse("common", #"a - - [\#(at)] "\x16\x03\x01\x02\xc3\xa9" 400 0"#)
  #expect(hello.web.method == "-" && hello.web.path == "-" && hello.web.code == 400)
  #expect(attributes(hello) == #"{"request":"\\x16\\x03\\x01\\x02é"}"#)
  let spaced = try parse("common", #"a - - [\#(at)] "GET /a b c HTTP/1.1" 200 0"#)
  #expect(spaced.web.path == "/a b c")
  let old = try parse("common", #"a - - [\#(at)] "GET /old" 200 0"#)
  #expect(old.web.path == "/old" && old.web.method == "GET")
}

@Test func `a line cut at any byte, and thousands of mutated ones, never trap and stay in their bounds`() throws {
  let line =
    #"192.0.2.7 - kim [\#(at)] "GET /é\xc3\xa9?a=\"b HTTP/1.1" 200 5316 "https://e/\\" "M \"q\" 5.0""#
  let format = try AccessLogFormat("combined")
  let own = try AccessLogFormat(#"$remote_addr "$request" $status $request_time $a,$b [$msec] "$http_user_agent""#)
  let whole = Array(line.utf8)
  for count in 0..<whole.count {
    #expect(throws: AccessLogFault.self) { try format.parse(whole[..<count], now: nine) }
  }
  var random = SplitMix64(seed: 7_400)
  var taken = 0
  let seeds = [line, #"::1 "PUT /x HTTP/2.0" 201 0.001 p,q [1795165200.123] "curl/8""#]
  for round in 0..<20_000 {
    let bytes = mutate(seeds[round % 2], &random)
    // A refusal is an answer as well.
    guard let entry = try? (round % 2 == 0 ? format : own).parse(bytes[...], now: nine) else { continue }
    taken += 1
    #expect(entry.web.code >= 100 && entry.web.code <= 599 && (entry.web.bytes ?? 0) >= 0)
    #expect(!entry.web.path.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }))
    #expect(entry.web.path.utf8.count <= 4098)
  }
  #expect(taken > 500)
}

@Test func `times that log lines begin with are read in every form that is in use`() throws {
  let second: Int64 = 1_000_000
  let forms: [(String, Int64?)] = [
    ("2026-11-20T09:00:00Z x", nine), ("2026-11-20 09:00:00,250 INFO", nine + 250_000),
    ("2026-11-20 18:00:00.5 +0900", nine + 500_000), ("2026/11/20 09:00:00 [error]", nine),
    ("20/Nov/2026:09:00:00 +0000", nine), ("Nov 20 09:00:00 host app: x", nine),
    ("Fri Nov 20 09:00:00.000001 2026", nine + 1), ("Fri Nov 20 09:00:00 2026", nine), ("1795165200", nine),
    ("1795165200.25 x", nine + 250_000), ("1795165200001 x", nine + 1000), ("1795165200000001", nine + 1),
    ("2026-11-20T09:00:60Z", nine + 60 * second), ("Nov  1 09:00:00", nine - 19 * 86_400 * second),
    ("2026-13-20T09:00:00Z", nil), ("2026-11-31T09:00:00Z", nil), ("2026-11-20", nil), ("2026-11-20T09:00", nil),
    ("hello", nil), ("", nil), ("123", nil), ("99999999999999999999999", nil), ("Nov 99 09:00:00", nil),
    ("Xyz 20 09:00:00", nil), ("20/Nov/2026:09:00:00", nil), ("0000-00-00 00:00:00", nil),
  ]
  for (text, expected) in forms {
    var scanner = ByteScanner(Array(text.utf8))
    #expect(scanLogTime(&scanner, zone: 0, now: nine) == expected, "\(text)")
    if expected == nil { #expect(scanner.at == 0, "\(text)") }
  }
  var local = ByteScanner(Array("2026-11-20 18:00:00".utf8))
  #expect(scanLogTime(&local, zone: 9 * 3600, now: nine) == nine)
}
