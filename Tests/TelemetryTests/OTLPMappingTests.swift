// What logs, metrics and spans of OTLP become, and that both encodings say the same.
@testable import Telemetry
import Testing

private func text(_ object: JSONObject?) -> String { String(decoding: object?.bytes ?? [], as: UTF8.self) }

@Test func `both encodings of a request give the same records`() throws {
  for (example, signal) in [(logsExample, OTLPSignal.logs), (metricsExample, .metrics), (tracesExample, .traces)] {
    var one = try records(example.bytes, signal)
    var other = try records(Array(example.json.utf8), signal, .json)
    #expect(one.records.count > 1)
    // What is kept of refused items is the message that was read: made from JSON, its lengths take four bytes each.
    for index in one.faults.indices { one.faults[index].raw = [] }
    for index in other.faults.indices { other.faults[index].raw = [] }
    #expect(one == other)
  }
}

@Test func `a log record arrives with its severity, trace, attributes, resource and scope`() throws {
  let found = try records(logsExample.bytes, .logs)
  #expect(found.records.count == 4 && found.faults.isEmpty && found.items == [0, 1, 2, 3])
  // The third one has neither a time nor a time of observation.
  #expect(!found.isTimed)
  let first = found.records[0]
  #expect([first.host, first.app] == ["web-1", "shop"])
  #expect(first.time == nine + 123_456)
  guard case .log(let log) = first.body else {
    Issue.record("no log")
    return
  }
  #expect(log.severity == 3 && log.message == "order \"42\" failed: é😀\n")
  #expect(log.trace == TraceID(high: 0x0102_0304_0506_0708, low: 0x090a_0b0c_0d0e_0f10))
  #expect(log.span == 0x0102_0304_0506_0708)
  let attributes = text(log.attributes)
  for part in [
    #""severity_text":"ERROR""#, #""i":-5"#, #""big":9223372036854775807"#, #""d":0.1"#, #""nan":"nan""#, #""t":true"#,
    #""n":null"#, #""b":"AP8Q""#, #""list":[1,"two",[3.5]]"#, #""map":{"k":{"deep":false}}"#,
    #""attributes.resource":"mine""#, #""dropped_attributes":2"#,
    #""resource":{"service.version":"1.2","telemetry.sdk.name":"opentelemetry"}"#,
    #""scope":{"name":"orders","version":"3","team":"a"}"#,
  ] {
    #expect(attributes.contains(part), "\(part) in \(attributes)")
  }
  #expect(found.records[1].time == nine + 2)
  #expect(found.records[2].time == nine)
  let bodies = found.records.dropFirst().map { record -> String in
    if case .log(let log) = record.body { "\(log.severity) \(log.message)" } else { "" }
  }
  #expect(bodies == [#"6 {"event":"login","ok":true}"#, "0 device.app.lifecycle", "6 42"])
  // Without a resource: the client's address, and the name that the specification gives.
  #expect([found.records[3].host, found.records[3].app] == ["192.0.2.9", "unknown_service"])
}

@Test func `severity numbers become those of syslog`() {
  let expected = [6] + Array(repeating: 7, count: 8) + [6, 5, 5, 5, 4, 4, 4, 4, 3, 2, 1, 1, 0, 0, 0, 0, 6]
  #expect((Int32(0)...25).map(OTLPDecoder.severity) == expected)
  #expect(OTLPDecoder.severity(.min) == 6 && OTLPDecoder.severity(.max) == 6)
}

@Test func `every metric becomes series under names and labels of their own`() throws {
  let found = try records(metricsExample.bytes, .metrics)
  let series = found.records.map { record -> String in
    guard case .metric(let metric) = record.body else { return "?" }
    let labels = text(metric.labels).replacing(#""resource":{"service.version":"1.2"}"#, with: "")
    return "\(metric.name) \(metric.value) \(labels)"
  }
  let latency = #"{"route":"/","unit":"ms","temporality":"delta","#
  #expect(
    series == [
      #"queue.depth -31.0 {"queue":"in","unit":"{jobs}",}"#,
      #"requests 1.5e+300 {"unit":"1","temporality":"cumulative","monotonic":true,}"#,
      "latency_count 6.0 \(latency)}", "latency_sum 42.5 \(latency)}", "latency_min 0.5 \(latency)}",
      "latency_max 30.0 \(latency)}", #"latency_bucket 1.0 \#(latency)"le":"1.0",}"#,
      #"latency_bucket 3.0 \#(latency)"le":"10.5",}"#, #"latency_bucket 6.0 \#(latency)"le":"+Inf",}"#,
      #"size_count 10.0 {"temporality":"cumulative",}"#, #"size_sum 3.0 {"temporality":"cumulative",}"#,
      // A base of the root of 2: from -2 to -root 2; around zero; from 1/2 to root 1/2; from 1 to root 2.
      #"size_bucket 4.0 {"temporality":"cumulative","le":"-1.4142135623730951",}"#,
      #"size_bucket 6.0 {"temporality":"cumulative","le":"0.25",}"#,
      #"size_bucket 7.0 {"temporality":"cumulative","le":"0.7071067811865476",}"#,
      #"size_bucket 10.0 {"temporality":"cumulative","le":"1.4142135623730951",}"#,
      #"size_bucket 10.0 {"temporality":"cumulative","le":"+Inf",}"#,
      "gc_count 3.0 {}", "gc_sum 0.75 {}", #"gc 0.2 {"quantile":"0.5",}"#, #"gc 0.4 {"quantile":"0.99",}"#,
    ])
  #expect(found.items == [0, 1] + Array(repeating: 2, count: 7) + Array(repeating: 3, count: 7) + [4, 4, 4, 4])
  #expect(found.faults.count == 2 && found.faults.first?.reason == "stale: a data point without a recorded value")
  #expect(found.isTimed && found.records[1].time == nine + 1)
}

@Test func `a span arrives with its identifiers, status, events and links`() throws {
  let found = try records(tracesExample.bytes, .traces)
  #expect(found.records.count == 2 && found.faults.count == 1 && found.isTimed)
  #expect(found.faults.first?.reason.contains("no valid trace id") == true)
  let spans = found.records.compactMap { record -> Record.Span? in
    if case .span(let span) = record.body { span } else { nil }
  }
  let trace = TraceID(high: 0x0102_0304_0506_0708, low: 0x090a_0b0c_0d0e_0f10)
  #expect(spans.map(\.trace) == [trace, trace])
  #expect(spans.map(\.parent) == [0x0909_0909_0909_0909, nil])
  #expect(spans.map(\.name) == ["GET /orders", "child"])
  #expect(spans.map(\.kind) == [.server, .internal])
  #expect(spans.map(\.durationMicroseconds) == [1234, 0])
  #expect(spans.map(\.status) == ["error", "ok"])
  let attributes = text(spans[0].attributes)
  for part in [
    #""trace_state":"a=b""#, #""http.status":500"#, #""attributes.name":"n""#, #""dropped_events":1"#,
    #""status_message":"boom""#, #""events":[{"after_us":5,"name":"retry","attributes":{"try":1}}]"#,
    #""links":[{"trace":"100f0e0d0c0b0a090807060504030201","span":"0807060504030201","attributes":{"why":"batch"}}]"#,
    #""scope":{"name":"http"}"#,
  ] {
    #expect(attributes.contains(part), "\(part) in \(attributes)")
  }
}

@Test func `what is no name of ours is cut and cleaned, and its whole stays beside it`() throws {
  let long = String(repeating: "é", count: 150)
  let resource = attribute(1, "service.name", long) + attribute(1, "host.name", "a\nb")
  let log = try records(request(timedLog, resource: resource), .logs).records[0]
  #expect(log.app == String(repeating: "é", count: 100) && log.host == "ab")
  guard case .log(let body) = log.body else {
    Issue.record("no log")
    return
  }
  #expect(text(body.attributes) == #"{"resource":{"service.name":"\#(long)","host.name":"a\nb"}}"#)
  let point = fixed(3, nineNanoseconds) + fixed(4, 1.0)
  guard case .metric(let metric) = try records(request(gauge(point, name: long)), .metrics).records[0].body else {
    Issue.record("no metric")
    return
  }
  #expect(metric.name == String(repeating: "é", count: 100) && text(metric.labels) == #"{"metric":"\#(long)"}"#)
  let histogram = part(1, long) + part(9, part(1, fixed(3, nineNanoseconds)))
  guard case .metric(let count) = try records(request(histogram), .metrics).records[0].body else {
    Issue.record("no metric")
    return
  }
  #expect(count.name == String(repeating: "é", count: 97) + "_count" && count.name.utf8.count == 200)
  for size in [65_536, 65_537] {
    let message = String(repeating: "é", count: (size + 1) / 2) + (size % 2 == 0 ? "" : "x")
    guard case .log(let cut) = try records(request(timedLog + part(5, part(1, message))), .logs).records[0].body else {
      Issue.record("no log")
      return
    }
    #expect(cut.message.utf8.count <= 65_536)
    #expect((cut.attributes == nil) == (message.utf8.count <= 65_536))
  }
}

@Test func `a resource counts wherever it stands, and parts of it are one`() throws {
  let name = part(1, attribute(1, "service.name", "late"))
  let host = part(1, attribute(1, "host.name", "h"))
  let item = part(2, part(2, timedLog))
  let found = try records(part(1, item + name + host), .logs)
  #expect(found.records.map(\.app) == ["late"] && found.records.map(\.host) == ["h"])
}

@Test func `U+0000 becomes U+FFFD in both encodings`() throws {
  let one = try records(request(timedLog + part(5, part(1, "a\0b"))), .logs)
  let json = logJSON(#"{"timeUnixNano":"\#(nineNanoseconds)","body":{"stringValue":"a\u0000b"}}"#)
  #expect(try records(Array(json.utf8), .logs, .json) == one)
  guard case .log(let log) = one.records[0].body else {
    Issue.record("no log")
    return
  }
  #expect(log.message == "a\u{fffd}b")
}

@Test func `refused records count once for each item they came from`() throws {
  let found = try records(metricsExample.bytes, .metrics)
  // Two series of the histogram, and the gauge.
  let rejects = [2, 8, 0, 99].map { DeliveryReject(index: $0, reason: "time") }
  #expect(found.refused(with: rejects).count == 4)
  #expect(found.refused(with: []).count == 2)
}

@Test func `answers have the form that the specification wants`() {
  func string(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
  for signal in OTLPSignal.allCases {
    #expect(OTLPAnswers.stored(signal, .protobuf, refused: 0, reason: nil).isEmpty)
    #expect(string(OTLPAnswers.stored(signal, .json, refused: 0, reason: nil)) == "{}")
  }
  #expect(
    string(OTLPAnswers.stored(.logs, .json, refused: 2, reason: "a \"b\""))
      == #"{"partialSuccess":{"rejectedLogRecords":"2","errorMessage":"a \"b\""}}"#)
  #expect(string(OTLPAnswers.stored(.metrics, .json, refused: 1, reason: "x")).contains("rejectedDataPoints"))
  #expect(string(OTLPAnswers.stored(.traces, .json, refused: 1, reason: "x")).contains("rejectedSpans"))
  // The inner message's length is a varint of four bytes.
  #expect(
    OTLPAnswers.stored(.traces, .protobuf, refused: 300, reason: "no")
      == [0x0a, 0x87, 0x80, 0x80, 0x00, 0x08, 0xac, 0x02, 0x12, 0x02] + Array("no".utf8))
  #expect(OTLPAnswers.status(.invalidArgument, "x", .protobuf) == [0x08, 3, 0x12, 1, 0x78])
  #expect(string(OTLPAnswers.status(.unavailable, "x", .json)) == #"{"code":14,"message":"x"}"#)
  #expect(OTLPEncoding(contentType: "Application/JSON; charset=utf-8") == .json)
  #expect(OTLPEncoding(contentType: "application/x-protobuf") == .protobuf)
  #expect(OTLPEncoding(contentType: "text/plain") == nil && OTLPEncoding(contentType: "") == nil)
}
