// Bytes of a beat. The shell appends HMAC-SHA256 over exactly these bytes and verifies it before decoding.
//
//   offset size  field                              offset size  field
//        0    4  "SWB1"                                 72    1  state
//        4   16  cluster, padded with zero bytes        73    1  flags: 1 database, 2 address, 4 resigned,
//       20   16  node, padded with zero bytes                    8 echo, 16 term
//       36    8  incarnation                            74    1  link
//       44    8  counter                                75    1  zero
//       52    4  timeline                               76    8  sent, nanoseconds
//       56    8  epoch                                  84    8  echo: sent
//       64    8  token                                  92    8  echo: held
//
// All numbers big-endian; 100 bytes, never more or fewer.

/// Why bytes are no beat.
public enum BeatFault: String, Error, CaseIterable, Sendable {
  case wrongSize, wrongMagic, badName, badState, badFlags, badNumber
}

extension PeerBeat {
  /// Bytes of an encoded beat, without the authentication code.
  public static let encodedSize = 100

  /// The bytes of the beat, `encodedSize` of them.
  public func encoded() -> [UInt8] {
    var flags: UInt8 = databaseReachable ? 1 : 0
    if addressHeld { flags |= 2 }
    if resigned { flags |= 4 }
    if stamp.echo != nil { flags |= 8 }
    if term != nil { flags |= 16 }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(PeerBeat.encodedSize)
    bytes += PeerBeat.magic
    func number<N: FixedWidthInteger>(_ value: N) {
      var shift = N.bitWidth
      while shift > 0 {
        shift -= 8
        bytes.append(UInt8(truncatingIfNeeded: value >> shift))
      }
    }
    number(cluster.high)
    number(cluster.low)
    number(from.node.high)
    number(from.node.low)
    number(from.incarnation)
    number(counter)
    number(term?.timeline ?? 0)
    number(term?.term.epoch ?? 0)
    number(term?.term.token ?? 0)
    bytes.append(state.rawValue)
    bytes.append(flags)
    bytes.append(stamp.link)
    bytes.append(0)
    number(stamp.sent.nanoseconds)
    number(stamp.echo?.sent.nanoseconds ?? 0)
    number(stamp.echo?.held.nanoseconds ?? 0)
    return bytes
  }
  private static let magic: [UInt8] = [0x53, 0x57, 0x42, 0x31]

  /// Reads what `encoded()` wrote; every other byte string is refused and none traps.
  public init(decoding bytes: some Collection<UInt8>) throws(BeatFault) {
    guard bytes.count == PeerBeat.encodedSize else { throw .wrongSize }
    var reader = BeatReader(bytes: Array(bytes))
    guard reader.number(UInt32.self) == 0x5357_4231 else { throw .wrongMagic }
    guard let cluster = reader.name(), let node = reader.name() else { throw .badName }
    let incarnation = reader.number(Int64.self)
    let counter = reader.number(UInt64.self)
    let timeline = reader.number(UInt32.self)
    let epoch = reader.number(Int64.self)
    let token = reader.number(Int64.self)
    guard let state = NodeState(rawValue: reader.number(UInt8.self)) else { throw .badState }
    let flags = reader.number(UInt8.self)
    let link = reader.number(UInt8.self)
    guard flags & ~31 == 0, reader.number(UInt8.self) == 0 else { throw .badFlags }
    let sent = reader.number(Int64.self)
    let echoSent = reader.number(Int64.self)
    let echoHeld = reader.number(Int64.self)
    guard incarnation > 0, epoch >= 0, sent >= 0, echoSent >= 0, echoHeld >= 0 else { throw .badNumber }
    // What a flag says is absent is zero: one beat has one encoding.
    guard flags & 8 != 0 || (echoSent == 0 && echoHeld == 0) else { throw .badNumber }
    guard flags & 16 != 0 || (timeline == 0 && epoch == 0 && token == 0) else { throw .badNumber }
    let term = TimelineTerm(timeline: timeline, term: Term(epoch: epoch, token: token))
    self.init(
      cluster: cluster, from: NodeIncarnation(node: node, incarnation: incarnation), counter: counter,
      term: flags & 16 != 0 ? term : nil, state: state, databaseReachable: flags & 1 != 0,
      addressHeld: flags & 2 != 0, resigned: flags & 4 != 0)
    let echo = BeatEcho(sent: Instant(nanoseconds: echoSent), held: Interval(nanoseconds: echoHeld))
    stamp = BeatStamp(link: link, sent: Instant(nanoseconds: sent), echo: flags & 8 != 0 ? echo : nil)
  }
}

/// Takes fields off bytes whose number was checked.
private struct BeatReader {
  let bytes: [UInt8]
  var next = 0

  mutating func number<N: FixedWidthInteger>(_: N.Type) -> N {
    var value: N = 0
    for _ in 0..<N.bitWidth / 8 {
      // Shifts beyond the width give zero: right for a single byte, too.
      value = value << 8 | N(truncatingIfNeeded: bytes[next])
      next += 1
    }
    return value
  }
  mutating func name() -> ShortName? { ShortName(high: number(UInt64.self), low: number(UInt64.self)) }
}
