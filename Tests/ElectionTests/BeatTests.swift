// The bytes of a beat, and which beats count.

import Election
import Testing

private func sample(_ node: String = "b", incarnation: Int64 = 3, counter: UInt64 = 10, link: UInt8 = 0) throws
  -> PeerBeat
{
  let name = try #require(ShortName(node))
  let cluster = try #require(ShortName("plant-1"))
  var beat = PeerBeat(
    cluster: cluster, from: NodeIncarnation(node: name, incarnation: incarnation), counter: counter,
    term: TimelineTerm(timeline: 2, term: Term(epoch: 12, token: -5)), state: .active, databaseReachable: true,
    addressHeld: true, resigned: false)
  beat.stamp = BeatStamp(
    link: link, sent: Instant(nanoseconds: 77),
    echo: BeatEcho(sent: Instant(nanoseconds: 1_000), held: Interval(nanoseconds: 500)))
  return beat
}

struct BeatCodecTests {
  @Test func `a beat survives its coding`() throws {
    for state in NodeState.allCases {
      for flag in [true, false] {
        var beat = try sample()
        beat.state = state
        beat.resigned = flag
        beat.databaseReachable = !flag
        if flag { beat.term = nil }
        if flag { beat.stamp.echo = nil }
        let bytes = beat.encoded()
        #expect(bytes.count == PeerBeat.encodedSize)
        #expect(try PeerBeat(decoding: bytes) == beat)
      }
    }
  }

  @Test func `bytes of another length are refused`() throws {
    let bytes = try sample().encoded()
    for count in 0..<bytes.count {
      #expect(throws: BeatFault.wrongSize) { try PeerBeat(decoding: bytes.prefix(count)) }
    }
    #expect(throws: BeatFault.wrongSize) { try PeerBeat(decoding: bytes + [0]) }
  }

  @Test func `no single changed byte traps, and what is accepted encodes to the same bytes`() throws {
    let bytes = try sample().encoded()
    for place in bytes.indices {
      for value in UInt8.min...UInt8.max {
        var changed = bytes
        changed[place] = value
        // Refused is fine here; the point is that nothing else happens.
        if let beat = try? PeerBeat(decoding: changed) { #expect(beat.encoded() == changed) }
      }
    }
  }

  @Test func `random bytes are refused`() {
    var state: UInt64 = 88_172_645_463_325_252
    for _ in 0..<20_000 {
      let bytes: [UInt8] = (0..<PeerBeat.encodedSize).map { _ in
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return UInt8(truncatingIfNeeded: state)
      }
      #expect(throws: BeatFault.self) { try PeerBeat(decoding: bytes) }
    }
  }

  @Test(arguments: ["", "UPPER", "with space", "seventeen-letters", "ümlaut", "a/b"]) func `a bad name is no name`(
    _ text: String
  ) {
    #expect(ShortName(text) == nil)
  }
}

struct BeatGateTests {
  private let now = Instant(nanoseconds: 5_000)

  private func gate() throws -> BeatGate {
    let names = try ["plant-1", "a", "b", "c"].map { try #require(ShortName($0)) }
    return BeatGate(cluster: names[0], me: names[1], peers: [names[2], names[3]], links: 2)
  }

  @Test func `a beat is admitted once, and its echo gives the round trip`() throws {
    var gate = try gate()
    let beat = try sample()
    #expect(gate.admit(beat, at: now) == .admitted(roundTrip: Interval(nanoseconds: 3_500)))
    #expect(gate.admit(beat, at: now) == .refused(.replayed))
    #expect(gate.refusals == [.replayed: 1])
  }

  @Test func `the same counter on another link counts there`() throws {
    var gate = try gate()
    _ = gate.admit(try sample(), at: now)
    guard case .admitted = gate.admit(try sample(link: 1), at: now) else {
      Issue.record("refused on the second link")
      return
    }
    #expect(gate.admit(try sample(link: 2), at: now) == .refused(.unknownSender))
  }

  @Test func `foreign, reflected and unknown beats are refused`() throws {
    var gate = try gate()
    var foreign = try sample()
    foreign.cluster = try #require(ShortName("other"))
    #expect(gate.admit(foreign, at: now) == .refused(.foreign))
    #expect(gate.admit(try sample("a"), at: now) == .refused(.reflected))
    #expect(gate.admit(try sample("z"), at: now) == .refused(.unknownSender))
  }

  @Test func `an overtaken beat is dropped once as overtaken, then as replayed`() throws {
    var gate = try gate()
    _ = gate.admit(try sample(counter: 10), at: now)
    _ = gate.admit(try sample(counter: 12), at: now)
    #expect(gate.admit(try sample(counter: 11), at: now) == .refused(.overtaken))
    #expect(gate.admit(try sample(counter: 11), at: now) == .refused(.replayed))
    #expect(gate.admit(try sample(counter: 10), at: now) == .refused(.replayed))
    _ = gate.admit(try sample(counter: 1_000), at: now)
    #expect(gate.admit(try sample(counter: 13), at: now) == .refused(.replayed))
  }

  @Test func `a newer incarnation starts anew, and makes the older one a replay on every link`() throws {
    var gate = try gate()
    _ = gate.admit(try sample(counter: 900), at: now)
    guard case .admitted = gate.admit(try sample(incarnation: 4, counter: 1), at: now) else {
      Issue.record("the new incarnation is refused")
      return
    }
    #expect(gate.admit(try sample(counter: 901), at: now) == .refused(.replayed))
    #expect(gate.admit(try sample(counter: 901, link: 1), at: now) == .refused(.replayed))
  }

  @Test func `an absurd echo gives no round trip`() throws {
    var gate = try gate()
    var beat = try sample()
    beat.stamp.echo = BeatEcho(sent: Instant(nanoseconds: .max), held: Interval(nanoseconds: .max))
    #expect(gate.admit(beat, at: now) == .admitted(roundTrip: nil))
  }

  @Test func `a stamp echoes the last admitted beat`() throws {
    var gate = try gate()
    let peer = try #require(ShortName("b"))
    #expect(gate.stamp(to: peer, link: 0, at: now).echo == nil)
    _ = gate.admit(try sample(), at: now)
    let stamp = gate.stamp(to: peer, link: 0, at: Instant(nanoseconds: 6_000))
    #expect(stamp.echo == BeatEcho(sent: Instant(nanoseconds: 77), held: Interval(nanoseconds: 1_000)))
  }
}
