// One address on one LAN: announce it, ask for it, hear who else claims it.
internal import CLinux
internal import Glibc

/// An AF_PACKET socket. Keep it open: closing one waits for an RCU grace period. Needs CAP_NET_RAW.
public struct LanSocket: ~Copyable {
  private let socket: Descriptor
  public let address: IPAddress
  public let interface: Int32
  private let hardware: HardwareAddress
  private var frame = [UInt8](repeating: 0, count: 256)
  /// Readable when somebody claimed the address.
  public var descriptor: Int32 { socket.raw }

  /// Throws `ENOTSUP` where the interface is not Ethernet.
  public init(_ address: IPAddress, on link: LinkStatus) throws(SystemError) {
    let call = "packet socket on \(link.name)"
    guard let hardware = link.hardware else { throw SystemError(call: call, code: ENOTSUP) }
    let filter = LanFrame.filter(address)
    let number = address.isIPv6 ? LanFrame.protocolIPv6 : LanFrame.protocolARP
    // Sound: the program has the count of instructions given; the shim copies it.
    let raw = unsafe sw_packet_socket(link.index, Int32(number), filter.program, Int32(filter.count))
    guard raw >= 0 else { throw .last(call) }
    socket = Descriptor(owning: raw)
    self.address = address
    self.hardware = hardware
    interface = link.index
  }

  /// Tells everybody on the LAN that the address is here.
  public func announce() throws(SystemError) {
    for frame in LanFrame.announcements(address, at: hardware) { try send(frame, "announce \(address)") }
  }
  /// Asks who has the address; answers come by `claimants`. This host's own kernel does not answer.
  public func ask() throws(SystemError) {
    try send(LanFrame.question(address, from: hardware), "probe \(address)")
  }
  /// The other hosts that claimed the address since the last call, at most 64 frames of them; never blocks.
  public mutating func claimants() -> [HardwareAddress] {
    var found: [HardwareAddress] = []
    for _ in 0..<64 {
      let count = unsafe recv(socket.raw, &frame, frame.count, 0)
      if count < 0 && errno == EAGAIN { break }
      // An interface that went down says so once here; its link event says it better.
      if count <= 0 { continue }
      if let other = LanFrame.claimant(in: Array(frame[..<count]), of: address), other != hardware {
        found.append(other)
      }
    }
    return found
  }

  private func send(_ frame: [UInt8], _ call: String) throws(SystemError) {
    // Sound: the pointer is that of a live array of the count given.
    guard unsafe Glibc.send(socket.raw, frame, frame.count, 0) == frame.count else { throw .last(call) }
  }
}
