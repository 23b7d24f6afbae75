// The hash that turns a name into its dictionary id. PERMANENT: ids are stored, so it can never change.
//
// Words are read little-endian: all full words of eight bytes, then one last word of the remaining 0 to 7 bytes, zero
// padded (so there is always a last word). Test vectors are in Tests/TelemetryTests/NameHashTests.swift. Mixing by one
// folded 128-bit multiplication a word is that of wyhash (Wang Yi, public domain).

/// 64-bit hash of a short byte string, as a non-negative `Int64`.
public struct NameHash: Sendable {
  private var state: UInt64
  @inline(__always) public init() { state = 0x9e37_79b9_7f4a_7c15 }

  @inline(__always) public mutating func add(_ word: UInt64) {
    let product = (state ^ word).multipliedFullWidth(by: 0xe703_7ed1_a0b4_28db)
    // Adding the word keeps its bits where the product is zero.
    state = (product.high ^ product.low) &+ word
  }
  /// `count` is the length of the name in bytes.
  @inline(__always) public func finish(count: Int) -> Int64 {
    let first = (state ^ UInt64(truncatingIfNeeded: count)).multipliedFullWidth(by: 0x8ebc_6af0_9c88_c6e3)
    let second = (first.high ^ first.low ^ 0x2d35_8dcc_aa6c_78a5).multipliedFullWidth(by: 0x5899_65cc_7537_4cc3)
    return Int64(bitPattern: (second.high ^ second.low) &>> 1)
  }

  /// Id of a whole name.
  public static func id(of name: some Sequence<UInt8>) -> Int64 {
    var hash = NameHash()
    var (word, count): (UInt64, Int) = (0, 0)
    for byte in name {
      word |= UInt64(byte) << UInt64(8 * (count & 7))
      count += 1
      if count & 7 == 0 {
        hash.add(word)
        word = 0
      }
    }
    hash.add(word)
    return hash.finish(count: count)
  }
  /// Id of a stream: of `source`, a newline (which no source contains), `stream`.
  public static func streamID(source: String, stream: String) -> Int64 {
    id(of: Array(source.utf8) + [0x0a] + Array(stream.utf8))
  }
  /// Id of the bytes `start..<start + count` of a padded buffer.
  @inline(__always) static func id(_ bytes: RawSpan, _ start: Int, _ count: Int) -> Int64 {
    var hash = NameHash()
    var at = start
    var left = count
    while left >= 8 {
      hash.add(word(bytes, at))
      at &+= 8
      left &-= 8
    }
    hash.add(prefix(word(bytes, at), left))
    return hash.finish(count: count)
  }
}
