// Words, numbers and lines of small texts from outside: /proc, log lines. Every step is bounded by the end.

/// Goes through `bytes` up to `end`; what is not there is nil or empty, never a trap.
public struct ByteScanner: Sendable {
  public let bytes: ArraySlice<UInt8>
  public private(set) var at: Int
  public let end: Int

  /// The first `count` bytes, or all there are.
  public init(_ bytes: [UInt8], count: Int = .max) { self.init(bytes[..<min(max(count, 0), bytes.count)]) }
  public init(_ bytes: ArraySlice<UInt8>) {
    self.bytes = bytes
    (at, end) = (bytes.startIndex, bytes.endIndex)
  }

  public var isAtEnd: Bool { at >= end }
  /// The next byte; nil at the end.
  public var next: UInt8? { at < end ? bytes[at] : nil }
  /// The byte `distance` behind the next one.
  public func peek(_ distance: Int) -> UInt8? { at + distance < end ? bytes[at + distance] : nil }
  public mutating func skip(_ count: Int = 1) { at = min(end, at + count) }
  public mutating func go(to position: Int) { at = min(max(position, at), end) }
  public mutating func take(_ expected: UInt8) -> Bool {
    guard next == expected else { return false }
    at += 1
    return true
  }
  public mutating func skipBlanks() {
    while let byte = next, byte == 0x20 || byte == 0x09 { at += 1 }
  }
  /// Behind the next newline.
  public mutating func skipLine() {
    while let byte = next, byte != 0x0a { at += 1 }
    if !isAtEnd { at += 1 }
  }
  /// Up to the next newline, without a carriage return before it; the scanner stands behind the newline.
  public mutating func line() -> Range<Int> {
    let start = at
    while let byte = next, byte != 0x0a { at += 1 }
    var stop = at
    if !isAtEnd { at += 1 }
    if stop > start, bytes[stop - 1] == 0x0d { stop -= 1 }
    return start..<stop
  }
  /// Behind blanks, up to a blank, newline or one of `stops`; empty at the end of a line.
  public mutating func word(until stop: UInt8 = 0x0a) -> Range<Int> {
    skipBlanks()
    let start = at
    while let byte = next, byte > 0x20, byte != stop { at += 1 }
    return start..<at
  }
  /// Behind blanks, a whole number without sign; nil (and nothing taken but the blanks) when there is none, or it does
  /// not fit.
  public mutating func number() -> UInt64? {
    skipBlanks()
    var value: UInt64 = 0
    var i = at
    while i < end, case let digit = bytes[i] &- 48, digit < 10 {
      let (product, over) = value.multipliedReportingOverflow(by: 10)
      let (sum, overflow) = product.addingReportingOverflow(UInt64(digit))
      if over || overflow { return nil }
      value = sum
      i += 1
    }
    if i == at { return nil }
    at = i
    return value
  }
  /// Behind blanks, `digits[.digits]` with at most 15 digits before the point; digits behind the ninth are passed over.
  public mutating func decimal() -> Double? {
    guard let whole = number(), whole < 1_000_000_000_000_000 else { return nil }
    var value = Double(whole)
    if next == UInt8(ascii: "."), let digit = peek(1), digit &- 48 < 10 {
      at += 1
      value += Double(fraction()) / 1_000_000_000
    }
    return value
  }
  /// Digits behind a point, in billionths; those behind the ninth are passed over.
  public mutating func fraction() -> Int64 {
    var (value, scale): (Int64, Int64) = (0, 100_000_000)
    while let digit = next, digit &- 48 < 10 {
      value += Int64(digit &- 48) * scale
      scale /= 10
      at += 1
    }
    return value
  }
  /// Exactly `count` digits (at most 9).
  public mutating func digits(_ count: Int) -> Int? {
    guard count <= 9, at + count <= end else { return nil }
    var value = 0
    for i in at..<at + count {
      let digit = bytes[i] &- 48
      guard digit < 10 else { return nil }
      value = value * 10 + Int(digit)
    }
    at += count
    return value
  }

  /// Text of a range, with U+FFFD for what is no UTF-8.
  public func text(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
  public func equals(_ range: Range<Int>, _ literal: StaticString) -> Bool {
    guard range.count == literal.utf8CodeUnitCount else { return false }
    for i in 0..<range.count {
      // Sound: the index is below the literal's own length.
      let expected = unsafe literal.utf8Start[i]
      if bytes[range.lowerBound + i] != expected { return false }
    }
    return true
  }
}
