// Where a request over HTTP carries its token.

enum HTTPToken {
  /// The token of an `Authorization` header, empty when there is none: `Bearer TOKEN` (RFC 6750), `Token TOKEN` (Influx 2,
  /// and `Token USER:TOKEN` of 1) or the password of `Basic`. Influx clients can't do without one and may show
  /// anything: there, what is not of our form counts as nothing.
  static func text(_ headers: [String: String], isInflux: Bool) -> String {
    guard let header = headers["authorization"], let space = header.firstIndex(of: " ") else { return "" }
    let value = header[header.index(after: space)...].drop { $0 == " " }
    let shown: String
    switch header[..<space].lowercased() {
    case "bearer" where !isInflux: return String(value)
    case "bearer", "token": shown = String(value.split(separator: ":").last ?? "")
    case "basic": shown = base64(value.utf8).flatMap { password($0) } ?? ""
    default: return ""
    }
    return shown.hasPrefix(SourceToken.prefix) ? shown : ""
  }

  private static func password(_ bytes: [UInt8]) -> String? {
    bytes.firstIndex(of: UInt8(ascii: ":")).map { String(decoding: bytes[(bytes.index(after: $0))...], as: UTF8.self) }
  }
  /// RFC 4648; nil when it is none. Of at most 1000 digits.
  private static func base64(_ digits: some Collection<UInt8>) -> [UInt8]? {
    guard digits.count <= 1000 else { return nil }
    var bytes: [UInt8] = []
    var (held, bits): (UInt32, UInt32) = (0, 0)
    for digit in digits where digit != UInt8(ascii: "=") {
      let value: UInt8
      switch digit {
      case 0x41...0x5a: value = digit - 0x41
      case 0x61...0x7a: value = digit - 0x61 + 26
      case 0x30...0x39: value = digit - 0x30 + 52
      case UInt8(ascii: "+"): value = 62
      case UInt8(ascii: "/"): value = 63
      default: return nil
      }
      held = held << 6 | UInt32(value)
      bits += 6
      if bits >= 8 {
        bits -= 8
        bytes.append(UInt8(truncatingIfNeeded: held >> bits))
        held &= (1 << bits) - 1
      }
    }
    return bytes
  }
}
