// What one source may bring in an hour, of names and of patterns of messages, against a real PostgreSQL.
import Platform
import Telemetry
import Testing

@testable import Node

@Suite struct SourceQuotaTests {
  /// Upkeep reads the setting with its first round: from then on a source that brings sixty names is refused some.
  private func awaitQuota(_ harness: IngestHarness, _ client: DeliveryClient) throws {
    try harness.wait("the quota") { _ in
      let probe = (0..<60).map { Record(time: 0, host: "h\($0)", app: "a", .log(.init(severity: 6, message: "m"))) }
      var delivery = Delivery(key: nil, source: "probe-\(wallMicroseconds())", records: probe)
      for index in delivery.records.indices {
        delivery.records[index].time = wallMicroseconds() - Intake.epoch2000Microseconds
        delivery.records[index].host = "\(delivery.source)-\(index)"
      }
      guard case .stored(_, let rejects) = try client.deliver(delivery) else { return false }
      return !rejects.isEmpty && rejects.allSatisfy { $0.reason.hasPrefix("host: is a new name") }
    }
  }
  @Test func `elections of the same node cost a source nothing of its quota`() throws {
    let harness = try IngestHarness(lanes: 1).activate()
    try harness.server.query("SELECT ha.set_setting('names_per_source_hour', '50', 'test')", on: harness.database)
    let client = try DeliveryClient(harness)
    let now = wallMicroseconds() - Intake.epoch2000Microseconds
    func delivery() -> Delivery {
      let records = (10..<40).map {
        Record(time: now, host: "h\($0)", app: "app", .log(.init(severity: 6, message: "m")))
      }
      return Delivery(key: nil, source: "gateway", records: records)
    }
    for epoch in Int64(2)...6 {
      try harness.stop()
      try harness.activate(epoch)
      if epoch == 2 { try awaitQuota(harness, client) }
      #expect(try client.deliver(delivery()) == .stored)
    }
  }
  @Test func `patterns of delivered messages are noted anew as time passes`() throws {
    let harness = try IngestHarness(lanes: 1).activate()
    let client = try DeliveryClient(harness)
    let now = wallMicroseconds() - Intake.epoch2000Microseconds
    func word(_ number: Int) -> String {
      String([number / 676, number / 26 % 26, number % 26].map { Character(UnicodeScalar(UInt8(97 + $0))) })
    }
    func delivery(_ range: Range<Int>) -> Delivery {
      let records = range.map { Record(time: now, host: "h", app: "a", .log(.init(severity: 6, message: word($0)))) }
      return Delivery(key: nil, source: "s", records: records)
    }
    func patterns(_ range: Range<Int>) throws -> Int {
      let words = range.map { "'\(word($0))'" }.joined(separator: ",")
      return try harness.number("SELECT count(DISTINCT pattern_id) FROM telemetry.log WHERE message IN (\(words))")
    }
    // All that are allowed at once, and more.
    #expect(try client.deliver(delivery(0..<9000)) == .stored)
    #expect(try patterns(0..<2) == 2)
    #expect(try patterns(8990..<8992) == 1)
    var next = 9000
    try harness.wait("patterns of what comes later") { _ in
      sleep(until: .after(milliseconds: 600))
      next += 2
      #expect(try client.deliver(delivery(next..<next + 2)) == .stored)
      return try patterns(next..<next + 2) == 2
    }
  }
  @Test func `names beyond a source's quota are refused over every protocol, told and counted`() throws {
    let harness = try IngestHarness()
    try harness.server.query("SELECT ha.set_setting('names_per_source_hour', '50', 'test')", on: harness.database)
    try harness.activate()
    let client = try DeliveryClient(harness)
    try awaitQuota(harness, client)
    let (native, _) = try NativeClient.open(harness, source: "explosive")
    let time = rfc3339(wallMicroseconds: wallMicroseconds())
    for seq in 1...100 {
      try native.send(
        #"{"seq":\#(seq),"type":"metric","ts":"\#(time)","host":"h1","app":"a1","name":"order-\#(seq)","value":1}"#
          + "\n")
    }
    let rejects = try native.awaitAck(100)
    #expect(rejects.count == 52 && rejects.allSatisfy { $0.reason.contains("too many in this hour") })
    #expect(try harness.number("SELECT count(*) FROM telemetry.metric") == 48)
    #expect(
      try harness.number("SELECT count(*) FROM ingest.rejected WHERE source = 'explosive' AND reason LIKE '%too many%'")
        == 52)
    try harness.wait("the count") { _ in harness.ingest.snapshot().overQuota >= 52 }
    // Another source is not concerned.
    let (other, _) = try NativeClient.open(harness, source: "tame")
    try other.send(queueLines(1...10))
    #expect(try other.awaitAck(10).isEmpty)
  }
}
