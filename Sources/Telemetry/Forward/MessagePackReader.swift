// MessagePack (github.com/msgpack/msgpack, spec.md), read item by item from bytes that nobody has checked.
//
// Nothing here recurses or reserves memory for what is only announced: an array that claims 2^32 elements costs its five
// bytes, and is refused where fewer bytes follow than elements.

/// Why bytes are no MessagePack, or not the one that is expected.
enum MessagePackFault: Error, Equatable {
  /// More is announced than there is.
  case cutOff
  /// 0xc1, the one byte that begins nothing.
  case neverUsed
}

/// One item, or the beginning of an array or a map whose members follow.
enum MessagePackItem: Equatable {
  case null
  case bool(Bool)
  case integer(Int64)
  /// Above `Int64.max`.
  case large(UInt64)
  case double(Double)
  /// Ranges are of the reader's bytes. Old clients write all their bytes as text: it need not be UTF-8.
  case text(Range<Int>)
  case binary(Range<Int>)
  case array(Int)
  /// Pairs.
  case map(Int)
  case application(type: Int8, Range<Int>)
}

/// Reads `bytes[at..<end]`; indices never leave it.
struct MessagePackReader {
  let bytes: [UInt8]
  private(set) var at: Int
  let end: Int

  init(_ bytes: [UInt8], _ range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
    (self.bytes, at, end) = (bytes, range.lowerBound, range.upperBound)
  }
  init(_ bytes: [UInt8]) { self.init(bytes, 0..<bytes.count) }

  var isAtEnd: Bool { at == end }

  mutating func next() throws(MessagePackFault) -> MessagePackItem {
    let head = UInt8(try big(1))
    switch head {
    case 0x00...0x7f: return .integer(Int64(head))
    case 0x80...0x8f: return try map(UInt64(head & 0x0f))
    case 0x90...0x9f: return try array(UInt64(head & 0x0f))
    case 0xa0...0xbf: return .text(try run(UInt64(head & 0x1f)))
    case 0xc0: return .null
    case 0xc1: throw .neverUsed
    case 0xc2: return .bool(false)
    case 0xc3: return .bool(true)
    case 0xc4...0xc6: return .binary(try run(try big(1 << Int(head - 0xc4))))
    case 0xc7...0xc9:
      let count = try big(1 << Int(head - 0xc7))
      return try application(count)
    case 0xca: return .double(Double(Float(bitPattern: UInt32(truncatingIfNeeded: try big(4)))))
    case 0xcb: return .double(Double(bitPattern: try big(8)))
    case 0xcc...0xcf:
      let value = try big(1 << Int(head - 0xcc))
      return Int64(exactly: value).map { .integer($0) } ?? .large(value)
    case 0xd0: return .integer(Int64(Int8(truncatingIfNeeded: try big(1))))
    case 0xd1: return .integer(Int64(Int16(truncatingIfNeeded: try big(2))))
    case 0xd2: return .integer(Int64(Int32(truncatingIfNeeded: try big(4))))
    case 0xd3: return .integer(Int64(truncatingIfNeeded: try big(8)))
    case 0xd4...0xd8: return try application(1 << UInt64(head - 0xd4))
    case 0xd9...0xdb: return .text(try run(try big(1 << Int(head - 0xd9))))
    case 0xdc, 0xdd: return try array(try big(head == 0xdc ? 2 : 4))
    case 0xde, 0xdf: return try map(try big(head == 0xde ? 2 : 4))
    default: return .integer(Int64(Int8(bitPattern: head)))  // 0xe0 to 0xff: -32 to -1
    }
  }

  /// Passes over what is inside of `item`, which `next` gave, however deep.
  mutating func skipMembers(of item: MessagePackItem) throws(MessagePackFault) {
    // As many items as are open, whatever holds them. No overflow: each count is at most the bytes that are left.
    var open = MessagePackReader.members(of: item)
    while open > 0 {
      open = open - 1 + MessagePackReader.members(of: try next())
    }
  }
  private static func members(of item: MessagePackItem) -> Int {
    switch item {
    case .array(let count): count
    case .map(let pairs): pairs * 2
    case .null, .bool, .integer, .large, .double, .text, .binary, .application: 0
    }
  }

  /// Bytes as text, with U+FFFD for what is no UTF-8.
  func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }

  private mutating func big(_ count: Int) throws(MessagePackFault) -> UInt64 {
    guard end - at >= count else { throw .cutOff }
    var value: UInt64 = 0
    for byte in bytes[at..<at + count] { value = value << 8 | UInt64(byte) }
    at += count
    return value
  }
  private mutating func run(_ count: UInt64) throws(MessagePackFault) -> Range<Int> {
    guard count <= UInt64(end - at) else { throw .cutOff }
    let start = at
    at += Int(count)
    return start..<at
  }
  private mutating func application(_ count: UInt64) throws(MessagePackFault) -> MessagePackItem {
    let type = Int8(truncatingIfNeeded: try big(1))
    return .application(type: type, try run(count))
  }
  /// Each element takes a byte at least.
  private func array(_ count: UInt64) throws(MessagePackFault) -> MessagePackItem {
    guard count <= UInt64(end - at) else { throw .cutOff }
    return .array(Int(count))
  }
  private func map(_ pairs: UInt64) throws(MessagePackFault) -> MessagePackItem {
    guard pairs <= UInt64(end - at) / 2 else { throw .cutOff }
    return .map(Int(pairs))
  }
}
