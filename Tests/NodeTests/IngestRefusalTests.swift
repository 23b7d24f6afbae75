// What every route answers before a decoder has its say, or when there is no room: its status, and its protocol's form.
import Compression
import Platform
import Postgres
import Telemetry
import Testing

@testable import Node

private struct Way {
  var path: String
  var type: String
  /// One record, told apart by its number and of so many bytes.
  var body: @Sendable (_ number: Int, _ bytes: Int) -> [UInt8]
  /// What an answer of this code (google.rpc), word (Influx 2) and text has in its body.
  var says: @Sendable (_ code: Int, _ word: String, _ text: String) -> String
}
private let ways: [Way] = [
  Way(path: "/ingest", type: "application/x-ndjson", body: line, says: { _, _, text in #"{"error":"\#(text)"# }),
  Way(path: "/v1/logs", type: "application/json", body: otlpJSON, says: otlpSays),
  Way(path: "/v1/logs", type: "application/x-protobuf", body: otlpProtobuf, says: { "\u{8}" + wire($0, $1, $2) }),
  Way(path: "/write?db=d", type: "text/plain", body: point, says: { _, _, text in #"{"error":"\#(text)"# }),
  Way(
    path: "/api/v2/write?bucket=d", type: "text/plain", body: point,
    says: { _, word, text in #"{"code":"\#(word)","message":"\#(text)"# }),
]
@Sendable private func otlpSays(_ code: Int, _ word: String, _ text: String) -> String {
  #"{"code":\#(code),"message":"\#(text)"#
}
/// google.rpc.Status behind its first tag: the code, then tag and length of the message.
@Sendable private func wire(_ code: Int, _ word: String, _ text: String) -> String {
  "\(Character(UnicodeScalar(UInt8(code))))\u{12}"
}
@Sendable private func line(_ number: Int, _ bytes: Int) -> [UInt8] {
  let time = rfc3339(wallMicroseconds: wallMicroseconds())
  let text = String(repeating: "x", count: bytes)
  return Array(#"{"type":"log","ts":"\#(time)","host":"h","app":"a","severity":6,"message":"\#(number)\#(text)"}"#.utf8)
}
@Sendable private func point(_ number: Int, _ bytes: Int) -> [UInt8] {
  Array("m message=\"\(number)\(String(repeating: "x", count: bytes))\" \(wallMicroseconds() * 1000)".utf8)
}
@Sendable private func otlpJSON(_ number: Int, _ bytes: Int) -> [UInt8] {
  let text = String(repeating: "x", count: bytes)
  return Array(
    (#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"\#(wallMicroseconds() * 1000)","#
      + #""body":{"stringValue":"\#(number)\#(text)"}}]}]}]}"#).utf8)
}
/// Field 1 of each message down to the log record, whose body is field 5.
@Sendable private func otlpProtobuf(_ number: Int, _ bytes: Int) -> [UInt8] {
  func field(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
    var length = content.count
    var bytes = [tag]
    while length > 127 {
      bytes.append(UInt8(length & 127 | 128))
      length >>= 7
    }
    return bytes + [UInt8(length)] + content
  }
  let text = Array((String(number) + String(repeating: "x", count: bytes)).utf8)
  return field(10, field(18, field(18, field(42, field(10, text)))))
}

@Suite(.serialized) struct IngestRefusalTests {
  private func check(_ reply: HTTPReply?, _ way: Way, _ status: Int, _ says: String, line: Int = #line) {
    let name = "\(way.path) \(way.type), line \(line)"
    #expect(reply?.status == status, "\(name): \(reply?.status ?? 0)")
    #expect(reply?.body.hasPrefix(says) == true, "\(name): \(reply?.body ?? "none")")
    let isOTLP = way.path.hasPrefix("/v1/")
    #expect(reply?.headers["content-type"] == (isOTLP ? way.type : "application/json"), "\(name)")
    #expect(reply?.headers["retry-after"] == (status == 429 || status == 503 ? "1" : nil), "\(name)")
  }

  @Test func `a source that has its share is answered 429, another is taken, and a full node answers 503`() throws {
    for way in ways {
      var settings = IngestSettings()
      settings.deliveriesUnderWay = 8
      let bounds = NodeConfiguration.Ingest(memoryBytes: 8 << 20, perSourceBytes: 65_536)
      let harness = try IngestHarness(settings: settings, bounds: bounds).activate()
      let bench = try HTTPBench(harness)
      let others = try DeliveryClient(harness)
      var block = try harness.server.session(harness.database)
      _ = try block.run("BEGIN; LOCK TABLE ha.fence IN EXCLUSIVE MODE", deadline: .after(milliseconds: longest))
      func send(_ number: Int, _ bytes: Int) throws -> HTTPConnection {
        let connection = try bench.open()
        let headers = ["Content-Type: \(way.type)"]
        try connection.send(httpPost(way.body(number, bytes), path: way.path, headers: headers))
        return connection
      }
      let things = way.path.contains("write") ? "points" : "records"
      let busy = way.says(8, "too many requests", "too many \(things) of this source are under way")
      // Its bytes: what is held is more than was sent.
      let first = try send(1, 40_000)
      try harness.wait("the first") { _ in harness.ingest.snapshot().deliveries.underWay == 1 }
      check(try send(2, 40_000).reply(), way, 429, busy)
      // Its deliveries: a quarter of eight.
      let second = try send(3, 1)
      try harness.wait("the second") { _ in harness.ingest.snapshot().deliveries.underWay == 2 }
      check(try send(4, 1).reply(), way, 429, busy)
      // Others are taken until there is no room at all.
      let more = try (0..<6).map { try others.submit(delivery($0...$0, key: "\($0)", source: "other-\($0)")) }
      try harness.wait("the others") { _ in harness.ingest.snapshot().deliveries.underWay == 8 }
      #expect(
        try others.deliver(delivery(9...9, key: "9", source: "one-more")) == .unavailable(retryAfterSeconds: 1))
      check(try send(5, 1).reply(), way, 429, busy)
      _ = try block.run("COMMIT", deadline: .after(milliseconds: longest))
      for connection in [first, second] {
        #expect([200, 204].contains(try connection.reply()?.status))
      }
      for number in more { #expect(try others.outcome(number) == .stored) }
      let last = try send(6, 40_000).reply()
      #expect([200, 204].contains(last?.status), "\(way.path): \(last?.body ?? "")")
    }
  }

  @Test func `a node that is full with others' deliveries, or serves no more, answers 503`() throws {
    for way in ways {
      var settings = IngestSettings()
      settings.deliveriesUnderWay = 4
      let harness = try IngestHarness(settings: settings).activate()
      let bench = try HTTPBench(harness)
      let others = try DeliveryClient(harness)
      var block = try harness.server.session(harness.database)
      _ = try block.run("BEGIN; LOCK TABLE ha.fence IN EXCLUSIVE MODE", deadline: .after(milliseconds: longest))
      for number in 0..<4 { try others.submit(delivery(number...number, key: nil, source: "other-\(number)")) }
      try harness.wait("the others") { _ in harness.ingest.snapshot().deliveries.underWay == 4 }
      let headers = ["Content-Type: \(way.type)"]
      let things = way.path.contains("write") ? "points" : "records"
      let later = way.says(14, "unavailable", "can't take \(things) now, try again")
      check(try bench.post(way.body(1, 1), path: way.path, headers: headers), way, 503, later)
      _ = try block.run("COMMIT", deadline: .after(milliseconds: longest))
      try harness.stop()
      check(try bench.post(way.body(2, 1), path: way.path, headers: headers), way, 503, later)
    }
  }

  @Test func `what is refused before it is decoded is refused in the form of its protocol`() throws {
    let bench = try HTTPBench(IngestHarness().activate())
    let bomb = gzip([UInt8](repeating: 0x20, count: 40 << 20))
    for way in ways {
      let type = "Content-Type: \(way.type)"
      func post(_ body: [UInt8], _ headers: String...) throws -> HTTPReply? {
        try bench.post(body, path: way.path, headers: [type] + headers)
      }
      let packed = "Content-Encoding: gzip"
      check(try post(bomb, packed), way, 413, way.says(8, "request too large", ""))
      check(try post(Array("none".utf8), packed), way, 400, way.says(3, "invalid", "the body "))
      // No crash while it is decoded could be told to be this sender's.
      let nameless = "Standwatch-Source: " + String(repeating: "x", count: 1000)
      check(try post(bomb, packed, nameless), way, 400, way.says(3, "invalid", Delivery.badSource))
      check(
        try post([1], "Content-Encoding: br"), way, 415,
        way.says(3, "unsupported media type", "Content-Encoding: gzip or deflate"))
      let tooLarge = way.says(8, "request too large", "the body has more than 4194304 bytes")
      // Announced, and found out.
      let announced = try bench.open()
      let head = "POST \(way.path) HTTP/1.1\r\nHost: x\r\n\(type)\r\n"
      try announced.send(Array((head + "Content-Length: 9999999\r\n\r\n").utf8))
      check(try announced.reply(), way, 413, tooLarge)
      let chunked = try bench.open()
      let chunk = Array("480000\r\n".utf8) + [UInt8](repeating: 0x20, count: 0x480000) + Array("\r\n0\r\n\r\n".utf8)
      try chunked.send(Array((head + "Transfer-Encoding: chunked\r\n\r\n").utf8) + chunk)
      check(try chunked.reply(), way, 413, tooLarge)
      let doubtful = try bench.open()
      try doubtful.send(Array((head + "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx").utf8))
      check(try doubtful.reply(), way, 400, way.says(3, "invalid", "more than one Content-Length"))
    }
    // Of neither encoding: as senders of OTLP send unless they are told otherwise.
    let untold = try bench.post(bomb, path: "/v1/traces", headers: ["Content-Encoding: gzip"])
    #expect(untold.status == 413 && untold.headers["content-type"] == "application/x-protobuf")
    #expect(untold.body.hasPrefix("\u{8}\u{8}\u{12}"))
  }
}
