// The addresses and links of this network namespace, through rtnetlink: no fork, no PATH, microseconds.
internal import CLinux
internal import Glibc

/// Asks the kernel and waits for its answer, which is there when the question has been sent.
public struct Netlink: ~Copyable {
  private let socket: Descriptor
  private var sequence: UInt32 = 0
  private var buffer = [UInt8](repeating: 0, count: 65536)

  public init() throws(SystemError) {
    let raw = sw_netlink_socket(0)
    guard raw >= 0 else { throw .last("netlink socket") }
    socket = Descriptor(owning: raw)
  }

  /// All addresses of all interfaces.
  public mutating func addresses() throws(SystemError) -> [InterfaceAddress] {
    try list(NetlinkType.getAddress, body: [UInt8](repeating: 0, count: 8)).compactMap { $0.address }
  }
  /// All interfaces.
  public mutating func links() throws(SystemError) -> [LinkStatus] {
    try list(NetlinkType.getLink, body: [UInt8](repeating: 0, count: 16)).compactMap { $0.link }
  }

  /// Adds an address that the kernel removes after `validSeconds`, or gives it that lifetime anew. An absent address
  /// is added, whatever the caller meant: who renews looks first.
  public mutating func hold(_ address: IPAddress, interface: Int32, validSeconds: UInt32) throws(SystemError) {
    precondition(validSeconds > 0 && validSeconds < UInt32.max)
    let entry = InterfaceAddress(
      address: address, interface: interface, prefix: address.fullPrefix, validSeconds: validSeconds)
    try acknowledge(
      NetlinkType.newAddress, NetlinkFlag.create | NetlinkFlag.replace, NetlinkMessage.addressBody(entry),
      "add \(address)")
  }
  /// Removes an address; one that is not there is a success.
  public mutating func remove(_ entry: InterfaceAddress) throws(SystemError) {
    var bare = entry
    bare.validSeconds = nil
    do {
      try acknowledge(NetlinkType.deleteAddress, 0, NetlinkMessage.addressBody(bare), "remove \(entry.address)")
    } catch  where error.code == EADDRNOTAVAIL || error.code == ENODEV {
      return
    }
  }

  private mutating func acknowledge(
    _ type: UInt16, _ flags: UInt16, _ body: [UInt8], _ call: String
  ) throws(SystemError) {
    let number = try send(type, NetlinkFlag.acknowledge | flags, body)
    while true {
      for message in try receive() where message.sequence == number {
        guard let code = message.errorCode else { continue }
        if code == 0 { return }
        throw SystemError(call: call, code: code)
      }
    }
  }

  private mutating func list(_ type: UInt16, body: [UInt8]) throws(SystemError) -> [NetlinkMessage] {
    // A list that changed while it was read is read again; one that never stands still is an error.
    for _ in 0..<8 {
      let number = try send(type, NetlinkFlag.dump, body)
      var found: [NetlinkMessage] = []
      var whole = true
      var ended = false
      while !ended {
        for message in try receive() where message.sequence == number {
          if message.flags & NetlinkFlag.interrupted != 0 { whole = false }
          if let code = message.errorCode, code != 0 { throw SystemError(call: "netlink list", code: code) }
          if message.type == NetlinkType.done { ended = true } else { found.append(message) }
        }
      }
      if whole { return found }
    }
    throw SystemError(call: "netlink list", code: EBUSY)
  }

  private mutating func send(_ type: UInt16, _ flags: UInt16, _ body: [UInt8]) throws(SystemError) -> UInt32 {
    sequence &+= 1
    let message = NetlinkMessage.request(type: type, flags: flags, sequence: sequence, body: body)
    // Sound: the pointer is that of a live array of the count given.
    guard unsafe Glibc.send(socket.raw, message, message.count, 0) == message.count else { throw .last("netlink send") }
    return sequence
  }
  private mutating func receive() throws(SystemError) -> [NetlinkMessage] {
    while true {
      let count = unsafe recv(socket.raw, &buffer, buffer.count, 0)
      if count >= 0 { return NetlinkMessage.all(in: buffer[..<count]) }
      if errno == EINTR { continue }
      guard errno == EAGAIN else { throw .last("netlink receive") }
      // The kernel answers before `send` returns; the bound is for the day that it does not.
      if wait(socket.raw, for: .read, until: .after(milliseconds: 200)).isEmpty {
        throw SystemError(call: "netlink receive", code: ETIMEDOUT)
      }
    }
  }
}

/// What the kernel says by itself.
public enum LinkEvent: Equatable, Sendable {
  case link(LinkStatus)
  case linkGone(LinkStatus)
  case address(InterfaceAddress)
  case addressGone(InterfaceAddress)
  /// Events were lost: ask for everything.
  case overflow
}

/// Hears of every change of links and addresses in this network namespace.
public struct LinkMonitor: ~Copyable {
  private let socket: Descriptor
  private var buffer = [UInt8](repeating: 0, count: 65536)
  public var descriptor: Int32 { socket.raw }

  public init() throws(SystemError) {
    let links: UInt32 = 0x1
    let addresses: UInt32 = 0x10 | 0x100  // RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
    let raw = sw_netlink_socket(links | addresses)
    guard raw >= 0 else { throw .last("netlink socket") }
    socket = Descriptor(owning: raw)
  }

  /// What waits, at most 16 datagrams of it; never blocks.
  public mutating func events() -> [LinkEvent] {
    var events: [LinkEvent] = []
    for _ in 0..<16 {
      let count = unsafe recv(socket.raw, &buffer, buffer.count, 0)
      if count < 0 && errno == EINTR { continue }
      if count < 0 {
        if errno != EAGAIN { events.append(.overflow) }
        break
      }
      events += NetlinkMessage.all(in: buffer[..<count]).compactMap { message in
        switch message.type {
        case NetlinkType.newLink: message.link.map { .link($0) }
        case NetlinkType.deleteLink: message.link.map { .linkGone($0) }
        case NetlinkType.newAddress: message.address.map { .address($0) }
        case NetlinkType.deleteAddress: message.address.map { .addressGone($0) }
        case _: nil
        }
      }
    }
    return events
  }
}
