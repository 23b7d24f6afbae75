// A key's name that tells nothing of it, and a new key on its way to the other nodes, encrypted under the present one.
internal import Platform
internal import TLS

/// 16 hexadecimal digits: HMAC-SHA256 under the key, cut, so that it can be shown and stored.
public func beatKeyFingerprint(_ key: [UInt8]) -> String {
  hexText(Array(authenticationCode(key: key, Array("standwatch: fingerprint of a beat key".utf8)).prefix(8)))
}

/// AES-256-GCM under a key that HMAC-SHA256 makes of the present one; bound to the cluster and to both keys' names.
public func wrapBeatKey(_ new: [UInt8], under present: [UInt8], cluster: String) -> [UInt8] {
  seal(
    new, key: wrappingKey(present), nonce: randomBytes(12),
    about: binding(cluster, beatKeyFingerprint(present), beatKeyFingerprint(new)))
}
/// Nil when it was not wrapped under this key for this cluster, or is not the key of that fingerprint.
public func unwrapBeatKey(
  _ wrapped: [UInt8], under present: [UInt8], cluster: String, fingerprint: String
) -> [UInt8]? {
  guard
    let key = unseal(
      wrapped, key: wrappingKey(present), about: binding(cluster, beatKeyFingerprint(present), fingerprint)),
    beatKeyFingerprint(key) == fingerprint
  else { return nil }
  return key
}

private func wrappingKey(_ present: [UInt8]) -> [UInt8] {
  authenticationCode(key: present, Array("standwatch: wraps a beat key".utf8))
}
private func binding(_ cluster: String, _ present: String, _ next: String) -> [UInt8] {
  Array("\(cluster)\u{0}\(present)\u{0}\(next)".utf8)
}
