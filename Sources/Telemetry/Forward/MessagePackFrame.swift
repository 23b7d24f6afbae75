// Where a MessagePack message ends, in bytes that come in pieces of any size: each byte is looked at once.

/// Progress through one message.
struct MessagePackFrame: Equatable {
  enum Fault: Error, Equatable { case neverUsed, tooLong }

  /// Of the next item's head, from the message's beginning; may lie behind what has come.
  private var at = 0
  /// Items that are still to come, whatever holds them.
  private var open: UInt64 = 1

  /// Length of the message that begins at `start`, or nil while it isn't whole. To be called again with more bytes behind
  /// the same ones. Throws as soon as the message can only be longer than `limit` bytes.
  mutating func length(_ bytes: [UInt8], from start: Int, limit: Int) throws(Fault) -> Int? {
    let available = bytes.count - start
    while open > 0 {
      guard at < available else { return nil }
      let head = bytes[start + at]
      let size = MessagePackFrame.sizeBytes(head)
      guard at + 1 + size <= available else { return nil }
      var count: UInt64 = 0
      for byte in bytes[(start + at + 1)..<(start + at + 1 + size)] { count = count << 8 | UInt64(byte) }
      guard let (payload, members) = MessagePackFrame.extent(head, count) else { throw .neverUsed }
      // No overflow: a payload is below 2^32 + 2, members are below 2^33, and both sums were bounded before.
      open = open - 1 + members
      guard UInt64(at + 1 + size) + payload + open <= UInt64(limit) else { throw .tooLong }
      at += 1 + size + Int(payload)
    }
    return at <= available ? at : nil
  }

  /// Bytes of the count that follows a head.
  private static func sizeBytes(_ head: UInt8) -> Int {
    switch head {
    case 0xc4, 0xc7, 0xd9: 1
    case 0xc5, 0xc8, 0xda, 0xdc, 0xde: 2
    case 0xc6, 0xc9, 0xdb, 0xdd, 0xdf: 4
    default: 0
    }
  }
  /// Bytes and items that follow head and count; nil for the byte that begins nothing.
  private static func extent(_ head: UInt8, _ count: UInt64) -> (payload: UInt64, members: UInt64)? {
    switch head {
    case 0x80...0x8f: (0, UInt64(head & 0x0f) * 2)
    case 0x90...0x9f: (0, UInt64(head & 0x0f))
    case 0xa0...0xbf: (UInt64(head & 0x1f), 0)
    case 0xc1: nil
    case 0xc4...0xc6, 0xd9...0xdb: (count, 0)
    case 0xc7...0xc9: (count + 1, 0)
    case 0xca, 0xce, 0xd2: (4, 0)
    case 0xcb, 0xcf, 0xd3: (8, 0)
    case 0xcc, 0xd0: (1, 0)
    case 0xcd, 0xd1: (2, 0)
    case 0xd4...0xd8: (1 + (1 << UInt64(head - 0xd4)), 0)
    case 0xdc, 0xdd: (0, count)
    case 0xde, 0xdf: (0, count * 2)
    default: (0, 0)
    }
  }
}
