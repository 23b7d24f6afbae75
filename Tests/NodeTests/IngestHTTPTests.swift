// `POST /ingest` over real sockets, into a real PostgreSQL: what is stored, what is answered, and what must not hang.
import Compression
import HTTPServer
import Platform
import Postgres
import Telemetry
import Testing

@testable import Node

private let key = ["Idempotency-Key: 7d2a", "Standwatch-Source: mes-07"]
private func stored(_ count: Int, duplicate: Bool = false) -> String {
  #"{"stored":\#(count),"rejected":0,"duplicate":\#(duplicate),"rejects":[]}"# + "\n"
}

@Suite(.serialized) struct IngestHTTPTests {
  @Test func `lines are stored once, however often they come with their key`() throws {
    let bench = try HTTPBench(IngestHarness().activate())
    let lines = deliveryLines(1...100)
    let first = try bench.post(lines, headers: key)
    #expect((first.status, first.body) == (200, stored(100)))
    #expect(first.headers["content-type"] == "application/json")
    let again = try bench.post(lines, headers: key)
    #expect((again.status, again.body) == (200, stored(100, duplicate: true)))
    #expect(try bench.harness.depths() == (100, 100))
    // Without a key it is another delivery each time.
    for _ in 0..<2 { #expect(try bench.post(deliveryLines(1...10, app: "TWICE")).body == stored(10)) }
    #expect(try bench.harness.depths("TWICE") == (20, 10))
    #expect(try bench.post(deliveryLines(1...3), headers: key).status == 422)
    #expect(try bench.harness.depths() == (100, 100))
  }

  @Test func `packed bodies are unpacked, in pieces too`() throws {
    let bench = try HTTPBench(IngestHarness().activate())
    let lines = deliveryLines(1...2000)
    #expect(try bench.post(gzip(lines), headers: ["Content-Encoding: gzip"] + key).body == stored(2000))
    let connection = try bench.open()
    let head = "POST /ingest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Encoding: x-gzip\r\n\r\n"
    try connection.send(Array(head.utf8))
    let packed = gzip(deliveryLines(3001...4000))
    for start in stride(from: 0, to: packed.count, by: 997) {
      let chunk = packed[start..<min(start + 997, packed.count)]
      try connection.send(Array("\(String(chunk.count, radix: 16))\r\n".utf8) + chunk + Array("\r\n".utf8))
    }
    try connection.send(Array("0\r\n\r\n".utf8))
    #expect(try connection.reply()?.body == stored(1000))
    #expect(try bench.harness.depths() == (3000, 3000))
  }

  @Test func `a kept connection and a pipeline are answered in order`() throws {
    let bench = try HTTPBench(IngestHarness().activate())
    let connection = try bench.open()
    var all: [UInt8] = []
    for index in 0..<20 {
      all += httpPost(deliveryLines(index * 10...index * 10 + index % 5), headers: ["Idempotency-Key: \(index)"])
      all += Array("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".utf8)
    }
    try connection.send(all)
    for index in 0..<20 {
      #expect(try connection.reply()?.body == stored(index % 5 + 1))
      #expect(try connection.reply()?.body == "alive\n")
    }
  }

  @Test func `requests that come in while another one is answered are taken, and stop nothing`() throws {
    let bench = try HTTPBench(IngestHarness().activate())
    // Each of them is admitted in the moment in which the one before is acknowledged.
    let piped = try bench.open()
    try piped.send((1...50).flatMap { httpPost(deliveryLines($0...$0, app: "PIPED")) })
    for _ in 1...50 { #expect(try piped.reply()?.body == stored(1)) }
    let clients = try (1...8).map { _ in try bench.open() }
    for depth in 1...40 {
      for client in clients { try client.send(httpPost(deliveryLines(depth...depth, app: "BESIDE"))) }
      for client in clients { #expect(try client.reply()?.body == stored(1)) }
    }
    #expect(try bench.harness.depths("PIPED") == (50, 50) && bench.harness.depths("BESIDE") == (320, 40))
  }

  @Test func `a sender that expects 100-continue is told so, or what is wrong before it sends`() throws {
    let bench = try HTTPBench(IngestHarness().activate())
    let lines = deliveryLines(1...10)
    func open(_ length: Int, _ header: String = "") throws -> HTTPConnection {
      let connection = try bench.open()
      try connection.send(
        Array(
          "POST /ingest HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: \(length)\r\n\(header)\r\n".utf8)
      )
      return connection
    }
    let good = try open(lines.count)
    #expect(try good.reply()?.status == 100)
    try good.send(lines)
    #expect(try good.reply()?.body == stored(10))
    #expect(try open(1 << 40).reply()?.status == 413)
    #expect(try open(10, "Content-Encoding: br\r\n").reply()?.status == 415)
    try bench.harness.stop()
    #expect(try open(10).reply()?.status == 503)
  }

  @Test func `a refused line is told by its number, and the others are stored`() throws {
    let bench = try HTTPBench(IngestHarness().activate())
    let body = deliveryLines(1...1) + Array("\r\n{\"type\":\"queue\"}\nnonsense\"\n".utf8) + deliveryLines(2...2)
    let reply = try bench.post(body, headers: key)
    #expect(reply.status == 200)
    #expect(reply.body.hasPrefix(#"{"stored":2,"rejected":2,"duplicate":false,"rejects":[{"line":3,"reason":"ts: "#))
    #expect(reply.body.contains(#"{"line":4,"reason":"not valid JSON (byte 0)"}"#))
    #expect(try bench.harness.number("SELECT count(*) FROM ingest.rejected WHERE source = 'mes-07'") == 2)
    let many = try bench.post(Array(String(repeating: "x\n", count: 1000).utf8))
    #expect(many.status == 400)
    #expect(many.body.contains(#""rejected":1000"#) && many.body.contains(#""reasons_omitted":900"#))
    #expect(many.body.utf8.count < 20_000)
  }

  @Test func `a standby takes nothing, and says when to come again`() throws {
    let bench = try HTTPBench(IngestHarness())
    let reply = try bench.post(deliveryLines(1...10), headers: key)
    #expect((reply.status, reply.headers["retry-after"]) == (503, "1"))
    try bench.harness.activate()
    #expect(try bench.post(deliveryLines(1...10), headers: key).body == stored(10))
    try bench.harness.stop()
    #expect(try bench.post(deliveryLines(1...10), headers: key).status == 503)
  }

  @Test func `nothing is acknowledged once the intake was stopped, and what waited is told to come again`() throws {
    let bench = try HTTPBench(IngestHarness().activate())
    var block = try bench.harness.server.session(bench.harness.database)
    _ = try block.run("BEGIN; LOCK TABLE ha.fence IN EXCLUSIVE MODE", deadline: .after(milliseconds: longest))
    let connection = try bench.open()
    try connection.send(httpPost(deliveryLines(1...10), headers: key))
    try bench.harness.wait("the delivery") { _ in bench.harness.ingest.snapshot().deliveries.underWay == 1 }
    bench.harness.ingest.stop(reason: "test", operation: 99)
    _ = try block.run("COMMIT", deadline: .after(milliseconds: longest))
    #expect(try connection.reply()?.status == 503)
    try bench.harness.wait("stopped") { $0.contains(.stopped(operation: 99)) }
    try bench.harness.activate(2)
    #expect(try bench.post(deliveryLines(1...10), headers: key).status == 200)
    #expect(try bench.harness.depths() == (10, 10))
  }

  @Test func `a client that waits too long is told to come again, and its delivery is stored once`() throws {
    var limits = WebIngestLimits()
    limits.answerMilliseconds = 200
    let bench = try HTTPBench(IngestHarness().activate(), ingestLimits: limits)
    var block = try bench.harness.server.session(bench.harness.database)
    _ = try block.run("BEGIN; LOCK TABLE ha.fence IN EXCLUSIVE MODE", deadline: .after(milliseconds: longest))
    let late = try bench.post(deliveryLines(1...10), headers: key)
    #expect((late.status, late.headers["retry-after"]) == (503, "1"))
    _ = try block.run("COMMIT", deadline: .after(milliseconds: longest))
    let lines = deliveryLines(1...10)
    // Its digest is another one: the time is in the lines. On a busy machine its own answer comes too late as well.
    var status = 503
    try bench.harness.wait("the answer") { _ in
      status = try bench.post(lines, headers: key).status
      return status != 503
    }
    #expect(status == 422)
    try bench.harness.wait("its rows") { _ in try bench.harness.depths() == (10, 10) }
  }

  @Test func `slow senders are closed in their time, and hold up nobody`() throws {
    var limits = HTTPLimits()
    limits.bodyMilliseconds = 500
    limits.requestMilliseconds = 500
    let bench = try HTTPBench(IngestHarness().activate(), limits: limits)
    let slow = try (0..<20).map { _ in try bench.open() }
    for connection in slow {
      try connection.send(Array("POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{".utf8))
    }
    for _ in 0..<8 {
      sleep(until: .after(milliseconds: 50))
      for connection in slow { try connection.send([0x20]) }
      #expect(try bench.post(deliveryLines(1...1)).status == 200)
    }
    for connection in slow { #expect(try connection.reply(milliseconds: 20_000) == nil) }
  }

  @Test func `bodies are bounded one by one and all together`() throws {
    var limits = HTTPLimits()
    limits.bodyBytes = 100_000
    limits.allBodiesBytes = 150_000
    let bench = try HTTPBench(IngestHarness().activate(), limits: limits)
    let large = [UInt8](repeating: 0x20, count: 100_001)
    #expect(try bench.post(large).status == 413)
    // Without a length it is known only when it is there.
    let chunked = try bench.open()
    try chunked.send(
      Array("POST /ingest HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n186a1\r\n".utf8) + large)
    try chunked.send(Array("\r\n0\r\n\r\n".utf8))
    #expect(try chunked.reply()?.status == 413)
    let half = Array(large.prefix(80_000))
    let first = try bench.open()
    try first.send(Array("POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 80001\r\n\r\n".utf8) + half)
    // Its bytes may still be on their way when others come: whichever comes too late is refused, never both.
    // A refused one waits for its last byte, for thirty seconds at most.
    let enough = BootInstant.after(milliseconds: 20_000)
    var seen = 0
    while seen != 503, BootInstant.now() < enough { seen = try bench.post(half).status }
    try first.send([0x20])
    let last = try first.reply()?.status
    #expect((seen == 503 && last == 200) || (seen == 200 && last == 503), "others \(seen), the first \(last ?? 0)")
    #expect(try bench.post(half).status == 200)
  }

  @Test func `unfinished bodies from one address leave room for other addresses`() throws {
    var limits = HTTPLimits()
    (limits.bodyBytes, limits.allBodiesBytes, limits.addressBodiesBytes) = (100_000, 400_000, 150_000)
    let bench = try HTTPBench(IngestHarness().activate(), limits: limits)
    let half = [UInt8](repeating: 0x20, count: 80_000)
    let slow = try bench.open()
    try slow.send(Array("POST /ingest HTTP/1.1\r\nHost: x\r\nContent-Length: 80001\r\n\r\n".utf8) + half)
    // Its bytes may still be on their way when others come: whichever comes too late is refused, never both.
    // A refused one waits for its last byte, for thirty seconds at most.
    let enough = BootInstant.after(milliseconds: 20_000)
    var seen = 0
    while seen != 429, BootInstant.now() < enough { seen = try bench.post(half).status }
    try slow.send([0x20])
    let last = try slow.reply()?.status
    #expect((seen == 429 && last == 200) || (seen == 200 && last == 429), "others \(seen), the slow one \(last ?? 0)")
  }

  @Test func `what is stopped with clients waiting ends cleanly`() throws {
    let harness = try IngestHarness().activate()
    var bench: HTTPBench? = try HTTPBench(harness)
    var block = try harness.server.session(harness.database)
    _ = try block.run("BEGIN; LOCK TABLE ha.fence IN EXCLUSIVE MODE", deadline: .after(milliseconds: longest))
    let connections = try (0..<10).compactMap { _ in try bench?.open() }
    for (index, connection) in connections.enumerated() {
      try connection.send(httpPost(deliveryLines(index...index), headers: ["Idempotency-Key: \(index)"]))
    }
    try harness.wait("them all") { _ in harness.ingest.snapshot().deliveries.underWay == 10 }
    bench = nil
    for connection in connections { #expect(try connection.reply()?.status ?? 503 == 503) }
    _ = try block.run("COMMIT", deadline: .after(milliseconds: longest))
  }
}
