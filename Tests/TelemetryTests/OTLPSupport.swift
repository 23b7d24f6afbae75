// What the tests of OTLP share: messages of Protocol Buffers by hand, and outcomes as short words.
@testable import Telemetry

/// One field: tag, and what follows it.
func tag(_ number: UInt64, _ type: UInt64) -> [UInt8] { varint(number << 3 | type) }
func varint(_ value: UInt64) -> [UInt8] {
  var writer = WireWriter()
  writer.append(varint: value)
  return writer.bytes
}
/// A length-delimited field.
func part(_ number: UInt64, _ bytes: [UInt8]) -> [UInt8] { tag(number, 2) + varint(UInt64(bytes.count)) + bytes }
func part(_ number: UInt64, _ text: String) -> [UInt8] { part(number, Array(text.utf8)) }
func number(_ field: UInt64, _ value: UInt64) -> [UInt8] { tag(field, 0) + varint(value) }
func fixed(_ field: UInt64, _ value: UInt64) -> [UInt8] { tag(field, 1) + eight(value) }
func fixed(_ field: UInt64, _ value: Double) -> [UInt8] { fixed(field, value.bitPattern) }
func eight(_ value: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) } }

/// A request around the fields of one item.
func request(_ item: [UInt8], resource: [UInt8] = [], scope: [UInt8] = []) -> [UInt8] {
  part(1, (resource.isEmpty ? [] : part(1, resource)) + part(2, (scope.isEmpty ? [] : part(1, scope)) + part(2, item)))
}
func attribute(_ field: UInt64, _ key: String, _ value: String) -> [UInt8] {
  part(field, part(1, key) + part(2, part(1, value)))
}

/// 2026-11-20T09:00:00Z as OTLP counts.
let nineNanoseconds: UInt64 = 1_795_165_200_000_000_000
let traceBytes: [UInt8] = Array(1...16)
let spanBytes: [UInt8] = Array(1...8)

let timedLog = fixed(1, nineNanoseconds)
let goodSpan = part(1, traceBytes) + part(2, spanBytes) + part(5, "GET /") + fixed(7, nineNanoseconds)
func gauge(_ point: [UInt8], name: String = "m") -> [UInt8] { part(1, name) + part(5, part(1, point)) }

/// What becomes of a body, in a word or two: "1 record", "2 records, 1 refused", "wire truncated", "json syntax".
func outcome(
  _ bytes: [UInt8], _ signal: OTLPSignal, _ encoding: OTLPEncoding, limits: OTLPLimits = OTLPLimits()
) -> String {
  do throws(OTLPFault) {
    let found = try OTLPDecoder.decode(bytes, signal, encoding, client: "192.0.2.9", now: nine, limits: limits)
    let records = "\(found.records.count) record\(found.records.count == 1 ? "" : "s")"
    return found.faults.isEmpty ? records : records + ", \(found.faults.count) refused"
  } catch {
    switch error {
    case .wire(let fault): return "wire \(fault.kind)"
    case .json(let kind, _): return "json \(kind)"
    case .tooMuch: return "too much"
    }
  }
}
/// The records of a request that has to be taken.
func records(
  _ bytes: [UInt8], _ signal: OTLPSignal, _ encoding: OTLPEncoding = .protobuf
) throws -> OTLPDecoded {
  try OTLPDecoder.decode(bytes, signal, encoding, client: "192.0.2.9", now: nine)
}

/// JSON around one item.
func logJSON(_ item: String) -> String { #"{"resourceLogs":[{"scopeLogs":[{"logRecords":[\#(item)]}]}]}"# }
func spanJSON(_ item: String) -> String { #"{"resourceSpans":[{"scopeSpans":[{"spans":[\#(item)]}]}]}"# }
func metricJSON(_ item: String) -> String { #"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[\#(item)]}]}]}"# }
