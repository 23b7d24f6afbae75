// Rollups of batches, compared with what plain arithmetic over the same records says; and the sketch's error.
import Chance
import Glibc
@testable import Telemetry
import Testing

/// A row of rollup_delta, read back from COPY bytes.
private struct Delta: Equatable {
  var at: Int64
  var measure: Int64
  var key: Int64
  var n: Int64
  var errors: Int64
  var sum: Double?
  var least: Double?
  var greatest: Double?
  var buckets: [Int64] = []
  var counts: [Int64] = []
}
private func deltas(_ batch: borrowing Batch, _ ranges: [Range<Int>], _ builder: inout RollupBuilder) throws -> [Delta]
{
  batch.rollUp(ranges, into: &builder)
  let bytes = unsafe builder.withBytes { unsafe Array($0) }
  var at = 0
  func integer(_ size: Int) -> Int64 {
    var value: Int64 = bytes[at] >= 0x80 ? -1 : 0
    for byte in bytes[at..<at + size] { value = value << 8 | Int64(byte) }
    at += size
    return value
  }
  func column() -> Int64 { integer(Int(integer(4))) }
  func double() -> Double? { integer(4) < 0 ? nil : Double(bitPattern: UInt64(bitPattern: integer(8))) }
  func array(_ element: Int64) throws -> [Int64] {
    let size = integer(4)
    if size < 0 { return [] }
    let end = at + Int(size)
    try #require([integer(4), integer(4), integer(4)] == [1, 0, element])
    let count = Int(integer(4))
    try #require(integer(4) == 1)
    let values = (0..<count).map { _ in column() }
    try #require(at == end)
    return values
  }
  var rows: [Delta] = []
  while at < bytes.count {
    try #require(integer(2) == 12)
    let (minute, _, _) = (column(), column(), column())
    var row = Delta(
      at: minute, measure: column(), key: column(), n: column(), errors: column(), sum: double(), least: double(),
      greatest: double())
    row.buckets = try array(23)
    row.counts = try array(20)
    rows.append(row)
  }
  #expect(rows.count == builder.rowCount)
  return rows.sorted { ($0.measure, $0.at, $0.key) < ($1.measure, $1.at, $1.key) }
}

@Test func `a value is within 2 percent of what its bucket stands for, from the least double to the greatest`() {
  let gamma = 1.02 / 0.98
  func value(_ bucket: Int32) -> Double {
    bucket == 0 ? 0 : (bucket < 0 ? -0.98 : 0.98) * exp(Double(abs(bucket) - 20_000) * log(gamma))
  }
  var random = SplitMix64(seed: 3)
  var values: [Double] = [
    1, 2, 1000, 1e6, 0.98, 1.02, gamma, Double.leastNonzeroMagnitude, 2.3e-308, .greatestFiniteMagnitude, 3.5e9,
  ]
  for _ in 0..<50_000 { values.append(exp(Double.random(in: -700...700, using: &random))) }
  for value in values { #expect(abs(Sketch.naturalLogarithm(value) - log(value)) < 1e-11 + abs(log(value)) * 1e-15) }
  // Where the bucket's own value has a precise exponential.
  for x in values where x > 1e-300 && x < 1e300 {
    let found = value(Sketch.bucket(x))
    #expect(abs(found - x) <= 0.020_000_1 * x, "\(x)")
    #expect(Sketch.bucket(-x) == 0 - Sketch.bucket(x))
  }
  #expect(Sketch.bucket(0) == 0 && Sketch.bucket(-0.0) == 0)
  #expect(Sketch.bucket(Double.leastNonzeroMagnitude) > 0 && Sketch.bucket(.greatestFiniteMagnitude) < 40_000)
  let sorted = values.sorted().map(Sketch.bucket)
  #expect(sorted == sorted.sorted())
  #expect(abs(Sketch.bucketsPerE - 1 / log(gamma)) < 1e-12)
}

@Test func `every type of record is rolled up under its measures, and what is refused under none`() throws {
  var c = Connection()
  let lines = [
    #""type":"queue","queue":"q","depth":3,"enqueued":7,"oldest_ms":9"#,
    #""type":"queue","queue":"q","depth":5,"dequeued":2"#,
    #""type":"step","txn":"T","step":"s","status":"ok""#,
    #""type":"step","txn":"T","step":"s","status":"TimeOut","elapsed_us":8"#,
    #""type":"job","job":"j","duration_us":5,"status":"cancelled","txn":"T","attrs":{"a":1}"#,
    #""type":"metric","name":"m","value":-1.5"#, #""type":"metric","name":"m","value":0"#,
    #""type":"process","process":"p","state":"running","cpu":1.5,"memory":9"#,
    #""type":"process","process":"p","state":"error","pid":3"#,
    #""type":"log","severity":3,"message":"lot 7 failed","trace":"\#(String(repeating: "a", count: 32))""#,
    #""type":"log","severity":4,"message":"lot 8 failed""#, #""type":"event","kind":"k""#,
    #""type":"web","method":"GET","path":"/","code":503,"bytes":4"#,
    #""type":"web","method":"GET","path":"/","code":200,"duration_us":6"#,
    #""type":"span","trace":"\#(String(repeating: "b", count: 32))","span":"\#(String(repeating: "c", count: 16))","name":"n","duration_us":11,"status":"error""#,
    #""type":"queue","queue":"q","depth":-1"#,
  ]
  for (index, line) in lines.enumerated() {
    c.feed(#"{"seq":\#(index + 1),"ts":"2026-11-20T09:00:59.999999Z","host":"h","app":"a",\#(line)}"# + "\n")
  }
  #expect(c.batch.rejects.map(\.seq) == [16])
  func id(_ name: String) -> Int64 { NameHash.id(of: Array(name.utf8)) }
  func row(
    _ measure: Measure, _ key: Int64, _ n: Int64, _ errors: Int64 = 0, _ values: [Double] = [], sketch: Bool = true
  ) -> Delta {
    var row = Delta(
      at: nine, measure: Int64(measure.rawValue), key: key, n: n, errors: errors,
      sum: values.isEmpty ? nil : values.reduce(0, +), least: values.min(), greatest: values.max())
    if sketch {
      row.buckets = values.sorted().map { Int64(Sketch.bucket($0)) }
      row.counts = values.map { _ in 1 }
    }
    return row
  }
  var builder = RollupBuilder()
  let expected = [
    row(.queueDepth, id("q"), 2, 0, [3, 5]), row(.queueEnqueued, id("q"), 1, 0, [7], sketch: false),
    row(.queueDequeued, id("q"), 1, 0, [2], sketch: false), row(.queueOldest, id("q"), 1, 0, [9]),
    row(.step, id("s"), 2, 1, [8]), row(.job, id("j"), 1, 1, [5]), row(.metric, id("m"), 2, 0, [-1.5, 0]),
    row(.processCPU, id("p"), 1, 0, [1.5]), row(.processMemory, id("p"), 1, 0, [9]),
    row(.log, id("lot * failed"), 2, 1), row(.web, 200, 1, 0, [6]), row(.web, 503, 1, 1),
    row(.span, id("n"), 1, 1, [11]),
    row(.event, id("k"), 1),
  ]
  #expect(try deltas(c.batch, [0..<16], &builder) == expected)
  // The same builder again, and parts of the batch.
  #expect(try deltas(c.batch, [0..<1, 2..<3, 15..<16], &builder).map(\.n) == [1, 1, 1, 1])
  #expect(try deltas(c.batch, [15..<16], &builder).isEmpty)
}

@Test func `rollups of any two parts of a batch add up to those of the whole`() throws {
  var c = Connection()
  var random = SplitMix64(seed: 8)
  for seq in 1...3000 {
    let (minute, app) = (Int.random(in: 0...2, using: &random), Int.random(in: 0...40, using: &random))
    let line =
      #"{"seq":\#(seq),"type":"job","ts":"2026-11-20T09:0\#(minute):30Z","host":"h","app":"a\#(app)","job":"j","#
    c.feed(
      line
        + #""duration_us":\#(Int.random(in: 0...100_000, using: &random)),"status":"\#(seq % 7 == 0 ? "nok" : "ok")"}"#
        + "\n")
  }
  var builder = RollupBuilder()
  func sums(_ rows: [Delta]) -> [Int64] {
    [
      rows.reduce(0) { $0 + $1.n }, rows.reduce(0) { $0 + $1.errors }, Int64(rows.reduce(0) { $0 + ($1.sum ?? 0) }),
      rows.reduce(0) { $0 + $1.counts.reduce(0, +) },
    ]
  }
  let whole = try deltas(c.batch, [0..<3000], &builder)
  #expect(whole.count == 41 * 3 && sums(whole)[0] == 3000 && sums(whole)[1] == 428)
  for split in [1, 77, 1500, 2999] {
    let parts = try deltas(c.batch, [0..<split], &builder) + deltas(c.batch, [split..<3000], &builder)
    #expect(sums(parts) == sums(whole))
  }
}

@Test func `statuses that mean failure are told from others, in any case`() {
  for status in failureStatuses.map({ "\($0)" }) + ["ERROR", "Failed", "nOk", "CANCELLED"] {
    let padded = Array(status.utf8) + Array(repeating: 0x20, count: padding)
    #expect(unsafe isFailureStatus(padded.span.bytes, 0, status.utf8.count), "\(status)")
  }
  for status in [
    "ok", "", "errors", "cancelle", "cancelledX", "cancelles", "fail", "no", "nok ", "rejectedX", "timeou", "é",
  ] {
    let padded = Array(status.utf8) + Array(repeating: 0x20, count: padding)
    #expect(unsafe !isFailureStatus(padded.span.bytes, 0, status.utf8.count), "\(status)")
  }
}
