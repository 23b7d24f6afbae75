// CRC-32C (Castagnoli), as RFC 3720, appendix B.4 describes it: what every frame of the spool bears.

/// Continues a checksum; begin with 0.
func crc32c(_ bytes: Span<UInt8>, from start: UInt32 = 0) -> UInt32 {
  let table = checksumTable.span
  var sum = ~start
  var at = 0
  // Eight bytes a turn, one table for each (M. Kounavis, F. Berry, "A systematic approach to building high performance
  // software-based CRC generators").
  while at &+ 8 <= bytes.count {
    let low =
      sum
      ^ (UInt32(bytes[at]) | UInt32(bytes[at &+ 1]) << 8 | UInt32(bytes[at &+ 2]) << 16 | UInt32(bytes[at &+ 3]) << 24)
    let near =
      table[1792 &+ Int(low & 255)] ^ table[1536 &+ Int(low >> 8 & 255)] ^ table[1280 &+ Int(low >> 16 & 255)]
      ^ table[1024 &+ Int(low >> 24)]
    let far =
      table[768 &+ Int(bytes[at &+ 4])] ^ table[512 &+ Int(bytes[at &+ 5])] ^ table[256 &+ Int(bytes[at &+ 6])]
      ^ table[Int(bytes[at &+ 7])]
    sum = near ^ far
    at &+= 8
  }
  while at < bytes.count {
    sum = table[Int((sum ^ UInt32(bytes[at])) & 255)] ^ sum >> 8
    at &+= 1
  }
  return ~sum
}

/// Eight tables of 256, one behind the other.
private let checksumTable: [UInt32] = {
  var table = [UInt32](repeating: 0, count: 2048)
  for index in 0..<256 {
    var value = UInt32(index)
    for _ in 0..<8 { value = value & 1 == 1 ? value >> 1 ^ 0x82f6_3b78 : value >> 1 }
    table[index] = value
  }
  for index in 256..<2048 {
    let before = table[index - 256]
    table[index] = table[Int(before & 255)] ^ before >> 8
  }
  return table
}()
