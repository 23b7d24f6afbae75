// The pattern of a log message: its text with the variable parts masked, so that messages of one kind share one.
//
// What is masked by `*`: quoted strings, hexadecimal numbers (0x..., or four digits and more of which one is decimal, or
// eight and more), other runs of digits wherever they stand ("LOT123" is "LOT*"), and what joins masks (the points of
// an address, the dashes of a uuid, the colons of a time). Blanks and control characters become one blank. Only the
// first line counts, and at most 200 bytes. Anything else stays: words are what patterns differ by.

/// Masks one message at a time; nothing is allocated.
struct LogPattern: ~Copyable {
  static let mostBytes = 200
  /// What stands for messages without any text.
  private static let emptyText: StaticString = "(empty)"
  /// What stands for patterns beyond those that are allowed.
  private static let otherText: StaticString = "(other)"
  /// The pattern, padded for eight-byte loads.
  private(set) var bytes: [UInt8] = Array(repeating: 0, count: LogPattern.mostBytes + padding)
  private(set) var count = 0

  init() {}

  private mutating func put(_ text: StaticString) {
    count = text.utf8CodeUnitCount
    // Sound: `i` is below the literal's own length.
    for i in 0..<count { bytes[i] = unsafe text.utf8Start[i] }
  }
  /// Makes the pattern the one for messages whose own may not be stored.
  mutating func makeOther() { put(LogPattern.otherText) }

  /// Makes the pattern of the message `start..<start + length` of a padded buffer; it has at least one byte.
  @inline(never) mutating func make(_ source: RawSpan, _ start: Int, _ length: Int) {
    let end = start &+ length
    var at = start
    var used = 0
    var out = bytes.mutableSpan
    while at < end && used < LogPattern.mostBytes {
      let c = byte(source, at)
      if LogPattern.isAlphanumeric(c) {
        let stop = LogPattern.runEnd(source, at, end)
        // Behind a masked group and its dash: the next group of a uuid, which may be of letters only.
        let isGroup = used >= 2 && out[used &- 1] == UInt8(ascii: "-") && out[used &- 2] == UInt8(ascii: "*")
        if LogPattern.isHexadecimal(source, at, stop, isGroup) {
          LogPattern.mask(&out, &used)
          at = stop
        } else {
          at = LogPattern.copyWord(source, at, stop, &out, &used)
        }
      } else if c <= 0x20 || c == 0x7f {
        if c == 0x0a && used > 0 { break }
        if used > 0 && out[used &- 1] != 0x20 {
          out[used] = 0x20
          used &+= 1
        }
        at &+= 1
      } else if c == UInt8(ascii: "\"") || c == UInt8(ascii: "'"),
        let close = LogPattern.closing(c, source, at, start, end)
      {
        LogPattern.mask(&out, &used)
        at = close &+ 1
      } else {
        out[used] = c
        used &+= 1
        at &+= 1
      }
    }
    // A character that the end cuts through goes as a whole; a blank at the end goes, too.
    if at < end && used == LogPattern.mostBytes {
      while used > 0 && out[used &- 1] & 0xc0 == 0x80 && byte(source, at) & 0xc0 == 0x80 { used &-= 1 }
      if used > 0 && out[used &- 1] >= 0xc0 { used &-= 1 }
    }
    if used > 0 && out[used &- 1] == 0x20 { used &-= 1 }
    count = used
    if used == 0 { put(LogPattern.emptyText) }
  }

  @inline(__always) private static func isAlphanumeric(_ c: UInt8) -> Bool {
    c &- 48 < 10 || (c | 0x20) &- 97 < 26 || c >= 0x80
  }
  @inline(__always) private static func runEnd(_ source: RawSpan, _ start: Int, _ end: Int) -> Int {
    var at = start &+ 1
    while at < end && isAlphanumeric(byte(source, at)) { at &+= 1 }
    return at
  }
  @inline(__always) private static func isHexadecimal(
    _ source: RawSpan, _ start: Int, _ end: Int, _ isGroup: Bool
  ) -> Bool {
    var at = start
    let isMarked = end &- start > 2 && byte(source, start) == 48 && byte(source, start &+ 1) | 0x20 == 0x78
    if isMarked { at &+= 2 } else if end &- start < 4 { return false }
    var hasDigit = false
    while at < end {
      let c = byte(source, at)
      if c &- 48 < 10 { hasDigit = true } else if (c | 0x20) &- 97 >= 6 { return false }
      at &+= 1
    }
    return isMarked || hasDigit || isGroup || end &- start >= 8
  }
  /// Where the quote that opens at `at` closes again: nil for an apostrophe, and for one that doesn't.
  private static func closing(_ quote: UInt8, _ source: RawSpan, _ at: Int, _ start: Int, _ end: Int) -> Int? {
    if at > start && isAlphanumeric(byte(source, at &- 1)) { return nil }
    var close = at &+ 1
    // Bounded: a message of nothing but quotes must not cost its length squared.
    let last = min(end, close &+ 512)
    while close < last {
      let c = byte(source, close)
      if c == 0x0a { return nil }
      if c == quote && !(close &+ 1 < end && isAlphanumeric(byte(source, close &+ 1))) { return close }
      close &+= 1
    }
    return nil
  }

  /// A run without hexadecimal meaning: as it is, but for its digits. Answers how far it came.
  private static func copyWord(
    _ source: RawSpan, _ start: Int, _ end: Int, _ out: inout MutableSpan<UInt8>, _ used: inout Int
  ) -> Int {
    var at = start
    while at < end && used < mostBytes {
      let c = byte(source, at)
      at &+= 1
      if c &- 48 < 10 {
        while at < end && byte(source, at) &- 48 < 10 { at &+= 1 }
        mask(&out, &used)
      } else {
        out[used] = c
        used &+= 1
      }
    }
    return at
  }
  /// Puts `*`; one that follows another across a joint goes into it.
  private static func mask(_ out: inout MutableSpan<UInt8>, _ used: inout Int) {
    if used >= 2, out[used &- 2] == UInt8(ascii: "*") {
      switch out[used &- 1] {
      case UInt8(ascii: "."), UInt8(ascii: ":"), UInt8(ascii: "-"), UInt8(ascii: ","), UInt8(ascii: "/"):
        used &-= 1
        return
      default: break
      }
    }
    if used >= 1, out[used &- 1] == UInt8(ascii: "*") { return }
    out[used] = UInt8(ascii: "*")
    used &+= 1
  }
}
