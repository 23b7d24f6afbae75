// Eight bytes at a time: the two load functions of the hot path and the bit tricks on what they load.
//
// Soundness of the loads: both are bounds-checked by RawSpan. They never trip, because every buffer that is parsed has
// `padding` readable bytes behind its last line (LineBuffer, ScratchText and Names allocate them), every line ends in
// a newline, and no token contains one.

/// Readable bytes behind the last line of every buffer that is parsed.
let padding = 64

/// Eight bytes from `at`, the first one lowest; the hosts we support are little-endian.
@inline(__always) func word(_ bytes: RawSpan, _ at: Int) -> UInt64 {
  // Sound: bounds-checked, and every bit pattern is a UInt64.
  unsafe UInt64(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: at, as: UInt64.self))
}
@inline(__always) func byte(_ bytes: RawSpan, _ at: Int) -> UInt8 {
  // Sound: bounds-checked, and every bit pattern is a UInt8.
  unsafe bytes.unsafeLoad(fromByteOffset: at, as: UInt8.self)
}

private let ones: UInt64 = 0x0101_0101_0101_0101
private let highs: UInt64 = 0x8080_8080_8080_8080

/// The first `count` bytes of `word`, the others zero; `count` is 0...8.
@inline(__always) func prefix(_ word: UInt64, _ count: Int) -> UInt64 {
  // Swift's `>>` answers 0 for shifts of 64: a `count` of 0 needs no branch.
  word & (UInt64.max >> UInt64(64 &- 8 &* count))
}

/// Marks the bytes of `word` that are `"`, `\`, below 0x20 or above 0x7f: where plain text of a JSON string ends.
///
/// Only the lowest mark is exact (a borrow can set marks above it), and only it is used.
@inline(__always) func stringStops(_ word: UInt64) -> UInt64 {
  let quote = word ^ (ones &* 0x22)
  let slash = word ^ (ones &* 0x5c)
  let below = word &- (ones &* 0x20)
  return (((quote &- ones) & ~quote) | ((slash &- ones) & ~slash) | (below & ~word) | word) & highs
}

/// Marks the bytes of `word` that are newlines; only the lowest mark is exact.
@inline(__always) func newlines(_ word: UInt64) -> UInt64 {
  let line = word ^ (ones &* 0x0a)
  return (line &- ones) & ~line & highs
}

/// Marks the bytes of `word` that are zero or above 0x7f; only the lowest mark is exact.
@inline(__always) func zerosAndHighs(_ word: UInt64) -> UInt64 { (((word &- ones) & ~word) | word) & highs }

/// Index, 0...7, of the lowest mark of a non-zero `stringStops` or `newlines`.
@inline(__always) func firstMark(_ marks: UInt64) -> Int { marks.trailingZeroBitCount &>> 3 }

/// The first eight bytes of a literal as `word` loads them; folds to a constant.
@inline(__always) func key(_ text: StaticString, from: Int = 0) -> UInt64 {
  var word: UInt64 = 0
  var i = min(text.utf8CodeUnitCount, from + 8)
  while i > from {
    i -= 1
    // Sound: `i` is below the literal's own length.
    word = unsafe word << 8 | UInt64(text.utf8Start[i])
  }
  return word
}

/// Takes `expected` if it is the next byte.
@inline(__always) func take(_ expected: UInt8, _ bytes: RawSpan, _ at: inout Int) -> Bool {
  if byte(bytes, at) == expected {
    at &+= 1
    return true
  }
  return false
}

/// Skips blanks, tabs and carriage returns; a newline ends every line and is none of them.
@inline(__always) func skipBlanks(_ bytes: RawSpan, _ at: inout Int) {
  while case let c = byte(bytes, at), c == 0x20 || c == 0x09 || c == 0x0d { at &+= 1 }
}
