// Numbers against the standard library's own conversion.
import Chance
@testable import Telemetry
import Testing

private func scan(_ text: String) throws -> Double {
  let padded = Array(text.utf8) + Array(repeating: 0x0a, count: padding)
  var at = 0
  let value = try unsafe scanDouble(padded.span.bytes, &at)
  #expect(at == text.utf8.count)
  return value
}

@Test func `doubles are rounded as the standard library rounds them`() throws {
  var random = SplitMix64(seed: 11)
  var texts = [
    "0", "-0", "0.0", "1", "9007199254740993", "9007199254740992.5", "9007199254740993e3", "1e22", "1e23", "-1e-22",
    "123456789012345678e-19", "18446744073709551615", "18446744073709551615e19", "9999999999999999999e-19",
    "4.9e-324", "2.2250738585072011e-308", "1.7976931348623157e308", "0.000012345678901234567", "1e-400",
    "9007199254740991e22", "9223372036854775807.000000000000000000000001", "0.1e-10", "5e-1",
  ]
  for _ in 0..<20_000 {
    texts.append("\(Double(bitPattern: random.next() & 0x7fef_ffff_ffff_ffff))")
    texts.append("\(Double.random(in: -1000...1000, using: &random))")
    texts.append("\(random.next())e\(Int.random(in: -25...25, using: &random))")
    texts.append("\(random.next() >> 8).\(random.next() >> 54)")
  }
  for text in texts { #expect(try scan(text) == Double(text), "\(text)") }
}

@Test func `whole numbers keep every digit up to the bounds of 64 bits`() throws {
  func whole(_ text: String) throws -> Int64 {
    let padded = Array(text.utf8) + Array(repeating: 0x0a, count: padding)
    var at = 0
    return try unsafe scanWhole(padded.span.bytes, &at)
  }
  for value in [0, 1, -1, 42, .max, .min, .max - 1, 999_999_999_999_999_999] as [Int64] {
    #expect(try whole("\(value)") == value)
  }
  for text in ["9223372036854775808", "-9223372036854775809", "18446744073709551616", "99999999999999999999"] {
    #expect(throws: FaultKind.tooLarge) { try whole(text) }
  }
}
