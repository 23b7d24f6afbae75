// The frames by which hosts of a LAN ask and say who has an address: ARP (RFC 826, 5227), neighbour discovery
// (RFC 4861). Bytes only; `LanSocket` sends and receives them.

public enum LanFrame {
  static let protocolARP = 0x0806
  static let protocolIPv6 = 0x86dd
  private static let everyone = [UInt8](repeating: 0xff, count: 6)
  private static let nobody = [UInt8](repeating: 0, count: 6)

  /// What tells the LAN, without being asked, that `address` is at `hardware`. For IPv4 a request and a reply: some
  /// switches and hosts take only the one, some only the other.
  public static func announcements(_ address: IPAddress, at hardware: HardwareAddress) -> [[UInt8]] {
    guard address.isIPv6 else {
      return [
        arp(1, from: hardware, address.bytes, to: nobody, address.bytes),
        arp(2, from: hardware, address.bytes, to: everyone, address.bytes),
      ]
    }
    // Neighbour advertisement with the override flag, to all nodes, with the target's link-layer address.
    let allNodes: [UInt8] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    let body = [136, 0, 0, 0, 0x20, 0, 0, 0] + address.bytes + [2, 1] + hardware.bytes
    return [neighbour(body, from: hardware, address.bytes, to: allNodes)]
  }

  /// Asks who has `address` without saying who asks, so that nobody's tables change.
  public static func question(_ address: IPAddress, from hardware: HardwareAddress) -> [UInt8] {
    guard address.isIPv6 else { return arp(1, from: hardware, [0, 0, 0, 0], to: nobody, address.bytes) }
    let unspecified = [UInt8](repeating: 0, count: 16)
    let solicited: [UInt8] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff] + address.bytes.suffix(3)
    return neighbour([135, 0, 0, 0, 0, 0, 0, 0] + address.bytes, from: hardware, unspecified, to: solicited)
  }

  /// Who says in this frame that it has `address`; nil when the frame says nothing of the kind, whatever it is.
  public static func claimant(in frame: [UInt8], of address: IPAddress) -> HardwareAddress? {
    let protocolNumber = frame.count >= 14 ? Int(frame[12]) << 8 | Int(frame[13]) : 0
    if address.isIPv6 {
      // Ethernet 14, IPv6 40, advertisement 24, then options.
      guard protocolNumber == protocolIPv6, frame.count >= 78, frame[20] == 58, frame[54] == 136,
        Array(frame[62..<78]) == address.bytes
      else { return nil }
      let named = frame.count >= 86 && frame[78] == 2 && frame[79] == 1
      return HardwareAddress(bytes: named ? frame[80..<86] : frame[6..<12])
    }
    guard protocolNumber == protocolARP, frame.count >= 42, Array(frame[28..<32]) == address.bytes else { return nil }
    return HardwareAddress(bytes: frame[22..<28])
  }

  private static func arp(
    _ operation: UInt8, from hardware: HardwareAddress, _ sender: [UInt8], to target: [UInt8], _ wanted: [UInt8]
  ) -> [UInt8] {
    everyone + hardware.bytes + [8, 6, 0, 1, 8, 0, 6, 4, 0, operation] + hardware.bytes + sender + target + wanted
  }

  /// An ICMPv6 message to a multicast group, hop limit 255: a receiver drops any other.
  private static func neighbour(
    _ message: [UInt8], from hardware: HardwareAddress, _ source: [UInt8], to group: [UInt8]
  ) -> [UInt8] {
    let length = UInt8(message.count)
    let sum = checksum(source + group + [0, 0, 0, length, 0, 0, 0, 58] + message)
    let ethernet = [0x33, 0x33] + group.suffix(4) + hardware.bytes + [0x86, 0xdd]
    let header: [UInt8] = [0x60, 0, 0, 0, 0, length, 58, 255] + source + group
    return ethernet + header + message[..<2] + [UInt8(sum >> 8), UInt8(sum & 0xff)] + message[4...]
  }

  /// The Internet checksum (RFC 1071) of an even number of bytes.
  static func checksum(_ bytes: [UInt8]) -> UInt16 {
    precondition(bytes.count % 2 == 0)
    var sum: UInt32 = 0
    for index in stride(from: 0, to: bytes.count, by: 2) {
      sum += UInt32(bytes[index]) << 8 | UInt32(bytes[index + 1])
    }
    while sum > 0xffff { sum = (sum & 0xffff) + (sum >> 16) }
    return ~UInt16(sum)
  }

  /// A classic BPF program (linux/filter.h, 8 bytes an instruction) that passes only frames in which somebody claims
  /// `address`: the others of a busy LAN never wake us.
  static func filter(_ address: IPAddress) -> (program: [UInt8], count: Int) {
    let byte: UInt16 = 0x30
    let half: UInt16 = 0x28
    let word: UInt16 = 0x20
    func number(_ bytes: ArraySlice<UInt8>) -> UInt32 { bytes.reduce(0) { $0 << 8 | UInt32($1) } }
    var tests: [(load: UInt16, offset: UInt32, wanted: UInt32)]
    if address.isIPv6 {
      tests = [(half, 12, UInt32(protocolIPv6)), (byte, 20, 58), (byte, 54, 136)]
      for offset in stride(from: 0, to: 16, by: 4) {
        tests.append((word, UInt32(62 + offset), number(address.bytes[offset..<(offset + 4)])))
      }
    } else {
      tests = [(half, 12, UInt32(protocolARP)), (word, 28, number(address.bytes[...]))]
    }
    var program: [UInt8] = []
    func append(_ code: UInt16, _ onFalse: UInt8, _ value: UInt32) {
      // Sound: an integer's own bytes, copied out at once.
      unsafe withUnsafeBytes(of: code) { unsafe program.append(contentsOf: $0) }
      program += [0, onFalse]
      unsafe withUnsafeBytes(of: value) { unsafe program.append(contentsOf: $0) }
    }
    for (index, test) in tests.enumerated() {
      append(test.load, 0, test.offset)
      // To the last instruction: over the pairs still to come and the acceptance.
      append(0x15, UInt8(2 * (tests.count - 1 - index) + 1), test.wanted)
    }
    append(0x06, 0, 0x40000)
    append(0x06, 0, 0)
    return (program, tests.count * 2 + 2)
  }
}
