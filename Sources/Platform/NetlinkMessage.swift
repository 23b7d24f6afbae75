// rtnetlink's bytes: building requests, taking answers apart (rtnetlink(7), linux/rtnetlink.h). Host byte order.

/// An address of an interface.
public struct InterfaceAddress: Hashable, Sendable {
  public var address: IPAddress
  /// The interface's index.
  public var interface: Int32
  public var prefix: UInt8
  /// Seconds until the kernel removes it; nil is for ever: a static address.
  public var validSeconds: UInt32?
  public init(address: IPAddress, interface: Int32, prefix: UInt8, validSeconds: UInt32?) {
    self.address = address
    self.interface = interface
    self.prefix = prefix
    self.validSeconds = validSeconds
  }
}

/// A network interface.
public struct LinkStatus: Hashable, Sendable {
  public var index: Int32
  public var name: String
  /// Nil when it is not Ethernet: nothing is announced or probed there.
  public var hardware: HardwareAddress?
  /// Up by its administrator, with a carrier, and operational.
  public var isUp: Bool
}

enum NetlinkType {
  static let error: UInt16 = 2
  static let done: UInt16 = 3
  static let newLink: UInt16 = 16
  static let deleteLink: UInt16 = 17
  static let getLink: UInt16 = 18
  static let newAddress: UInt16 = 20
  static let deleteAddress: UInt16 = 21
  static let getAddress: UInt16 = 22
}
enum NetlinkFlag {
  static let request: UInt16 = 0x1
  static let acknowledge: UInt16 = 0x4
  static let dump: UInt16 = 0x300
  static let replace: UInt16 = 0x100
  static let create: UInt16 = 0x400
  /// In an answer: the list changed while it was read.
  static let interrupted: UInt16 = 0x10
}
private enum Attribute {
  static let interfaceAddress: UInt16 = 1  // IFA_ADDRESS
  static let localAddress: UInt16 = 2  // IFA_LOCAL
  static let cacheInfo: UInt16 = 6  // IFA_CACHEINFO
  static let flags: UInt16 = 8  // IFA_FLAGS
  static let linkAddress: UInt16 = 1  // IFLA_ADDRESS
  static let linkName: UInt16 = 3  // IFLA_IFNAME
}
private let familyIPv4: UInt8 = 2
private let familyIPv6: UInt8 = 10
/// No duplicate address detection: the guard probes by itself, and the kernel's takes a second.
private let noDuplicateDetection: UInt32 = 0x02
private let upRunningAndCarrier: UInt32 = 0x1 | 0x40 | 0x10000  // IFF_UP, IFF_RUNNING, IFF_LOWER_UP
private let ethernet: UInt16 = 1  // ARPHRD_ETHER
private let forEver = UInt32.max

/// One message taken out of a datagram; `payload` begins behind the 16 bytes of its header.
struct NetlinkMessage {
  var type: UInt16
  var flags: UInt16
  var sequence: UInt32
  var payload: ArraySlice<UInt8>

  /// All whole messages of a datagram; a cut one at the end is left out.
  static func all(in datagram: ArraySlice<UInt8>) -> [NetlinkMessage] {
    var rest = datagram
    var found: [NetlinkMessage] = []
    while let length: UInt32 = rest.native(at: 0), length >= 16, length <= rest.count,
      let type: UInt16 = rest.native(at: 4), let flags: UInt16 = rest.native(at: 6),
      let sequence: UInt32 = rest.native(at: 8)
    {
      let payload = rest.dropFirst(16).prefix(Int(length) - 16)
      found.append(NetlinkMessage(type: type, flags: flags, sequence: sequence, payload: payload))
      rest = rest.dropFirst((Int(length) + 3) & ~3)
    }
    return found
  }

  /// A whole request.
  static func request(type: UInt16, flags: UInt16, sequence: UInt32, body: [UInt8]) -> [UInt8] {
    native(UInt32(16 + body.count)) + native(type) + native(NetlinkFlag.request | flags) + native(sequence)
      + native(UInt32(0)) + body
  }
  static func addressBody(_ entry: InterfaceAddress) -> [UInt8] {
    let head = [entry.address.isIPv6 ? familyIPv6 : familyIPv4, entry.prefix, 0, 0] + native(entry.interface)
    var body =
      head + attribute(Attribute.localAddress, entry.address.bytes)
      + attribute(Attribute.interfaceAddress, entry.address.bytes)
    if let valid = entry.validSeconds {
      // Preferred 0: nobody's outgoing connection begins from an address that may leave.
      let lifetimes = native(UInt32(0)) + native(valid) + native(UInt32(0)) + native(UInt32(0))
      body += attribute(Attribute.cacheInfo, lifetimes)
    }
    if entry.address.isIPv6 { body += attribute(Attribute.flags, native(noDuplicateDetection)) }
    return body
  }

  /// The errno of an answer: 0 is success. Nil when the message is no acknowledgement.
  var errorCode: Int32? {
    guard type == NetlinkType.error, let code: Int32 = payload.native(at: 0) else { return nil }
    return code == Int32.min ? Int32.max : -code
  }
  /// The address that an address message is about.
  var address: InterfaceAddress? {
    guard type == NetlinkType.newAddress || type == NetlinkType.deleteAddress, payload.count >= 8,
      let prefix: UInt8 = payload.native(at: 1), let index: UInt32 = payload.native(at: 4),
      let interface = Int32(exactly: index)
    else { return nil }
    var local: IPAddress?
    var shown: IPAddress?
    var valid: UInt32?
    for (type, value) in attributes(from: 8) {
      switch type {
      case Attribute.localAddress: local = IPAddress(bytes: Array(value))
      case Attribute.interfaceAddress: shown = IPAddress(bytes: Array(value))
      case Attribute.cacheInfo: valid = value.native(at: 4)
      case _: break
      }
    }
    // On a point-to-point link IFA_ADDRESS is the other end's.
    guard let address = local ?? shown else { return nil }
    return InterfaceAddress(
      address: address, interface: interface, prefix: prefix, validSeconds: valid == forEver ? nil : valid)
  }
  /// The interface that a link message is about.
  var link: LinkStatus? {
    guard type == NetlinkType.newLink || type == NetlinkType.deleteLink, payload.count >= 16,
      let kind: UInt16 = payload.native(at: 2), let index: Int32 = payload.native(at: 4),
      let flags: UInt32 = payload.native(at: 8)
    else { return nil }
    var link = LinkStatus(
      index: index, name: "", hardware: nil, isUp: flags & upRunningAndCarrier == upRunningAndCarrier)
    for (type, value) in attributes(from: 16) {
      switch type {
      case Attribute.linkName: link.name = String(decoding: value.prefix { $0 != 0 }, as: UTF8.self)
      case Attribute.linkAddress where kind == ethernet: link.hardware = HardwareAddress(bytes: value)
      case _: break
      }
    }
    return link
  }

  private func attributes(from offset: Int) -> [(UInt16, ArraySlice<UInt8>)] {
    var rest = payload.dropFirst(offset)
    var found: [(UInt16, ArraySlice<UInt8>)] = []
    while let length: UInt16 = rest.native(at: 0), length >= 4, length <= rest.count,
      let type: UInt16 = rest.native(at: 2)
    {
      found.append((type & 0x3fff, rest.dropFirst(4).prefix(Int(length) - 4)))
      rest = rest.dropFirst((Int(length) + 3) & ~3)
    }
    return found
  }
}

private func native<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
  // Sound: an integer's own bytes, copied out at once.
  unsafe withUnsafeBytes(of: value) { unsafe Array($0) }
}
private func attribute(_ type: UInt16, _ payload: [UInt8]) -> [UInt8] {
  let padding = [UInt8](repeating: 0, count: (4 - payload.count % 4) % 4)
  return native(UInt16(4 + payload.count)) + native(type) + payload + padding
}
extension ArraySlice<UInt8> {
  /// An integer in host order; nil when it passes the end.
  func native<T: FixedWidthInteger>(at offset: Int) -> T? {
    guard offset >= 0, offset + MemoryLayout<T>.size <= count else { return nil }
    // Sound: the bounds were checked above, the load needs no alignment.
    return unsafe withUnsafeBytes { unsafe $0.loadUnaligned(fromByteOffset: offset, as: T.self) }
  }
}
