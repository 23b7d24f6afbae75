// Connections of the native protocol as traces: bytes and happenings in, actions out.
import Chance
@testable import Telemetry
import Testing

private let stream = NameHash.streamID(source: "mes-07", stream: "s1")
private func sent(_ actions: [NativeSession.Action]) -> String {
  actions.map {
    switch $0 {
    case .send(let bytes): String(decoding: bytes, as: UTF8.self)
    case .close(let reason): "CLOSE \(reason)\n"
    case .lookUp(let hello): "LOOKUP \(hello.source) \(hello.stream) \(hello.oldest) \(hello.token)\n"
    case .recordGap(_, let last): "GAP \(last)\n"
    }
  }.joined()
}

@Test func `a stream is looked up, welcomed, acknowledged after its commit, and told what was refused`() throws {
  var c = Connection(committed: nil)
  c.feed(
    #"{"hello":{"source":"mes-07","stream":"s1","oldest":48100,"token":"secret","new":[1]}}"# + "\n" + queueLine(48212))
  #expect(sent(c.actions) == "LOOKUP mes-07 s1 48100 secret\n")
  #expect(!c.session.mayDecode && c.batch.rowCount == 0)
  c.actions = c.session.lookedUp(committed: 48211)
  #expect(
    sent(c.actions)
      == #"{"welcome":{"node":"a","epoch":12,"committed":48211,"window":65536,"max_line":65536}}"# + "\n")
  c.actions = []
  c.feed(#"{"seq":48213,"type":"queue"}"# + "\n" + queueLine(48214) + #"{"ping":7}"# + "\n")
  #expect(sent(c.actions) == #"{"pong":7}"# + "\n")
  #expect(c.session.underWay == 3)
  #expect(c.batch.claims == [Claim(stream: stream, first: 48212, last: 48214)])
  let told = c.session.committed(through: 48214, rejects: c.batch.rejects)
  #expect(
    sent(told) == #"{"reject":{"seq":48213,"reason":"ts: the field is missing (byte 28)"}}"# + "\n"
      + #"{"ack":48214}"# + "\n")
  #expect(c.session.committed(through: 48214).isEmpty)
  #expect(c.session.underWay == 0)
}

@Test func `what the sender no longer has is recorded as a gap before the welcome`() {
  var c = Connection(committed: nil)
  c.feed(Hello(source: "mes-07", stream: "s1", oldest: 100).line)
  #expect(c.session.lookedUp(committed: 98) == [.recordGap(stream: stream, last: 99)])
  #expect(sent(c.session.gapRecorded(committed: 99)).contains(#""committed":99"#))
  c.feed(queueLine(100))
  #expect(c.batch.claims == [Claim(stream: stream, first: 100, last: 100)])
  var exact = Connection(committed: nil)
  exact.feed(Hello(source: "mes-07", stream: "s1", oldest: 100).line)
  #expect(sent(exact.session.lookedUp(committed: 99)).contains(#""committed":99"#))
}

@Test func `a gap or a repetition in seq closes the connection and keeps what came before`() {
  for (second, found) in [(queueLine(3), 3), (queueLine(1), 1), (#"{"seq":9,"type":"x"}"# + "\n", 9)] {
    var c = Connection()
    c.actions = []
    c.feed(queueLine(1) + second + queueLine(2))
    let reason = "seq \(found) came, 2 was expected"
    #expect(sent(c.actions) == #"{"bye":{"reason":"\#(reason)"}}"# + "\nCLOSE \(reason)\n")
    #expect(c.batch.claims == [Claim(stream: stream, first: 1, last: 1)])
  }
}

@Test func `a line without a seq that can be trusted closes the connection`() {
  for line in ["x", "{}", #"{"type":"queue",\#(plain)"#, #"{"seq":null,"type":"queue",\#(plain)"#, "[1]", "\u{1}"] {
    var c = Connection()
    c.actions = []
    c.feed(line + "\n")
    #expect(sent(c.actions).contains("CLOSE seq 1 was expected, but the line has none: "), "\(line)")
    #expect(c.batch.rowCount == 0)
  }
}

@Test func `records without hello are taken where the listener allows it, and only there`() throws {
  var refused = Connection(committed: nil)
  refused.feed(queueLine(1))
  #expect(sent(refused.actions).contains("CLOSE hello expected"))
  var c = Connection(committed: nil, allowsAnonymous: true)
  c.feed("\n \r\n" + #"{"type":"queue",\#(plain)"# + "\n" + queueLine(77) + "not json\n" + queueLine(5))
  let found = try Contents(c.batch)
  #expect(found[.queue].count == 3 && found[.queue].allSatisfy { $0["stream_id"] == nil && $0["seq"] == nil })
  #expect(found[.rejected].map { $0["source"] } == ["192.0.2.1"] && found[.rejected][0]["stream"] == nil)
  #expect(found.claims.isEmpty && found.rejects.isEmpty && c.actions.isEmpty)
}

@Test func `a bad or second hello closes the connection`() {
  let long = String(repeating: "x", count: 201)
  for hello in [
    #"{"hello":1}"#, #"{"hello":{"source":"a"}}"#, #"{"hello":{"source":"","stream":"s"}}"#,
    #"{"hello":{"source":"a\nb","stream":"s"}}"#, #"{"hello":{"source":"\#(long)","stream":"s"}}"#,
    #"{"hello":{"source":"a","stream":"s","oldest":-1}}"#, #"{"hello":{"source":"a","stream":"s"}"#, #"{"ping":"x"}"#,
  ] {
    var c = Connection(committed: nil)
    c.feed(hello + "\n")
    #expect(sent(c.actions).contains("CLOSE bad "), "\(hello)")
  }
  var c = Connection()
  c.actions = []
  c.feed(Hello(source: "mes-07", stream: "s1", oldest: 1).line)
  #expect(sent(c.actions).contains("CLOSE a second hello on one connection"))
}

@Test func `a full window stops the decoder until an acknowledgement moves it, but not pings`() {
  var c = Connection(records: 3)
  c.actions = []
  c.feed((1...3).map { queueLine($0) }.joined() + #"{"ping":1}"# + "\n\n" + queueLine(4) + queueLine(5))
  #expect(c.batch.rowCount == 3 && c.stops.last == .windowFull && !c.session.mayDecode)
  #expect(sent(c.actions) == #"{"pong":1}"# + "\n")
  _ = c.session.committed(through: 2)
  c.feed("")
  #expect(c.batch.rowCount == 5 && c.session.underWay == 3)
}

@Test func `the rest of an overlong line that fills the window is dropped, and no record after it`() {
  var c = Connection(maxLine: 200, maximumCapacity: 512, records: 1)
  c.actions = []
  c.feed(#"{"seq":1,"message":""# + String(repeating: "x", count: 800))
  #expect(c.batch.rowCount == 1 && c.session.cursor.next == 2)
  // The rest is blank, or looks like a ping: it is still no line of its own.
  c.feed(" \n" + queueLine(2))
  #expect(c.batch.rowCount == 1 && c.stops.last == .windowFull)
  _ = c.session.committed(through: 1)
  c.feed("")
  #expect(c.batch.rowCount == 2 && c.session.cursor.next == 3)
}

@Test func `names invented in every record end a batch long before its rows do`() {
  var c = Connection()
  for seq in 1...Int64(Batch.mostNames) {
    c.feed(#"{"seq":\#(seq),"type":"queue",\#(plain.replacing(#""q""#, with: #""q\#(seq)""#))"# + "\n")
  }
  #expect(c.stops.contains(.full) && c.batch.isFullOfNames && c.batch.nameCount < Batch.mostNames + 10)
}

@Test func `a superseded or drained connection says bye once and takes nothing more`() {
  var c = Connection()
  #expect(
    sent(c.session.draining(reason: "switchover")) == #"{"bye":{"reason":"switchover"}}"# + "\nCLOSE switchover\n")
  #expect(c.session.superseded().isEmpty && !c.session.mayDecode && c.session.committed(through: 0).isEmpty)
}

@Test func `an overlong line is refused under its seq, however it is cut, and the next is taken`() throws {
  let long = #"{"seq":1,"type":"log","message":""# + String(repeating: "x", count: 5000) + "\"}\n"
  for piece in [1, 7, 100, 999, 10_000] {
    var c = Connection(maxLine: 1000, maximumCapacity: 2048)
    let bytes = Array((long + queueLine(2)).utf8)
    for start in stride(from: 0, to: bytes.count, by: piece) {
      c.feed(Array(bytes[start..<min(start + piece, bytes.count)]))
    }
    let found = try Contents(c.batch)
    #expect(found.rejects.map(\.reason) == ["the line is too long (byte 0)"], "\(piece)")
    #expect(found[.queue].count == 1 && found.claims.map(\.last) == [2])
  }
}

@Test func `the same records come out however the bytes are cut into chunks`() throws {
  var random = SplitMix64(seed: 5)
  var lines: [String] = []
  for seq in 1...60 as ClosedRange<Int64> {
    switch seq % 5 {
    case 0: lines.append(#"{"seq":\#(seq),"type":"log","host":"h\u00e9"}"# + "\r\n")
    case 1: lines.append(#"{"ping":\#(seq)}"# + "\n" + queueLine(seq))
    case 2:
      lines.append(
        #"{"seq":\#(seq),"type":"log","ts":"2026-11-20T09:00:00Z","host":"로트","app":"a","severity":1,"message":"x\ny"}"#
          + "\n")
    default: lines.append(queueLine(seq))
    }
  }
  let bytes = Array(lines.joined().utf8)
  var whole = Connection()
  whole.feed(bytes)
  let expected = try Contents(whole.batch)
  #expect(expected.claims == [Claim(stream: stream, first: 1, last: 60)] && expected.rejects.count == 12)
  for _ in 0..<100 {
    var c = Connection()
    var at = 0
    while at < bytes.count {
      let count = min(Int.random(in: 1...90, using: &random), bytes.count - at)
      c.feed(Array(bytes[at..<at + count]))
      at += count
    }
    #expect(try Contents(c.batch) == expected)
    #expect(c.actions == whole.actions)
  }
}

@Test func `what the node writes, a sender reads back`() {
  let replies: [NativeReply] = [
    .welcome(node: "a", epoch: 12, committed: 48_211, window: 65_536, maxLine: 65_536), .ack(48_712),
    .reject(seq: 4, reason: "a \"quote\" \\ and \u{1} 로트"), .bye(reason: "switchover"), .pong(-1),
  ]
  for reply in replies { #expect(NativeReply(line: reply.line) == reply) }
  for line in ["", "{}", "[]", #"{"ack":"1"}"#, #"{"ack":1} x"#, #"{"welcome":{}}"#, #"{"reject":{}}"#, "{"] {
    #expect(NativeReply(line: Array(line.utf8)) == nil)
  }
  #expect(
    String(decoding: Hello(source: "a\"", stream: "s", oldest: 4, token: "t").line, as: UTF8.self)
      == #"{"hello":{"source":"a\"","stream":"s","oldest":4,"token":"t"}}"# + "\n")
}
