// Malformed and odd requests of OTLP in Protocol Buffers, each with what has to become of it.
@testable import Telemetry
import Testing

private func log(_ item: [UInt8]) -> [UInt8] { request(timedLog + item) }
/// A log record's body of arrays inside of each other.
private func arrays(_ depth: Int) -> [UInt8] {
  var value: [UInt8] = number(3, 1)
  for _ in 0..<depth { value = part(5, part(1, value)) }
  return log(part(5, value))
}
private func lists(_ depth: Int) -> [UInt8] {
  var value: [UInt8] = number(3, 1)
  for _ in 0..<depth { value = part(6, part(1, part(1, "k") + part(2, value))) }
  return log(part(5, value))
}
/// Length-delimited fields inside of each other whose lengths are all right, from the inside out without copying twice.
private func nested(_ count: Int) -> [UInt8] {
  var reversed: [UInt8] = []
  for _ in 0..<count {
    let length = varint(UInt64(reversed.count))
    reversed += length.reversed() + [0x0a]
  }
  return reversed.reversed()
}
private func histogram(_ point: [UInt8]) -> [UInt8] { request(part(1, "h") + part(9, part(1, point))) }
private func exponential(_ point: [UInt8]) -> [UInt8] { request(part(1, "h") + part(10, part(1, point))) }
private let at = fixed(3, nineNanoseconds)
private let maximum = varint(.max)

private let logCorpus: [(what: String, bytes: [UInt8], outcome: String)] = [
  ("nothing", [], "0 records"),
  ("a tag and no more", [0x0a], "wire truncated"),
  ("a tag that is cut", [0x8a], "wire truncated"),
  ("field number 0", [0x02, 0x00], "wire fieldZero"),
  ("field number 0 as a varint", [0x00, 0x00], "wire fieldZero"),
  ("a group", [0x0b, 0x0c], "wire group"),
  ("the end of a group", [0x0c], "wire group"),
  ("an unknown group", tag(99, 3) + tag(99, 4), "wire group"),
  ("wire type 6", [0x0e, 0x00], "wire wireType"),
  ("wire type 7", [0x0f, 0x00], "wire wireType"),
  ("a tag of 33 bits", varint(1 << 33 | 2) + [0], "wire tagTooLarge"),
  ("a tag of 64 bits", maximum, "wire tagTooLarge"),
  ("the greatest field number", tag((1 << 29) - 1, 0) + [1], "0 records"),
  ("a varint of 10 bytes that are all set", tag(9, 0) + Array(repeating: 0xff, count: 10), "wire varintTooLong"),
  ("a varint of 11 bytes", tag(9, 0) + Array(repeating: 0x80, count: 10) + [1], "wire varintTooLong"),
  ("a varint that never ends", tag(9, 0) + Array(repeating: 0x80, count: 100_000), "wire varintTooLong"),
  ("a varint padded to 10 bytes", tag(9, 0) + Array(repeating: 0x80, count: 9) + [0], "0 records"),
  ("a varint cut at the end", tag(9, 0) + [0x80], "wire truncated"),
  ("a length of 1 with nothing behind", [0x0a, 0x01], "wire truncated"),
  ("a length of 2^31", tag(1, 2) + varint(1 << 31), "wire truncated"),
  ("a length of 2^32", tag(1, 2) + varint(1 << 32), "wire truncated"),
  ("a length of 2^63", tag(1, 2) + varint(1 << 63), "wire truncated"),
  ("a length of 2^64 - 1", tag(1, 2) + maximum, "wire truncated"),
  ("an unknown field with a length of 2^63", tag(77, 2) + varint(1 << 63), "wire truncated"),
  ("a fixed64 of 7 bytes", tag(9, 1) + Array(repeating: 1, count: 7), "wire truncated"),
  ("a fixed32 of 3 bytes", tag(9, 5) + [1, 2, 3], "wire truncated"),
  ("a resource as a varint", request(timedLog) + number(1, 5), "1 record"),
  ("the request of another signal's numbers", part(7, "x"), "0 records"),
  ("text instead of a message", Array("hello, world".utf8), "wire group"),
  ("JSON sent as protobuf", Array(logJSON("{}").utf8), "wire group"),
  ("gzip that nobody unpacked", [0x1f, 0x8b, 8, 0, 0, 0, 0, 0], "wire wireType"),
  ("an inner length beyond its message", part(1, part(2, [0x12, 0x7f])), "wire truncated"),
  ("an inner length within the outer bytes only", part(1, [0x12, 0x04]) + part(9, [0, 0]), "wire truncated"),
  ("an empty resource", part(1, []), "0 records"),
  ("an empty scope", part(1, part(2, [])), "0 records"),
  ("an empty log record", request([]), "1 record"),
  ("three log records", part(1, part(2, part(2, []) + part(2, []) + part(2, []))), "3 records"),
  (
    "a log with an unknown field of each type",
    log(number(50, 1) + fixed(51, UInt64(1)) + part(52, "x") + tag(53, 5) + [1, 2, 3, 4]), "1 record"
  ),
  ("a body that is no message", log(part(5, [0xff])), "wire truncated"),
  ("a body of an unknown kind", log(part(5, part(30, "x"))), "1 record"),
  ("a body with two values", log(part(5, part(1, "a") + number(3, 2))), "1 record"),
  ("a lone continuation byte in the body", log(part(5, part(1, [0x80]))), "wire notUTF8"),
  ("an overlong slash", log(part(5, part(1, [0xc0, 0xaf]))), "wire notUTF8"),
  ("a surrogate in UTF-8", log(part(5, part(1, [0xed, 0xa0, 0x80]))), "wire notUTF8"),
  ("a scalar above U+10FFFF", log(part(5, part(1, [0xf4, 0x90, 0x80, 0x80]))), "wire notUTF8"),
  ("a character that ends behind its string", log(part(5, part(1, [0xc3]) + [0x80, 0x01, 0])), "wire notUTF8"),
  ("U+0000 in the body", log(part(5, part(1, "a\0b"))), "1 record"),
  ("bad UTF-8 in a key", log(part(6, part(1, [0xff]) + part(2, part(1, "v")))), "wire notUTF8"),
  ("bad UTF-8 in an attribute", log(part(6, part(1, "k") + part(2, part(1, [0xff])))), "wire notUTF8"),
  ("bad UTF-8 in the severity's text", log(part(3, [0xff])), "wire notUTF8"),
  (
    "bad UTF-8 in the resource",
    request(timedLog, resource: part(1, part(1, "k") + part(2, part(1, [0xfe])))), "wire notUTF8"
  ),
  ("bad UTF-8 in the scope", request(timedLog, scope: part(1, [0xfe])), "wire notUTF8"),
  ("bad UTF-8 in an unknown field", log(part(60, [0xff, 0xfe])), "1 record"),
  ("an attribute without key and value", log(part(6, [])), "1 record"),
  ("an attribute that is a number", log(number(6, 1)), "1 record"),
  ("a trace id of 15 bytes", log(part(9, Array(1...15)) + part(10, spanBytes)), "1 record"),
  ("a trace id of zeros", log(part(9, Array(repeating: 0, count: 16))), "1 record"),
  ("a span id of 9 bytes", log(part(9, traceBytes) + part(10, Array(1...9))), "1 record"),
  ("a severity of 2^31", log(number(2, 1 << 31)), "1 record"),
  ("a severity of -1", log(number(2, .max)), "1 record"),
  ("a time of 2^64 - 1", request(fixed(1, UInt64.max)), "1 record"),
  ("a time as a varint", request(number(1, nineNanoseconds)), "1 record"),
  ("arrays inside of each other, as deep as allowed", arrays(32), "1 record"),
  ("arrays inside of each other, too deep", arrays(33), "wire tooDeep"),
  ("lists inside of each other, too deep", lists(33), "wire tooDeep"),
  ("100,000 messages inside of each other", nested(100_000), "wire notUTF8"),
  ("100,000 messages inside of each other as a body", log(part(5, nested(100_000))), "wire notUTF8"),
]

private let otherCorpus: [(what: String, signal: OTLPSignal, bytes: [UInt8], outcome: String)] = [
  ("an empty metric", .metrics, request([]), "0 records"),
  ("a metric without data", .metrics, request(part(1, "m")), "0 records"),
  ("a gauge without a name", .metrics, request(part(5, part(1, at + fixed(4, 1.0)))), "0 records, 1 refused"),
  ("a gauge without a value", .metrics, request(gauge(at)), "0 records, 1 refused"),
  ("a gauge of NaN", .metrics, request(gauge(at + fixed(4, Double.nan))), "0 records, 1 refused"),
  ("a gauge of infinity", .metrics, request(gauge(at + fixed(4, Double.infinity))), "0 records, 1 refused"),
  ("no recorded value", .metrics, request(gauge(at + fixed(4, 1.0) + number(8, 1))), "0 records, 1 refused"),
  (
    "a gauge and a sum, the last counts", .metrics,
    request(gauge(at + fixed(4, 1.0)) + part(7, part(1, at + fixed(4, 2.0)))), "1 record"
  ),
  (
    "packed counts that end in the middle", .metrics, histogram(at + part(6, Array(repeating: 0, count: 9))),
    "wire packedLength"
  ),
  ("packed bounds that end in the middle", .metrics, histogram(at + part(7, [1])), "wire packedLength"),
  (
    "counts that do not fit their bounds", .metrics, histogram(at + part(6, eight(1)) + part(7, eight(0) + eight(1))),
    "0 records, 1 refused"
  ),
  (
    "bounds that do not grow", .metrics,
    histogram(
      at + part(6, eight(1) + eight(1) + eight(1)) + part(7, eight((2.0).bitPattern) + eight((1.0).bitPattern))),
    "0 records, 1 refused"
  ),
  (
    "a bound that is NaN", .metrics,
    histogram(at + part(6, eight(1) + eight(1)) + part(7, eight(Double.nan.bitPattern))), "0 records, 1 refused"
  ),
  ("a sum that is infinite", .metrics, histogram(at + fixed(5, Double.infinity)), "0 records, 1 refused"),
  (
    "counts that overflow", .metrics,
    histogram(at + part(6, eight(.max) + eight(.max)) + part(7, eight((1.0).bitPattern))), "3 records"
  ),
  (
    "more buckets than are taken", .metrics, histogram(at + part(6, Array(repeating: 0, count: 8 * 1026))),
    "0 records, 1 refused"
  ),
  (
    "a million small buckets", .metrics, exponential(at + part(8, part(2, Array(repeating: 1, count: 1_000_000)))),
    "0 records, 1 refused"
  ),
  ("packed varints cut at the end", .metrics, exponential(at + part(8, part(2, [0x80]))), "wire truncated"),
  ("a scale of 21", .metrics, exponential(at + number(6, 42)), "0 records, 1 refused"),
  ("a scale of -2^31", .metrics, exponential(at + number(6, UInt64(UInt32.max))), "0 records, 1 refused"),
  (
    "buckets beyond the doubles", .metrics,
    exponential(at + part(8, number(1, UInt64(UInt32.max) - 1) + part(2, [1]))), "2 records"
  ),
  (
    "buckets below the doubles", .metrics, exponential(at + part(9, number(1, UInt64(UInt32.max)) + part(2, [1]))),
    "3 records"
  ),
  ("an empty histogram", .metrics, histogram(at), "1 record"),
  (
    "a quantile of NaN in a summary that has none", .metrics,
    request(part(1, "s") + part(11, part(1, at + part(6, fixed(1, 0.5) + fixed(2, Double.nan))))), "2 records"
  ),
  (
    "a quantile of NaN in a summary that has some", .metrics,
    request(part(1, "s") + part(11, part(1, at + fixed(4, UInt64(3)) + part(6, fixed(2, Double.nan))))),
    "0 records, 1 refused"
  ),
  ("a span without identifiers", .traces, request([]), "0 records, 1 refused"),
  ("a span with a short trace id", .traces, request(part(1, [1]) + part(2, spanBytes)), "0 records, 1 refused"),
  (
    "a span whose id is zero", .traces, request(part(1, traceBytes) + part(2, Array(repeating: 0, count: 8))),
    "0 records, 1 refused"
  ),
  ("a span of kind 99 and status 99", .traces, request(goodSpan + number(6, 99) + part(15, number(3, 99))), "1 record"),
  ("a span that ends before it starts", .traces, request(goodSpan + fixed(8, UInt64(1))), "1 record"),
  (
    "a span of 2^64 - 1 ns", .traces,
    request(part(1, traceBytes) + part(2, spanBytes) + fixed(7, UInt64(1)) + fixed(8, UInt64.max)), "1 record"
  ),
  ("an event that is no message", .traces, request(goodSpan + part(11, [0xff])), "wire truncated"),
  (
    "a link with bad UTF-8 in an attribute", .traces,
    request(goodSpan + part(13, part(4, part(1, [0xff])))), "wire notUTF8"
  ),
  ("a status with bad UTF-8", .traces, request(goodSpan + part(15, part(2, [0xff]))), "wire notUTF8"),
]

@Test func `each malformed request in Protocol Buffers has its outcome`() {
  #expect(logCorpus.count + otherCorpus.count >= 60)
  for entry in logCorpus {
    #expect(outcome(entry.bytes, .logs, .protobuf) == entry.outcome, "\(entry.what)")
  }
  for entry in otherCorpus {
    #expect(outcome(entry.bytes, entry.signal, .protobuf) == entry.outcome, "\(entry.what)")
  }
}

@Test func `a small request does not become a large delivery`() {
  // 100,000 empty records in 200 kB.
  let many = part(1, part(2, Array(repeatElement([0x12, 0x00], count: 100_000).joined())))
  #expect(outcome(many, .logs, .protobuf) == "too much")
  // A resource of 100 kB that each of 10,000 records would repeat.
  let resource = attribute(1, "k", String(repeating: "x", count: 100_000))
  let heavy = part(1, part(1, resource) + part(2, Array(repeatElement([0x12, 0x00], count: 10_000).joined())))
  #expect(outcome(heavy, .logs, .protobuf) == "too much")
  let few = part(1, part(1, resource) + part(2, Array(repeatElement([0x12, 0x00], count: 100).joined())))
  #expect(outcome(few, .logs, .protobuf) == "100 records")
}
