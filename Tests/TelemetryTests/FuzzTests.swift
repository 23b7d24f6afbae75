// Bytes from outside never trap, and whatever is taken has the form that PostgreSQL reads. Seeds are fixed.
import Chance
@testable import Telemetry
import Testing

let nativeSeeds = [
  #"{"seq":1,"type":"queue","ts":"2026-11-20T09:00:00.123Z","host":"mes-07","app":"a","queue":"in","depth":31,"capacity":9}"#,
  #"{"seq":1,"type":"step","ts":"2026-11-20T09:00:00+09:00","host":"h","app":"a","txn":"T","step":"s","status":"ok","attrs":{"a":[1,{"b":"\u00e9\n"}]}}"#,
  #"{"seq":1,"type":"job","ts":"2026-11-20T09:00:00Z","host":"h","app":"a","job":"j","duration_us":1,"status":"ok","cpu_us":2,"sql_us":3}"#,
  #"{"seq":1,"type":"metric","ts":"2026-11-20T09:00:00Z","host":"h\ud83d\ude00","app":"a","name":"n","value":-1.5e-7,"labels":{"k":"v"}}"#,
  #"{"seq":1,"type":"log","ts":"2026-11-20T09:00:60Z","host":"로트","app":"a","severity":"err","message":"x\ty\"z"}"#,
  #"{"seq":1,"type":"event","ts":"2026-11-20T09:00:00Z","host":"h","app":"a","kind":"k","attrs":null}"#,
  #"{"seq":1,"type":"process","ts":"2026-11-20T09:00:00Z","host":"h","app":"a","process":"p","state":"running","cpu":1.5,"memory":3}"#,
  #"{"seq":1,"type":"web","ts":"2026-11-20T09:00:00Z","host":"h","app":"a","method":"GET","path":"/\u00e9","code":404,"client":"c"}"#,
  #"{"seq":1,"type":"span","ts":"2026-11-20T09:00:00Z","host":"h","app":"a","trace":"0af7651916cd43dd8448eb211c80319c","span":"b7ad6b7169203331","name":"n","kind":"client","duration_us":5,"status":"ok"}"#,
  #"{"hello":{"source":"a","stream":"b","oldest":1}}"#, #"{"ping":1}"#,
]
let syslogSeeds = [
  #"<165>1 2026-11-20T09:00:00.003Z host app 77 ID47 [ex@32473 iut="3" src="a\"b"][p@1 a="b"] An event é"#,
  "<13>Nov 20 09:00:00 web-1 sshd[411]: Accepted publickey", "<13>2026-11-20T09:00:00+00:00 h a: b",
  "<13>Nov 20 2026 09:00:00.5 sw1 %LINK-3-UPDOWN: Interface down", "57 <13>1 - - - - - - \u{feff}x",
]
private let interesting: [UInt8] =
  Array("\"\\{}[]:,-+.eE0129 \n\r\tZTu<>=".utf8) + [0, 1, 0x7f, 0x80, 0xc2, 0xed, 0xf4, 0xff]

func mutate(_ text: String, _ random: inout SplitMix64, _ times: ClosedRange<Int> = 1...4) -> [UInt8] {
  var bytes = Array(text.utf8)
  for _ in 0..<Int.random(in: times, using: &random) {
    let at = Int.random(in: 0..<max(bytes.count, 1), using: &random)
    switch Int.random(in: 0..<6, using: &random) {
    case 0 where !bytes.isEmpty: bytes[at] = interesting.randomElement(using: &random) ?? 0
    case 1 where !bytes.isEmpty: bytes[at] = UInt8.random(in: 0...255, using: &random)
    case 2 where !bytes.isEmpty: bytes.removeSubrange(at..<min(at + Int.random(in: 1...9, using: &random), bytes.count))
    case 3: bytes.insert(interesting.randomElement(using: &random) ?? 0, at: min(at, bytes.count))
    case 4: bytes.insert(contentsOf: bytes[min(at, bytes.count)...].prefix(12), at: min(at, bytes.count))
    default: bytes = Array(bytes.prefix(at))
    }
  }
  return bytes
}

@Test func `mutated lines of the native protocol never trap and never leave a malformed row`() throws {
  var random = SplitMix64(seed: 20_261_120)
  var taken = 0
  for round in 0..<30_000 {
    var c = Connection(committed: nil, maxLine: 400, maximumCapacity: 600, allowsAnonymous: round % 2 == 0)
    if round % 2 == 1 {
      c.feed(Hello(source: "mes-07", stream: "s1", oldest: 1).line)
      _ = c.session.lookedUp(committed: 0)
    }
    c.feed(mutate(nativeSeeds[round % nativeSeeds.count], &random) + [10] + mutate(queueLine(2), &random) + [10])
    let found = try Contents(c.batch)
    taken += c.batch.rowCount - found.rejects.count
    #expect(found.claims.count <= 1)
  }
  #expect(taken > 1000)
}

@Test func `mutated syslog never traps and never leaves a malformed row`() throws {
  var random = SplitMix64(seed: 5424)
  var decoder = SyslogDecoder(window: TimeWindow(from: .min, until: .max), maxMessage: 1024, namesLog2: 10)
  for round in 0..<30_000 {
    var batch = Batch()
    let bytes = mutate(syslogSeeds[round % syslogSeeds.count], &random)
    if round % 2 == 0 {
      decoder.decodeDatagram(bytes.span, peer: "p", now: nine, into: &batch)
    } else {
      var buffer = LineBuffer(initialCapacity: 64, maximumCapacity: 600)
      var cursor = SyslogCursor(peer: "p")
      for start in stride(from: 0, to: bytes.count, by: 50) {
        _ = buffer.append(Array(bytes[start..<min(start + 50, bytes.count)]).span)
        _ = decoder.decode(&buffer, &cursor, now: nine, into: &batch, rowLimit: 1000, byteLimit: 1 << 20)
      }
    }
    for row in try Contents(batch)[.log] {
      let attrs = try #require(row["attrs"])
      #expect(SmallObject(Array(attrs.utf8)) != nil, "\(attrs)")
      #expect(row["message"]?.utf8.contains(0) == false)
    }
  }
}

@Test func `random bytes never trap any decoder`() throws {
  var random = SplitMix64(seed: 99)
  var decoder = SyslogDecoder(window: TimeWindow(from: .min, until: .max), maxMessage: 1024, namesLog2: 10)
  for round in 0..<3000 {
    let bytes = (0..<Int.random(in: 0...800, using: &random)).map { _ in
      round % 2 == 0
        ? UInt8.random(in: 0...255, using: &random) : interesting.randomElement(using: &random) ?? 0
    }
    var c = Connection(maxLine: 300, maximumCapacity: 500)
    c.feed(bytes)
    _ = try Contents(c.batch)
    _ = NativeReply(line: bytes)
    var batch = Batch()
    var buffer = LineBuffer(initialCapacity: 64, maximumCapacity: 900)
    var cursor = SyslogCursor(peer: "p")
    _ = buffer.append(bytes.span)
    _ = decoder.decode(&buffer, &cursor, now: nine, into: &batch, rowLimit: 1000, byteLimit: 1 << 20)
    decoder.decodeDatagram(bytes.span, peer: "p", now: nine, into: &batch)
    _ = try Contents(batch)
  }
}
