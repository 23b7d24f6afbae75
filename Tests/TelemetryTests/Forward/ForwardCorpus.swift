// Malformed and hostile messages of the Forward protocol, each with what has to become of it.
import Chance
@testable import Compression
@testable import Telemetry
import Testing

/// What a connection does with bytes.
private enum Fate: Equatable {
  /// Closed with this reason; nothing is delivered.
  case closes(String)
  /// The message may still become whole: nothing happens yet.
  case waits
  /// Taken all the same; the messages of what is delivered.
  case takes([String])

  init(_ actions: [DeliveryAction]) {
    if let reason = actions.closings.first {
      self = .closes(reason)
    } else if actions.isEmpty {
      self = .waits
    } else {
      self = .takes(actions.deliveries.flatMap { $0.records.map { $0.log?.message ?? "\($0.body)" } })
    }
  }
}

private let cutOff = Fate.closes("not MessagePack: more is announced than there is")
private let never = Fate.closes("not MessagePack: a byte 0xc1")
private let foreign = Fate.closes("no message of the Forward protocol")
private let noPair = Fate.closes("an entry that is no pair of time and record")
private let tooLong = Fate.closes("a message of more than 4194304 bytes")
private let badChunk = Fate.closes("the chunk is no text of 1 to 128 bytes")
private let time: Pack = .int(nineUnix)
/// A PackedForward of these bytes.
private func inside(_ bytes: [UInt8], _ option: Pack = .map([])) -> [UInt8] {
  Pack.list([.text("t"), .binary(bytes), option]).bytes
}
/// A message with this map.
private func message(_ record: [UInt8]) -> [UInt8] { [0x93] + Pack.text("t").bytes + time.bytes + record }
private func nested(_ depth: Int, _ head: [UInt8], _ core: [UInt8] = [0xc0]) -> [UInt8] {
  Array(repeatElement(head, count: depth).joined()) + core
}

private let forwardCorpus: [(name: String, bytes: [UInt8], fate: Fate)] = [
  // Not this protocol.
  ("HTTP", Array("GET / HTTP/1.1\r\n\r\n".utf8), foreign),
  ("JSON, which fluentd's in_forward takes", Array(#"["t",1,{"a":1}]"#.utf8), foreign),
  ("a TLS hello", [0x16, 0x03, 0x01, 0x02, 0x00], foreign),
  ("a line of syslog", Array("<13>1 - - - - - -\n".utf8), foreign),
  ("a map", Pack.map([]).bytes, foreign),
  ("a text", Pack.text("t").bytes, foreign),
  ("a number", [0x01], foreign),
  ("a negative number", [0xff], foreign),
  ("an extension", Pack.ext(0, [0, 0, 0, 0, 0, 0, 0, 0]).bytes, foreign),
  ("the byte that begins nothing", [0xc1], foreign),
  ("zero bytes", [0, 0, 0, 0], foreign),
  // Sizes that are claimed.
  ("an array that claims 2^32 elements", [0xdd, 0xff, 0xff, 0xff, 0xff], tooLong),
  ("an array of 2^32 entries", [0x92, 0xa1, 0x74, 0xdd, 0xff, 0xff, 0xff, 0xff], tooLong),
  ("a map of 2^32 pairs", [0x93, 0xa1, 0x74, 0x01, 0xdf, 0xff, 0xff, 0xff, 0xff], tooLong),
  ("a text of 2^32 bytes", [0x92, 0xdb, 0xff, 0xff, 0xff, 0xff], tooLong),
  ("bytes of 2^32", [0x92, 0xa1, 0x74, 0xc6, 0xff, 0xff, 0xff, 0xff], tooLong),
  ("an extension of 2^32 bytes", [0x92, 0xa1, 0x74, 0xc9, 0xff, 0xff, 0xff, 0xff, 0x00], tooLong),
  ("arrays of 2^32 in arrays of 2^32", nested(3, [0xdd, 0xff, 0xff, 0xff, 0xff]), tooLong),
  ("maps of 2^20 pairs in each other", [0x92] + nested(5, [0xdf, 0, 0x10, 0, 0]), tooLong),
  ("an array of two million, still to come", [0x92, 0xa1, 0x74, 0xdd, 0, 0x1e, 0x84, 0x80], .waits),
  (
    "more entries than a message may have",
    [0x92, 0xa1, 0x74, 0xdd, 0, 0x02, 0, 0x01] + [UInt8](repeating: 0xc0, count: 131_073),
    .closes("too many records in a message")
  ),
  ("nothing", [], .waits),
  ("the beginning of an array", [0xdc, 0x00], .waits),
  // Inside a packed run lengths meet the run's end.
  ("an array of 2^32 inside", inside([0xdd, 0xff, 0xff, 0xff, 0xff]), cutOff),
  ("a map of 2^32 inside", inside([0x92, 0x01, 0xdf, 0xff, 0xff, 0xff, 0xff]), cutOff),
  ("a text longer than the run", inside([0x92, 0x01, 0xdb, 0, 0, 0, 9, 0x61]), cutOff),
  ("an extension longer than the run", inside([0x92, 0xd7, 0x00, 0, 0]), cutOff),
  ("a number cut off", inside([0x92, 0xcf, 0]), cutOff),
  ("a double cut off", inside([0x92, 0xcb, 0]), cutOff),
  ("an entry cut off", inside(Array(entry("x").bytes.dropLast())), cutOff),
  ("0xc1 inside", inside([0x92, 0xc1, 0x80]), never),
  ("0xc1 as an entry", inside([0xc1]), never),
  ("0xc1 in a record", message([0x81, 0xa1, 0x61, 0xc1]), never),
  ("0xc1 as a key", message([0x81, 0xc1, 0x01]), never),
  // Depth.
  ("a record nested 100,000 deep", message([0x81, 0xa1, 0x61] + nested(100_000, [0x91])), .takes(["t"])),
  ("maps nested 100,000 deep", message([0x81, 0xa1, 0x61] + nested(100_000, [0x81, 0xa1, 0x61])), .takes(["t"])),
  (
    "a time nested 100,000 deep", [0x93, 0xa1, 0x74] + Pack.list([.raw(nested(100_000, [0x91]))]).bytes + [0x80], noPair
  ),
  ("a tag nested 100,000 deep", [0x93] + nested(100_000, [0x91]) + [0x01, 0x80], .closes("the tag is no text")),
  ("a message of arrays alone", nested(10_000, [0x91]), foreign),
  ("an option nested 100,000 deep", [0x93, 0xa1, 0x74, 0x90, 0x81, 0xa1, 0x78] + nested(100_000, [0x91]), .waits),
  ("a key that is a map 100,000 deep", message([0x81] + nested(100_000, [0x81, 0xa1, 0x61]) + [0x01]), .takes(["t"])),
  // Elements.
  ("an empty array", Pack.list([]).bytes, foreign),
  ("one element", Pack.list([.text("t")]).bytes, foreign),
  ("five elements", Pack.list([.text("t"), time, line("x"), .map([]), .null]).bytes, foreign),
  ("a tag that is a number", Pack.list([.int(1), time, line("x")]).bytes, .closes("the tag is no text")),
  ("a tag that is nil", Pack.list([.null, time, line("x")]).bytes, .closes("the tag is no text")),
  (
    "a tag of 1025 bytes", Pack.list([.text(String(repeating: "t", count: 1025)), time, line("x")]).bytes,
    .closes("the tag is too long")
  ),
  ("an empty tag", Pack.list([.text(""), time, .map([])]).bytes, .takes([""])),
  ("a tag that is no UTF-8", [0x93, 0xa2, 0xff, 0xfe] + time.bytes + [0x80], .takes(["\u{fffd}\u{fffd}"])),
  ("a time without a record", Pack.list([.text("t"), time]).bytes, .closes("a message without a record")),
  (
    "entries and too many elements", Pack.list([.text("t"), .list([]), .map([]), .map([])]).bytes,
    .closes("too many elements in a message")
  ),
  (
    "a run and too many elements", Pack.list([.text("t"), .binary([]), .map([]), .map([])]).bytes,
    .closes("too many elements in a message")
  ),
  ("no entries", Pack.list([.text("t"), .list([])]).bytes, .waits),
  ("an empty run", inside([]), .waits),
  // Entries.
  ("an entry that is a map", Pack.list([.text("t"), .list([.map([])])]).bytes, noPair),
  ("an entry that is nil", Pack.list([.text("t"), .list([.null])]).bytes, noPair),
  ("an entry of one", Pack.list([.text("t"), .list([.list([time])])]).bytes, noPair),
  ("an entry of three", Pack.list([.text("t"), .list([.list([time, line("x"), .null])])]).bytes, noPair),
  ("a good entry before a bad one", Pack.list([.text("t"), .list([entry("x"), .int(1)])]).bytes, noPair),
  ("a good entry before a bad one inside", inside(entry("x").bytes + [0x01]), noPair),
  ("text for entries", inside(Array("hello".utf8)), noPair),
  ("a time and metadata of one", Pack.list([.text("t"), .list([.list([.list([time]), line("x")])])]).bytes, noPair),
  (
    "metadata that are no map", Pack.list([.text("t"), .list([.list([.list([time, .int(1)]), line("x")])])]).bytes,
    .takes(["x"])
  ),
  // Times.
  ("a time that is a text", Pack.list([.text("t"), .map([]), line("x")]).bytes, .takes(["x"])),
  ("a time that is nil", Pack.list([.text("t"), .null, line("x")]).bytes, .takes(["x"])),
  (
    "a time in another extension", Pack.list([.text("t"), .ext(1, [0, 0, 0, 0, 0, 0, 0, 0]), line("x")]).bytes,
    .takes(["x"])
  ),
  (
    "an EventTime of seven bytes", Pack.list([.text("t"), .ext(0, [0, 0, 0, 0, 0, 0, 0]), line("x")]).bytes,
    .takes(["x"])
  ),
  (
    "an EventTime with a whole second of nanoseconds",
    Pack.list([.text("t"), eventTime(nanoseconds: 1_000_000_000), line("x")]).bytes,
    .takes(["x"])
  ),
  ("a time of 2^64 - 1", Pack.list([.text("t"), .raw([0xcf] + big(.max, 8)), line("x")]).bytes, .takes(["x"])),
  ("a time of -2^63", Pack.list([.text("t"), .int(.min), line("x")]).bytes, .takes(["x"])),
  ("a time that is no number", Pack.list([.text("t"), .double(.nan), line("x")]).bytes, .takes(["x"])),
  ("a time of 1e300", Pack.list([.text("t"), .double(1e300), line("x")]).bytes, .takes(["x"])),
  // Options.
  ("an option that is a text", inside([], .text("x")), .closes("the option is no map")),
  ("an option that is an array", inside([], .list([])), .closes("the option is no map")),
  ("a chunk that is a number", inside([], .object(["chunk": .int(1)])), badChunk),
  ("an empty chunk", inside([], .object(["chunk": .text("")])), badChunk),
  ("a chunk of 129 bytes", inside([], option(String(repeating: "c", count: 129))), badChunk),
  ("compressed by a number", inside([], .object(["compressed": .int(1)])), .closes("compressed is no text")),
  (
    "compressed with zstd", inside([], .object(["compressed": .text("zstd")])),
    .closes("compressed by something else than gzip")
  ),
  (
    "metrics of Fluent Bit", inside(packed(["x"]), .object(["fluent_signal": .int(1)])),
    .closes("metrics and traces of Fluent Bit are not taken here")
  ),
  ("a size that is wrong", inside(packed(["x"]), option(nil, size: 7)), .takes(["x"])),
  ("a size that is a text", inside(packed(["x"]), .object(["size": .text("x")])), .takes(["x"])),
  // gzip.
  (
    "no gzip where it is said", inside(packed(["x"]), option(nil, gzip: true)),
    .closes("gzip: can't be unpacked: incorrect header check")
  ),
  (
    "gzip that is cut off", inside(Array(gzip(packed(["x"])).dropLast(4)), option(nil, gzip: true)),
    .closes("gzip: can't be unpacked: it ends too early")
  ),
  (
    "gzip with a wrong sum", inside(gzip(packed(["x"])).dropLast(5) + [0, 0, 0, 0, 0], option(nil, gzip: true)),
    .closes("gzip: can't be unpacked: incorrect data check")
  ),
  (
    "gzip and rubbish behind it", inside(gzip(packed(["x"])) + [1, 2, 3], option(nil, gzip: true)),
    .closes("gzip: can't be unpacked: something follows its end")
  ),
  (
    "a gzip bomb", inside(gzip([UInt8](repeating: 0xc0, count: 64 << 20)), option("c", gzip: true)),
    .closes("gzip: more than 8388608 bytes when unpacked")
  ),
  ("gzip of nothing of ours", inside(gzip(Array("hello".utf8)), option(nil, gzip: true)), noPair),
  ("gzip said of nothing", inside([], option(nil, gzip: true)), .closes("gzip: can't be unpacked: it ends too early")),
  ("gzip not said", inside(gzip(packed(["x"]))), noPair),
  // Records.
  ("a record that is nil", message([0xc0]), .takes(["null"])),
  ("a record that is a number", message([0x05]), .takes(["5"])),
  (
    "a message that is no UTF-8", message([0x81, 0xa3] + Array("log".utf8) + [0xa2, 0xc3, 0x28]), .takes(["\u{fffd}("])
  ),
  ("a message with a zero character", message(line("a\u{0}b").bytes), .takes(["a\u{fffd}b"])),
  (
    "a message that is a surrogate in CESU-8", message([0x81, 0xa3] + Array("log".utf8) + [0xa3, 0xed, 0xa0, 0x80]),
    .takes(["\u{fffd}\u{fffd}\u{fffd}"])
  ),
  ("a message that is a number", message(Pack.object(["message": .int(1)]).bytes), .takes(["t"])),
  ("an empty message", message(line("").bytes), .takes([""])),
  (
    "the same key twice", message(Pack.map([(.text("log"), .text("a")), (.text("log"), .text("b"))]).bytes),
    .takes(["a"])
  ),
  (
    "a record of 70,000 pairs of nil", message([0xdf, 0, 1, 0x11, 0x70] + [UInt8](repeating: 0xc0, count: 140_000)),
    .takes(["t"])
  ),
]

@Suite struct ForwardMalformed {
  @Test func `each malformed message has its own end, and only what is whole is taken`() {
    #expect(forwardCorpus.count >= 60)
    #expect(Set(forwardCorpus.map(\.name)).count == forwardCorpus.count)
    for (name, bytes, fate) in forwardCorpus {
      var session = forwardSession()
      #expect(Fate(session.received(bytes, now: 0)) == fate, "\(name)")
    }
  }

  @Test func `a malformed message ends the same in pieces`() {
    for (name, bytes, fate) in forwardCorpus where bytes.count < 4096 {
      var session = forwardSession()
      var actions: [DeliveryAction] = []
      for byte in bytes { actions += session.received([byte], now: 0) }
      #expect(Fate(actions) == fate, "\(name)")
    }
  }

  @Test func `a message cut off at any byte delivers nothing, and is taken when the rest comes`() {
    for (name, bytes) in modes("c1", ["one", "two"]) {
      for cut in 0..<bytes.count {
        var session = forwardSession()
        #expect(session.received(Array(bytes[..<cut]), now: 0) == [], "\(name) cut at \(cut)")
        #expect(session.received(Array(bytes[cut...]), now: 0).deliveries.count == 1, "\(name) cut at \(cut)")
      }
    }
  }

  @Test func `packed bytes cut off at any byte deliver whole entries or nothing`() {
    let whole = packed(["one", "two"])
    let ends = [0, packed(["one"]).count, whole.count]
    for cut in 0...whole.count {
      var session = forwardSession()
      let fate = Fate(session.received(Pack.list([.text("t"), .binary(Array(whole[..<cut]))]).bytes, now: 0))
      #expect(ends.contains(cut) == (fate != cutOff), "cut at \(cut): \(fate)")
    }
  }

  @Test func `mutated messages never trap, never deliver a record without a name, and never outlive their end`() {
    var random = SplitMix64(seed: 24_224)
    let seeds = modes("c1", ["one", "two"]).map(\.bytes) + forwardCorpus.map(\.bytes).filter { $0.count < 400 }
    var deliveries = 0
    for round in 0..<20_000 {
      var session = forwardSession {
        $0.messageBytes = 2000; $0.inflatedBytes = 4000; $0.depth = 8
      }
      var bytes = seeds[round % seeds.count]
      for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
        let at = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<4, using: &random) {
        case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes[at] = [0xc1, 0xdd, 0xdf, 0xdb, 0xc6, 0xc9, 0xff, 0x9f, 0x8f].randomElement(using: &random) ?? 0
        case 2: bytes.removeSubrange(at..<min(at + Int.random(in: 1...5, using: &random), bytes.count))
        default: bytes.insert(contentsOf: bytes[at...].prefix(9), at: at)
        }
      }
      let half = bytes.count / 2
      let actions = session.received(Array(bytes[..<half]), now: 0) + session.received(Array(bytes[half...]), now: 0)
      deliveries += actions.deliveries.count
      for record in actions.deliveries.flatMap(\.records) {
        #expect((1...200).contains(record.app.utf8.count) && (1...200).contains(record.host.utf8.count))
        if let log = record.log {
          #expect(!log.message.utf8.contains(0) && log.attributes.map { SmallObject($0.bytes) != nil } ?? true)
        }
      }
      if !actions.closings.isEmpty { #expect(session.received(seeds[0], now: 0) == [] && session.heldBytes == 0) }
    }
    #expect(deliveries > 1000)
  }
}
