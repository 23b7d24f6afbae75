// JSON strings: plain ones are left where they are, those with escapes are written to scratch.
//
// At least as strict as PostgreSQL (RFC 8259, RFC 3629): well-formed UTF-8 without surrogates, no raw control
// characters, no \u0000, surrogate escapes only in pairs.

/// Where a text is: `start >= 0` in the line's buffer, otherwise at `~start` in scratch.
struct Extent: Equatable {
  var start = 0
  var count = 0
  @inline(__always) init(start: Int, count: Int) { (self.start, self.count) = (start, count) }
  @inline(__always) init() {}
}

/// Unescaped texts of one line, padded for eight-byte loads. Unescaping never lengthens, so a line's texts always fit.
struct ScratchText: ~Copyable {
  var bytes: [UInt8]
  var count = 0
  init(capacity: Int) { bytes = Array(repeating: 0, count: capacity + padding) }
  mutating func append(_ byte: UInt8) {
    bytes[count] = byte
    count += 1
  }
  /// The first `used` bytes of a word; the others are overwritten by what comes next.
  @inline(__always) mutating func append(_ word: UInt64, _ used: Int) {
    let end = count
    var span = bytes.mutableSpan
    // Sound: bytes of UInt8 may hold anything, and the store is bounds-checked.
    var raw = unsafe span.mutableBytes
    raw.storeBytes(of: word.littleEndian, toByteOffset: end, as: UInt64.self)
    count = end &+ used
  }
  /// The UTF-8 of a scalar value that is no surrogate.
  mutating func append(scalar: UInt32) {
    switch scalar {
    case ..<0x80: append(UInt8(scalar))
    case ..<0x800:
      append(UInt8(0xc0 | scalar >> 6))
      append(UInt8(0x80 | scalar & 0x3f))
    case ..<0x1_0000:
      append(UInt8(0xe0 | scalar >> 12))
      append(UInt8(0x80 | scalar >> 6 & 0x3f))
      append(UInt8(0x80 | scalar & 0x3f))
    default:
      append(UInt8(0xf0 | scalar >> 18 & 0x07))
      append(UInt8(0x80 | scalar >> 12 & 0x3f))
      append(UInt8(0x80 | scalar >> 6 & 0x3f))
      append(UInt8(0x80 | scalar & 0x3f))
    }
  }
}

/// Length, 2...4, of the well-formed multi-byte sequence at `at`; 0 where there is none (RFC 3629, section 4).
func sequenceLength(_ bytes: RawSpan, _ at: Int) -> Int {
  let lead = byte(bytes, at)
  let second = byte(bytes, at &+ 1)
  if lead < 0xc2 || second & 0xc0 != 0x80 { return 0 }
  if lead < 0xe0 { return 2 }
  if byte(bytes, at &+ 2) & 0xc0 != 0x80 { return 0 }
  if lead < 0xf0 {
    return lead == 0xe0 && second < 0xa0 || lead == 0xed && second > 0x9f ? 0 : 3
  }
  if lead > 0xf4 || byte(bytes, at &+ 3) & 0xc0 != 0x80 { return 0 }
  return lead == 0xf0 && second < 0x90 || lead == 0xf4 && second > 0x8f ? 0 : 4
}

/// Scans a string; `at` goes from behind its opening to behind its closing quote.
@inline(__always) func scanText(
  _ bytes: RawSpan, _ at: inout Int, _ scratch: inout ScratchText
) throws(FaultKind) -> Extent {
  let start = at
  while true {
    let stops = stringStops(word(bytes, at))
    if stops == 0 {
      at &+= 8
      continue
    }
    at &+= firstMark(stops)
    if byte(bytes, at) == UInt8(ascii: "\"") {
      at &+= 1
      return Extent(start: start, count: at &- 1 &- start)
    }
    if byte(bytes, at) >= 0x80 {
      try skipSequences(bytes, &at)
      continue
    }
    return try unescape(bytes, from: start, &at, &scratch)
  }
}

/// Skips multi-byte sequences one after the other.
func skipSequences(_ bytes: RawSpan, _ at: inout Int) throws(FaultKind) {
  repeat {
    let length = sequenceLength(bytes, at)
    if length == 0 { throw .notUTF8 }
    at &+= length
  } while byte(bytes, at) >= 0x80
}

/// The slow path of `scanText`: all of the string from `start`; `at` is at its first backslash or control character.
@inline(never) private func unescape(
  _ bytes: RawSpan, from start: Int, _ at: inout Int, _ scratch: inout ScratchText
) throws(FaultKind) -> Extent {
  let begin = scratch.count
  for i in start..<at { scratch.append(byte(bytes, i)) }
  while true {
    let c = byte(bytes, at)
    switch c {
    case UInt8(ascii: "\""):
      at += 1
      return Extent(start: ~begin, count: scratch.count - begin)
    case UInt8(ascii: "\\"): scratch.append(scalar: try scanEscape(bytes, &at))
    case ..<0x20: throw .controlCharacter
    case 0x80...:
      let from = at
      try skipSequences(bytes, &at)
      for i in from..<at { scratch.append(byte(bytes, i)) }
    default:
      scratch.append(c)
      at += 1
    }
  }
}

/// The scalar value of the escape at `at`, which goes behind it.
func scanEscape(_ bytes: RawSpan, _ at: inout Int) throws(FaultKind) -> UInt32 {
  let c = byte(bytes, at + 1)
  let simple: UInt32
  switch c {
  case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): simple = UInt32(c)
  case UInt8(ascii: "b"): simple = 8
  case UInt8(ascii: "f"): simple = 12
  case UInt8(ascii: "n"): simple = 10
  case UInt8(ascii: "r"): simple = 13
  case UInt8(ascii: "t"): simple = 9
  case UInt8(ascii: "u"):
    let unit = try hexUnit(bytes, at + 2)
    at += 6
    if unit == 0 { throw .zeroCharacter }
    if unit & 0xf800 != 0xd800 { return unit }
    guard unit < 0xdc00, byte(bytes, at) == UInt8(ascii: "\\"), byte(bytes, at + 1) == UInt8(ascii: "u") else {
      throw .loneSurrogate
    }
    let low = try hexUnit(bytes, at + 2)
    if low & 0xfc00 != 0xdc00 { throw .loneSurrogate }
    at += 6
    return 0x1_0000 + (unit & 0x3ff) << 10 + (low & 0x3ff)
  default: throw .badEscape
  }
  at += 2
  return simple
}
private func hexUnit(_ bytes: RawSpan, _ at: Int) throws(FaultKind) -> UInt32 {
  var unit: UInt32 = 0
  for i in at..<at + 4 {
    let c = byte(bytes, i)
    switch c {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): unit = unit << 4 | UInt32(c - 48)
    case UInt8(ascii: "a")...UInt8(ascii: "f"): unit = unit << 4 | UInt32(c - 87)
    case UInt8(ascii: "A")...UInt8(ascii: "F"): unit = unit << 4 | UInt32(c - 55)
    default: throw .badEscape
    }
  }
  return unit
}
