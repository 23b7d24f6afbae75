// OTLP in both encodings, for each signal, and the answers to it.
@testable import Telemetry

private func decode(
  _ bytes: [UInt8], _ signal: OTLPSignal, _ encoding: OTLPEncoding
) throws(Broken) -> Result<OTLPDecoded, OTLPFault> {
  // A record takes some hundred bytes, whatever it was: an item of two bytes is one.
  try Meter.bounded(bytes.count, fixed: 1 << 20, each: 2048) { () -> Result<OTLPDecoded, OTLPFault> in
    do throws(OTLPFault) {
      return .success(try OTLPDecoder.decode(bytes, signal, encoding, client: "192.0.2.9", now: nine))
    } catch {
      return .failure(error)
    }
  }
}
private func check(_ result: Result<OTLPDecoded, OTLPFault>, _ signal: OTLPSignal) throws(Broken) {
  switch result {
  case .failure(let fault): try hold(!fault.text.isEmpty, "a fault without words")
  case .success(let found):
    try hold(found.items.count == found.records.count, "records without items")
    try hold(found.faultItems.count == found.faults.count, "faults without items")
    let (refused, reason) = found.refused(with: [])
    try hold(refused == Set(found.faultItems).count && (refused == 0) == (reason == nil), "\(refused) are refused")
    try check(found.records)
    for encoding in OTLPEncoding.allCases {
      try hold(
        refused == 0
          || !OTLPAnswers.stored(signal, encoding, refused: refused, reason: reason).isEmpty, "an answer says nothing")
    }
  }
}

extension FuzzedDecoders {
  /// The first byte says which signal.
  static let otlpProtobuf = FuzzedDecoder(
    name: "otlp-protobuf", words: ["service.name", "host.name", "telemetry.sdk", "m", "\n\u{2}\u{12}"]
  ) { bytes throws(Broken) in
    guard let first = bytes.first else { return }
    let signal = OTLPSignal.allCases[Int(first) % OTLPSignal.allCases.count]
    try check(try decode(Array(bytes.dropFirst()), signal, .protobuf), signal)
  }

  /// What is taken is the same through Protocol Buffers, and no larger than the bounds.
  static let otlpJSON = FuzzedDecoder(
    name: "otlp-json",
    words: [
      "\"resourceLogs\":[{", "\"scopeLogs\":[{", "\"logRecords\":[{", "\"resourceMetrics\":[{", "\"scopeMetrics\":[{",
      "\"metrics\":[{", "\"resourceSpans\":[{", "\"scopeSpans\":[{", "\"spans\":[{", "\"resource\":{", "\"scope\":{",
      "\"attributes\":[{\"key\":\"", "\"value\":{\"", "stringValue", "intValue", "doubleValue", "boolValue",
      "arrayValue", "kvlistValue", "bytesValue", "\"values\":[", "\"gauge\":{", "\"sum\":{", "\"histogram\":{",
      "\"exponentialHistogram\":{", "\"summary\":{", "\"dataPoints\":[{", "\"bucketCounts\":[", "\"explicitBounds\":[",
      "\"timeUnixNano\":\"1795165200000000000\"", "\"asInt\":", "\"asDouble\":", "\"NaN\"", "\"traceId\":\"",
      "\"spanId\":\"", "\"body\":{", "\"severityNumber\":", "[{},{},{}", "[[[[", "\\ud83d",
    ]
  ) { bytes throws(Broken) in
    guard let first = bytes.first else { return }
    let signal = OTLPSignal.allCases[Int(first) % OTLPSignal.allCases.count]
    let body = Array(bytes.dropFirst())
    let result = try decode(body, signal, .json)
    try check(result, signal)
    guard let wire = try? OTLPJSON.wireBytes(of: body, signal, most: OTLPLimits().bytes) else { return }
    try hold(wire.count <= 64 + 16 * body.count, "\(body.count) bytes of JSON are \(wire.count) on the wire")
    let again = try decode(wire, signal, .protobuf)
    try hold(again == result, "\(again)\nis not\n\(result)")
  }
}
