// One end of a SEQPACKET socket pair: whole messages between two processes, never blocking.
internal import CLinux
internal import Glibc

/// What came in on a channel.
public enum ChannelInput: Equatable, Sendable {
  case message([UInt8]), nothing, closed
}

/// How a message went out. `full`: the other end does not read.
public enum ChannelOutput: Equatable, Sendable { case sent, full, closed }

/// Owns its descriptor. A message longer than `longestMessage` arrives cut, so the reader sees a wrong size.
public struct SequencedChannel: ~Copyable, Sendable {
  public static let longestMessage = 256
  private let owned: Descriptor
  public var descriptor: Int32 { owned.raw }

  public init(owning descriptor: consuming Descriptor) { owned = descriptor }

  /// Adopts an inherited descriptor. Throws unless it is a SEQPACKET socket; keeps it from being inherited further.
  public init(inherited raw: Int32) throws(SystemError) {
    let call = "descriptor \(raw)"
    let type = sw_get_int_option(raw, SOL_SOCKET, SO_TYPE)
    guard type >= 0 else { throw .last(call) }
    guard type == Int32(SOCK_SEQPACKET.rawValue) else { throw SystemError(call: call, code: EPROTOTYPE) }
    guard sw_set_inheritable(raw, 0) == 0 else { throw .last(call) }
    owned = Descriptor(owning: raw)
  }

  /// Two connected ends; the caller owns both descriptors.
  public static func pair() throws(SystemError) -> (Int32, Int32) {
    var ends: [Int32] = [-1, -1]
    guard unsafe sw_socketpair(Int32(SOCK_SEQPACKET.rawValue), &ends) == 0 else { throw .last("socketpair") }
    return (ends[0], ends[1])
  }

  public func send(_ message: [UInt8]) -> ChannelOutput {
    precondition(message.count <= Self.longestMessage && !message.isEmpty)
    while true {
      // Sound: the pointer is that of a live array of the count given.
      let count = unsafe Glibc.send(descriptor, message, message.count, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
      if count == message.count { return .sent }
      switch errno {
      case EINTR: continue
      case EAGAIN, ENOBUFS: return .full
      default: return .closed
      }
    }
  }
  public func receive() -> ChannelInput {
    var buffer = [UInt8](repeating: 0, count: Self.longestMessage)
    while true {
      let count = unsafe recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
      if count > 0 { return .message(Array(buffer[..<count])) }
      if count == 0 { return .closed }
      switch errno {
      case EINTR: continue
      case EAGAIN: return .nothing
      default: return .closed
      }
    }
  }
}
