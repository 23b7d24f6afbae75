// What the fuzzer found of bytes that come in pieces, and of bodies that are small and become large.
@testable import Telemetry
import Testing

@Test func `an overlong line is refused in the same way whether its newline has come or not`() throws {
  let long = #"{"seq":1,"x":""# + String(repeating: "y", count: 3000) + "\"}\n"
  var whole = Connection(maxLine: 2048, maximumCapacity: 4096)
  whole.feed(long)
  var cut = Connection(maxLine: 2048, maximumCapacity: 4096)
  for byte in long.utf8 { cut.feed([byte]) }
  let (one, other) = (try Contents(whole.batch), try Contents(cut.batch))
  #expect(one == other && one[.rejected].first?["raw"]?.utf8.count == 1024)
}
@Test func `the seq of an overlong line is found wherever it is within the longest line`() {
  let long = #"{"x":""# + String(repeating: "y", count: 1500) + #"","seq":1,"z":""#
  var c = Connection(maxLine: 2048, maximumCapacity: 4096)
  c.feed(long)
  c.feed(String(repeating: "z", count: 900))
  #expect(c.batch.rejects.map(\.seq) == [1])
}
@Test(arguments: ["\n", "\r\n", "\0\n"]) func `an overlong syslog line is the same message however it is cut`(
  end: String
) throws {
  for count in 1018...1034 {
    let line = "<13>" + String(repeating: "x", count: count) + end + "<13>next\n"
    var found: [Contents] = []
    for size in [1, 7, line.utf8.count] {
      var decoder = SyslogDecoder(window: TimeWindow(from: .min, until: .max), maxMessage: 1024, namesLog2: 10)
      var buffer = LineBuffer(initialCapacity: 64, maximumCapacity: 4096)
      var cursor = SyslogCursor(peer: "p")
      var batch = Batch()
      let bytes = Array(line.utf8)
      for start in stride(from: 0, to: bytes.count, by: size) {
        _ = buffer.append(Array(bytes[start..<min(start + size, bytes.count)]).span)
        _ = decoder.decode(&buffer, &cursor, now: nine, into: &batch, rowLimit: 1000, byteLimit: 1 << 20)
      }
      found.append(try Contents(batch))
    }
    #expect(found[0] == found[2] && found[1] == found[2] && found[0][.log].count == 2, "\(count)")
  }
}
@Test func `a string of Influx that trickles in with many newlines is looked at once`() {
  var session = InfluxSession(peer: "p", limits: DeliveryLimits())
  let clock = ContinuousClock()
  let took = clock.measure {
    _ = session.received(Array("m s=\"".utf8), now: nine)
    for _ in 0..<60_000 { _ = session.received([0x0a], now: nine) }
  }
  // Looked at again for each newline it would be 1.8 billion bytes: minutes without optimization.
  #expect(took < .seconds(20))
  let actions = session.received(Array("\"\n".utf8), now: nine)
  guard case .deliver(_, let delivery) = actions.first else { return #expect(Bool(false), "\(actions)") }
  #expect(delivery.records.count == 1 && delivery.faults.isEmpty)
}
