// Deliveries into batches, ranges of rows, and the quota of what a source may bring.
import Testing

@testable import Telemetry

private let window = TimeWindow(from: 0, until: .max)
private func metric(_ name: String, labels: [(String, String)] = []) -> Record {
  var object = JSONObject()
  for (key, value) in labels { object.add(key, value) }
  return Record(
    time: 1, host: "h", app: "a", .metric(Record.Metric(name: name, value: 1, labels: labels.isEmpty ? nil : object)))
}
/// Adds all of it, and answers the refused records' indices and the first reason.
private func add(_ records: [Record], source: String, _ encoder: inout DeliveryEncoder) -> ([Int], String) {
  var batch = Batch()
  var rejects: [DeliveryReject] = []
  var next = 0
  let delivery = Delivery(key: nil, source: source, records: records)
  while next < records.count {
    next = encoder.add(delivery, from: next, into: &batch, rowLimit: 1 << 20, byteLimit: 1 << 30, rejects: &rejects)
    batch.namesWereStored()
  }
  return (rejects.map(\.index), rejects.first?.reason ?? "")
}

@Suite struct DeliveryEncoderTests {
  @Test func `ranges split in halves and lose rows without losing others`() {
    var rows = RowRanges(0..<100)
    rows.remove { (30..<40).contains($0) || $0 == 99 }
    #expect(rows.ranges == [0..<30, 40..<99] && rows.count == 89)
    let (first, second) = rows.halves
    #expect(first.ranges == [0..<30, 40..<54] && second.ranges == [54..<99])
    #expect(RowRanges(5..<5).isEmpty)
    rows.remove { _ in true }
    #expect(rows.isEmpty && rows.first == nil)
  }

  @Test func `claims of a delivery follow its rows through any selection`() throws {
    var batch = Batch()
    var encoder = DeliveryEncoder(window: window)
    var rejects: [DeliveryReject] = []
    let delivery = Delivery(key: [1], source: "s", records: (0..<50).map { metric("m\($0)") })
    let key = DeliveryKey(high: 1, low: 2)
    for (number, from) in [(UInt64(1), 10), (2, 0)] {
      let before = batch.rowCount
      _ = encoder.add(delivery, from: from, into: &batch, rowLimit: 1000, byteLimit: 1 << 20, rejects: &rejects)
      batch.note(
        DeliveryPart(
          delivery: number, key: number == 1 ? key : nil, digest: 7, source: "s", firstIndex: from,
          rows: before..<batch.rowCount))
    }
    #expect(batch.rowCount == 90 && rejects.isEmpty)
    let whole = try #require(batch.deliveryClaims(of: RowRanges(0..<90)).first)
    #expect((whole.prev, whole.last, whole.rows, whole.digest) == (10, 50, 0..<40, 7))
    #expect(batch.deliveryClaims(of: RowRanges(0..<90)).count == 1)
    #expect(batch.deliveryClaims(of: RowRanges(5..<7)).map { [$0.prev, $0.last] } == [[15, 17]])
    #expect(batch.isUnnumbered(row: 40) && batch.isUnnumbered(row: 89) && !batch.isUnnumbered(row: 39))
    #expect(batch.part(ofRow: 40)?.delivery == 2 && batch.part(ofRow: 0)?.delivery == 1)
  }

  @Test func `a delivery goes on in a batch only directly behind its own rows`() {
    var batch = Batch()
    var encoder = DeliveryEncoder(window: window)
    var rejects: [DeliveryReject] = []
    func add(_ delivery: UInt64, from: Int) {
      let before = batch.rowCount
      let records = Delivery(key: [1], source: "s", records: [metric("m0"), metric("m1")])
      _ = encoder.add(records, from: from, into: &batch, rowLimit: before + 1, byteLimit: 1 << 20, rejects: &rejects)
      batch.note(
        DeliveryPart(
          delivery: delivery, key: DeliveryKey(high: 1, low: Int64(delivery)), digest: 0, source: "s", firstIndex: from,
          rows: before..<batch.rowCount))
    }
    func mayContinue() -> [Bool] { [1, 2, 3].map { batch.mayContinue($0) } }
    add(1, from: 0)
    let behindItsFirst = mayContinue()
    #expect(behindItsFirst == [true, true, true])
    add(1, from: 1)
    let claims = batch.deliveryClaims(of: RowRanges(0..<2))
    #expect(claims.map(\.last) == [2])
    add(2, from: 0)
    // Rows of a stream.
    _ = batch.add(metric("m2"), stream: 5, seq: 1, names: &encoder.names, window: window, source: "t")
    let behindOthers = mayContinue()
    #expect(behindOthers == [true, false, true])
  }

  @Test func `a refused record of few bytes is no matter to the rollups`() {
    var batch = Batch()
    var encoder = DeliveryEncoder(window: window)
    var rejects: [DeliveryReject] = []
    let delivery = Delivery(
      key: nil, source: "s", records: [metric("m")], faults: [DeliveryFault(reason: "r", raw: [])])
    _ = encoder.add(delivery, from: 0, into: &batch, rowLimit: 10, byteLimit: 1 << 20, rejects: &rejects)
    var rollups = RollupBuilder()
    batch.rollUp([0..<batch.rowCount], into: &rollups)
    #expect(batch.rowCount == 2 && rollups.rowCount == 1 && rejects == [DeliveryReject(index: 1, reason: "r")])
  }

  @Test func `lines are counted without blank ones, and bounded`() throws {
    let lines = try #require(NativeLines(Array("a\r\n\n \t\r\nb\n\nc".utf8), limit: 3))
    #expect(lines.count == 3 && lines.numbers == [1, 4, 6])
    #expect(NativeLines(Array("a\nb\nc".utf8), limit: 2) == nil)
    #expect(NativeLines([], limit: 0)?.count == 0)
    #expect(NativeLines(Array(repeating: 0x0a, count: 100_000), limit: 1)?.count == 0)
  }

  @Test func `a source that brings too many names is refused, the names it has and other sources are not`() {
    var encoder = DeliveryEncoder(window: window)
    encoder.names.quota.names = 100
    let first = add((0..<150).map { metric("metric-\($0)") }, source: "wild", &encoder)
    #expect(first.0 == Array(100..<150))
    #expect(first.1 == "name: is a new name, and its source has brought too many in this hour")
    #expect(add((0..<100).map { metric("metric-\($0)") }, source: "wild", &encoder).0.isEmpty)
    #expect(add((200..<250).map { metric("metric-\($0)") }, source: "tame", &encoder).0.isEmpty)
    #expect(encoder.names.quota.refused == 50)
    encoder.names.quota.renew()
    #expect(add((100..<150).map { metric("metric-\($0)") }, source: "wild", &encoder).0.isEmpty)
  }

  @Test func `a source that brings too many label sets is refused, the sets it has are not`() {
    var encoder = DeliveryEncoder(window: window)
    encoder.names.quota.labelSets = 1000
    let wild = (0..<1500).map { metric("m", labels: [("order", "\($0)")]) }
    let first = add(wild, source: "wild", &encoder)
    #expect(first.0 == Array(1000..<1500))
    #expect(first.1 == "labels: are a new set of labels, and their source has brought too many in this hour")
    #expect(add(Array(wild[..<1000]), source: "wild", &encoder).0.isEmpty)
    #expect(add(Array(wild[..<1000]), source: "tame", &encoder).0.isEmpty)
    // Another metric with the same labels is another one; no labels are none.
    #expect(add([metric("n", labels: [("order", "1")])], source: "wild", &encoder).0 == [0])
    #expect(add([metric("n")], source: "wild", &encoder).0.isEmpty)
  }

  @Test func `what counts sources and label sets is bounded, and when it is full the sets of all are counted anew`() {
    var quota = SourceQuota()
    (quota.names, quota.labelSets) = (3, 1000)
    var names = 0
    for source in 0..<SourceQuota.mostSources + 100 {
      quota.begin("s\(source)")
      if quota.takesName() { names += 1 }
    }
    // Those beyond share one count, and the first ones keep their own.
    #expect(names == SourceQuota.mostSources + 3)
    quota.begin("s0")
    names = 0
    for _ in 0..<10 where quota.takesName() { names += 1 }
    #expect(names == 2)
    var taken = 0
    for set in UInt64(1)...1_000_000 where quota.takesLabels(set &* 0x9e37_79b9_7f4a_7c15) { taken += 1 }
    #expect(taken == 1000)
    let beyond = quota.takesLabels(77)
    #expect(!beyond)
    for source in 0..<200 {
      quota.begin("s\(source)")
      for set in UInt64(1)...1000 { _ = quota.takesLabels(set &* 0x9e37_79b9_7f4a_7c15) }
    }
    quota.begin("s0")
    let (anew, name) = (quota.takesLabels(77), quota.takesName())
    #expect(anew && !name)
  }
}
