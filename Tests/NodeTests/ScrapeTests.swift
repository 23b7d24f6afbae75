// The scraper: when it asks, what it makes of the answers, and targets that are hostile.
import Compression
import Configuration
import HTTPClient
import Platform
import Telemetry
import Testing

@testable import Node

private func target(_ url: String, interval: Int64 = 1000, timeout: Int64 = 1000) -> NodeConfiguration.Scrape.Target {
  NodeConfiguration.Scrape.Target(
    url: url, app: "a", host: "h", instance: NodeConfiguration.instance(ofURL: url) ?? "",
    intervalMilliseconds: interval,
    timeoutMilliseconds: timeout)
}
/// The metrics of a result by name, without the labels.
private func metrics(_ result: ScrapeResult) -> [String: Double] {
  var found: [String: Double] = [:]
  for case .metric(let metric) in result.delivery.records.map(\.body) { found[metric.name] = metric.value }
  return found
}

/// Answers every connection on a free port with the same bytes, then closes it.
private final class CannedServer: Sendable {
  let address: SocketAddress
  private let stop: Mailbox<Int>
  private let thread: Guarded<RoleThread?>

  init(_ answer: [UInt8], endlessly: Bool = false) throws {
    let any: SocketAddress = try #require(SocketAddress(host: "127.0.0.1", port: 0))
    let listener = try listenStream(any)
    address = try #require(localAddress(listener.raw))
    let stop = try Mailbox<Int>(capacity: 1)
    self.stop = stop
    let raw = listener.release()
    let running = try RoleThread(name: "canned") {
      let listener = Descriptor(owning: raw)
      while !stop.isClosed {
        _ = wait([listener.raw, stop.descriptor], for: .read, until: nil)
        guard let (connection, _) = (try? acceptStream(listener.raw)) ?? nil else { continue }  // nobody there
        CannedServer.serve(Descriptor(owning: connection), answer, endlessly, stop)
      }
    }
    thread = Guarded(running)
  }
  deinit {
    stop.close()
    thread.withLock { $0.take() }?.join()
  }
  private static func serve(
    _ connection: borrowing Descriptor, _ answer: [UInt8], _ endlessly: Bool, _ stop: Mailbox<Int>
  ) {
    var request = [UInt8](repeating: 0, count: 4096)
    // Whoever closes with the request unread takes his answer back.
    _ = wait([connection.raw, stop.descriptor], for: .read, until: nil)
    _ = receive(connection.raw, into: &request)
    var sent = 0
    while !stop.isClosed {
      switch send(connection.raw, answer, from: sent) {
      case .done(let count): sent += count
      case .wouldBlock: _ = wait([connection.raw], for: .write, until: .after(milliseconds: 100))
      case .closed, .failed: return
      }
      if sent == answer.count {
        if !endlessly { return }
        sent = 0
        if answer.isEmpty { _ = wait(stop.descriptor, for: .read, until: nil) }
      }
    }
  }
}
private func http(
  _ body: [UInt8], type: String = "text/plain; version=0.0.4", status: String = "200 OK", more: String = ""
)
  -> [UInt8]
{
  Array("HTTP/1.1 \(status)\r\nContent-Type: \(type)\r\n\(more)Content-Length: \(body.count)\r\n\r\n".utf8) + body
}
/// One scrape of a server, with the bounds of the scraper but 1 MiB.
private func scrape(_ server: CannedServer, path: String = "/metrics", timeout: Int64 = 20_000) throws -> ScrapeResult {
  var client = try HTTPClient(userAgent: "test", maxBytes: 2 << 20)
  let target = target("http://\(server.address)\(path)", timeout: timeout)
  let hasBegun = client.start(
    Fetch(url: target.url, accept: "*/*", timeoutMilliseconds: timeout, maxBytes: 1 << 20), id: 7)
  #expect(hasBegun)
  let deadline = BootInstant.after(milliseconds: longest)
  while BootInstant.now() < deadline {
    if let (id, fetched) = client.next() {
      #expect(id == 7)
      return scrapeResult(target, fetched, startedAt: 5, seconds: 0.5)
    }
    client.wait(orReadable: [], until: deadline)
  }
  throw TestTimeout(what: "an answer")
}

@Suite struct `Scraping` {
  @Test func `targets are spread over their interval, in the same slots on every node`() {
    let targets = (0..<200).map { target("http://h\($0):9100/metrics", interval: 10_000) }
    var a = ScrapeSchedule(targets, now: 1_000_000)
    var b = ScrapeSchedule(targets, now: 1_004_321)
    b.restart(now: 1_000_000)
    #expect(a == b)
    var times: [Int: [Int64]] = [:]
    for now in stride(from: Int64(1_000_000), through: 1_030_000, by: 100) {
      for index in a.takeDue(now: now) { times[index, default: []].append(now) }
    }
    #expect(times.count == 200 && times.values.allSatisfy { $0.count == 3 })
    #expect(times.values.allSatisfy { $0.count == 3 && $0[1] - $0[0] == 10_000 && $0[2] - $0[1] == 10_000 })
    let busiest = Dictionary(grouping: times.values.map { $0[0] / 1000 }, by: { $0 }).values.map(\.count).max() ?? 0
    #expect(busiest < 45, "200 targets in 10 s; the busiest second has \(busiest)")
  }

  @Test func `a clock that jumps leaves slots out but stops no target`() {
    var schedule = ScrapeSchedule([target("http://h/", interval: 10_000)], now: 1_000_000)
    #expect(schedule.takeDue(now: 1_010_000) == [0])
    #expect(schedule.takeDue(now: 9_000_000) == [0] && schedule.takeDue(now: 9_000_000) == [])
    _ = schedule.takeDue(now: 1_000_000)
    #expect(schedule.takeDue(now: 1_010_000) == [0])
    #expect(ScrapeSchedule([], now: 0).next == nil)
  }

  @Test func `a scrape is its samples and what Prometheus says of it, under a key that no other has`() throws {
    let server = try CannedServer(http(Array("a{b=\"c\"} 1\nd 2 3\nbad\ne NaN\n".utf8)))
    let result = try scrape(server)
    #expect(result.problem == nil && result.samples == 3)
    #expect(
      metrics(result) == [
        "a": 1, "d": 2, "up": 1, "scrape_duration_seconds": 0.5, "scrape_samples_scraped": 3,
        "scrape_samples_malformed": 1, "scrape_samples_not_finite": 1,
      ])
    #expect(result.delivery.key == Array("5".utf8) && result.delivery.source == "http://\(server.address)/metrics")
    #expect(result.delivery.records.allSatisfy { $0.app == "a" && $0.host == "h" })
  }

  @Test func `a target that is no target is down, with the reason, and gives nothing else`() throws {
    let gzipBomb = gzip([UInt8](repeating: 0, count: 64 << 20))
    let cases: [(String, [UInt8], String)] = [
      ("not found", http([], status: "404 Not Found"), "answered with status 404"),
      (
        "a redirect to elsewhere", http([], status: "302 Found", more: "Location: http://127.0.0.1:1/\r\n"),
        "answered with status 302"
      ),
      ("a web page", http(Array("<html>".utf8), type: "text/html"), "the answer is no exposition but text/html"),
      (
        "cut OpenMetrics", http(Array("a 1\n".utf8), type: "application/openmetrics-text; version=1.0.0"),
        "the answer was cut off: it has no # EOF"
      ),
      ("only nonsense", http(Array("{}\n".utf8)), "line 1: not a metric name of 1 to 200 bytes"),
      (
        "announced too large", Array("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".utf8),
        "the answer is too large"
      ),
      ("too large", http([UInt8](repeating: 10, count: (1 << 20) + 1)), "the answer is too large"),
      ("a gzip bomb", http(gzipBomb, more: "Content-Encoding: gzip\r\n"), "the answer is too large"),
    ]
    for (name, answer, problem) in cases {
      let result = try scrape(try CannedServer(answer))
      #expect(result.problem == problem, "\(name)")
      #expect(metrics(result)["up"] == 0 && result.delivery.records.count == 5, "\(name)")
    }
    let broken: [(String, [UInt8])] = [
      ("no answer", []), ("no HTTP", Array("SSH-2.0-x\r\n".utf8)),
      ("cut off", Array("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na 1\n".utf8)),
      ("no gzip", http(Array("a 1\n".utf8), more: "Content-Encoding: gzip\r\n")),
      ("cut gzip", http(Array(gzipBomb.prefix(40)), more: "Content-Encoding: gzip\r\n")),
      ("an unknown packing", http(Array("a 1\n".utf8), more: "Content-Encoding: zstd\r\n")),
      ("a bad chunk", Array("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".utf8)),
    ]
    for (name, answer) in broken {
      let result = try scrape(try CannedServer(answer))
      #expect(result.problem?.isEmpty == false && metrics(result)["up"] == 0, "\(name): \(result.problem ?? "up")")
    }
    let endless = try CannedServer(Array("a 1\n".utf8), endlessly: true)
    #expect(try scrape(endless).problem != nil)
    #expect(try scrape(try CannedServer([], endlessly: true), timeout: 200).problem?.isEmpty == false)
  }

  @Test func `other schemes and nonsense are never asked`() throws {
    var client = try HTTPClient(userAgent: "test", maxBytes: 1 << 20)
    for (index, url) in ["file:///etc/passwd", "gopher://127.0.0.1/", "", "http://", "dict://h/"].enumerated() {
      let id = UInt64(index)
      guard client.start(Fetch(url: url, accept: "*/*", timeoutMilliseconds: 1000, maxBytes: 1000), id: id) else {
        continue
      }
      var fetched: Fetched?
      let deadline = BootInstant.after(milliseconds: longest)
      while fetched == nil, BootInstant.now() < deadline {
        client.wait(orReadable: [], until: deadline)
        fetched = client.next()?.fetched
      }
      if case .failed? = fetched { continue }
      Issue.record("\(url): \(String(describing: fetched))")
    }
  }

  @Test func `an instance is host and port of an HTTP URL`() {
    let cases: [(String, String?)] = [
      ("http://h:9100/metrics", "h:9100"), ("http://h", "h:80"), ("HTTPS://h/x?y#z", "h:443"),
      ("http://[::1]:9100/", "[::1]:9100"), ("http://[::1]", "[::1]:80"), ("http://h?x", "h:80"), ("ftp://h/", nil),
      ("http://", nil), ("http:///x", nil), ("h:9100", nil), ("http://h:0/", nil), ("http://h:x/", nil),
      ("http://h:70000/", nil), ("http://u:p@h/", nil), ("http://h h/", nil), ("http://é/", nil), ("", nil),
      ("http://h:/", nil), ("http://[::1/", nil), ("http://" + String(repeating: "h", count: 200), nil),
    ]
    for (url, expected) in cases { #expect(NodeConfiguration.instance(ofURL: url) == expected, "\(url)") }
  }

  @Test func `the active node stores each scrape once, a standby makes none, and what is missed is a gap`() throws {
    let server = try CannedServer(http(Array("probe 42\n".utf8)))
    let harness = try IngestHarness(scrape: [target("http://\(server.address)/metrics", interval: 200)]).activate()
    func scrapes() throws -> Int {
      try harness.number(
        "SELECT count(*) FROM telemetry.metric AS m JOIN telemetry.metric_name AS n ON n.id = m.metric_id WHERE n.name = 'probe' AND m.value = 42"
      )
    }
    try harness.wait("three scrapes") { _ in try scrapes() >= 3 }
    // In one statement: the next scrape does not wait.
    #expect(try harness.number("SELECT count(*) - count(DISTINCT (ts, metric_id)) FROM telemetry.metric") == 0)
    try harness.stop()
    let stopped = try scrapes()
    sleep(until: .after(milliseconds: 600))
    #expect(try scrapes() == stopped)
    try harness.activate(2)
    try harness.wait("scrapes again") { _ in try scrapes() > stopped }
    // A stop may come between a commit and its count: of both runs there are some.
    try harness.wait("the picture of them") { _ in
      let seen = harness.ingest.scrapeSnapshot().targets
      return seen.count == 1 && seen.first?.isUp == true && (seen.first?.stored ?? 0) >= 4
    }
  }
}
