// What is packed comes back, and nothing that is unpacked grows beyond its bound.
import Compression
import Testing

private let text = Array(String(repeating: "the quick brown fox ", count: 5000).utf8)
/// zlib's frame (RFC 1950) and bare deflate (RFC 1951) of the bytes "standwatch", as Python's zlib module makes them.
private let framed: [UInt8] = [
  0x78, 0x9c, 0x2b, 0x2e, 0x49, 0xcc, 0x4b, 0x29, 0x4f, 0x2c, 0x49, 0xce, 0x00, 0x00, 0x17, 0x5f, 0x04, 0x32,
]

@Suite struct InflateTests {
  @Test func `what was packed comes back whole`() throws {
    for count in [0, 1, 65_535, 65_536, 65_537, text.count] {
      let bytes = Array(text[..<count])
      #expect(try inflate(gzip(bytes), limit: text.count, format: .gzip) == bytes)
      #expect(try inflate(gzip(bytes), limit: count) == bytes)
    }
  }
  @Test func `deflate is taken with its frame and without`() throws {
    #expect(try inflate(framed, limit: 100, format: .deflate) == Array("standwatch".utf8))
    #expect(
      try inflate(Array(framed[2..<(framed.count - 4)]), limit: 100, format: .deflate) == Array("standwatch".utf8))
    #expect(try inflate(framed, limit: 100) == Array("standwatch".utf8))
  }
  @Test func `members one after the other are one text`() throws {
    #expect(try inflate(gzip(Array("ab".utf8)) + gzip(Array("cd".utf8)), limit: 4, format: .gzip) == Array("abcd".utf8))
  }
  @Test func `a bomb ends at the limit`() throws {
    let bomb = gzip([UInt8](repeating: 0, count: 64 << 20))
    #expect(bomb.count < 400_000)
    #expect(throws: CompressionError.tooLarge(limit: 1 << 20)) { try inflate(bomb, limit: 1 << 20) }
    // Packed once more it is smaller still.
    let twice = gzip(bomb)
    #expect(try inflate(twice, limit: 1 << 20) == bomb)
  }
  @Test func `a text of exactly the limit is taken, and one byte more is not`() throws {
    let packed = gzip(text)
    #expect(try inflate(packed, limit: text.count) == text)
    #expect(throws: CompressionError.tooLarge(limit: text.count - 1)) { try inflate(packed, limit: text.count - 1) }
  }
  @Test func `cut off anywhere it is damaged`() {
    let packed = gzip(Array("standwatch standwatch".utf8))
    for count in packed.indices {
      #expect(throws: CompressionError.self) { try inflate(Array(packed[..<count]), limit: 1000, format: .gzip) }
    }
  }
  @Test func `any byte changed is damaged, or gives other bytes below the limit`() {
    let packed = gzip(Array(text[..<300]))
    for index in packed.indices {
      var changed = packed
      changed[index] ^= 0x55
      do {
        let found = try inflate(changed, limit: 1000, format: .gzip)
        #expect(found.count <= 1000)
        // The header's time, flags and system don't matter to the text.
        #expect(index < 10)
      } catch {
        #expect(error != .tooLarge(limit: 0))
      }
    }
  }
  @Test func `what follows the end is damage`() {
    #expect(throws: CompressionError.self) { try inflate(gzip(text) + [0], limit: 1 << 20, format: .gzip) }
    #expect(throws: CompressionError.self) { try inflate(framed + [1, 2, 3], limit: 1 << 20, format: .automatic) }
  }
}
