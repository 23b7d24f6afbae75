// What the intake does not let others do to it: hostile bytes, too many connections, silence, floods.
import Chance
import Glibc
import Platform
import Postgres
import Telemetry
import Testing

@testable import Node

@Suite struct IngestBoundsTests {
  @Test func `hostile bytes end their own connection and nobody else's`() throws {
    let harness = try IngestHarness().activate()
    let (good, _) = try NativeClient.open(harness)
    try good.send(queueLines(1...10))
    try good.awaitAck(10)
    var generator = SplitMix64(seed: 20_261_120)
    let hello = Hello(source: "x", stream: "y", oldest: 1).line
    var attacks: [[UInt8]] = [
      [UInt8](repeating: 0x7b, count: 300_000), [UInt8](repeating: 0x0a, count: 50_000),
      [UInt8](repeating: 0, count: 300_000), [UInt8](repeating: 0xff, count: 1000) + [0x0a],
      Array("{\"hello\":{\"source\":\"\u{1}\",\"stream\":\"\"}}\n".utf8),
      Array("{\"hello\":{\"source\":\"a\",\"stream\":\"b\",\"oldest\":9223372036854775807}}\n".utf8),
      Array("{\"hello\":{\"source\":\"a\",\"stream\":\"c\",\"oldest\":-1}}\n{\"ping\":99999999999999999999}\n".utf8),
      Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8), [0x16, 0x03, 0x01, 0x02, 0x00],
      hello + hello, hello + Array(#"{"seq":9223372036854775807,"type":"queue"}"#.utf8) + [0x0a],
      hello + Array(#"{"seq":1,"type":"queue","depth":"#.utf8) + [UInt8](repeating: 0x39, count: 200_000) + [0x0a],
      Array("999999999 <1>x".utf8), Array("0 <".utf8), Array("12345678901234567890 <13>x\n".utf8),
    ]
    for _ in 0..<20 { attacks.append((0..<2000).map { _ in UInt8.random(in: 0...255, using: &generator) }) }
    for attack in attacks {
      for address in [harness.native, harness.syslogTCP] {
        let client = try NativeClient(address)
        // The intake may be gone before everything is sent.
        try? client.send(attack, milliseconds: 2000)
      }
      let socket = try bindDatagram(try #require(SocketAddress(host: "127.0.0.1", port: 0)))
      sendDatagram(socket.raw, Array(attack.prefix(60_000)), to: harness.syslogUDP)
    }
    try good.send(queueLines(11...20))
    try good.awaitAck(20)
    #expect(
      try harness.number("SELECT count(*) FROM telemetry.queue WHERE stream_id = \(streamID("mes-07/collector", "s1"))")
        == 20)
    try harness.wait("the attackers to be gone") { _ in
      let connections = harness.ingest.snapshot().connections
      return connections.native == 1 && connections.syslogTCP == 0
    }
    #expect(harness.ingest.snapshot().bytesBuffered < 1 << 20)
  }

  @Test func `a client that says no hello in time is closed`() throws {
    var settings = IngestSettings()
    settings.greetingMilliseconds = 200
    let harness = try IngestHarness(settings: settings).activate()
    let client = try NativeClient(harness.native)
    #expect(try client.awaitEnd() == "no hello in time")
  }

  @Test func `connections are bounded, in all and for one address`() throws {
    let harness = try IngestHarness(bounds: .init(maxConnections: 8, maxConnectionsPerAddress: 5)).activate()
    let clients = try (0..<5).map { try NativeClient.open(harness, source: "s\($0)").client }
    // The reset can come before the connect is seen to have succeeded.
    if let refused = try? NativeClient(harness.native) { #expect(try refused.line() == nil) }
    try clients[0].send(queueLines(1...1))
    try clients[0].awaitAck(1)
    try harness.wait("counters") { _ in harness.ingest.snapshot().connections.refused >= 1 }
  }

  @Test func `a standby and a stopped node refuse connections, and a stop resets those that are there`() throws {
    let harness = try IngestHarness()
    try harness.wait("warm lanes") { $0.contains(.lanesReady(2)) }
    #expect(throws: SystemError.self) { _ = try NativeClient(harness.native) }
    try harness.activate()
    let (client, _) = try NativeClient.open(harness)
    try client.send(queueLines(1...1))
    try client.awaitAck(1)
    try harness.stop()
    var byte: [UInt8] = [0]
    #expect(receive(client.descriptor.raw, into: &byte) == .failed(ECONNRESET))
    #expect(throws: SystemError.self) { _ = try NativeClient(harness.native) }
    try harness.activate(2)
    let (again, committed) = try NativeClient.open(harness)
    #expect(committed == 1)
    try again.send(queueLines(2...2))
    try again.awaitAck(2)
    #expect(try harness.stored() == (2, 2))
  }

  @Test func `a flood while PostgreSQL does not take anything stays within the bounds, and is stored in the end`()
    throws
  {
    let bounds = NodeConfiguration.Ingest(memoryBytes: 4 << 20, perSourceBytes: 1 << 20)
    let harness = try IngestHarness(bounds: bounds).activate()
    let clients = try (0..<20).map { try NativeClient.open(harness, source: "flood-\($0)", stream: "s").client }
    var block = try harness.server.session(harness.database)
    _ = try block.run("BEGIN; LOCK TABLE ha.fence IN EXCLUSIVE MODE", deadline: .after(milliseconds: longest))
    let padding = #","oldest_ms":1234567890123"#
    let lines = queueLines(1...3000, extra: padding)
    var sent = [Int](repeating: 0, count: clients.count)
    // As much as the sockets take, until they take nothing for a while.
    var idle = 0
    while idle < 20 && sent.contains(where: { $0 < lines.count }) {
      var progress = false
      for (index, client) in clients.enumerated() where sent[index] < lines.count {
        if case .done(let count) = Platform.send(client.descriptor.raw, lines, from: sent[index]), count > 0 {
          sent[index] += count
          progress = true
        }
      }
      idle = progress ? 0 : idle + 1
      if !progress { Platform.sleep(until: .after(milliseconds: 10)) }
      #expect(harness.ingest.snapshot().bytesBuffered <= bounds.memoryBytes)
    }
    _ = try block.run("COMMIT", deadline: .after(milliseconds: longest))
    for (index, client) in clients.enumerated() { try client.send(Array(lines[sent[index]...])) }
    for client in clients { try client.awaitAck(3000) }
    #expect(try harness.stored() == (60_000, 60_000))
  }

  @Test func `lines that never end are dropped before they take the memory of the others`() throws {
    let bounds = NodeConfiguration.Ingest(memoryBytes: 2 << 20)
    let harness = try IngestHarness(bounds: bounds).activate()
    let (good, _) = try NativeClient.open(harness)
    var hogs: [NativeClient] = []
    for index in 0..<60 {
      let (hog, _) = try NativeClient.open(harness, source: "hog-\(index)")
      // Some are closed while others still send.
      try? hog.send(Array(#"{"seq":1,"message":""#.utf8) + [UInt8](repeating: 0x61, count: 60_000))
      hogs.append(hog)
      #expect(harness.ingest.snapshot().bytesBuffered <= bounds.memoryBytes)
    }
    try good.send(queueLines(1...2000))
    try good.awaitAck(2000)
    try harness.wait("the hogs to be refused") { _ in
      (harness.ingest.snapshot().refusedByReason["memory"] ?? 0) > 0
    }
  }

  @Test func `pings that waited for us to read are no flood, those of a new connection are`() {
    func refused(_ pings: Int, after milliseconds: Int64, _ allowance: inout PingAllowance) -> Int {
      let now = BootInstant(nanoseconds: 1_000_000_000).adding(milliseconds: milliseconds)
      return (0..<pings).count { _ in allowance.isExceeded(50, now) }
    }
    var fresh = PingAllowance()
    #expect(refused(60, after: 0, &fresh) == 10)
    var waiting = PingAllowance()
    #expect(refused(1, after: 0, &waiting) == 0)
    // Ten a second, and half a minute in which PostgreSQL did not answer.
    #expect(refused(300, after: 30_000, &waiting) == 0)
    #expect(refused(5000, after: 3_600_000, &waiting) == 5000 - 60 * 50)
  }

  @Test func `a client that does nothing but ping is closed, and one that asks now and then is not`() throws {
    let harness = try IngestHarness().activate()
    let (polite, _) = try NativeClient.open(harness, source: "polite")
    for number in 1...20 {
      try polite.send(pingLine(Int64(number)))
      #expect(try polite.reply() == .pong(Int64(number)))
    }
    let flood = try NativeClient(harness.native)
    try? flood.send([UInt8]((0..<10_000).flatMap { pingLine($0) }), milliseconds: 2000)
    try harness.wait("the flood to be refused") { _ in
      harness.ingest.snapshot().refusedByReason["too many pings"] == 1
    }
  }

  @Test func `a crowd with tiny records does not keep the lane from one that has a few`() throws {
    var settings = IngestSettings()
    settings.batchRows = 2000
    let harness = try IngestHarness(settings: settings).activate()
    var block = try harness.server.session(harness.database)
    _ = try block.run("BEGIN; LOCK TABLE ha.fence IN EXCLUSIVE MODE", deadline: .after(milliseconds: longest))
    let tiny = [UInt8]((0..<12_000).flatMap { _ in Array("<1>x\n".utf8) })
    let crowd = try (0..<40).map { _ in try NativeClient(harness.syslogTCP) }
    var sent = [Int](repeating: 0, count: crowd.count)
    // As much as the sockets take, until they take nothing for a while.
    var idle = 0
    while idle < 20 && sent.contains(where: { $0 < tiny.count }) {
      idle += 1
      for (index, member) in crowd.enumerated() where sent[index] < tiny.count {
        guard case .done(let count) = Platform.send(member.descriptor.raw, tiny, from: sent[index]) else { continue }
        sent[index] += count
        idle = 0
      }
      if idle > 0 { Platform.sleep(until: .after(milliseconds: 10)) }
    }
    // One source on each lane: whichever the crowd is on. All is there before the lanes go on.
    let few = try (0..<8).map { try NativeClient(harness.native, source: "few-\($0)") }
    for client in few { try client.send(queueLines(1...1)) }
    _ = try block.run("COMMIT", deadline: .after(milliseconds: longest))
    for client in few {
      guard case .welcome = try client.reply() else { throw TestTimeout(what: "welcome") }
      try client.awaitAck(1)
    }
    // First come first served would have stored nearly all of the crowd's before. By the order of the transactions: on a
    // busy machine many come between an acknowledgement and the question.
    let before = try harness.number(
      """
      SELECT count(*) FROM telemetry.log
      WHERE xmin::text::bigint < (SELECT max(xmin::text::bigint) FROM telemetry.queue)
      """)
    let all = sent.reduce(0, +) / 5
    #expect(all > 100_000 && before < all / 2, "\(before) of \(all)")
  }

  @Test func `many clients with invented holes are answered by few transactions, and by few lines of the log`() throws {
    let harness = try IngestHarness().activate()
    let crowd = try (0..<200).map { index in
      let client = try NativeClient(harness.native)
      try client.send(Hello(source: "gap-\(index)", stream: "s", oldest: 1 << 61).line)
      return client
    }
    for client in crowd {
      guard case .welcome(_, _, let committed, _, _) = try client.reply() else { throw TestTimeout(what: "welcome") }
      #expect(committed == 1 << 61 - 1)
    }
    #expect(try harness.number("SELECT count(*) FROM ingest.gap") == 200)
  }

  @Test func `a client that reads nothing is closed before its answers take memory without bound`() throws {
    var settings = IngestSettings()
    settings.outgoingBytes = 64 << 10
    let harness = try IngestHarness(settings: settings).activate()
    let client = try NativeClient.open(harness).client
    var next: Int64 = 0
    func refused() -> [UInt8] {
      defer { next += 500 }
      return [UInt8]((next + 1...next + 500).flatMap { Array("{\"seq\":\($0)}\n".utf8) })
    }
    var lines = refused()
    // Until the intake stops reading, or closes.
    var stalled = 0
    loop: while stalled < 30 {
      switch Platform.send(client.descriptor.raw, lines) {
      case .done(let count):
        stalled = 0
        lines.removeFirst(count)
        if lines.isEmpty { lines = refused() }
      case .wouldBlock:
        stalled += 1
        Platform.sleep(until: .after(milliseconds: 10))
      case .closed, .failed: break loop
      }
    }
    // Its refused records fill both works of its lane at most.
    #expect(harness.ingest.snapshot().bytesBuffered < 6 << 20)
    let (other, _) = try NativeClient.open(harness, source: "other")
    try other.send(queueLines(1...1))
    try other.awaitAck(1)
  }
}

private func streamID(_ source: String, _ stream: String) -> Int64 {
  NameHash.streamID(source: source, stream: stream)
}
