// Addresses as the kernel's bytes: IPv4 and IPv6, and the hardware address of a network card.
internal import Glibc

/// An IPv4 (4 bytes) or IPv6 (16 bytes) address, in network order.
public struct IPAddress: Hashable, Sendable, CustomStringConvertible {
  public let bytes: [UInt8]
  public var isIPv6: Bool { bytes.count == 16 }
  /// The prefix length of the address alone: 32 or 128.
  public var fullPrefix: UInt8 { isIPv6 ? 128 : 32 }

  /// Nil when `text` is not a numeric address.
  public init?(_ text: String) {
    var buffer = [UInt8](repeating: 0, count: 16)
    // Sound: inet_pton writes 4 or 16 bytes into a buffer of 16.
    if unsafe inet_pton(AF_INET, text, &buffer) == 1 {
      bytes = Array(buffer.prefix(4))
    } else if unsafe inet_pton(AF_INET6, text, &buffer) == 1 {
      bytes = buffer
    } else {
      return nil
    }
  }
  /// Nil unless there are 4 or 16 bytes.
  public init?(bytes: [UInt8]) {
    guard bytes.count == 4 || bytes.count == 16 else { return nil }
    self.bytes = bytes
  }
  public var description: String {
    var text = [CChar](repeating: 0, count: 64)
    // Sound: the address has the size of its family, the text buffer is longer than any address.
    _ = unsafe inet_ntop(isIPv6 ? AF_INET6 : AF_INET, bytes, &text, socklen_t(text.count))
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// The six bytes of an Ethernet address.
public struct HardwareAddress: Hashable, Sendable, CustomStringConvertible {
  public let bytes: [UInt8]
  public static let none = HardwareAddress(zeroes: 6)

  private init(zeroes count: Int) { bytes = [UInt8](repeating: 0, count: count) }
  /// Nil unless there are 6 bytes.
  public init?(bytes: some Collection<UInt8>) {
    guard bytes.count == 6 else { return nil }
    self.bytes = Array(bytes)
  }
  public var description: String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
  }
}
