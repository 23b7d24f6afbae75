import Chance
@testable import Platform
import Testing

private let own = HardwareAddress(bytes: [0x02, 0, 0, 0, 0, 0x0a]) ?? .none

private func address(_ text: String) throws -> IPAddress { try #require(IPAddress(text)) }

@Test func `an IPv4 announcement is a request and a reply that both name the owner`() throws {
  let frames = LanFrame.announcements(try address("10.9.0.100"), at: own)
  #expect(frames.map(\.count) == [42, 42])
  #expect(frames.map { Array($0[20..<22]) } == [[0, 1], [0, 2]])
  for frame in frames {
    #expect(Array(frame[0..<6]) == [UInt8](repeating: 0xff, count: 6))
    #expect(Array(frame[28..<32]) == Array(frame[38..<42]), "sender and target are the same address")
    #expect(LanFrame.claimant(in: frame, of: try address("10.9.0.100")) == own)
    #expect(LanFrame.claimant(in: frame, of: try address("10.9.0.101")) == nil)
  }
}

@Test func `a question names nobody as the sender, so that nobody's table changes`() throws {
  let frame = LanFrame.question(try address("10.9.0.100"), from: own)
  #expect(Array(frame[28..<32]) == [0, 0, 0, 0])
  #expect(LanFrame.claimant(in: frame, of: try address("10.9.0.100")) == nil)
  let question = LanFrame.question(try address("fd00::1:2:3"), from: own)
  #expect(Array(question[0..<6]) == [0x33, 0x33, 0xff, 0x02, 0x00, 0x03])
  #expect(LanFrame.claimant(in: question, of: try address("fd00::1:2:3")) == nil)
}

@Test func `an IPv6 advertisement has the override flag, hop limit 255 and a correct checksum`() throws {
  let wanted = try address("fd00:9::100")
  let frame = try #require(LanFrame.announcements(wanted, at: own).first)
  #expect(frame.count == 86)
  #expect(frame[21] == 255)
  #expect(frame[54] == 136 && frame[58] == 0x20)
  // Over the pseudo-header and the message with its checksum in place the sum is zero.
  #expect(LanFrame.checksum(Array(frame[22..<54]) + [0, 0, 0, 32, 0, 0, 0, 58] + Array(frame[54...])) == 0)
  #expect(LanFrame.claimant(in: frame, of: wanted) == own)
}

@Test func `no frame and no netlink datagram traps, however it is cut or changed`() throws {
  let wanted = try address("fd00:9::100")
  let other = try address("10.9.0.100")
  let entry = InterfaceAddress(address: wanted, interface: 3, prefix: 128, validSeconds: 2)
  let seeds =
    LanFrame.announcements(wanted, at: own) + LanFrame.announcements(other, at: own) + [
      NetlinkMessage.request(type: 20, flags: 0, sequence: 9, body: NetlinkMessage.addressBody(entry)),
      NetlinkMessage.request(type: 16, flags: 0, sequence: 9, body: [UInt8](repeating: 1, count: 64)),
      NetlinkMessage.request(type: 2, flags: 0, sequence: 9, body: [0, 0, 0, 0x80]),
    ]
  var dice = SplitMix64(seed: 20_261_120)
  for _ in 0..<20_000 {
    var bytes = seeds[Int.random(in: 0..<seeds.count, using: &dice)]
    for _ in 0..<Int.random(in: 0...6, using: &dice) {
      bytes[Int.random(in: 0..<bytes.count, using: &dice)] = .random(in: 0...255, using: &dice)
    }
    bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &dice)))
    _ = LanFrame.claimant(in: bytes, of: wanted)
    _ = LanFrame.claimant(in: bytes, of: other)
    for message in NetlinkMessage.all(in: bytes[...]) { _ = (message.address, message.link, message.errorCode) }
  }
}

@Test func `an address message is read back as it was written, and for ever is no lifetime`() throws {
  var entry = InterfaceAddress(address: try address("10.9.0.100"), interface: 7, prefix: 32, validSeconds: 2)
  func back(_ entry: InterfaceAddress) -> InterfaceAddress? {
    let body = NetlinkMessage.addressBody(entry)
    return NetlinkMessage.all(in: NetlinkMessage.request(type: 20, flags: 0, sequence: 1, body: body)[...]).first?
      .address
  }
  #expect(back(entry) == entry)
  entry.validSeconds = nil
  #expect(back(entry) == entry)
  entry.validSeconds = UInt32.max
  #expect(back(entry)?.validSeconds == nil)
}

@Test func `the filter's jumps all end at one of its two last instructions`() throws {
  for text in ["10.9.0.100", "fd00:9::100"] {
    let (program, count) = LanFrame.filter(try address(text))
    #expect(program.count == count * 8)
    for index in 0..<count where program[index * 8] == 0x15 {
      #expect(program[index * 8 + 2] == 0)
      #expect(index + 1 + Int(program[index * 8 + 3]) == count - 1, "a mismatch is refused")
    }
  }
}

@Test func `the kernel's list has the loopback interface and its static address`() throws {
  var netlink = try Netlink()
  let loopback = try #require(try netlink.links().first { $0.name == "lo" })
  #expect(loopback.hardware == nil)
  let entry = try netlink.addresses().first { $0.address.description == "127.0.0.1" }
  #expect(entry == nil || entry?.interface == loopback.index && entry?.validSeconds == nil)
}
