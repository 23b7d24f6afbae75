// Authenticated encryption of a few bytes: AES-256-GCM (NIST SP 800-38D) by GnuTLS.
internal import CGnuTLS

private let nonceLength = 12
private let tagLength = 16

/// Encrypts `bytes` under a key of 32 bytes; `about` is authenticated with them and not part of the answer. `nonce`: 12
/// bytes that are never used again under this key. Answers nonce, ciphertext and tag, 28 bytes more than `bytes`.
public func seal(_ bytes: [UInt8], key: [UInt8], nonce: [UInt8], about: [UInt8]) -> [UInt8] {
  precondition(key.count == 32 && nonce.count == nonceLength)
  var sealed = [UInt8](repeating: 0, count: bytes.count + tagLength)
  var length = sealed.count
  let result = unsafe withCipher(key) { cipher in
    // Sound: each pointer is used only during the call, for the count beside it; the answer has room for the tag.
    unsafe gnutls_aead_cipher_encrypt(
      cipher, nonce, nonce.count, about, about.count, tagLength, bytes, bytes.count, &sealed, &length)
  }
  precondition(result == 0 && length == sealed.count, "gnutls_aead_cipher_encrypt: \(result)")
  return nonce + sealed
}

/// What `seal` was given; nil when the key or `about` is another one, or a bit was changed.
public func unseal(_ sealed: [UInt8], key: [UInt8], about: [UInt8]) -> [UInt8]? {
  guard key.count == 32, sealed.count >= nonceLength + tagLength else { return nil }
  let nonce = Array(sealed[..<nonceLength])
  let secret = Array(sealed[nonceLength...])
  var bytes = [UInt8](repeating: 0, count: secret.count)
  var length = bytes.count
  let result = unsafe withCipher(key) { cipher in
    // Sound: as above; what is decrypted is shorter than what is given.
    unsafe gnutls_aead_cipher_decrypt(
      cipher, nonce, nonce.count, about, about.count, tagLength, secret, secret.count, &bytes, &length)
  }
  guard result == 0, length == secret.count - tagLength else { return nil }
  return Array(bytes[..<length])
}

private func withCipher(_ key: [UInt8], _ body: (gnutls_aead_cipher_hd_t?) -> Int32) -> Int32 {
  var cipher: gnutls_aead_cipher_hd_t?
  var key = key
  // Sound: GnuTLS copies the key during the call; the handle is freed once.
  return unsafe key.withUnsafeMutableBytes { raw in
    var datum = unsafe gnutls_datum_t(
      data: raw.baseAddress?.assumingMemoryBound(to: UInt8.self), size: UInt32(raw.count))
    let result = unsafe gnutls_aead_cipher_init(&cipher, GNUTLS_CIPHER_AES_256_GCM, &datum)
    guard result == 0 else { return result }
    defer { unsafe gnutls_aead_cipher_deinit(cipher) }
    return unsafe body(cipher)
  }
}
