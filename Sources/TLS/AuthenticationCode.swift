// Message authentication for small datagrams: HMAC-SHA256 by GnuTLS, compared in constant time.
internal import CGnuTLS

/// Length of a code in bytes.
public let authenticationCodeLength = 32

/// HMAC-SHA256 (RFC 2104, FIPS 180-4) of `bytes` under `key`: 32 bytes. A key of any length, though less than 32 bytes
/// is weaker than the code; traps only if GnuTLS itself can't compute SHA-256.
public func authenticationCode(key: [UInt8], _ bytes: [UInt8]) -> [UInt8] {
  var code = [UInt8](repeating: 0, count: authenticationCodeLength)
  // Sound: each pointer is used only during the call, for the count given beside it; SHA-256 writes 32 bytes.
  let result = unsafe gnutls_hmac_fast(GNUTLS_MAC_SHA256, key, key.count, bytes, bytes.count, &code)
  precondition(result == 0, "gnutls_hmac_fast: \(result)")
  return code
}

/// SHA-256 (FIPS 180-4) of `bytes`: 32 bytes.
public func sha256(_ bytes: [UInt8]) -> [UInt8] {
  var digest = [UInt8](repeating: 0, count: 32)
  // Sound: as above; SHA-256 writes 32 bytes.
  let result = unsafe gnutls_hash_fast(GNUTLS_DIG_SHA256, bytes, bytes.count, &digest)
  precondition(result == 0, "gnutls_hash_fast: \(result)")
  return digest
}

/// SHA-512 (FIPS 180-4) of `bytes`: 64 bytes.
public func sha512(_ bytes: [UInt8]) -> [UInt8] {
  var digest = [UInt8](repeating: 0, count: 64)
  // Sound: as above; SHA-512 writes 64 bytes.
  let result = unsafe gnutls_hash_fast(GNUTLS_DIG_SHA512, bytes, bytes.count, &digest)
  precondition(result == 0, "gnutls_hash_fast: \(result)")
  return digest
}

/// Whether `code` is the authentication code of `bytes` under any of `keys`. The time taken tells neither which byte
/// differs nor which key matched.
public func verifies(_ code: [UInt8], keys: [[UInt8]], _ bytes: [UInt8]) -> Bool {
  var matched = false
  for key in keys {
    let same = isEqualInConstantTime(authenticationCode(key: key, bytes), code)
    matched = same || matched
  }
  return matched
}

/// Compares secrets: the time depends on the lengths alone.
public func isEqualInConstantTime(_ a: [UInt8], _ b: [UInt8]) -> Bool {
  guard a.count == b.count else { return false }
  var difference: UInt8 = 0
  for index in a.indices { difference |= a[index] ^ b[index] }
  return difference == 0
}
