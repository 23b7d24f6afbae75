// A token as its sender has it, and what of it is stored.
internal import Platform
internal import TLS

/// `swt_<id>_<64 hexadecimal digits>`: the id finds its row, so that the secret is compared in constant time and nothing
/// is looked up by it; and a token that was found somewhere can be revoked by who must not know it.
public struct SourceToken: Equatable, Sendable {
  public static let prefix = "swt_"
  public var id: Int64
  /// 256 random bits.
  public var secret: [UInt8]

  public init(id: Int64, secret: [UInt8]) { (self.id, self.secret) = (id, secret) }
  /// Nil when the text is no token.
  public init?(_ text: String) {
    guard text.utf8.count <= 100, text.hasPrefix(Self.prefix) else { return nil }
    let parts = text.dropFirst(Self.prefix.count).split(separator: "_", omittingEmptySubsequences: false)
    guard parts.count == 2, let id = Int64(parts[0]), id > 0, let secret = bytes(hexadecimal: parts[1].utf8),
      secret.count == 32
    else { return nil }
    self.init(id: id, secret: secret)
  }
  public static func newSecret() -> [UInt8] { randomBytes(32) }

  public var text: String { "\(Self.prefix)\(id)_\(hexText(secret))" }
  /// SHA-256 of the secret. A fast hash is right for a random secret of 256 bits: there is nothing to guess.
  public var hash: [UInt8] { Self.hash(secret) }
  public static func hash(_ secret: [UInt8]) -> [UInt8] { sha256(secret) }
}

/// Lower-case digits, two a byte.
public func hexText(_ bytes: [UInt8]) -> String {
  let digits = Array("0123456789abcdef".utf8)
  return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
}
/// Nil when there is anything but pairs of digits, of either case.
public func bytes(hexadecimal text: some Collection<UInt8>) -> [UInt8]? {
  guard text.count % 2 == 0 else { return nil }
  var bytes: [UInt8] = []
  var high: UInt8?
  for digit in text {
    let value: UInt8
    switch digit {
    case 0x30...0x39: value = digit - 0x30
    case 0x41...0x46: value = digit - 0x41 + 10
    case 0x61...0x66: value = digit - 0x61 + 10
    default: return nil
    }
    if let first = high {
      bytes.append(first << 4 | value)
      high = nil
    } else {
      high = value
    }
  }
  return bytes
}
