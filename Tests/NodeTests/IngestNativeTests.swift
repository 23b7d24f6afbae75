// The native protocol from socket to PostgreSQL: once, in order, and refused where it has to be.
import Glibc
import Platform
import Postgres
import Telemetry
import Testing

@testable import Node

@Suite struct IngestNativeTests {
  @Test func `every record type is acknowledged and stored once`() throws {
    let harness = try IngestHarness().activate()
    let (client, committed) = try NativeClient.open(harness)
    #expect(committed == 0)
    let time = rfc3339(wallMicroseconds: wallMicroseconds())
    let head = #""ts":"\#(time)","host":"mes-07","app":"EQP""#
    try client.send(
      """
      {"seq":1,"type":"queue",\(head),"queue":"in","depth":31,"capacity":1000}
      {"seq":2,"type":"step",\(head),"txn":"t1","step":"check","status":"ok","elapsed_us":12,"attrs":{"a":1}}
      {"seq":3,"type":"job",\(head),"job":"nightly","duration_us":5,"status":"ok"}
      {"seq":4,"type":"metric",\(head),"name":"cpu","value":0.25,"labels":{"core":"0"}}
      {"seq":5,"type":"log",\(head),"severity":"error","message":"äöü \\n done"}
      {"seq":6,"type":"event",\(head),"kind":"deploy"}

      """)
    #expect(try client.awaitAck(6).isEmpty)
    for table in ["queue", "step", "job", "metric", "log", "event"] {
      #expect(try harness.stored(table) == (1, 1), "\(table)")
    }
    #expect(try harness.query("SELECT name FROM telemetry.host") == [["mes-07"]])
    #expect(try harness.query("SELECT message FROM telemetry.log") == [["äöü \n done"]])
    try harness.wait("the picture") { _ in harness.ingest.snapshot().firstCommitMilliseconds != nil }
    #expect(harness.events.contains { if case .firstCommit(epoch: 1, _) = $0 { true } else { false } })
  }

  @Test func `a stream goes on behind what is committed`() throws {
    let harness = try IngestHarness().activate()
    do {
      let (client, _) = try NativeClient.open(harness)
      try client.send(queueLines(1...100))
      try client.awaitAck(100)
    }
    let (client, committed) = try NativeClient.open(harness)
    #expect(committed == 100)
    try client.send(queueLines(101...150))
    try client.awaitAck(150)
    #expect(try harness.stored() == (150, 150))
  }

  @Test func `a connection lost in mid flight loses and doubles nothing`() throws {
    let harness = try IngestHarness().activate()
    var next: Int64 = 1
    for round in 0..<8 {
      let (client, committed) = try NativeClient.open(harness)
      #expect(committed >= 0 && committed < next)
      next = committed + 1
      try client.send(queueLines(next...next + 999))
      next += 1000
      if round % 2 == 0 { resetOnClose(client.descriptor.raw) }
    }
    let (client, committed) = try NativeClient.open(harness)
    try client.send(queueLines(committed + 1...9000))
    try client.awaitAck(9000)
    #expect(try harness.stored() == (9000, 9000))
  }

  @Test(arguments: [[Int64(1), 3], [1, 1], [2]]) func `a gap or a repetition ends the connection`(seqs: [Int64]) throws
  {
    let harness = try IngestHarness().activate()
    let (client, _) = try NativeClient.open(harness)
    for seq in seqs { try client.send(queueLines(seq...seq)) }
    let reason = try client.awaitEnd() ?? ""
    #expect(reason.contains("was expected"), "\(reason)")
    let expected = seqs.first == 1 ? 1 : 0
    try harness.wait("the record before") { _ in try harness.stored().rows == expected }
    let (_, committed) = try NativeClient.open(harness)
    #expect(committed == Int64(expected))
  }

  @Test func `bad records are set aside with their reason and the others stored`() throws {
    let harness = try IngestHarness().activate()
    let (client, _) = try NativeClient.open(harness)
    let old = #""type":"queue","ts":"1999-01-01T00:00:00Z","host":"h","app":"a","queue":"q","depth":1"#
    var lines = queueLines(1...3)
    lines += Array(#"{"seq":4,"type":"queue","depth":1}"#.utf8) + [0x0a]
    lines += Array(#"{"seq":5,"type":"nonsense"}"#.utf8) + [0x0a]
    lines += Array(#"{"seq":6,\#(old)}"#.utf8) + [0x0a]
    lines += Array(#"{"seq":7,"type":"log","message":"\#u{fffd}"#.utf8) + [0xff, 0xfe] + Array(#""}"#.utf8) + [0x0a]
    lines += queueLines(8...10)
    try client.send(lines)
    let rejects = try client.awaitAck(10)
    #expect(rejects.map(\.seq) == [4, 5, 6, 7])
    #expect(rejects.count == 4 && rejects[2].reason.contains("range"), "\(rejects)")
    #expect(try harness.stored() == (6, 6))
    #expect(try harness.query("SELECT seq FROM ingest.rejected ORDER BY seq") == [["4"], ["5"], ["6"], ["7"]])
    try harness.wait("counters") { _ in harness.ingest.snapshot().rejected == 4 }
  }

  @Test func `a newer hello supersedes and settles the older connection`() throws {
    let harness = try IngestHarness().activate()
    let (older, _) = try NativeClient.open(harness)
    try older.send(queueLines(1...2000))
    // Behind the last record: when its answer comes, all of them are in a batch.
    try older.send(pingLine(7))
    while true { if case .pong(7) = try older.reply() { break } }
    let (newer, committed) = try NativeClient.open(harness)
    #expect(committed == 2000)
    #expect(try older.awaitEnd()?.contains("superseded") == true)
    try newer.send(queueLines(2001...2002))
    try newer.awaitAck(2002)
    #expect(try harness.stored() == (2002, 2002))
  }

  @Test func `records that PostgreSQL lost and nobody has are written down as a gap`() throws {
    let harness = try IngestHarness().activate()
    let (client, committed) = try NativeClient.open(harness, oldest: 50)
    #expect(committed == 49)
    try client.send(queueLines(50...51))
    try client.awaitAck(51)
    #expect(try harness.query("SELECT first, last, epoch FROM ingest.gap") == [["1", "49", "1"]])
    try harness.wait("counters") { _ in harness.ingest.snapshot().gaps == 1 }
  }

  @Test func `lines without hello are taken only where that is allowed`() throws {
    let strict = try IngestHarness().activate()
    let refused = try NativeClient(strict.native)
    try refused.send(queueLines(1...1))
    #expect(try refused.awaitEnd()?.contains("hello") == true)
    let open = try IngestHarness(bounds: .init(allowAnonymous: true)).activate()
    let client = try NativeClient(open.native)
    try client.send(queueLines(7...9))
    try open.wait("the lines") { _ in try open.stored().rows == 3 }
    #expect(try open.number("SELECT count(*) FROM telemetry.queue WHERE stream_id IS NOT NULL") == 0)
  }

  @Test func `a client that only half closes still gets its acknowledgements`() throws {
    let harness = try IngestHarness().activate()
    let client = try NativeClient(harness.native)
    try client.send(Hello(source: "nc", stream: "s", oldest: 1).line)
    guard case .welcome = try client.reply() else { throw TestTimeout(what: "welcome") }
    try client.send(queueLines(1...500))
    shutdown(client.descriptor.raw, Int32(SHUT_WR))
    try client.awaitAck(500)
    #expect(try client.line() == nil)
  }

  @Test func `many sources write at the same time, each exactly once`() throws {
    let harness = try IngestHarness(lanes: 3).activate()
    let clients = try (0..<50).map { index in
      try NativeClient.open(harness, source: "source-\(index)", stream: "s").client
    }
    for part in 0..<4 {
      let first = Int64(part) * 50 + 1
      for (index, client) in clients.enumerated() {
        try client.send(queueLines(first...first + 49, app: "app-\(index % 7)"))
      }
    }
    for client in clients { try client.awaitAck(200) }
    #expect(try harness.stored() == (10_000, 10_000))
    #expect(try harness.number("SELECT count(*) FROM telemetry.app") == 7)
    #expect(try harness.number("SELECT count(*) FROM telemetry.name_collision") == 0)
  }
}
