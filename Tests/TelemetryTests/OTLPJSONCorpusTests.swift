// Malformed and odd requests of OTLP in JSON, each with what has to become of it.
@testable import Telemetry
import Testing

private func body(_ value: String) -> String { logJSON(#"{"body":\#(value)}"#) }
private func point(_ members: String) -> String { metricJSON(#"{"name":"m","gauge":{"dataPoints":[{\#(members)}]}}"#) }
private func deep(_ open: String, _ close: String, _ count: Int, _ middle: String = "") -> String {
  String(repeating: open, count: count) + middle + String(repeating: close, count: count)
}

private let logCorpus: [(what: String, json: String, outcome: String)] = [
  ("nothing", "", "json notAnObject"),
  ("blanks", " \n\t", "json notAnObject"),
  ("an empty object", "{}", "0 records"),
  ("an empty object between blanks and lines", " \r\n{\n\t}\n ", "0 records"),
  ("null", "null", "json notAnObject"),
  ("an array", "[]", "json notAnObject"),
  ("a string", #""x""#, "json notAnObject"),
  ("two objects", "{}{}", "json trailing"),
  ("a zero byte behind", "{}\0", "json trailing"),
  ("a zero byte inside", "{\0}", "json syntax"),
  ("an object that is not closed", "{", "json syntax"),
  ("a key without a value", #"{"a"}"#, "json syntax"),
  ("a comma at the end", #"{"a":1,}"#, "json syntax"),
  ("a comma at the beginning", #"{,"a":1}"#, "json syntax"),
  ("a key that is no string", "{a:1}", "json syntax"),
  ("single quotes", "{'a':1}", "json syntax"),
  ("a comment", "{/**/}", "json syntax"),
  ("a byte order mark", "\u{feff}{}", "json notAnObject"),
  ("an unknown field of each kind", #"{"x":[1,-2.5e3,"s",true,false,null,{"y":[]}],"z":{}}"#, "0 records"),
  ("an unknown field that is no JSON", #"{"x":tru}"#, "json syntax"),
  ("an unknown number with a leading zero", #"{"x":01}"#, "json syntax"),
  ("an unknown number that ends in a point", #"{"x":1.}"#, "json syntax"),
  ("the names of Protocol Buffers", #"{"resource_logs":[{"scope_logs":[]}]}"#, "0 records"),
  ("null for an array", #"{"resourceLogs":null}"#, "0 records"),
  ("an object for an array", #"{"resourceLogs":{}}"#, "json notAnArray"),
  ("a number in an array of messages", #"{"resourceLogs":[1]}"#, "json notAnObject"),
  ("null in an array of messages", #"{"resourceLogs":[null]}"#, "json notAnObject"),
  ("an array that is not closed", #"{"resourceLogs":[{}"#, "json syntax"),
  ("an array with a comma at its end", #"{"resourceLogs":[{},]}"#, "json notAnObject"),
  ("a field that comes twice", #"{"resourceLogs":[],"resourceLogs":[]}"#, "json repeated"),
  ("a field that comes twice, once escaped", #"{"resourceLogs":[],"\u0072esourceLogs":[]}"#, "json repeated"),
  ("an empty log record", logJSON("{}"), "1 record"),
  ("two log records", logJSON("{},{}"), "2 records"),
  ("100,000 arrays in an unknown field", #"{"x":"# + deep("[", "]", 100_000) + "}", "json tooDeep"),
  ("100,000 objects in an unknown field", #"{"x":"# + deep(#"{"x":"#, "}", 100_000, "1") + "}", "json tooDeep"),
  (
    "100,000 array values in the body",
    body(deep(#"{"arrayValue":{"values":["#, "]}}", 100_000, #"{"intValue":1}"#)), "json tooDeep"
  ),
  (
    "40 array values in the body", body(deep(#"{"arrayValue":{"values":["#, "]}}", 40, #"{"intValue":1}"#)),
    "wire tooDeep"
  ),
  ("32 array values in the body", body(deep(#"{"arrayValue":{"values":["#, "]}}", 32, #"{"intValue":1}"#)), "1 record"),
  ("100,000 arrays that are not closed", String(repeating: "[", count: 100_000), "json notAnObject"),
  ("a lone high surrogate", body(#"{"stringValue":"\ud83d"}"#), "json loneSurrogate"),
  ("a lone low surrogate", body(#"{"stringValue":"\ude00"}"#), "json loneSurrogate"),
  ("a high surrogate before another character", body(#"{"stringValue":"\ud83d\u0041"}"#), "json loneSurrogate"),
  ("a lone surrogate in a key", #"{"\ud83d":1}"#, "json loneSurrogate"),
  ("a lone surrogate in an unknown field", #"{"x":"\ud83d"}"#, "json loneSurrogate"),
  ("a pair of surrogates", body(#"{"stringValue":"\ud83d\ude00"}"#), "1 record"),
  ("\\u0000", body(#"{"stringValue":"a\u0000b"}"#), "1 record"),
  ("\\u0000 in a key", #"{"\u0000":1}"#, "0 records"),
  ("an escape that is none", body(#"{"stringValue":"\x41"}"#), "json badEscape"),
  ("an escape that is cut", body(#"{"stringValue":"\u00"}"#), "json badEscape"),
  ("a string that is not closed", #"{"resourceLogs":""#, "json notAnArray"),
  ("a key that is not closed", #"{"resource"#, "json controlCharacter"),
  ("a line break in a string", body("{\"stringValue\":\"a\nb\"}"), "json controlCharacter"),
  ("a tab in a string", body("{\"stringValue\":\"a\tb\"}"), "json controlCharacter"),
  ("a number for a string", body(#"{"stringValue":1}"#), "json notText"),
  ("a string for a flag", body(#"{"boolValue":"true"}"#), "json syntax"),
  ("1 for a flag", body(#"{"boolValue":1}"#), "json syntax"),
  ("an integer as a number", body(#"{"intValue":9223372036854775807}"#), "1 record"),
  ("an integer as a string", body(#"{"intValue":"-9223372036854775808"}"#), "1 record"),
  ("an integer of 2^63", body(#"{"intValue":"9223372036854775808"}"#), "json tooLarge"),
  ("an integer below -2^63", body(#"{"intValue":-9223372036854775809}"#), "json tooLarge"),
  ("an integer of 10^400", body(#"{"intValue":1e400}"#), "json notFinite"),
  ("an integer of 1000 digits", body(#"{"intValue":\#(String(repeating: "9", count: 1000))}"#), "json tooLarge"),
  ("an integer with a fraction", body(#"{"intValue":1.5}"#), "json notWhole"),
  ("an integer written as 1e3", body(#"{"intValue":1e3}"#), "1 record"),
  ("an integer in a string with blanks", body(#"{"intValue":" 1"}"#), "json notANumber"),
  ("an integer in a string with a letter", body(#"{"intValue":"1x"}"#), "json notANumber"),
  ("an empty string for an integer", body(#"{"intValue":""}"#), "json notANumber"),
  ("hexadecimal for an integer", body(#"{"intValue":"0x10"}"#), "json notANumber"),
  ("bytes", body(#"{"bytesValue":"AQID/w=="}"#), "1 record"),
  ("bytes that are no base64", body(#"{"bytesValue":"A"}"#), "json notBase64"),
  ("bytes with a foreign letter", body(#"{"bytesValue":"AQ*D"}"#), "json notBase64"),
  ("bytes padded too much", body(#"{"bytesValue":"AQ==="}"#), "json notBase64"),
  ("a body without a value", body("{}"), "1 record"),
  ("a body that is a string", body(#""x""#), "json notAnObject"),
  ("a severity by its name", logJSON(#"{"severityNumber":"SEVERITY_NUMBER_INFO"}"#), "json notANumber"),
  ("a severity in quotes", logJSON(#"{"severityNumber":"9"}"#), "json notANumber"),
  ("a severity of 2^31", logJSON(#"{"severityNumber":2147483648}"#), "json tooLarge"),
  ("a time in year 9999", logJSON(#"{"timeUnixNano":"253402214400000000000"}"#), "json tooLarge"),
  ("a time of 2^64 - 1", logJSON(#"{"timeUnixNano":"18446744073709551615"}"#), "1 record"),
  ("a time of 2^64", logJSON(#"{"timeUnixNano":18446744073709551616}"#), "json tooLarge"),
  ("a time before 1970", logJSON(#"{"timeUnixNano":"-1"}"#), "json negative"),
  ("a time as RFC 3339", logJSON(#"{"timeUnixNano":"2026-11-20T09:00:00Z"}"#), "json notANumber"),
  ("a trace id with a letter that is no digit", logJSON(#"{"traceId":"zz"}"#), "json notHex"),
  ("a trace id of an odd length", logJSON(#"{"traceId":"abc"}"#), "json notHex"),
  ("a trace id in base64", logJSON(#"{"traceId":"AQIDBAUGBwgJCgsMDQ4PEA=="}"#), "json notHex"),
  ("a trace id that is too short", logJSON(#"{"traceId":"abcd"}"#), "1 record"),
  ("a count of dropped attributes of 2^32", logJSON(#"{"droppedAttributesCount":4294967296}"#), "json tooLarge"),
]

private let otherCorpus: [(what: String, signal: OTLPSignal, json: String, outcome: String)] = [
  ("a gauge", .metrics, point(#""asDouble":1.5"#), "1 record"),
  ("a gauge of NaN", .metrics, point(#""asDouble":"NaN""#), "0 records, 1 refused"),
  ("a gauge of -Infinity", .metrics, point(#""asDouble":"-Infinity""#), "0 records, 1 refused"),
  ("a gauge of a bare NaN", .metrics, point(#""asDouble":NaN"#), "json notANumber"),
  ("a gauge of 1e999", .metrics, point(#""asDouble":1e999"#), "json notFinite"),
  ("a gauge in quotes", .metrics, point(#""asDouble":"1.5""#), "1 record"),
  ("a gauge in quotes that do not end", .metrics, point(#""asDouble":"1.5"#), "json notANumber"),
  ("a gauge of a whole number in quotes", .metrics, point(#""asInt":"-5""#), "1 record"),
  (
    "a name that is null", .metrics, metricJSON(#"{"name":null,"gauge":{"dataPoints":[{"asInt":1}]}}"#),
    "0 records, 1 refused"
  ),
  (
    "counts of a histogram that are negative", .metrics,
    metricJSON(#"{"name":"h","histogram":{"dataPoints":[{"bucketCounts":["-1"]}]}}"#), "json negative"
  ),
  (
    "bounds of a histogram that are no array", .metrics,
    metricJSON(#"{"name":"h","histogram":{"dataPoints":[{"explicitBounds":1}]}}"#), "json notAnArray"
  ),
  (
    "a scale beyond 32 bits", .metrics,
    metricJSON(#"{"name":"h","exponentialHistogram":{"dataPoints":[{"scale":2147483648}]}}"#), "json tooLarge"
  ),
  (
    "the temporality by its name", .metrics,
    metricJSON(#"{"name":"s","sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA"}}"#), "json notANumber"
  ),
  ("a span without identifiers", .traces, spanJSON("{}"), "0 records, 1 refused"),
  ("a span's kind by its name", .traces, spanJSON(#"{"kind":"SPAN_KIND_SERVER"}"#), "json notANumber"),
  (
    "a span with identifiers in capitals", .traces,
    spanJSON(#"{"traceId":"5B8EFFF798038103D269B633813FC60C","spanId":"EEE19B7EC3C1B174"}"#), "1 record"
  ),
  ("the logs of another path", .traces, logJSON("{}"), "0 records"),
]

@Test func `each malformed request in JSON has its outcome`() {
  #expect(logCorpus.count + otherCorpus.count >= 60)
  for entry in logCorpus {
    #expect(outcome(Array(entry.json.utf8), .logs, .json) == entry.outcome, "\(entry.what)")
  }
  for entry in otherCorpus {
    #expect(outcome(Array(entry.json.utf8), entry.signal, .json) == entry.outcome, "\(entry.what)")
  }
}

@Test func `bytes that are no UTF-8 are refused wherever they stand in JSON`() {
  for bad: [UInt8] in [[0x80], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xf0, 0x9f, 0x98]] {
    let quoted = [UInt8(ascii: "\"")] + bad + [UInt8(ascii: "\"")]
    #expect(outcome(Array("{".utf8) + quoted + Array(":1}".utf8), .logs, .json) == "json notUTF8")
    #expect(outcome(Array(#"{"x":"#.utf8) + quoted + Array("}".utf8), .logs, .json) == "json notUTF8")
    let inside = Array(#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"#.utf8) + quoted
    #expect(outcome(inside + Array("}}]}]}]}".utf8), .logs, .json) == "json notUTF8")
    #expect(outcome(bad, .logs, .json) == "json notAnObject")
  }
}

@Test func `JSON that grows in Protocol Buffers is bounded too`() {
  var limits = OTLPLimits()
  limits.bytes = 100_000
  let zeros = String(repeating: "0,", count: 40_000) + "0"
  let growing = metricJSON(#"{"name":"h","histogram":{"dataPoints":[{"bucketCounts":[\#(zeros)]}]}}"#)
  #expect(outcome(Array(growing.utf8), .metrics, .json, limits: limits) == "too much")
  #expect(outcome(Array(growing.utf8), .metrics, .json) == "0 records, 1 refused")
  let large = logJSON(#"{"body":{"stringValue":"\#(String(repeating: "x", count: 100_000))"}}"#)
  #expect(outcome(Array(large.utf8), .logs, .json, limits: limits) == "too much")
}
