// HTTP over real sockets: every path and state, and clients that are slow, greedy or hostile.
import Chance
import HTTPServer
import Platform
import Testing

@testable import Node

private func status(_ state: String, reachable: Bool = true) -> NodeStatus {
  var status = NodeStatus(cluster: "plant1", node: "a", incarnation: 1, version: "0.1.0", pid: 1)
  status.state = state
  status.epoch = 12
  status.database.reachable = reachable
  status.threads = [.init(name: "control", lastTickMilliseconds: 5)]
  return status
}
private func get(_ path: String, _ status: NodeStatus) -> (Int, String) {
  let found = answer(HTTPRequest(method: "GET", path: path), status)
  return (found.status, String(decoding: found.body, as: UTF8.self))
}

@Suite struct `Pages` {
  @Test func `active answers 200 on the active node alone`() {
    #expect(get("/active", status("active")) == (200, "active, epoch 12\n"))
    for state in ["standby", "degraded", "promoting", "draining", "stepping-down", "starting", "faulty"] {
      #expect(get("/active", status(state)) == (503, "\(state)\n"))
    }
  }
  @Test func `readyz means: leads, or could at once`() {
    #expect(get("/readyz", status("active")) == (200, "leads\n"))
    #expect(get("/readyz", status("standby")) == (200, "ready to lead\n"))
    #expect(get("/readyz", status("standby", reachable: false)) == (503, "not ready: PostgreSQL is not reachable\n"))
    #expect(get("/readyz", status("degraded")).0 == 503)
    var faulty = status("standby")
    faulty.faults = ["carrier lost on eth0"]
    #expect(get("/readyz", faulty) == (503, "not ready: carrier lost on eth0\n"))
  }
  @Test func `healthz fails when a critical thread hangs, and only then`() {
    #expect(get("/healthz", status("degraded", reachable: false)) == (200, "alive\n"))
    var hanging = status("active")
    hanging.threads.append(.init(name: "lease", lastTickMilliseconds: 1500))
    #expect(get("/healthz", hanging) == (503, "no sign of life from lease (1500 ms)\n"))
    hanging.threads[1].lastTickMilliseconds = .nan
    #expect(get("/healthz", hanging).0 == 200)
  }
  @Test func `an unknown path is not found`() { #expect(get("/../etc/passwd", status("active")).0 == 404) }

  @Test func `metrics have HELP and TYPE once before their samples, and no value that Prometheus can't read`() throws {
    var full = status("active")
    full.leaseLeftMilliseconds = 1500
    full.serviceAddresses = [.init(address: "10.0.0.1", interface: "eth0", held: true)]
    var peer = NodeStatus.Peer(node: "b\"\\\n")
    var link = NodeStatus.Link(link: "10.0.0.2:7401")
    link.dropped = ["foreign": 3]
    link.roundTripMilliseconds = .nan
    link.lastHeardMilliseconds = .infinity
    peer.links = [link]
    full.peers = [peer]
    full.ingest.connections = ["native": 2]
    full.ingest.acknowledged = 1 << 60
    full.ingest.lanes = [.init(lane: 0, state: "idle")]
    full.lastTakeover = .init(epoch: 12, node: "a", at: "", reason: "", phases: ["bumped": 12.5])
    let lines = metricsText(full).split(separator: "\n").map(String.init)
    var declared: Set<String> = []
    let sample =
      /^(standwatch_[a-z_]+)(\{[a-z]+="(\\.|[^"\\])*"(,[a-z]+="(\\.|[^"\\])*")*\})? (NaN|[+-]Inf|-?[0-9.e+]+)$/
    for (index, line) in lines.enumerated() {
      if line.hasPrefix("# HELP ") { continue }
      if line.hasPrefix("# TYPE ") {
        let words = line.split(separator: " ").map(String.init)
        #expect(declared.insert(words[2]).inserted, "\(words[2]) is declared twice")
        #expect(lines[index - 1].hasPrefix("# HELP \(words[2]) "))
        #expect(words[3] == (words[2].hasSuffix("_total") ? "counter" : "gauge"))
        continue
      }
      let match = try #require(try sample.wholeMatch(in: line), "\(line)")
      #expect(declared.contains(String(match.1)), "\(line)")
    }
    #expect(lines.contains("standwatch_state{state=\"active\"} 1"))
    #expect(lines.contains("standwatch_lease_left_seconds 1.5"))
    #expect(lines.contains("standwatch_peer_silent{peer=\"b\\\"\\\\\\n\"} 1"))
    #expect(lines.contains("standwatch_last_takeover_phase_seconds{phase=\"bumped\"} 0.0125"))
  }
}

/// A class, because a macro can't take what can't be copied.
private final class Client {
  private let socket: Descriptor
  var raw: Int32 { socket.raw }
  init(_ socket: consuming Descriptor) { self.socket = socket }
}

/// A role on a free port of this host.
private final class WebBench {
  let address: SocketAddress
  let role: WebRole
  init(_ limits: HTTPLimits = HTTPLimits()) throws {
    address = try #require(SocketAddress(host: "127.0.0.1", port: try freePort()))
    role = try WebRole(addresses: [address], limits: limits) { status("active") }
  }
  deinit { role.stop() }
  func connect() throws -> Client { Client(try connectStream(address, deadline: .after(milliseconds: longest))) }
  /// Sends and reads until the other side closes, or `longest` has passed.
  func exchange(_ bytes: [UInt8]) throws -> String {
    let socket = try connect()
    return talk(socket, bytes)
  }
}
private func talk(_ socket: Client, _ bytes: [UInt8], milliseconds: Int64 = longest, until end: String? = nil) -> String
{
  let deadline = BootInstant.after(milliseconds: patience(milliseconds))
  var sent = 0
  var answer: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 65536)
  while BootInstant.now() < deadline {
    let ready = wait(socket.raw, for: sent < bytes.count ? [.read, .write] : .read, until: deadline)
    if ready.contains(.read) {
      guard case .done(let count) = receive(socket.raw, into: &chunk) else { break }
      answer += chunk[..<count]
      if let end, String(decoding: answer, as: UTF8.self).hasSuffix(end) { break }
    }
    if ready.contains(.write), sent < bytes.count {
      guard case .done(let count) = send(socket.raw, bytes, from: sent) else { continue }
      sent += count
    }
  }
  return String(decoding: answer, as: UTF8.self)
}
private func request(_ line: String, _ headers: String = "") -> [UInt8] {
  Array("\(line) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\(headers)\r\n".utf8)
}

@Suite(.serialized) struct `HTTP server` {
  @Test func `a probe and a scrape are answered`() throws {
    let bench = try WebBench()
    #expect(try bench.exchange(request("GET /active")).hasPrefix("HTTP/1.1 200"))
    let metrics = try bench.exchange(request("GET /metrics?x=1"))
    #expect(metrics.contains("text/plain; version=0.0.4") && metrics.contains("standwatch_active 1\n"))
    let head = try bench.exchange(request("HEAD /healthz"))
    #expect(head.hasPrefix("HTTP/1.1 200") && head.hasSuffix("\r\n\r\n"))
    #expect(try bench.exchange(request("GET /nothing")).hasPrefix("HTTP/1.1 404"))
  }
  @Test func `other methods, bodies and endless lines are refused with their own status`() throws {
    let bench = try WebBench()
    #expect(
      try bench.exchange(request("POST /active", "Content-Length: 3\r\n") + Array("abc".utf8)).hasPrefix("HTTP/1.1 405")
    )
    #expect(try bench.exchange(request("DELETE /")).hasPrefix("HTTP/1.1 405"))
    #expect(try bench.exchange(request("GET /", "Content-Length: 99999999999\r\n")).hasPrefix("HTTP/1.1 413"))
    #expect(try bench.exchange(request("GET /", "Transfer-Encoding: chunked\r\n")).hasPrefix("HTTP/1.1 413"))
    #expect(try bench.exchange(request("GET /" + String(repeating: "a", count: 40_000))).hasPrefix("HTTP/1.1 414"))
    let wide = try bench.exchange(request("GET /", "X: " + String(repeating: "b", count: 40_000) + "\r\n"))
    #expect(wide.hasPrefix("HTTP/1.1 431") || wide.hasPrefix("HTTP/1.1 413"))
  }
  @Test func `hostile bytes are answered with an error or a close, and the next client is served`() throws {
    let bench = try WebBench()
    var generator = SplitMix64(seed: 20_261_120)
    var hostile: [[UInt8]] = [
      Array("\0\0\0\0\r\n\r\n".utf8), Array("GET\r\n\r\n".utf8), Array("GET / HTTP/9.9\r\n\r\n".utf8),
      Array("GET /%00%ff%zz HTTP/1.1\r\nHost: x\r\n\r\n".utf8), Array("\r\n\r\n\r\n".utf8),
      Array("GET / HTTP/1.1\r\nContent-Length: -5\r\nHost: x\r\n\r\n".utf8),
      Array("GET / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\nHost: x\r\n\r\n".utf8),
      [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc, 0x03, 0x03],
    ]
    for _ in 0..<50 {
      hostile.append(
        (0..<Int.random(in: 1...600, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }
    for bytes in hostile {
      let socket = try bench.connect()
      _ = talk(socket, bytes, milliseconds: 10)
    }
    #expect(try bench.exchange(request("GET /healthz")).hasPrefix("HTTP/1.1 200"))
  }
  @Test func `one address can't take all connections, and drips don't hold them`() throws {
    var limits = HTTPLimits()
    limits.connectionsPerAddress = 4
    limits.requestMilliseconds = 400
    let bench = try WebBench(limits)
    let idle = try (0..<10).map { _ in try bench.connect() }
    // A drip every 100 ms keeps an ordinary idle timeout from ever passing. While they drip, others are served.
    var (drips, served) = (Array("GET /".utf8) + [UInt8](repeating: UInt8(ascii: "a"), count: 600), false)
    while !served, let byte = drips.first {
      drips.removeFirst()
      for client in idle { _ = send(client.raw, [byte]) }
      sleep(until: .after(milliseconds: 100))
      served = try drips.count < 598 && (bench.exchange(request("GET /healthz")).hasPrefix("HTTP/1.1 200"))
    }
    #expect(served)
  }
  @Test func `connections are closed when the service moves, and the address is free after a stop`() throws {
    let bench = try WebBench()
    let kept = try bench.connect()
    let first = talk(kept, Array("GET /active HTTP/1.1\r\nHost: x\r\n\r\n".utf8), until: "active, epoch 12\n")
    #expect(first.hasPrefix("HTTP/1.1 200"))
    bench.role.closeConnections()
    #expect(!wait(kept.raw, for: .read, until: .after(milliseconds: longest)).isEmpty)
    var chunk: [UInt8] = [0]
    #expect(receive(kept.raw, into: &chunk) == .closed)
    bench.role.stop()
    bench.role.stop()
    _ = try listenStream(bench.address)
    #expect(throws: SystemError.self) { try bench.connect() }
  }
  @Test func `an address that another program has is an error that names it`() throws {
    let bench = try WebBench()
    let error = #expect(throws: SystemError.self) {
      try WebRole(addresses: [bench.address], limits: HTTPLimits(), status: { status("active") })
    }
    #expect(error?.description.contains(bench.address.description) == true)
  }
}
