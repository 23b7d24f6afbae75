// HMAC-SHA256 against the vectors of RFC 4231.
import TLS
import Testing

private func bytes(_ hex: String) -> [UInt8] {
  var digits = hex.utf8.makeIterator()
  var out: [UInt8] = []
  while let high = digits.next(), let low = digits.next() {
    out.append(UInt8(String(decoding: [high, low], as: UTF8.self), radix: 16) ?? 0)
  }
  return out
}

@Suite struct `Authentication codes` {
  @Test func `agree with RFC 4231, cases 1, 2 and 6`() {
    let one = authenticationCode(key: [UInt8](repeating: 0x0b, count: 20), Array("Hi There".utf8))
    #expect(one == bytes("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"))
    let two = authenticationCode(key: Array("Jefe".utf8), Array("what do ya want for nothing?".utf8))
    #expect(two == bytes("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"))
    let long = authenticationCode(
      key: [UInt8](repeating: 0xaa, count: 131),
      Array("Test Using Larger Than Block-Size Key - Hash Key First".utf8))
    #expect(long == bytes("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"))
  }

  @Test func `verify under either of two keys and under no third`() {
    let old = [UInt8](repeating: 1, count: 32)
    let new = [UInt8](repeating: 2, count: 32)
    let message: [UInt8] = [1, 2, 3]
    #expect(verifies(authenticationCode(key: old, message), keys: [new, old], message))
    #expect(verifies(authenticationCode(key: new, message), keys: [new, old], message))
    #expect(!verifies(authenticationCode(key: [3], message), keys: [new, old], message))
    #expect(!verifies(authenticationCode(key: old, message), keys: [], message))
    #expect(!verifies(Array(authenticationCode(key: old, message).prefix(31)), keys: [old], message))
    #expect(!verifies([], keys: [old], message))
    #expect(authenticationCode(key: [], []).count == authenticationCodeLength)
  }
}
