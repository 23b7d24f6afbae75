// Deliveries against a real PostgreSQL: stored once, whatever fails, and acknowledged only behind their commit.
import Glibc
import Platform
import Postgres
import Telemetry
import Testing

@testable import Node

@Suite struct DeliveryTests {
  @Test func `what is delivered is stored, and the same delivery again is not`() throws {
    let harness = try IngestHarness().activate()
    let client = try DeliveryClient(harness)
    #expect(try client.deliver(delivery(1...100, key: "k")) == .stored)
    #expect(try client.deliver(delivery(1...100, key: "k")) == .repeated)
    #expect(try harness.depths() == (100, 100))
    // Another source's or protocol's key is another one.
    #expect(try client.deliver(delivery(101...200, key: "k", source: "mes-08")) == .stored)
    #expect(try client.deliver(delivery(201...300, key: "k"), kind: "other") == .stored)
    #expect(try harness.depths() == (300, 300))
    try harness.wait("the counters") { _ in
      let counted = harness.ingest.snapshot().deliveries
      return (counted.taken, counted.stored, counted.repeated) == (4, 3, 1)
    }
  }

  @Test func `a repetition after a takeover is known`() throws {
    let harness = try IngestHarness().activate(1)
    let client = try DeliveryClient(harness)
    #expect(try client.deliver(delivery(1...50, key: "before")) == .stored)
    try harness.stop()
    #expect(try client.deliver(delivery(1...50, key: "before")) == .unavailable(retryAfterSeconds: 1))
    try harness.activate(2)
    #expect(try client.deliver(delivery(1...50, key: "before")) == .repeated)
    #expect(try harness.depths() == (50, 50))
  }

  @Test func `without a key it is stored each time, and acknowledged behind its commit`() throws {
    let harness = try IngestHarness().activate()
    let client = try DeliveryClient(harness)
    var block = try harness.server.session(harness.database)
    _ = try block.run("BEGIN; LOCK TABLE ha.fence IN EXCLUSIVE MODE", deadline: .after(milliseconds: longest))
    let number = try client.submit(delivery(1...10, key: nil))
    #expect(throws: TestTimeout.self) { try client.outcome(number, milliseconds: 200) }
    _ = try block.run("COMMIT", deadline: .after(milliseconds: longest))
    #expect(try client.outcome(number) == .stored)
    #expect(try client.deliver(delivery(1...10, key: nil)) == .stored)
    #expect(try harness.depths() == (20, 10))
  }

  @Test func `the same delivery from two senders at once is stored once, and both hear of it`() throws {
    let harness = try IngestHarness().activate()
    let client = try DeliveryClient(harness)
    var block = try harness.server.session(harness.database)
    _ = try block.run("BEGIN; LOCK TABLE ha.fence IN EXCLUSIVE MODE", deadline: .after(milliseconds: longest))
    let numbers = try (0..<5).map { _ in try client.submit(delivery(1...500, key: "same")) }
    _ = try block.run("COMMIT", deadline: .after(milliseconds: longest))
    let outcomes = try numbers.map { try client.outcome($0) }
    #expect(outcomes == [.stored] + [DeliveryOutcome](repeating: .repeated, count: 4))
    #expect(try harness.depths() == (500, 500))
  }

  @Test func `repetitions among new deliveries in one batch cost the new ones nothing`() throws {
    let harness = try IngestHarness().activate()
    let client = try DeliveryClient(harness)
    for index in stride(from: 0, to: 40, by: 2) {
      #expect(try client.deliver(delivery(index * 10...index * 10 + 9, key: "d\(index)")) == .stored)
    }
    let (native, _) = try NativeClient.open(harness, source: "mes-07")
    var block = try harness.server.session(harness.database)
    _ = try block.run("BEGIN; LOCK TABLE ha.fence IN EXCLUSIVE MODE", deadline: .after(milliseconds: longest))
    // The first goes alone; the others are one batch, old and new by turns, and a native client's records among them.
    let first = try client.submit(delivery(1000...1000, key: "first"))
    let numbers = try (0..<40).map { try client.submit(delivery($0 * 10...$0 * 10 + 9, key: "d\($0)")) }
    let unkeyed = try client.submit(delivery(2000...2009, key: nil))
    try native.send(queueLines(1...10, app: "NATIVE"))
    _ = try block.run("COMMIT", deadline: .after(milliseconds: longest))
    #expect(try client.outcome(first) == .stored)
    for (index, number) in numbers.enumerated() {
      #expect(try client.outcome(number) == .stored(isDuplicate: index % 2 == 0, rejects: []))
    }
    #expect(try client.outcome(unkeyed) == .stored)
    try native.awaitAck(10)
    #expect(try harness.depths() == (411, 411))
    #expect(try harness.depths("NATIVE").rows == 10)
  }

  @Test func `a delivery that is stored in part goes on behind it`() throws {
    let harness = try IngestHarness(settings: impatient(batchRows: 100)).activate()
    let client = try DeliveryClient(harness)
    // As a takeover leaves it: the first 250 of 1000 are there.
    let key = DeliveryDesk.key(kind: "test", source: "mes-07", Array("part".utf8))
    _ = try harness.query(
      "SELECT ingest.take_deliveries('{\(key.high)}', '{\(key.low)}', '{0}', '{250}', '{0}')")
    #expect(try client.deliver(delivery(1...1000, key: "part")) == .repeated)
    #expect(try harness.depths() == (750, 750))
    #expect(try harness.number("SELECT max(last) FROM ingest.delivery") == 1000)
    #expect(try client.deliver(delivery(1...1000, key: "part")) == .repeated)
    #expect(try harness.depths() == (750, 750))
  }

  @Test func `a key used again for other contents is refused and nothing of it stored`() throws {
    let harness = try IngestHarness().activate()
    let client = try DeliveryClient(harness)
    var first = try delivery(1...10, key: "k")
    first.digest = 1
    var second = try delivery(1...30, key: "k")
    second.digest = 2
    #expect(try client.deliver(first) == .stored)
    #expect(try client.deliver(second) == .refused(reason: Delivery.keyConflict))
    #expect(try client.deliver(first) == .repeated)
    #expect(try harness.depths() == (10, 10))
    // And at once.
    var block = try harness.server.session(harness.database)
    _ = try block.run("BEGIN; LOCK TABLE ha.fence IN EXCLUSIVE MODE", deadline: .after(milliseconds: longest))
    (first.key, second.key) = (Array("j".utf8), Array("j".utf8))
    let number = try client.submit(first)
    #expect(try client.deliver(second) == .refused(reason: Delivery.keyConflict))
    _ = try block.run("COMMIT", deadline: .after(milliseconds: longest))
    #expect(try client.outcome(number) == .stored)
  }

  @Test func `other contents that go beyond what is stored of a key are refused whole`() throws {
    let harness = try IngestHarness(settings: impatient(batchRows: 100)).activate()
    let client = try DeliveryClient(harness)
    var first = try delivery(1...100, key: "k")
    first.digest = 1
    // Its second batch begins just where the first one's chain ends.
    var second = try delivery(1001...1250, key: "k")
    second.digest = 2
    #expect(try client.deliver(first) == .stored)
    #expect(try client.deliver(second) == .refused(reason: Delivery.keyConflict))
    #expect(try client.deliver(first) == .repeated)
    #expect(try harness.depths() == (100, 100))
  }

  @Test func `a delivery that waits for room among others' records goes on in a batch of its own`() throws {
    let harness = try IngestHarness(settings: impatient(batchRows: 100, deadline: 10_000), lanes: 1).activate()
    let client = try DeliveryClient(harness)
    let (native, _) = try NativeClient.open(harness, source: "mes-07")
    var block = try harness.server.session(harness.database)
    _ = try block.run("BEGIN; LOCK TABLE ha.fence IN EXCLUSIVE MODE", deadline: .after(milliseconds: longest))
    // One record is under way in the lane; a hundred fill the next batch, and twenty wait for room.
    try native.send(queueLines(1...1, app: "NATIVE"))
    try harness.wait("the first, whose lane waits") { _ in try harness.lanesThatWait() == 1 }
    try native.send(queueLines(2...121, app: "NATIVE"))
    try harness.wait("a full batch") { _ in harness.ingest.snapshot().received == 101 }
    // Half a batch is its share while others wait; when they have theirs, there is room for more of it.
    let number = try client.submit(delivery(1...200, key: "shared"))
    try harness.wait("the delivery") { _ in harness.ingest.snapshot().deliveries.underWay == 1 }
    _ = try block.run("COMMIT", deadline: .after(milliseconds: longest))
    #expect(try client.outcome(number) == .stored)
    try native.awaitAck(121)
    #expect(try harness.depths() == (200, 200))
    #expect(try harness.depths("NATIVE").rows == 121)
  }

  @Test func `records that PostgreSQL refuses are set aside alone, and told by their index`() throws {
    let harness = try IngestHarness().activate()
    try harness.server.query(
      "ALTER TABLE telemetry.queue ADD CONSTRAINT not_666 CHECK (depth NOT IN (1, 66, 67, 500))", on: harness.database)
    let client = try DeliveryClient(harness)
    let number = try client.submit(delivery(1...500, key: "poisoned"))
    let other = try client.submit(delivery(501...600, key: "good"))
    let unkeyed = try client.submit(delivery(500...501, key: nil))
    guard case .stored(false, let rejects) = try client.outcome(number) else {
      Issue.record("not stored")
      return
    }
    #expect(rejects.map(\.index) == [0, 65, 66, 499])
    #expect(rejects.allSatisfy { $0.reason.contains("not_666") })
    #expect(try client.outcome(other) == .stored)
    guard case .stored(false, let single) = try client.outcome(unkeyed) else {
      Issue.record("not stored")
      return
    }
    #expect(single.map(\.index) == [0])
    #expect(try harness.depths() == (597, 596))
    #expect(
      try harness.query("SELECT count(*), min(source) FROM ingest.rejected WHERE reason LIKE '%not_666%'") == [
        ["5", "mes-07"]
      ])
    #expect(try client.deliver(delivery(1...500, key: "poisoned")) == .repeated)
    #expect(try harness.depths() == (597, 596))
  }

  @Test func `lines that are no records are refused with their reason, and the rest is stored`() throws {
    let harness = try IngestHarness().activate()
    let client = try DeliveryClient(harness)
    var mixed = Delivery(key: Array("m".utf8), source: "mes-07", records: [])
    let bad = Array("{\"type\":\"queue\"}\n\n nothing \n".utf8)
    mixed.lines = try #require(NativeLines(deliveryLines(1...1) + bad + deliveryLines(2...2), limit: 10))
    mixed.faults = [DeliveryFault(reason: "not understood", raw: [0, 1, 2])]
    guard case .stored(false, let rejects) = try client.deliver(mixed) else {
      Issue.record("not stored")
      return
    }
    #expect(rejects.map(\.index) == [1, 2, 4])
    #expect(rejects.last?.reason == "not understood")
    #expect(try harness.depths() == (2, 2))
    #expect(try harness.number("SELECT count(*) FROM ingest.rejected WHERE source = 'mes-07'") == 3)
    #expect(try harness.query("SELECT prev, last FROM ingest.delivery") == [["0", "5"]])
  }

  @Test(arguments: [Relay.Fault.silence, .cut])
  func `a COMMIT whose answer is lost is found out and not repeated`(fault: Relay.Fault) throws {
    let server = try PrivatePostgres.shared.get()
    let relay = try Relay(to: server.port)
    let harness = try IngestHarness(server: server, settings: impatient(), relay: relay).activate()
    let client = try DeliveryClient(harness)
    // Names, rows and the lane's own stream commit.
    relay.swallowCommits(4, fault)
    let numbers = try (0..<10).map {
      try client.submit(delivery($0 * 100...$0 * 100 + 99, key: $0 == 9 ? nil : "\($0)"))
    }
    for number in numbers { #expect(try client.outcome(number) == .stored) }
    relay.swallowCommits(2, fault)
    #expect(try client.deliver(delivery(5000...5099, key: "later")) == .stored)
    #expect(try harness.depths() == (1100, 1100))
    #expect(harness.ingest.snapshot().lanes.contains { $0.retries > 0 })
  }

  @Test func `lane sessions that are ended again and again lose and double nothing`() throws {
    let harness = try IngestHarness(settings: impatient(batchRows: 300)).activate()
    let client = try DeliveryClient(harness)
    let (server, database, ended) = (harness.server, harness.database, Guarded(false))
    let killer = try RoleThread(name: "killer") {
      while !ended.withLock({ $0 }) {
        // A session that is gone already is as good.
        _ = try? server.query(
          """
          SELECT pg_terminate_backend(pid) FROM pg_stat_activity
          WHERE datname = '\(database)' AND application_name LIKE '%/lane%'
          """, on: "postgres")
        sleep(until: .after(milliseconds: 15))
      }
    }
    let numbers = try (0..<20).map {
      try client.submit(delivery($0 * 400...$0 * 400 + 399, key: $0 % 5 == 4 ? nil : "\($0)", source: "s\($0 % 4)"))
    }
    // However long a lane takes to connect again.
    try harness.wait("a lane that lost its session twice") { _ in
      harness.ingest.snapshot().lanes.contains { $0.sessions > 2 }
    }
    ended.withLock { $0 = true }
    killer.join()
    for number in numbers {
      guard case .stored(_, []) = try client.outcome(number) else {
        Issue.record("not stored")
        continue
      }
    }
    #expect(try harness.depths() == (8000, 8000))
  }

  @Test func `promotions in the middle end everything as unavailable, and a sender that persists is stored once`()
    throws
  {
    let harness = try IngestHarness(settings: impatient(batchRows: 150)).activate()
    let client = try DeliveryClient(harness)
    for epoch in Int64(2)...7 {
      let base = Int(epoch) * 10_000
      let all = try (0..<6).map { try delivery(base + $0 * 500...base + $0 * 500 + 499, key: "\(epoch)-\($0)") }
      // The first time nothing can be stored before the stop, however slow this thread is; then more and more.
      var block = try harness.server.session(harness.database)
      if epoch == 2 {
        _ = try block.run("BEGIN; LOCK TABLE ha.fence IN EXCLUSIVE MODE", deadline: .after(milliseconds: longest))
      }
      let numbers = try all.map { try client.submit($0) }
      // Sooner or later in the work.
      sleep(until: .after(milliseconds: (epoch - 2) * 6))
      try harness.stop()
      if epoch == 2 { _ = try block.run("COMMIT", deadline: .after(milliseconds: longest)) }
      var unavailable = 0
      for number in numbers {
        // All of them end.
        if try client.outcome(number) == .unavailable(retryAfterSeconds: 1) { unavailable += 1 }
      }
      if epoch == 2 { #expect(unavailable == numbers.count) }
      try harness.activate(epoch)
      for delivery in all { _ = try client.persist(delivery) }
    }
    #expect(try harness.depths() == (18_000, 18_000))
  }

  @Test func `after a promotion elsewhere nothing is acknowledged, and the delivery ends as unavailable`() throws {
    let harness = try IngestHarness().activate(1)
    let client = try DeliveryClient(harness)
    #expect(try client.deliver(delivery(1...5, key: "a")) == .stored)
    try harness.promote(2)
    #expect(try client.deliver(delivery(6...9, key: "b")) == .unavailable(retryAfterSeconds: 1))
    try harness.wait("the fence") { $0.contains(.fenced(epoch: 1)) }
    #expect(try harness.depths() == (5, 5))
  }

  @Test func `a drain stores and acknowledges what it has, and takes nothing more`() throws {
    let harness = try IngestHarness(settings: impatient(batchRows: 500, deadline: 3000)).activate()
    let client = try DeliveryClient(harness)
    let numbers = try (0..<10).map { try client.submit(delivery($0 * 1000...$0 * 1000 + 999, key: "\($0)")) }
    #expect(try harness.drain())
    for number in numbers { #expect(try client.outcome(number) == .stored) }
    #expect(try client.deliver(delivery(1...1, key: "late")) == .unavailable(retryAfterSeconds: 1))
    #expect(try harness.depths() == (10_000, 10_000))
  }

  @Test func `what finds no room is told to come again, and the bound is on what is held`() throws {
    var settings = impatient()
    settings.deliveriesUnderWay = 20
    let bounds = NodeConfiguration.Ingest(memoryBytes: 8 << 20, perSourceBytes: 256 << 10)
    let harness = try IngestHarness(settings: settings, bounds: bounds).activate()
    let client = try DeliveryClient(harness)
    var block = try harness.server.session(harness.database)
    _ = try block.run("BEGIN; LOCK TABLE ha.fence IN EXCLUSIVE MODE", deadline: .after(milliseconds: longest))
    let greedy = try (0..<10).map { try client.submit(delivery($0 * 500...$0 * 500 + 499, key: "\($0)", source: "g")) }
    let modest = try client.submit(delivery(90_000...90_001, key: "m", source: "modest"))
    try harness.wait("the bound") { _ in harness.ingest.snapshot().deliveries.turnedAway > 5 }
    let many = try (0..<40).map {
      try client.submit(delivery(91_000 + $0...91_000 + $0, key: "\($0)", source: "s\($0)"))
    }
    try harness.wait("the other bound") { _ in harness.ingest.snapshot().deliveries.turnedAway > 20 }
    #expect(harness.ingest.snapshot().deliveries.underWay == 20)
    #expect(harness.ingest.snapshot().deliveries.bytes < 2 << 20)
    _ = try block.run("COMMIT", deadline: .after(milliseconds: longest))
    #expect(try client.outcome(modest) == .stored)
    let stored = try greedy.filter { try client.outcome($0) == .stored }.count
    #expect((1...4).contains(stored))
    #expect(try many.filter { try client.outcome($0) == .stored }.count == 20 - stored - 1)
    for (index, number) in greedy.enumerated() where try client.outcome(number) != .stored {
      _ = try client.persist(delivery(index * 500...index * 500 + 499, key: "\(index)", source: "g"))
    }
    #expect(try harness.number("SELECT count(*) FROM telemetry.queue WHERE depth < 90000") == 5000)
  }

  @Test func `keys, sources and counts beyond their bounds are refused for good`() throws {
    var settings = IngestSettings()
    settings.deliveryLimits.records = 100
    let harness = try IngestHarness(settings: settings).activate()
    let client = try DeliveryClient(harness)
    func isRefused(_ delivery: Delivery) throws -> Bool {
      if case .refused = try client.deliver(delivery) { true } else { false }
    }
    #expect(try isRefused(delivery(1...101, key: "k")))
    #expect(try isRefused(delivery(1...1, key: "")))
    #expect(try isRefused(delivery(1...1, key: String(repeating: "k", count: 201))))
    #expect(try isRefused(delivery(1...1, key: "k", source: "")))
    #expect(try isRefused(delivery(1...1, key: "k", source: "a\nb")))
    #expect(try isRefused(delivery(1...1, key: "k", source: String(repeating: "s", count: 201))))
    #expect(try client.deliver(Delivery(key: Array("e".utf8), source: "s", records: [])) == .stored)
    #expect(try client.deliver(delivery(1...100, key: String(repeating: "k", count: 200))) == .stored)
    #expect(try harness.depths() == (100, 100))
  }

  @Test func `upkeep forgets deliveries after the hours that are set`() throws {
    let harness = try IngestHarness().activate()
    let client = try DeliveryClient(harness)
    for index in 0..<5 { #expect(try client.deliver(delivery(index...index, key: "\(index)")) == .stored) }
    try harness.server.query("UPDATE ingest.delivery SET at = now() - interval '3 hours'", on: harness.database)
    #expect(try client.deliver(delivery(1...1, key: "1")) == .repeated)
    #expect(try harness.number("SELECT ingest.prune_deliveries('4 hours', 100)") == 0)
    #expect(try harness.number("SELECT ingest.prune_deliveries('2 hours', 3)") == 3)
    try harness.server.query("SELECT ha.set_setting('delivery_keep_hours', '2', 'test')", on: harness.database)
    try harness.stop()
    try harness.activate(2)
    try harness.wait("the pruning") { _ in try harness.number("SELECT count(*) FROM ingest.delivery") == 0 }
  }
}
