// An intake with a database of its own, and a client of the native protocol that waits for its answers.
import Glibc
import Platform
import Postgres
import Telemetry
import Testing

@testable import Node

/// Settings under which faults come to light within a test's time.
func impatient(batchRows: Int = 20_000, deadline: Int64 = 400) -> IngestSettings {
  var settings = IngestSettings()
  settings.batchRows = batchRows
  settings.batchDeadlineMilliseconds = deadline
  settings.connectDeadlineMilliseconds = deadline
  return settings
}

/// An intake that listens on free ports and writes to a fresh database.
final class IngestHarness: Sendable {
  let server: PrivatePostgres
  let database: String
  let ingest: Ingest
  let configuration: NodeConfiguration
  let sessions: DatabaseSessions
  private let seen: Guarded<[IngestEvent]>
  private let operations = Guarded<UInt64>(0)

  var native: SocketAddress { configuration.listen.native[0] }
  var syslogTCP: SocketAddress { configuration.listen.syslogTCP[0] }
  var syslogTLS: SocketAddress { configuration.listen.syslogTLS[0] }
  var syslogUDP: SocketAddress { configuration.listen.syslogUDP[0] }
  var influxTCP: SocketAddress { configuration.listen.influxTCP[0] }
  var forward: SocketAddress { configuration.listen.forward[0] }
  var zabbix: SocketAddress { configuration.listen.zabbix[0] }

  init(
    server: PrivatePostgres? = nil, settings: IngestSettings = IngestSettings(), lanes: Int = 2,
    bounds: NodeConfiguration.Ingest = NodeConfiguration.Ingest(), relay: Relay? = nil,
    scrape: [NodeConfiguration.Scrape.Target] = [], forwardSharedKey: [UInt8]? = nil,
    tls: NodeConfiguration.TLS? = nil
  ) throws {
    let server = try server ?? PrivatePostgres.shared.get()
    var connection = try server.makeDatabase()
    if let relay { connection = connection.replacing("port=\(server.port)", with: "port=\(relay.port)") }
    self.server = server
    let parsed = try ConnectionString(connection)
    database = try #require(parsed["dbname"])
    func address() throws -> SocketAddress { try #require(SocketAddress(host: "127.0.0.1", port: try freePort())) }
    var configuration = NodeConfiguration(
      cluster: "test", node: "a", user: nil, runtimeFolder: "/tmp", logLevel: .error,
      database: .init(connection: parsed, lanes: lanes),
      service: .init(addresses: [], helpers: .init(claim: "", renew: nil, release: "", status: "")),
      peers: .init(listen: [], nodes: [], keys: []),
      listen: .init(
        native: [try address()], syslogTCP: [try address()], syslogUDP: [try address()], http: []),
      ingest: bounds, timing: .init())
    configuration.listen.influxTCP = [try address()]
    configuration.listen.forward = [try address()]
    configuration.listen.zabbix = [try address()]
    configuration.listen.forwardSharedKey = forwardSharedKey
    configuration.listen.tls = tls
    if tls != nil { configuration.listen.syslogTLS = [try address()] }
    configuration.scrape.targets = scrape
    self.configuration = configuration
    sessions = DatabaseSessions(
      connection: parsed, cluster: "test", node: "a", incarnation: wallMicroseconds(), leaseMilliseconds: 2000)
    sessions.refreshEndpoints()
    let seen = Guarded<[IngestEvent]>([])
    self.seen = seen
    ingest = try Ingest(
      configuration: configuration, sessions: sessions, settings: settings,
      report: { event in seen.withLock { $0.append(event) } })
    try ingest.start()
  }
  deinit { ingest.shutDown() }

  /// Makes `epoch` the current one, as a promotion does.
  func promote(_ epoch: Int64) throws {
    try server.query("UPDATE ha.leadership SET epoch = \(epoch), token = \(epoch * 1000 + 7)", on: database)
  }
  func timeline() throws -> UInt32 {
    UInt32(try server.query("SELECT ha.timeline()", on: database).first?.first??.description ?? "") ?? 0
  }
  /// Promotes and activates; returns when the listeners are open.
  @discardableResult func activate(_ epoch: Int64 = 1) throws -> IngestHarness {
    try promote(epoch)
    let operation = nextOperation()
    ingest.activate(epoch: epoch, token: epoch * 1000 + 7, timeline: try timeline(), operation: operation)
    try wait("listening") { events in
      events.contains { if case .listening(operation, _) = $0 { true } else { false } }
    }
    // A moment later; until then senders over HTTP are told to come again.
    try wait("the tokens") { _ in ingest.tokens.judge("swt_", source: "x", peer: "x") != nil }
    return self
  }
  func stop() throws {
    let operation = nextOperation()
    ingest.stop(reason: "test", operation: operation)
    try wait("stopped") { $0.contains(.stopped(operation: operation)) }
  }
  /// Whether the drain was complete.
  func drain(milliseconds: Int64 = 30_000) throws -> Bool {
    let operation = nextOperation()
    ingest.drain(reason: "switchover", deadline: .after(milliseconds: patience(milliseconds)), operation: operation)
    try wait("drained") { events in
      events.contains { if case .drained(operation, _) = $0 { true } else { false } }
    }
    return events.contains(.drained(operation: operation, complete: true))
  }
  private func nextOperation() -> UInt64 {
    operations.withLock {
      $0 += 1
      return $0
    }
  }

  var events: [IngestEvent] { seen.withLock { $0 } }
  /// Waits until the events, or anything else, are as wanted.
  func wait(_ what: String, milliseconds: Int64 = longest, until isTrue: ([IngestEvent]) throws -> Bool) throws {
    let deadline = BootInstant.after(milliseconds: patience(milliseconds))
    while try !isTrue(events) {
      guard BootInstant.now() < deadline else { throw TestTimeout(what: "\(what); events \(events.suffix(6))") }
      sleep(until: .after(milliseconds: 5))
    }
  }

  @discardableResult func query(_ text: String) throws -> [[String?]] { try server.query(text, on: database) }
  func number(_ text: String) throws -> Int { try query(text).first?.first?.flatMap { Int($0) } ?? -1 }
  /// Rows of a fact table, and how many distinct (stream, seq) they have.
  func stored(_ table: String = "queue") throws -> (rows: Int, distinct: Int) {
    let row = try query("SELECT count(*), count(DISTINCT (stream_id, seq)) FROM telemetry.\(table)").first ?? []
    return (row.first?.flatMap { Int($0) } ?? -1, row.last?.flatMap { Int($0) } ?? -1)
  }
}

struct TestTimeout: Error, CustomStringConvertible {
  var what: String
  var description: String { "timed out waiting for \(what)" }
}

/// A blocking client of the native protocol.
final class NativeClient {
  let descriptor: Descriptor
  private var received: [UInt8] = []

  init(_ address: SocketAddress) throws {
    descriptor = try connectStream(address, deadline: .after(milliseconds: patience(longest)))
  }
  /// Connects and says hello.
  convenience init(_ address: SocketAddress, source: String, stream: String = "s") throws {
    try self.init(address)
    try send(Hello(source: source, stream: stream, oldest: 1).line)
  }
  /// Connects, says hello and takes the welcome; answers what is committed.
  static func open(
    _ harness: IngestHarness, source: String = "mes-07/collector", stream: String = "s1", oldest: Int64 = 1
  ) throws -> (client: NativeClient, committed: Int64) {
    let client = try NativeClient(harness.native)
    try client.send(Hello(source: source, stream: stream, oldest: oldest).line)
    guard case .welcome(_, _, let committed, _, _) = try client.reply() else { throw TestTimeout(what: "welcome") }
    return (client, committed)
  }

  func send(_ bytes: [UInt8], milliseconds: Int64 = longest) throws {
    let deadline = BootInstant.after(milliseconds: patience(milliseconds))
    var sent = 0
    while sent < bytes.count {
      switch Platform.send(descriptor.raw, bytes, from: sent) {
      case .done(let count): sent += count
      case .wouldBlock:
        if Platform.wait(descriptor.raw, for: .write, until: deadline).isEmpty {
          throw TestTimeout(what: "room to send")
        }
      case .closed: throw SystemError(call: "send", code: EPIPE)
      case .failed(let code): throw SystemError(call: "send", code: code)
      }
    }
  }
  func send(_ text: String) throws { try send(Array(text.utf8)) }

  /// The next line; nil when the connection has ended.
  func line(milliseconds: Int64 = longest) throws -> [UInt8]? {
    let deadline = BootInstant.after(milliseconds: patience(milliseconds))
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      if let end = received.firstIndex(of: 0x0a) {
        let line = Array(received[..<end])
        received.removeSubrange(...end)
        return line
      }
      switch receive(descriptor.raw, into: &chunk) {
      case .done(let count): received += chunk[..<count]
      case .closed, .failed: return nil
      case .wouldBlock:
        if Platform.wait(descriptor.raw, for: .read, until: deadline).isEmpty { throw TestTimeout(what: "a line") }
      }
    }
  }
  func reply(milliseconds: Int64 = longest) throws -> NativeReply? {
    guard let line = try line(milliseconds: milliseconds) else { return nil }
    guard let reply = NativeReply(line: line) else {
      throw TestTimeout(what: "a reply, got \(String(decoding: line, as: UTF8.self))")
    }
    return reply
  }
  /// Reads until `seq` is acknowledged; answers the rejects that came before.
  @discardableResult func awaitAck(_ seq: Int64, milliseconds: Int64 = longest) throws -> [(seq: Int64, reason: String)]
  {
    var rejects: [(seq: Int64, reason: String)] = []
    while true {
      switch try reply(milliseconds: milliseconds) {
      case .ack(let acked): if acked >= seq { return rejects }
      case .reject(let seq, let reason): rejects.append((seq, reason))
      case .pong, .welcome, .live: continue
      case .bye(let reason): throw TestTimeout(what: "ack \(seq), told bye: \(reason)")
      case nil: throw TestTimeout(what: "ack \(seq), connection ended")
      }
    }
  }
  /// Reads until the connection ends; the reason of a bye among the last lines.
  func awaitEnd(milliseconds: Int64 = longest) throws -> String? {
    var reason: String?
    while let reply = try reply(milliseconds: milliseconds) { if case .bye(let why) = reply { reason = why } }
    return reason
  }
}

/// Lines of queue records.
func queueLines(_ range: ClosedRange<Int64>, app: String = "EQP-ADAPTER-12", extra: String = "") -> [UInt8] {
  let time = rfc3339(wallMicroseconds: wallMicroseconds())
  var text: [UInt8] = []
  text.reserveCapacity(range.count * 150)
  for seq in range {
    text += Array(
      """
      {"seq":\(seq),"type":"queue","ts":"\(time)","host":"mes-07","app":"\(app)","queue":"in","depth":\(seq % 97),\
      "capacity":1000\(extra)}

      """.utf8)
  }
  return text
}
