// Records a second over one native connection, beside a COPY of the same rows. Measured on request, checked always.
import Glibc
import Platform
import Postgres
import Telemetry
import Testing

@testable import Node

private let wanted = unsafe getenv("STANDWATCH_MEASURE").map { unsafe String(cString: $0) }.flatMap { Int64($0) }

@Suite struct IngestThroughputTests {
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
    try client.awaitAck(count, milliseconds: 60_000)
    let milliseconds = BootInstant.now().milliseconds(since: begun)
    sender.join()
    #expect(ended.withLock { $0 })
    #expect(try harness.stored() == (Int(count), Int(count)))
    if wanted != nil { try report(harness, count, milliseconds) }
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
