// Deliveries straight into an intake, and requests over real sockets to the HTTP role in front of it.
import Glibc
import HTTPServer
import Platform
import Telemetry
import Testing

@testable import Node

/// Lines of queue records without seq; `from` is told apart in `depth`.
func deliveryLines(_ depths: ClosedRange<Int>, app: String = "EQP-1", microseconds: Int64? = nil) -> [UInt8] {
  let time = rfc3339(wallMicroseconds: microseconds ?? wallMicroseconds())
  var text: [UInt8] = []
  for depth in depths {
    text += Array(
      #"{"type":"queue","ts":"\#(time)","host":"mes-07","app":"\#(app)","queue":"in","depth":\#(depth)}"#.utf8)
    text.append(0x0a)
  }
  return text
}
func delivery(_ depths: ClosedRange<Int>, key: String?, source: String = "mes-07", app: String = "EQP-1") throws
  -> Delivery
{
  var delivery = Delivery(key: key.map { Array($0.utf8) }, source: source, records: [])
  delivery.lines = try #require(NativeLines(deliveryLines(depths, app: app), limit: 1 << 20))
  return delivery
}

/// Hands deliveries over as the web thread does, and waits for what becomes of them.
final class DeliveryClient {
  let harness: IngestHarness
  private let replies: Mailbox<WebReply>
  private var seen: [UInt64: DeliveryOutcome] = [:]
  private var next: UInt64 = 1

  init(_ harness: IngestHarness) throws {
    self.harness = harness
    replies = try Mailbox(capacity: 65_536)
  }
  @discardableResult func submit(_ delivery: Delivery, kind: String = "test") throws -> UInt64 {
    let number = next
    next += 1
    try #require(harness.ingest.deliver(delivery, kind: kind, WebTicket(number: number, reply: replies)))
    return number
  }
  func outcome(_ number: UInt64, milliseconds: Int64 = longest) throws -> DeliveryOutcome {
    let deadline = BootInstant.after(milliseconds: patience(milliseconds))
    while true {
      for reply in replies.takeAll() {
        try #require(seen[reply.number] == nil, "told twice")
        seen[reply.number] = reply.outcome
      }
      if let outcome = seen[number] { return outcome }
      if wait(replies.descriptor, for: .read, until: deadline).isEmpty { throw TestTimeout(what: "outcome \(number)") }
    }
  }
  func deliver(_ delivery: Delivery, kind: String = "test") throws -> DeliveryOutcome {
    try outcome(try submit(delivery, kind: kind))
  }
  /// Again and again until it is stored, as a sender does; how often.
  func persist(_ delivery: Delivery, milliseconds: Int64 = longest) throws -> Int {
    let deadline = BootInstant.after(milliseconds: patience(milliseconds))
    for attempt in 1... {
      switch try deliver(delivery) {
      case .stored: return attempt
      case .unavailable, .overShare: sleep(until: .after(milliseconds: 20))
      case .refused(let reason): throw TestTimeout(what: "storing, refused: \(reason)")
      }
      if BootInstant.now() > deadline { break }
    }
    throw TestTimeout(what: "storing")
  }
}

extension DeliveryOutcome {
  static let stored = DeliveryOutcome.stored(isDuplicate: false, rejects: [])
  static let repeated = DeliveryOutcome.stored(isDuplicate: true, rejects: [])
}

extension IngestHarness {
  /// Lanes whose transaction waits for a lock.
  func lanesThatWait() throws -> Int {
    try number(
      """
      SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'
        AND application_name LIKE '%/lane%'
      """)
  }
  /// How many rows there are, and how many different depths.
  func depths(_ app: String = "EQP-1") throws -> (rows: Int, distinct: Int) {
    let row = try query(
      """
      SELECT count(*), count(DISTINCT q.depth) FROM telemetry.queue AS q
      JOIN telemetry.app AS a ON a.id = q.app_id WHERE a.name = '\(app)'
      """
    ).first
    return (row?.first?.flatMap { Int($0) } ?? -1, row?.last?.flatMap { Int($0) } ?? -1)
  }
}

/// The HTTP role in front of an intake.
final class HTTPBench {
  let harness: IngestHarness
  let address: SocketAddress
  let role: WebRole

  init(
    _ harness: IngestHarness, limits: HTTPLimits = HTTPLimits(), ingestLimits: WebIngestLimits = WebIngestLimits()
  ) throws {
    self.harness = harness
    address = try #require(SocketAddress(host: "127.0.0.1", port: try freePort()))
    role = try WebRole(addresses: [address], limits: limits, ingest: harness.ingest, ingestLimits: ingestLimits) {
      NodeStatus(cluster: "test", node: "a", incarnation: 1, version: "0", pid: 1)
    }
  }
  deinit { role.stop() }

  func open() throws -> HTTPConnection {
    HTTPConnection(try connectStream(address, deadline: .after(milliseconds: patience(longest))))
  }
  /// Waits until a record is taken: connections that ended just now may still count.
  func awaitService() throws {
    try harness.wait("service") { _ in
      let connection = try open()
      try connection.send(httpPost(deliveryLines(1...1)))
      return try connection.reply()?.status == 200
    }
  }
  /// One request on a connection of its own.
  func post(
    _ body: [UInt8], path: String = "/ingest", headers: [String] = [], milliseconds: Int64 = longest,
    line: Int = #line
  ) throws -> HTTPReply {
    let connection = try open()
    try connection.send(httpPost(body, path: path, headers: headers))
    return try #require(try connection.reply(milliseconds: milliseconds, line: line))
  }
}
func httpPost(_ body: [UInt8], path: String = "/ingest", headers: [String] = []) -> [UInt8] {
  let lines = ["POST \(path) HTTP/1.1", "Host: x", "Content-Length: \(body.count)"] + headers
  return Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8) + body
}

struct HTTPReply: Equatable {
  var status: Int
  var headers: [String: String]
  var body: String
}

/// A blocking connection.
final class HTTPConnection {
  let descriptor: Descriptor
  private var received: [UInt8] = []
  init(_ descriptor: consuming Descriptor) { self.descriptor = descriptor }

  /// Sends what it can; a server that closes early is none of our business here.
  func send(_ bytes: [UInt8], milliseconds: Int64 = longest) throws {
    let deadline = BootInstant.after(milliseconds: patience(milliseconds))
    var sent = 0
    while sent < bytes.count {
      switch Platform.send(descriptor.raw, bytes, from: sent) {
      case .done(let count): sent += count
      case .wouldBlock:
        if Platform.wait(descriptor.raw, for: [.write], until: deadline).isEmpty { throw TestTimeout(what: "room") }
      case .closed, .failed: return
      }
    }
  }
  /// The next whole reply; nil when the connection ends before.
  func reply(milliseconds: Int64 = longest, line: Int = #line) throws -> HTTPReply? {
    let deadline = BootInstant.after(milliseconds: patience(milliseconds))
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      if let reply = parse() { return reply }
      switch receive(descriptor.raw, into: &chunk) {
      case .done(let count): received += chunk[..<count]
      case .closed, .failed: return nil
      case .wouldBlock:
        if wait(descriptor.raw, for: .read, until: deadline).isEmpty {
          throw TestTimeout(what: "a reply, line \(line); \(received.count) bytes came")
        }
      }
    }
  }
  private func parse() -> HTTPReply? {
    let mark = Array("\r\n\r\n".utf8)
    guard received.count >= 4,
      let end = (0...(received.count - 4)).first(where: { received[$0..<$0 + 4].elementsEqual(mark) })
    else { return nil }
    let lines = String(decoding: received[..<end], as: UTF8.self).split(separator: "\r\n").map(String.init)
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { continue }
      headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingPrefix(" ").description
    }
    let length = headers["content-length"].flatMap { Int($0) } ?? 0
    guard let status = lines.first?.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else { return nil }
    guard received.count >= end + 4 + length else { return nil }
    let body = String(decoding: received[(end + 4)..<(end + 4 + length)], as: UTF8.self)
    received.removeFirst(end + 4 + length)
    return HTTPReply(status: status, headers: headers, body: body)
  }
}
