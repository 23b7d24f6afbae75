// Batches: claims, slices of any prefix, poison, and memory.
@testable import Telemetry
import Testing

private func feed(_ c: inout Connection, _ batch: inout Batch, _ text: String) {
  _ = c.buffer.append(Array(text.utf8).span)
  _ = c.decoder.decode(&c.buffer, &c.session.cursor, into: &batch, rowLimit: 1 << 20, byteLimit: 1 << 28)
}
private func second() -> Connection {
  var c = Connection(committed: nil)
  c.feed(Hello(source: "other", stream: "s2", oldest: 1).line)
  _ = c.session.lookedUp(committed: 10)
  return c
}

@Test func `any split of a batch has the same rows and claims in two parts`() throws {
  var batch = Batch()
  var one = Connection()
  var two = second()
  for i in 0..<20 as Range<Int64> {
    feed(&one, &batch, queueLine(2 * i + 1) + #"{"seq":\#(2 * i + 2),"type":"log"}"# + "\n")
    if i % 3 == 0 {
      feed(
        &two, &batch,
        #"{"seq":\#(11 + i / 3),"type":"event","ts":"2026-11-20T09:00:00Z","host":"h","app":"a","kind":"k"}"# + "\n")
    }
  }
  let a = NameHash.streamID(source: "mes-07", stream: "s1")
  let b = NameHash.streamID(source: "other", stream: "s2")
  let whole = [Claim(stream: a, first: 1, last: 40), Claim(stream: b, first: 11, last: 17)]
  #expect(batch.claims == whole.sorted { $0.stream < $1.stream } && batch.rowCount == 47)
  func bytes(_ range: Range<Int>) -> [Table: [UInt8]] {
    var all: [Table: [UInt8]] = [:]
    for slice in batch.slices(of: range) { all[slice.table] = unsafe batch.withBytes(of: slice) { unsafe Array($0) } }
    return all
  }
  let all = bytes(0..<47)
  for split in 0...47 {
    let joined = bytes(0..<split).merging(bytes(split..<47)) { $0 + $1 }
    #expect(joined == all)
    for stream in [a, b] {
      let parts = (batch.claims(of: 0..<split) + batch.claims(of: split..<47)).filter { $0.stream == stream }
      let expected = whole.filter { $0.stream == stream }
      #expect(parts.first?.first == expected.first?.first && parts.last?.last == expected.first?.last)
      if parts.count == 2 { #expect(parts[0].last + 1 == parts[1].first) }
    }
  }
}

@Test func `a poisoned row is kept as a refused one under its own claim`() throws {
  var c = Connection()
  c.feed(queueLine(1) + queueLine(2))
  let row = try #require(try readRows(.rejected, c.batch.poisonRow(1, source: "mes-07", reason: "22003")).first)
  #expect(row["seq"] == "2" && row["source"] == "mes-07" && row["reason"] == "telemetry.queue: 22003")
  #expect(c.batch.claims(of: 1..<2) == [Claim(stream: c.batch.origin(ofRow: 1).stream, first: 2, last: 2)])
}

@Test func `a name is sent once, and again when all names were forgotten`() throws {
  var c = Connection()
  c.feed(queueLine(1) + queueLine(2))
  #expect(c.batch.nameCount == 3)
  c.batch.namesWereStored()
  c.feed(queueLine(3))
  #expect(c.batch.nameCount == 0 && c.batch.nameSlice.bytes.isEmpty)
  c.decoder.names.removeAll()
  c.feed(queueLine(4))
  #expect(c.batch.nameCount == 3 && c.decoder.names.count == 3)
  c.batch.removeAll()
  #expect(c.batch.isEmpty && c.batch.byteCount == 0)
}

@Test func `the table of names forgets rather than grows`() throws {
  var c = Connection()
  for seq in 1...1500 as ClosedRange<Int64> {
    c.feed(
      #"{"seq":\#(seq),"type":"event","ts":"2026-11-20T09:00:00Z","host":"host number \#(seq)","app":"a","kind":"k"}"#
        + "\n")
  }
  #expect(c.decoder.names.count <= 768)
  let found = try Contents(c.batch)
  #expect(found[.event].count == 1500 && found.rejects.isEmpty)
  #expect(found[.event].allSatisfy { found.name(.host, $0["host_id"])?.hasPrefix("host number ") == true })
}

@Test func `a batch stops at its limits and loses nothing`() {
  var c = Connection()
  _ = c.buffer.append(Array((1...10).map { queueLine($0) }.joined().utf8).span)
  var seen: [Int] = []
  while true {
    let stop = c.decoder.decode(&c.buffer, &c.session.cursor, into: &c.batch, rowLimit: 4, byteLimit: 1 << 20)
    seen.append(c.batch.rowCount)
    if stop == .incomplete { break }
    #expect(stop == .full)
    c.batch.removeAll()
  }
  #expect(seen == [4, 4, 2])
  c.batch.removeAll()
  _ = c.buffer.append(Array((11...20).map { queueLine($0) }.joined().utf8).span)
  #expect(c.decoder.decode(&c.buffer, &c.session.cursor, into: &c.batch, rowLimit: 99, byteLimit: 200) == .full)
  #expect(c.batch.byteCount >= 200 && c.batch.byteCount < 400)
}

@Test func `a line buffer grows while it is needed and gives memory back`() {
  var buffer = LineBuffer(initialCapacity: 64, maximumCapacity: 1000)
  #expect(buffer.append(Array(repeating: 65, count: 5000).span) == 1000)
  #expect(buffer.isFull && buffer.capacity == 1000)
  buffer.consume(to: 990)
  #expect(buffer.append([10].span) == 1 && buffer.count == 11)
  buffer.releaseMemory()
  #expect(buffer.capacity == 64 && buffer.lineEnd() == 10)
  let filled = unsafe buffer.fill { room in
    unsafe room.copyBytes(from: [66, 10])
    return 2
  }
  #expect(filled == 2 && buffer.count == 13)
  buffer.consume(to: 11)
  #expect(buffer.lineEnd().map { $0 - buffer.start } == 1)
}
