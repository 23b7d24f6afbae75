// A corpus of bodies and requests that lie, each with its outcome: an answer, or a close; never a hang or a lost node.
import Chance
import Compression
import HTTPServer
import Platform
import Telemetry
import Testing

@testable import Node

private struct Case {
  var name: String
  var bytes: [UInt8]
  /// Of the first answer; nil when the connection is closed without one, or waits for what never comes.
  var status: [Int?]
  /// What the answer says.
  var says = ""
  init(_ name: String, _ bytes: [UInt8], _ status: Int?..., says: String = "") {
    (self.name, self.bytes, self.status, self.says) = (name, bytes, status, says)
  }
}
private func request(_ head: String, _ body: [UInt8] = []) -> [UInt8] {
  Array((head.replacing("\n", with: "\r\n") + "\r\n\r\n").utf8) + body
}
private func post(_ headers: String, _ body: [UInt8] = []) -> [UInt8] {
  request("POST /ingest HTTP/1.1\nHost: x\n\(headers)", body)
}
private func body(_ text: String, _ headers: String = "") -> [UInt8] { body(Array(text.utf8), headers) }
private func body(_ bytes: [UInt8], _ headers: String = "") -> [UInt8] {
  post("Content-Length: \(bytes.count)" + (headers.isEmpty ? "" : "\n" + headers), bytes)
}
private func line(_ fields: String) -> String {
  let time = rfc3339(wallMicroseconds: wallMicroseconds())
  return #"{"type":"queue","ts":"\#(time)","host":"h","app":"a","queue":"q","depth":1\#(fields)}"#
}

/// Who claims what about where a body ends.
private let framing: [Case] = [
  Case("no length at all", post("X: y"), 200),
  Case("length 0", post("Content-Length: 0"), 200),
  Case("a length that is too long", post("Content-Length: 50", Array("short".utf8)), nil),
  Case("a length that is too short", post("Content-Length: 2", Array("{}{\"x\":1}".utf8)), 400),
  Case("a negative length", post("Content-Length: -1", Array("x".utf8)), 400),
  Case("a length with a sign", post("Content-Length: +5", Array("hello".utf8)), 400),
  Case("a length in hexadecimal", post("Content-Length: 0x5", Array("hello".utf8)), 400),
  Case("a length with a point", post("Content-Length: 5.0", Array("hello".utf8)), 400),
  Case("a length of 2 to the 64", post("Content-Length: 18446744073709551616", Array("x".utf8)), 400, 413),
  Case("a length of 2 to the 63", post("Content-Length: 9223372036854775808", Array("x".utf8)), 400, 413),
  Case("a length of 30 digits", post("Content-Length: \(String(repeating: "9", count: 30))"), 400, 413),
  Case("an empty length", post("Content-Length:", Array("x".utf8)), 400),
  Case("two lengths", post("Content-Length: 5\nContent-Length: 6", Array("hello!".utf8)), 400),
  Case("two equal lengths", post("Content-Length: 5\nContent-Length: 5", Array("hello".utf8)), 400),
  Case("a list of lengths", post("Content-Length: 5, 5", Array("hello".utf8)), 400),
  Case("length and chunks", post("Content-Length: 5\nTransfer-Encoding: chunked", Array("0\r\n\r\n".utf8)), 400),
  Case("gzip as a transfer encoding", post("Transfer-Encoding: gzip", Array("x".utf8)), 400),
  Case("chunked twice", post("Transfer-Encoding: chunked\nTransfer-Encoding: chunked", Array("0\r\n\r\n".utf8)), 400),
  Case("chunked hidden behind another", post("Transfer-Encoding: identity, chunked", Array("0\r\n\r\n".utf8)), 400),
  Case("chunked in odd letters", post("Transfer-Encoding: cHuNkEd", Array("0\r\n\r\n".utf8)), 200),
  Case("a length beyond the bound", post("Content-Length: 99999999"), 413),
  Case("a chunk size that is no number", post("Transfer-Encoding: chunked", Array("zz\r\nhello\r\n".utf8)), 400, nil),
  Case(
    "a chunk size of 2 to the 64", post("Transfer-Encoding: chunked", Array("10000000000000000\r\n".utf8)), 400, 413,
    nil),
  Case("a negative chunk size", post("Transfer-Encoding: chunked", Array("-5\r\nhello\r\n".utf8)), 400, nil),
  Case("a chunk without its end", post("Transfer-Encoding: chunked", Array("3\r\nabcdef\r\n0\r\n\r\n".utf8)), 400, nil),
  Case(
    "a chunk size of endless zeros", post("Transfer-Encoding: chunked", [UInt8](repeating: 0x30, count: 40_000)), 400,
    413, nil),
  Case(
    "an endless chunk extension",
    post("Transfer-Encoding: chunked", Array("1;".utf8) + [UInt8](repeating: 0x61, count: 40_000)), 400, 413, nil),
  Case(
    "endless trailers",
    post("Transfer-Encoding: chunked", Array("0\r\n".utf8) + Array(String(repeating: "a: b\r\n", count: 9000).utf8)),
    400, 413, 431, 500, nil),
  Case("chunks that never end", post("Transfer-Encoding: chunked", Array("5\r\nhello\r\n".utf8)), nil),
]
/// Requests that are wrong before their body.
private let heads: [Case] = [
  Case("no HTTP", Array("hello\r\n\r\n".utf8), 400, nil),
  Case("zero bytes", [UInt8](repeating: 0, count: 100), nil),
  Case("a TLS hello", [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03, 0x0a], 400, nil),
  Case("HTTP of another time", request("POST /ingest HTTP/9.9\nHost: x"), 400, 505, nil),
  Case("no host", request("POST /ingest HTTP/1.1\nContent-Length: 0"), 400),
  Case("HTTP/1.0", request("POST /ingest HTTP/1.0\nContent-Length: 0"), 200),
  Case(
    "a method that is not taken", request("PUT /ingest HTTP/1.1\nHost: x\nContent-Length: 2", Array("{}".utf8)), 405),
  Case("GET", request("GET /ingest HTTP/1.1\nHost: x"), 405),
  Case("an unknown method", request("SMUGGLE /ingest HTTP/1.1\nHost: x"), 405),
  Case("POST elsewhere", request("POST /metrics HTTP/1.1\nHost: x\nContent-Length: 2", Array("{}".utf8)), 405),
  Case("another path", request("POST /ingest/../ingest HTTP/1.1\nHost: x\nContent-Length: 0"), 405),
  Case("a path in disguise", request("POST /%69ngest HTTP/1.1\nHost: x\nContent-Length: 0"), 200),
  Case("a path with a zero", request("POST /ingest%00 HTTP/1.1\nHost: x\nContent-Length: 0"), 200, 400, 405),
  Case("a path that is too long", request("POST /\(String(repeating: "a", count: 40_000)) HTTP/1.1\nHost: x"), 414),
  Case("a header that is too long", post("X: \(String(repeating: "b", count: 40_000))\nContent-Length: 0"), 413, 431),
  Case(
    "too many headers", post((0..<2000).map { "X-\($0): 1" }.joined(separator: "\n") + "\nContent-Length: 0"), 413, 431),
  Case("a header without a colon", post("nonsense\nContent-Length: 0"), 200, 400),
  Case("a header of bytes", request("POST /ingest HTTP/1.1\nHost: x\nContent-Length: 0\nX: \u{1}\u{7f}ÿ"), 200, 400),
  Case("a query of nonsense", request("POST /ingest?%zz&&&=%00%ff HTTP/1.1\nHost: x\nContent-Length: 0"), 200, 400),
  Case("an encoding that nobody knows", body("{}", "Content-Encoding: br"), 415),
  Case("two encodings", body("{}", "Content-Encoding: gzip, gzip"), 415),
  Case("another type", body("<xml/>", "Content-Type: text/xml"), 415),
  Case("no type at all", body(line(""), "Content-Type:"), 200, says: #""stored":1"#),
  Case("an empty key", body(line(""), "Idempotency-Key:"), 400, says: "Idempotency-Key"),
  Case("a key that is too long", body(line(""), "Idempotency-Key: \(String(repeating: "k", count: 201))"), 400),
  Case("a key of bytes", body(line(""), "Idempotency-Key: \u{1}ÿ\u{7f}"), 200, 400),
  Case(
    "a source that is too long", body(line(""), "Standwatch-Source: \(String(repeating: "s", count: 201))"), 400,
    says: "source"),
  Case("a source with a tab", body(line(""), "Standwatch-Source: a\tb"), 400, says: "source"),
]
/// Bodies that are no lines of JSON, or lines that are no records.
private func bodies() -> [Case] {
  let bomb = gzip([UInt8](repeating: 0x20, count: 40 << 20))
  let deep = String(repeating: #"{"a":"#, count: 20_000) + "1" + String(repeating: "}", count: 20_000)
  return [
    Case("only line ends", body("\n\r\n\n  \n"), 200, says: #""stored":0"#),
    Case("an array", body("[\(line(""))]"), 400, says: "not valid JSON"),
    Case("half of an object", body(#"{"type":"#), 400, says: "line\":1"),
    Case("two records on a line", body(line("") + line("")), 400, says: "something follows"),
    Case(
      "bytes that are no UTF-8",
      body(Array(line("").replacing("\"q\"", with: "\"\u{fffd}\"").utf8).map { $0 == 0xbf ? 0xff : $0 }), 400,
      says: "UTF-8"),
    Case("a lone surrogate", body(line("").replacing("\"q\"", with: #""\ud800""#)), 400, says: "surrogate"),
    Case("an escaped zero", body(line("").replacing("\"q\"", with: #""\u0000""#)), 400, says: "u0000"),
    Case("a raw zero", body(line("").replacing("\"q\"", with: "\"\0\"")), 400),
    Case(
      "a number of 400 digits",
      body(line("").replacing("\"depth\":1", with: "\"depth\":" + String(repeating: "9", count: 400))), 400,
      says: "64 bits"),
    Case("a negative depth", body(line("").replacing("\"depth\":1", with: "\"depth\":-1")), 400, says: "negative"),
    Case("a field twice", body(line(#","depth":2"#)), 400, says: "twice"),
    Case("an unknown field", body(line(#","nothing":2"#)), 400, says: "no record type has this field"),
    Case("an unknown type", body(line("").replacing("\"queue\",\"ts\"", with: "\"none\",\"ts\"")), 400, says: "type"),
    Case(
      "the year 9999", body(#"{"type":"event","ts":"9999-12-31T23:59:59Z","host":"h","app":"a","kind":"k"}"#), 400,
      says: "range"),
    Case(
      "a time without a zone", body(#"{"type":"event","ts":"2026-11-20T09:00:00","host":"h","app":"a","kind":"k"}"#),
      400, says: "RFC 3339"),
    Case(
      "attributes 20,000 deep",
      body(#"{"type":"event","ts":"2026-11-20T09:00:00Z","host":"h","app":"a","kind":"k","attrs":\#(deep)}"#), 400),
    Case(
      "a name of 201 bytes", body(line("").replacing("\"q\"", with: "\"\(String(repeating: "q", count: 201))\"")), 400,
      says: "200 bytes"),
    Case("a line that is too long", body(String(repeating: "x", count: 70_000)), 400, says: "too long"),
    Case("no host", body(line("").replacing("\"host\":\"h\",", with: "")), 400, says: "host: the field is missing"),
    Case("a bomb", body(bomb, "Content-Encoding: gzip"), 413, says: "unpacked"),
    Case("gzip that is none", body("plain text", "Content-Encoding: gzip"), 400, says: "unpacked"),
    Case(
      "gzip cut off", body(Array(gzip(Array(line("").utf8)).dropLast(5)), "Content-Encoding: gzip"), 400,
      says: "ends too early"),
    Case(
      "gzip with something behind", body(gzip(Array(line("").utf8)) + [1, 2, 3], "Content-Encoding: gzip"), 400,
      says: "follows"),
    Case("deflate that is none", body("plain text", "Content-Encoding: deflate"), 400),
    Case("no bytes as gzip", body([], "Content-Encoding: gzip"), 400, says: "ends too early"),
    Case(
      "more lines than a delivery may have",
      body([UInt8](repeating: 0x78, count: 1) + [0x0a] + Array(String(repeating: "y\n", count: 70_000).utf8)), 413,
      says: "lines"),
    Case(
      "a number too large for a double",
      body(#"{"type":"metric","ts":"2026-11-20T09:00:00Z","host":"h","app":"a","name":"n","value":1e999}"#), 400,
      says: "double"),
    Case(
      "not a number",
      body(#"{"type":"metric","ts":"2026-11-20T09:00:00Z","host":"h","app":"a","name":"n","value":NaN}"#), 400),
    Case("a seq, which has no meaning here", body(line(#","seq":7"#)), 200, says: #""stored":1"#),
    Case("a hello", body(#"{"hello":{"source":"a","stream":"b"}}"#), 400),
    Case("a byte order mark", body("\u{feff}" + line("")), 400),
  ]
}

@Suite(.serialized) struct IngestHTTPHostileTests {
  private func check(_ cases: [Case], _ bench: HTTPBench) throws {
    for one in cases {
      let connection = try bench.open()
      try connection.send(one.bytes)
      let reply: HTTPReply?
      do {
        reply = try connection.reply(
          milliseconds: one.status == [nil] ? 300 : one.status.contains(nil) ? 2000 : longest)
      } catch is TestTimeout {
        #expect(one.status.contains(nil), "\(one.name): no answer")
        continue
      }
      #expect(one.status.contains(reply?.status), "\(one.name): \(reply?.status ?? 0) \(reply?.body ?? "")")
      #expect(reply?.body.contains(one.says) ?? true, "\(one.name): \(reply?.body ?? "")")
    }
    #expect(try bench.post(deliveryLines(1...1)).status == 200)
  }
  @Test func `lengths and chunks that lie have each their outcome`() throws {
    try check(framing, try HTTPBench(IngestHarness().activate()))
  }
  @Test func `heads that are wrong have each their outcome`() throws {
    try check(heads, try HTTPBench(IngestHarness().activate()))
  }
  @Test func `bodies that are wrong have each their outcome, and nothing of them is stored as a record`() throws {
    let bench = try HTTPBench(IngestHarness().activate())
    #expect(framing.count + heads.count + bodies().count >= 60)
    try check(bodies(), bench)
    // The one with a seq, and the one that `check` sends at last.
    #expect(try bench.harness.number("SELECT count(*) FROM telemetry.queue") == 2)
  }
  @Test func `a body cut off at every byte stores nothing, and the next one is served`() throws {
    let bench = try HTTPBench(IngestHarness().activate())
    let whole = httpPost(deliveryLines(1...1, app: "CUT"))
    for count in 0..<whole.count {
      let connection = try bench.open()
      try connection.send(Array(whole[..<count]))
    }
    try bench.awaitService()
    #expect(try bench.harness.depths("CUT").rows == 0)
  }
  @Test func `a request that comes while another is answered stops nobody`() throws {
    let bench = try HTTPBench(IngestHarness().activate())
    // Behind each other in one connection, so that the next one's head is read in the moment of the answer.
    let connection = try bench.open()
    let bodies = (1...20).map { httpPost(deliveryLines($0...$0)) }
    try connection.send(bodies.flatMap { $0 })
    for _ in bodies { #expect(try connection.reply()?.status == 200) }
    // A demotion waits for an answer that is being sent: it must not wait for ever.
    try bench.harness.stop()
    #expect(try bench.harness.depths() == (20, 20))
  }
  @Test func `bytes changed at random are answered or closed, and never stop the node`() throws {
    let bench = try HTTPBench(IngestHarness().activate())
    var random = SplitMix64(seed: 20_261_120)
    let whole = httpPost(deliveryLines(1...3), headers: ["Idempotency-Key: k", "Content-Encoding: identity"])
    for _ in 0..<400 {
      var bytes = whole
      for _ in 0..<Int(random.next() % 4 + 1) {
        bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: random.next())
      }
      let connection = try bench.open()
      try connection.send(bytes)
    }
    try bench.awaitService()
  }
}
