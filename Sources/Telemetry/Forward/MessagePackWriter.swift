// The little MessagePack that a server of the Forward protocol says: HELO, PONG and ack.

struct MessagePackWriter {
  private(set) var bytes: [UInt8] = []

  mutating func array(_ count: Int) {
    precondition(count < 16)
    bytes.append(0x90 | UInt8(count))
  }
  mutating func map(_ pairs: Int) {
    precondition(pairs < 16)
    bytes.append(0x80 | UInt8(pairs))
  }
  mutating func bool(_ value: Bool) { bytes.append(value ? 0xc3 : 0xc2) }
  mutating func text(_ text: some Collection<UInt8>) {
    let count = text.count
    precondition(count < 65_536)
    if count < 32 {
      bytes.append(0xa0 | UInt8(count))
    } else if count < 256 {
      bytes += [0xd9, UInt8(count)]
    } else {
      bytes += [0xda, UInt8(count >> 8), UInt8(count & 0xff)]
    }
    bytes += text
  }
  mutating func text(_ string: String) { text(string.utf8) }
  mutating func binary(_ data: [UInt8]) {
    precondition(data.count < 256)
    bytes += [0xc4, UInt8(data.count)]
    bytes += data
  }
}
