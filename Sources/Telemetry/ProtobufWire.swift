// The wire format of Protocol Buffers (protobuf.dev, "Encoding"): fields of one message after the other, and writing it.
//
// Nothing is copied and nothing is recursive here: a length-delimited field is answered as the range of its bytes.

/// Why bytes are no message, and at which byte.
public struct WireFault: Error, Equatable, Sendable {
  public enum Kind: Equatable, Sendable, CaseIterable {
    case truncated, varintTooLong, tagTooLarge, fieldZero, group, wireType, packedLength, notUTF8, tooDeep
  }
  public var kind: Kind
  public var byte: Int
  public init(_ kind: Kind, _ byte: Int) { (self.kind, self.byte) = (kind, byte) }

  public var text: String {
    switch kind {
    case .truncated: "a field goes beyond the end of its message"
    case .varintTooLong: "a varint has more than 64 bits"
    case .tagTooLarge: "a tag has more than 32 bits"
    case .fieldZero: "a field has the number 0"
    case .group: "groups are not supported"
    case .wireType: "a field has an unknown wire type"
    case .packedLength: "packed numbers end in the middle of one"
    case .notUTF8: "a string is not valid UTF-8"
    case .tooDeep: "nested too deeply"
    }
  }
}

/// One field as it is on the wire. Which of the numbers it is meant to be, the reader of the message knows; a known
/// field of another wire type is passed over like an unknown one, as Protocol Buffers want it.
struct WireField: Equatable {
  enum Value: Equatable {
    case varint(UInt64)
    case fixed64(UInt64)
    case fixed32(UInt32)
    case bytes(Range<Int>)
  }
  var number: UInt32
  var value: Value

  var range: Range<Int>? { if case .bytes(let range) = value { range } else { nil } }
  var varint: UInt64? { if case .varint(let number) = value { number } else { nil } }
  var fixed64: UInt64? { if case .fixed64(let number) = value { number } else { nil } }
  var double: Double? { fixed64.map(Double.init(bitPattern:)) }
  /// `int32`, `uint32` and enumerations: the low 32 bits count.
  var int32: Int32? { varint.map(Int32.init(truncatingIfNeeded:)) }
  /// ZigZag.
  var sint32: Int32? {
    varint.map {
      let low = UInt32(truncatingIfNeeded: $0)
      return Int32(bitPattern: low >> 1) ^ (0 &- Int32(bitPattern: low & 1))
    }
  }
}

/// Walks the fields of the message in a range of `bytes`, which the caller hands in each time.
struct WireCursor {
  private(set) var at: Int
  let end: Int
  /// `range` has to lie inside of the bytes.
  init(_ range: Range<Int>) { (at, end) = (range.lowerBound, range.upperBound) }

  /// The next field, or nil behind the last one.
  mutating func next(in bytes: [UInt8]) throws(WireFault) -> WireField? {
    if at >= end { return nil }
    let start = at
    let tag = try varint(in: bytes)
    if tag > UInt64(UInt32.max) { throw WireFault(.tagTooLarge, start) }
    let number = UInt32(tag >> 3)
    if number == 0 { throw WireFault(.fieldZero, start) }
    switch tag & 7 {
    case 0: return WireField(number: number, value: .varint(try varint(in: bytes)))
    case 1: return WireField(number: number, value: .fixed64(try fixed(8, in: bytes)))
    case 2:
      let length = try varint(in: bytes)
      if length > UInt64(end - at) { throw WireFault(.truncated, start) }
      let range = at..<at + Int(length)
      at = range.upperBound
      return WireField(number: number, value: .bytes(range))
    case 3, 4: throw WireFault(.group, start)
    case 5: return WireField(number: number, value: .fixed32(UInt32(truncatingIfNeeded: try fixed(4, in: bytes))))
    default: throw WireFault(.wireType, start)
    }
  }

  /// A bare varint, as packed numbers are.
  mutating func varint(in bytes: [UInt8]) throws(WireFault) -> UInt64 {
    let start = at
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      if at >= end { throw WireFault(.truncated, start) }
      let next = bytes[at]
      at += 1
      // The tenth byte holds the last bit.
      if shift == 63 && next > 1 { throw WireFault(.varintTooLong, start) }
      value |= UInt64(next & 0x7f) << shift
      if next < 0x80 { return value }
    }
    throw WireFault(.varintTooLong, start)
  }
  /// Little-endian bytes.
  mutating func fixed(_ count: Int, in bytes: [UInt8]) throws(WireFault) -> UInt64 {
    if end - at < count { throw WireFault(.truncated, at) }
    var value: UInt64 = 0
    for i in 0..<count { value |= UInt64(bytes[at + i]) << UInt64(8 * i) }
    at += count
    return value
  }
}

extension WireField {
  /// Appends the numbers of a repeated 64-bit field, packed or not; `isVarint` says which of the two kinds it is.
  /// Answers false, and stops, where there would be more than `most`.
  func append64(
    to numbers: inout [UInt64], isVarint: Bool, most: Int, in bytes: [UInt8]
  ) throws(WireFault) -> Bool {
    switch value {
    case .varint(let number) where isVarint: numbers.append(number)
    case .fixed64(let number) where !isVarint: numbers.append(number)
    case .bytes(let range):
      if !isVarint && range.count % 8 != 0 { throw WireFault(.packedLength, range.lowerBound) }
      var cursor = WireCursor(range)
      while cursor.at < cursor.end && numbers.count <= most {
        numbers.append(isVarint ? try cursor.varint(in: bytes) : try cursor.fixed(8, in: bytes))
      }
    case .varint, .fixed64, .fixed32: break
    }
    return numbers.count <= most
  }
}

/// Writes messages: answers, and what the JSON encoding is turned into.
struct WireWriter {
  private(set) var bytes: [UInt8] = []
  init() {}

  mutating func varint(_ number: UInt32, _ value: UInt64) {
    append(varint: UInt64(number) << 3)
    append(varint: value)
  }
  mutating func fixed64(_ number: UInt32, _ value: UInt64) {
    append(varint: UInt64(number) << 3 | 1)
    append(fixed64: value)
  }
  mutating func fixed32(_ number: UInt32, _ value: UInt32) {
    append(varint: UInt64(number) << 3 | 5)
    for i in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: value >> UInt32(8 * i))) }
  }
  mutating func text(_ number: UInt32, _ value: String) {
    append(varint: UInt64(number) << 3 | 2)
    append(varint: UInt64(value.utf8.count))
    bytes += Array(value.utf8)
  }
  mutating func append(varint value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }
  mutating func append(fixed64 value: UInt64) {
    for i in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * i))) }
  }
  mutating func append(_ byte: UInt8) { bytes.append(byte) }

  /// Begins a length-delimited field; `end` takes what this answers. The length gets four bytes, however small it is.
  mutating func begin(_ number: UInt32) -> Int {
    append(varint: UInt64(number) << 3 | 2)
    bytes += [0, 0, 0, 0]
    return bytes.count
  }
  /// The field has to be shorter than 2^28 bytes.
  mutating func end(_ start: Int) {
    let length = bytes.count - start
    precondition(length < 1 << 28)
    for i in 0..<4 {
      bytes[start - 4 + i] = UInt8(truncatingIfNeeded: length >> (7 * i)) & 0x7f | (i < 3 ? 0x80 : 0)
    }
  }
}
