// TCP, UDP and unix sockets, always non-blocking and close-on-exec.
internal import CLinux
internal import Glibc

/// A numeric IPv4 or IPv6 address with a port, or the path of a unix socket.
public struct SocketAddress: Sendable, Equatable, Hashable, CustomStringConvertible {
  private var bytes: [UInt8]

  /// Nil when `host` is not a numeric address: names are never looked up here, a look-up blocks.
  public init?(host: String, port: UInt16) {
    var raw = sw_address()
    guard unsafe sw_parse_address(host, port, &raw) == 0 else { return nil }
    self.init(raw)
  }
  /// Nil when the path is longer than the kernel takes (107 bytes).
  public init?(unixPath: String) {
    var raw = sw_address()
    guard unsafe sw_unix_address(unixPath, &raw) == 0 else { return nil }
    self.init(raw)
  }
  /// `1.2.3.4:7400`, `[2001:db8::1]:7400`, `1.2.3.4` and `2001:db8::1` with `defaultPort`. Nil when it is neither.
  public init?(text: String, defaultPort: UInt16? = nil) {
    func port(_ digits: Substring) -> UInt16? {
      digits.utf8.allSatisfy { $0 >= 48 && $0 <= 57 } ? UInt16(digits) : nil
    }
    if let defaultPort, let plain = SocketAddress(host: text, port: defaultPort) {
      self = plain
      return
    }
    guard let colon = text.lastIndex(of: ":"), let number = port(text[text.index(after: colon)...]) else { return nil }
    var host = text[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]") {
      host = host.dropFirst().dropLast()
    } else if host.contains(":") {
      return nil
    }
    guard let address = SocketAddress(host: String(host), port: number) else { return nil }
    self = address
  }
  init(_ raw: sw_address) {
    var raw = raw
    let count = Int(raw.length)
    // Sound: `length` never passes the 128 bytes of the struct, and the bytes are copied out.
    bytes = unsafe withUnsafeBytes(of: &raw.bytes) { unsafe Array($0.prefix(count)) }
  }
  func withRaw<R>(_ body: (inout sw_address) -> R) -> R {
    var raw = sw_address()
    raw.length = UInt32(bytes.count)
    unsafe withUnsafeMutableBytes(of: &raw.bytes) { unsafe $0.copyBytes(from: bytes) }
    return body(&raw)
  }
  var family: Int32 { withRaw { unsafe sw_address_family(&$0) } }
  public var isIPv6: Bool { family == AF_INET6 }
  public var port: UInt16 { withRaw { unsafe sw_address_port(&$0) } }
  /// The numeric host without the port.
  public var host: String {
    var text = [CChar](repeating: 0, count: 128)
    let code = withRaw { unsafe sw_format_address(&$0, &text, text.count) }
    if code != 0 { return "?" }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
  public var description: String {
    if family == AF_UNIX { return "unix" }
    return isIPv6 ? "[\(host)]:\(port)" : "\(host):\(port)"
  }
}

/// Opens a listening TCP or unix socket. After a takeover thousands of senders come at once: a short `backlog` would drop
/// their packets, which costs each a second. `freeBind` allows an address that is not there yet.
public func listenStream(
  _ address: SocketAddress, backlog: Int32 = 4096, freeBind: Bool = false
) throws(SystemError) -> Descriptor {
  let socket = try openSocket(address, Int32(SOCK_STREAM.rawValue))
  _ = sw_set_int_option(socket.raw, SOL_SOCKET, SO_REUSEADDR, 1)
  if freeBind { _ = sw_freebind(socket.raw, address.family) }
  if address.isIPv6 { _ = sw_set_int_option(socket.raw, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
  guard address.withRaw({ unsafe sw_bind(socket.raw, &$0) }) == 0 else { throw .last("bind \(address)") }
  guard listen(socket.raw, backlog) == 0 else { throw .last("listen \(address)") }
  return socket
}

/// Opens a UDP socket bound to `address`. `freeBind` allows an address that is not there yet.
public func bindDatagram(
  _ address: SocketAddress, receiveBuffer: Int32? = nil, freeBind: Bool = false
) throws(SystemError) -> Descriptor {
  let socket = try openSocket(address, Int32(SOCK_DGRAM.rawValue))
  if freeBind { _ = sw_freebind(socket.raw, address.family) }
  _ = sw_set_int_option(socket.raw, SOL_SOCKET, SO_REUSEADDR, 1)
  if address.isIPv6 { _ = sw_set_int_option(socket.raw, Int32(IPPROTO_IPV6), IPV6_V6ONLY, 1) }
  if let receiveBuffer { _ = sw_set_int_option(socket.raw, SOL_SOCKET, SO_RCVBUF, receiveBuffer) }
  guard address.withRaw({ unsafe sw_bind(socket.raw, &$0) }) == 0 else { throw .last("bind \(address)") }
  return socket
}

/// Connects a stream socket, at most until `deadline`. With `TCP_NODELAY` on TCP.
public func connectStream(_ address: SocketAddress, deadline: BootInstant) throws(SystemError) -> Descriptor {
  let socket = try openSocket(address, Int32(SOCK_STREAM.rawValue))
  if address.family != AF_UNIX { _ = sw_tcp_no_delay(socket.raw) }
  if address.withRaw({ unsafe sw_connect(socket.raw, &$0) }) != 0 {
    guard errno == EINPROGRESS || errno == EAGAIN else { throw .last("connect \(address)") }
    if wait(socket.raw, for: .write, until: deadline).isEmpty {
      throw SystemError(call: "connect \(address)", code: ETIMEDOUT)
    }
    let code = sw_socket_error(socket.raw)
    guard code == 0 else { throw SystemError(call: "connect \(address)", code: code) }
  }
  return socket
}

/// Starts a connect without waiting for it; writable when it ended, then ask `socketError`.
public func startConnect(_ address: SocketAddress) throws(SystemError) -> Descriptor {
  let socket = try openSocket(address, Int32(SOCK_STREAM.rawValue))
  if address.family != AF_UNIX { _ = sw_tcp_no_delay(socket.raw) }
  if address.withRaw({ unsafe sw_connect(socket.raw, &$0) }) != 0, errno != EINPROGRESS, errno != EAGAIN {
    throw .last("connect \(address)")
  }
  return socket
}

private func openSocket(_ address: SocketAddress, _ type: Int32) throws(SystemError) -> Descriptor {
  let raw = sw_socket(address.family, type)
  guard raw >= 0 else { throw .last("socket") }
  return Descriptor(owning: raw)
}

/// Accepts one connection; nil when none waits (or it is already gone). Errors such as EMFILE are thrown.
public func acceptStream(_ listener: Int32) throws(SystemError) -> (descriptor: Int32, peer: SocketAddress)? {
  var peer = sw_address()
  let raw = unsafe sw_accept(listener, &peer)
  if raw >= 0 {
    _ = sw_tcp_no_delay(raw)
    return (raw, SocketAddress(peer))
  }
  switch errno {
  case EAGAIN, ECONNABORTED, EINTR, EPROTO: return nil
  default: throw .last("accept")
  }
}

/// The pending error of a socket; 0 is none.
public func socketError(_ descriptor: Int32) -> Int32 { sw_socket_error(descriptor) }
/// Lets `close` send a reset, so that the peer learns at once.
public func resetOnClose(_ descriptor: Int32) { _ = sw_set_linger_zero(descriptor) }
/// Unacknowledged bytes end the connection after this long.
public func setUserTimeout(_ descriptor: Int32, milliseconds: Int32) {
  _ = sw_tcp_user_timeout(descriptor, milliseconds)
}
public func setKeepalive(_ descriptor: Int32, idle: Int32, interval: Int32, count: Int32) {
  _ = sw_keepalive(descriptor, idle, interval, count)
}
/// The address a socket is bound to.
public func localAddress(_ descriptor: Int32) -> SocketAddress? {
  var raw = sw_address()
  return unsafe sw_local_address(descriptor, &raw) == 0 ? SocketAddress(raw) : nil
}
/// Process, user and group at the other end of a unix socket.
public func peerCredentials(_ descriptor: Int32) -> (process: Int32, user: Int32, group: Int32)? {
  var process: Int32 = 0
  var user: Int32 = 0
  var group: Int32 = 0
  return unsafe sw_peer_credentials(descriptor, &process, &user, &group) == 0 ? (process, user, group) : nil
}

/// How a non-blocking transfer went.
public enum Transfer: Equatable, Sendable { case done(Int), wouldBlock, closed, failed(Int32) }

/// Reads once into `buffer` from `offset` on.
public func receive(_ descriptor: Int32, into buffer: inout [UInt8], from offset: Int = 0) -> Transfer {
  precondition(offset <= buffer.count)
  // Sound: the pointer stays within the array for the bytes given.
  let count = unsafe buffer.withUnsafeMutableBytes { bytes in
    unsafe recv(descriptor, bytes.baseAddress.map { unsafe $0 + offset }, bytes.count - offset, 0)
  }
  if count > 0 { return .done(count) }
  if count == 0 { return .closed }
  return errno == EAGAIN || errno == EINTR ? .wouldBlock : .failed(errno)
}

/// Writes once from `offset` on, up to `end` (the array's end when nil).
public func send(_ descriptor: Int32, _ bytes: [UInt8], from offset: Int = 0, upTo end: Int? = nil) -> Transfer {
  let end = end ?? bytes.count
  precondition(offset <= end && end <= bytes.count)
  // Sound: the pointer stays within the array for the bytes given.
  let count = unsafe bytes.withUnsafeBytes { raw in
    unsafe Glibc.send(descriptor, raw.baseAddress.map { unsafe $0 + offset }, end - offset, Int32(MSG_NOSIGNAL))
  }
  if count >= 0 { return .done(count) }
  return errno == EAGAIN || errno == EINTR ? .wouldBlock : .failed(errno)
}

/// Sends one datagram; false when the kernel did not take it.
@discardableResult
public func sendDatagram(_ descriptor: Int32, _ bytes: [UInt8], to address: SocketAddress) -> Bool {
  address.withRaw { unsafe sw_send_to(descriptor, bytes, bytes.count, &$0) } == bytes.count
}

/// Takes one datagram; nil when none waits. `size` is the datagram's own, which may be larger than `buffer`.
public func receiveDatagram(_ descriptor: Int32, into buffer: inout [UInt8]) -> (size: Int, from: SocketAddress)? {
  var from = sw_address()
  let count = unsafe sw_receive_from(descriptor, &buffer, buffer.count, &from)
  return count < 0 ? nil : (Int(count), SocketAddress(from))
}

/// The numeric addresses of a host name, in the resolver's order; empty when it is not found. Blocks.
public func lookUp(_ name: String) -> [String] {
  var found = [CChar](repeating: 0, count: 8 * 64)
  let count = unsafe sw_look_up(name, &found, 8, 64)
  return (0..<max(0, Int(count))).map { index in
    let text = found[(index * 64)..<(index * 64 + 64)].prefix { $0 != 0 }
    return String(decoding: text.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
