// Who may send: the Forward protocol's handshake with a key that client and server share. Nobody's key crosses the line:
// each side shows the SHA-512 of it behind numbers that the other chose.

/// What a listener with a shared key asks of its clients; one for each connection.
public struct ForwardSecurity: Sendable {
  let key: [UInt8]
  /// This node's name to clients; they refuse one that is their own.
  let server: String
  /// Hexadecimal, so that a client that takes it for text has the same bytes.
  let nonce: [UInt8]
  let sha512: @Sendable ([UInt8]) -> [UInt8]

  /// `random` is 16 bytes that nobody can foresee and no other connection has; `sha512` gives 64 bytes (FIPS 180-4).
  public init(key: [UInt8], server: String, random: [UInt8], sha512: @escaping @Sendable ([UInt8]) -> [UInt8]) {
    precondition(!key.isEmpty && random.count >= 16)
    (self.key, self.server, self.sha512) = (key, server, sha512)
    nonce = ForwardSecurity.hexadecimal(random)
  }

  /// `["HELO", {"nonce", "auth": no user is asked for, "keepalive"}]`
  var hello: [UInt8] {
    var writer = MessagePackWriter()
    writer.array(2)
    writer.text("HELO")
    writer.map(3)
    writer.text("nonce")
    writer.binary(nonce)
    writer.text("auth")
    writer.text("")
    writer.text("keepalive")
    writer.bool(true)
    return writer.bytes
  }

  /// A client's answer to HELO.
  struct Ping: Equatable {
    var client: String
    var salt: [UInt8]
    var digest: [UInt8]
  }
  /// `["PING", client, salt, digest, user, password digest]`; nil for anything else.
  static func ping(_ bytes: [UInt8], _ range: Range<Int>) -> Ping? {
    var reader = MessagePackReader(bytes, range)
    // Not MessagePack, or not this message: refused either way.
    guard let count = try? reader.next(), count == .array(6) else { return nil }
    var fields: [[UInt8]] = []
    for _ in 0..<6 {
      switch try? reader.next() {  // as above
      case .text(let field), .binary(let field): fields.append(Array(bytes[field]))
      default: return nil  // nil, or any of the items that are no bytes
      }
    }
    guard fields[0] == Array("PING".utf8), let client = String(validating: fields[1], as: UTF8.self),
      isName(fields[1])
    else { return nil }
    return Ping(client: client, salt: fields[2], digest: fields[3])
  }

  /// Whether the client has the key.
  func accepts(_ ping: Ping) -> Bool {
    let expected = digest(salt: ping.salt, name: Array(ping.client.utf8))
    // The time taken depends on the lengths alone.
    guard ping.digest.count == expected.count else { return false }
    var difference: UInt8 = 0
    for index in expected.indices { difference |= expected[index] ^ ping.digest[index] }
    return difference == 0
  }
  /// `["PONG", whether, reason, server, digest]`; shows a client that has the key that this node has it, too.
  func pong(_ ping: Ping?, reason: String) -> [UInt8] {
    var writer = MessagePackWriter()
    writer.array(5)
    writer.text("PONG")
    writer.bool(ping != nil)
    writer.text(reason)
    writer.text(ping == nil ? "" : server)
    writer.text(ping.map { digest(salt: $0.salt, name: Array(server.utf8)) } ?? [])
    return writer.bytes
  }

  private func digest(salt: [UInt8], name: [UInt8]) -> [UInt8] {
    ForwardSecurity.hexadecimal(sha512(salt + name + nonce + key))
  }
  private static func hexadecimal(_ bytes: [UInt8]) -> [UInt8] {
    let digits = Array("0123456789abcdef".utf8)
    return bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
  }
}
