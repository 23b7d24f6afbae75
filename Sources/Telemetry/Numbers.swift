// JSON numbers: whole ones to Int64, others to the nearest Double, and those of attrs only checked.

/// A whole number; the line's newline ends it at the latest.
@inline(__always) func scanWhole(_ bytes: RawSpan, _ at: inout Int) throws(FaultKind) -> Int64 {
  let isNegative = take(UInt8(ascii: "-"), bytes, &at)
  let start = at
  var value: UInt64 = 0
  while case let digit = byte(bytes, at) &- 48, digit < 10 {
    value = value &* 10 &+ UInt64(digit)
    at &+= 1
    // 19 digits always fit 64 bits without sign.
    if at &- start > 19 { throw .tooLarge }
  }
  let next = byte(bytes, at)
  if at == start || next == UInt8(ascii: ".") || next | 0x20 == UInt8(ascii: "e") { throw .notWhole }
  if byte(bytes, start) == 48 && at &- start > 1 { throw .syntax }
  if isNegative {
    if value > UInt64(Int64.max) + 1 { throw .tooLarge }
    return Int64(truncatingIfNeeded: 0 &- value)
  }
  if value > UInt64(Int64.max) { throw .tooLarge }
  return Int64(truncatingIfNeeded: value)
}

/// Sixteen hexadecimal digits from `at`; nil where one is none. A line's padding makes reading them sound.
func scanHex(_ bytes: RawSpan, _ at: Int) -> UInt64? {
  var value: UInt64 = 0
  for i in 0..<16 {
    let c = byte(bytes, at &+ i)
    switch c {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(c &- 48)
    case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt64(c &- 87)
    case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | UInt64(c &- 55)
    default: return nil
    }
  }
  return value
}

/// Any number, correctly rounded to the nearest Double.
@inline(__always) func scanDouble(_ bytes: RawSpan, _ at: inout Int) throws(FaultKind) -> Double {
  let start = at
  let number = try scanNumber(bytes, &at)
  let magnitude: Double
  if number.significant <= 19, let exact = nearestDouble(number.mantissa, number.exponent) {
    magnitude = exact
  } else {
    magnitude = try slowDouble(bytes, number.isNegative ? start + 1 : start, at)
  }
  return number.isNegative ? -magnitude : magnitude
}

struct ScannedNumber {
  var isNegative = false
  /// Digits without leading zeros; `mantissa` and `exponent` are exact up to 19 of them.
  var significant = 0
  var mantissa: UInt64 = 0
  var exponent = 0
  /// Digits in all, and the written exponent: what PostgreSQL's numeric bounds.
  var digits = 0
  var writtenExponent = 0
}

/// RFC 8259, section 6: `-`? int frac? exp?
@inline(__always) func scanNumber(_ bytes: RawSpan, _ at: inout Int) throws(FaultKind) -> ScannedNumber {
  var n = ScannedNumber()
  n.isNegative = take(UInt8(ascii: "-"), bytes, &at)
  let start = at
  while case let digit = byte(bytes, at) &- 48, digit < 10 {
    n.mantissa = n.mantissa &* 10 &+ UInt64(digit)
    if n.significant > 0 || digit > 0 { n.significant &+= 1 }
    at &+= 1
  }
  n.digits = at &- start
  if n.digits == 0 { throw .notANumber }
  if byte(bytes, start) == 48 && n.digits > 1 { throw .syntax }
  if take(UInt8(ascii: "."), bytes, &at) {
    let point = at
    while case let digit = byte(bytes, at) &- 48, digit < 10 {
      n.mantissa = n.mantissa &* 10 &+ UInt64(digit)
      if n.significant > 0 || digit > 0 { n.significant &+= 1 }
      at &+= 1
    }
    if at == point { throw .syntax }
    n.exponent = point &- at
    n.digits &+= at &- point
  }
  if byte(bytes, at) | 0x20 == UInt8(ascii: "e") {
    at &+= 1
    let isNegative = take(UInt8(ascii: "-"), bytes, &at)
    if !isNegative { _ = take(UInt8(ascii: "+"), bytes, &at) }
    let begin = at
    while case let digit = byte(bytes, at) &- 48, digit < 10 {
      n.writtenExponent = min(n.writtenExponent &* 10 &+ Int(digit), 1_000_000)
      at &+= 1
    }
    if at == begin { throw .syntax }
    if isNegative { n.writtenExponent = 0 &- n.writtenExponent }
    n.exponent &+= n.writtenExponent
  }
  return n
}

private let exactPowers: InlineArray<23, Double> = [
  1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
  1e21, 1e22,
]
private let wholePowers: InlineArray<20, UInt64> = [
  1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000, 10_000_000_000,
  100_000_000_000, 1_000_000_000_000, 10_000_000_000_000, 100_000_000_000_000, 1_000_000_000_000_000,
  10_000_000_000_000_000, 100_000_000_000_000_000, 1_000_000_000_000_000_000, 10_000_000_000_000_000_000,
]

/// `mantissa * 10^exponent`, correctly rounded; nil where neither of the two exact ways works.
///
/// Up to 2^53 and 10^22 both are doubles, and IEEE 754 rounds the one operation (W. D. Clinger, "How to Read Floating
/// Point Numbers Accurately", 1990). Up to 10^19 the value is computed in 128 bits and rounded once, here.
func nearestDouble(_ mantissa: UInt64, _ exponent: Int) -> Double? {
  if mantissa < 1 << 53 && exponent >= -22 && exponent <= 22 {
    return exponent < 0
      ? Double(mantissa) / exactPowers[0 - exponent]
      : Double(mantissa) * exactPowers[exponent]
  }
  if mantissa == 0 { return 0 }
  if exponent >= 0 && exponent <= 19 {
    let product = mantissa.multipliedFullWidth(by: wholePowers[exponent])
    return rounded(product.high, product.low, isInexact: false, scale: 0)
  }
  // A mantissa below 2^53 would leave too few bits of quotient.
  if exponent < 0 && exponent >= -19 && mantissa >= 1 << 53 {
    let divisor = wholePowers[0 - exponent]
    let (high, rest) = mantissa.quotientAndRemainder(dividingBy: divisor)
    let (low, remainder) = divisor.dividingFullWidth((rest, 0))
    return rounded(high, low, isInexact: remainder != 0, scale: -64)
  }
  return nil
}

/// `(high * 2^64 + low + a bit more if isInexact) * 2^scale` to the nearest double, ties to even.
private func rounded(_ high: UInt64, _ low: UInt64, isInexact: Bool, scale: Int) -> Double {
  let shift = high != 0 ? high.leadingZeroBitCount : 64 + low.leadingZeroBitCount
  let whole = UInt128(high) << 64 | UInt128(low)
  let top = UInt64(truncatingIfNeeded: (whole << UInt128(shift)) >> 64)
  let belowTop = UInt64(truncatingIfNeeded: whole << UInt128(shift)) != 0 || isInexact
  var significand = top >> 11
  let half = top & 0x7ff
  if half > 0x400 || half == 0x400 && (belowTop || significand & 1 == 1) { significand += 1 }
  // The value is significand * 2^(75 - shift + scale), and a carry to 2^53 raises the exponent by itself.
  let biased = UInt64(1023 + 52 + 75 - shift + scale)
  return Double(bitPattern: biased << 52 + (significand - 1 << 52))
}

/// More than 19 digits or a large exponent: the standard library, which allocates.
@inline(never) private func slowDouble(_ bytes: RawSpan, _ start: Int, _ end: Int) throws(FaultKind) -> Double {
  var text = ""
  for i in start..<end { text.unicodeScalars.append(Unicode.Scalar(byte(bytes, i))) }
  guard let value = Double(text) else { throw .notANumber }
  if !value.isFinite { throw .notFinite }
  return value
}
