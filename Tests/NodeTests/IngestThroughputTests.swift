// Records a second over one native connection, beside a COPY of the same rows. Measured on request, checked always.
import Glibc
import Platform
import Postgres
import Telemetry
import Testing

@testable import Node

private let wanted = unsafe getenv("STANDWATCH_MEASURE").map { unsafe String(cString: $0) }.flatMap { Int64($0) }

@Suite(.serialized) struct IngestThroughputTests {
  /// `STANDWATCH_MEASURE=400000 swift test -c release ...` prints the figures.
  @Test func `one connection keeps both works of its lane filled, and every record is acknowledged`() throws {
    let count = wanted ?? 30_000
    let server = wanted == nil ? nil : try PrivatePostgres(settings: ["max_wal_size = 4GB"])
    defer { server?.stop() }
    let harness = try IngestHarness(server: server).activate()
    let (client, _) = try NativeClient.open(harness)
    let lines = queueLines(1...count)
    let begun = BootInstant.now()
    let (descriptor, ended) = (client.descriptor.raw, Guarded(false))
    let sender = try RoleThread(name: "sender") {
      var sent = 0
      while sent < lines.count {
        switch send(descriptor, lines, from: sent) {
        case .done(let more): sent += more
        case .wouldBlock: _ = wait(descriptor, for: .write, until: .after(milliseconds: 1000))
        case .closed, .failed: return
        }
      }
      ended.withLock { $0 = true }
    }
    try client.awaitAck(count)
    let milliseconds = BootInstant.now().milliseconds(since: begun)
    sender.join()
    #expect(ended.withLock { $0 })
    #expect(try harness.stored() == (Int(count), Int(count)))
    if wanted != nil { try report(harness, count, milliseconds) }
  }

  /// A thousand sources in release builds, fewer otherwise, each with small pieces one after the other.
  @Test func `many sources are served from little memory`() throws {
    let sources = wanted == nil ? 100 : 1000
    let harness = try IngestHarness().activate()
    let before = residentKilobytes()
    let opening = BootInstant.now()
    let clients = try (0..<sources).map { try NativeClient(harness.native, source: "source-\($0)") }
    for client in clients { _ = try client.reply() }
    let opened = BootInstant.now().milliseconds(since: opening)
    let begun = BootInstant.now()
    let rounds = Int64(wanted == nil ? 3 : 20)
    for round in 0..<rounds {
      let lines = queueLines(round * 20 + 1...round * 20 + 20)
      for client in clients { try client.send(lines) }
    }
    for client in clients { try client.awaitAck(rounds * 20) }
    let milliseconds = BootInstant.now().milliseconds(since: begun)
    let rows = sources * Int(rounds) * 20
    #expect(try harness.stored() == (rows, rows))
    let grown = residentKilobytes() - before
    if wanted != nil {
      // Alone in its process only.
      #expect(grown < 100 << 10)
      print(
        "MEASURED \(sources) sources welcome in \(opened) ms, \(Int(Double(rows) / milliseconds * 1000)) rows/s,",
        "grown by \(grown >> 10) MiB to \(residentKilobytes() >> 10) MiB")
    }
  }

  /// So that the first batch after a takeover finds nothing cold: tried once in each session, and never committed.
  @Test func `a lane that waits has rehearsed a batch and left nothing of it`() throws {
    let harness = try IngestHarness()
    // Out of its transaction again, and the last it was asked for is what a batch begins with.
    let rehearsed = """
      SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%/lane%'
      AND state = 'idle' AND query LIKE 'COPY telemetry.name_inbox %'
      """
    try harness.wait("two rehearsals") { _ in
      try harness.server.query(rehearsed, on: harness.database).first?.first == "2"
    }
    for table in ["ingest.stream", "ingest.claim", "telemetry.app", "telemetry.queue", "telemetry.rollup_delta"] {
      #expect(try harness.server.query("SELECT count(*) FROM \(table)", on: harness.database).first?.first == "0")
    }
    // It is the real thing that was rehearsed: nothing is refused when it counts.
    try harness.activate()
    let (client, _) = try NativeClient.open(harness)
    try client.send(queueLines(1...3))
    try client.awaitAck(3)
    #expect(try harness.stored() == (3, 3))
    for lane in harness.ingest.snapshot().lanes { #expect((lane.sessions, lane.retries) == (1, 0)) }
  }

  /// From the promotion to the first acknowledgement, by warm lanes.
  @Test func `the first acknowledgement comes soon after a promotion`() throws {
    let harness = try IngestHarness()
    try harness.wait("warm lanes") { $0.contains(.lanesReady(2)) }
    let begun = BootInstant.now()
    try harness.activate()
    let listening = BootInstant.now()
    let (client, _) = try NativeClient.open(harness)
    let welcomed = BootInstant.now()
    try client.send(queueLines(1...1))
    try client.awaitAck(1)
    let acked = BootInstant.now()
    #expect(acked.milliseconds(since: begun) < Double(patience(5000)))
    if wanted != nil {
      print(
        "MEASURED first ack: listening \(listening.milliseconds(since: begun)) (with the promotion),",
        "welcome \(welcomed.milliseconds(since: listening)), ack \(acked.milliseconds(since: welcomed)) ms")
    }
  }

  private func report(_ harness: IngestHarness, _ count: Int64, _ milliseconds: Double) throws {
    let file = harness.server.folder + "/rows"
    try harness.server.query(
      "COPY (SELECT * FROM telemetry.queue) TO '\(file)' (FORMAT binary); TRUNCATE telemetry.queue",
      on: harness.database)
    var session = try harness.server.session(harness.database)
    let begun = BootInstant.now()
    _ = try session.run("COPY telemetry.queue FROM '\(file)' (FORMAT binary)", deadline: .after(milliseconds: 60_000))
    let copy = BootInstant.now().milliseconds(since: begun)
    let ours = Double(count) / milliseconds * 1000
    let theirs = Double(count) / copy * 1000
    let lane = harness.ingest.snapshot().lanes
    print(
      "MEASURED ingest \(Int(ours)) rows/s, COPY \(Int(theirs)) rows/s, ratio \(ours / theirs),",
      "rss \(residentKilobytes() >> 10) MiB, batches \(lane.map(\.batches)), retries \(lane.map(\.retries))")
  }
}
