// Prometheus exposition: what its lines become, what is refused and why.
import Chance
@testable import Telemetry
import Testing

private let target = ExpositionTarget(app: "a", host: "h", instance: "h:9100")
private func show(_ record: Record) -> String {
  guard case .metric(let metric) = record.body, record.host == "h", record.app == "a" else { return "?" }
  var labels = metric.labels.map { String(decoding: $0.bytes, as: UTF8.self) } ?? "none"
  // The label that every sample has.
  for (found, replacement) in [(#"{"instance":"h:9100","#, "{"), (#"{"instance":"h:9100"}"#, "")] {
    if labels.hasPrefix(found) { labels = replacement + labels.dropFirst(found.count) }
  }
  return "\(metric.name)\(labels)=\(metric.value)" + (record.time == nine ? "" : "@\(record.time - nine)")
}
private func decode(_ text: String, _ format: ExpositionFormat = .text, maxSamples: Int = 1000) -> Exposition {
  Exposition(Array(text.utf8), format, target, now: nine, maxSamples: maxSamples)
}

@Test func `samples of the text format become metrics with their labels and times`() {
  let text = #"""
    # HELP http_requests_total The total number of HTTP requests.
    # TYPE http_requests_total counter
    http_requests_total{method="post",code="200"} 1027 1795165200000
    http_requests_total{method="post",code="400"}    3 1795165200001

    # Escaping in label values:
    msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9
    metric_without_timestamp_and_labels 12.47
    something_weird{problem="division by zero"} +Inf -3982045
    # TYPE http_request_duration_seconds histogram
    http_request_duration_seconds_bucket{le="0.05"} 24054
    http_request_duration_seconds_bucket{le="+Inf"} 144320
    http_request_duration_seconds_sum 53423
    http_request_duration_seconds_count 144320
    rpc_duration_seconds{quantile="0.99"} NaN
      spaced  {  a = "b" , c="" , }	+7	 1795165199999
    """#
  let found = decode(text)
  #expect(
    found.records.map(show) == [
      #"http_requests_total{"method":"post","code":"200"}=1027.0"#,
      #"http_requests_total{"method":"post","code":"400"}=3.0@1000"#,
      #"msdos_file_access_time_seconds{"path":"C:\\DIR\\FILE.TXT","error":"Cannot find file:\n\"FILE.TXT\""}=1458255915.0"#,
      "metric_without_timestamp_and_labels=12.47", #"http_request_duration_seconds_bucket{"le":"0.05"}=24054.0"#,
      #"http_request_duration_seconds_bucket{"le":"+Inf"}=144320.0"#, "http_request_duration_seconds_sum=53423.0",
      "http_request_duration_seconds_count=144320.0", #"spaced{"a":"b"}=7.0@-1000"#,
    ])
  #expect(found.samples == 11 && found.notFinite == 2 && found.refused == 0 && found.isWhole)
}

@Test func `OpenMetrics has seconds, exemplars and an end`() {
  let text = """
    # TYPE foo histogram
    # UNIT foo seconds
    foo_bucket{le="0.1"} 8 # {} 0.054
    foo_bucket{le="1"} 11 # {trace_id="KOO5S4vxi0o"} 0.67 1520879607.789
    foo_count 17 1795165200.5 # {a="#"} 1
    foo_created 1520430000.123
    # EOF
    """
  let found = decode(text, .openMetrics)
  #expect(
    found.records.map(show) == [
      #"foo_bucket{"le":"0.1"}=8.0"#, #"foo_bucket{"le":"1"}=11.0"#, "foo_count=17.0@500000",
      "foo_created=1520430000.123",
    ])
  #expect(found.isWhole && found.refused == 0)
  #expect(decode(text + "\n", .openMetrics).isWhole)
  #expect(!decode("foo 1\n", .openMetrics).isWhole && !decode("", .openMetrics).isWhole)
  #expect(decode("foo 1\n# EOF\nfoo 2\n", .openMetrics).firstFault == ExpositionFault(line: 3, kind: .afterEnd))
  #expect(decode("foo 1\n# EOF\nfoo 2\n").records.count == 2)
}

@Test func `what the target says of its instance keeps apart from the scraper's own label`() {
  let found = decode(#"m{instance="db-1"} 1"#)
  guard case .metric(let metric)? = found.records.first?.body else {
    Issue.record("no metric")
    return
  }
  #expect(
    metric.labels.map { String(decoding: $0.bytes, as: UTF8.self) }
      == #"{"instance":"h:9100","exported_instance":"db-1"}"#)
}

@Test func `the content type decides the format, and other content is none`() {
  #expect(ExpositionFormat(contentType: "text/plain; version=0.0.4; charset=utf-8") == .text)
  #expect(ExpositionFormat(contentType: "Application/OpenMetrics-Text; version=1.0.0; charset=utf-8") == .openMetrics)
  #expect(ExpositionFormat(contentType: "") == .text && ExpositionFormat(contentType: " text/plain ") == .text)
  for type in ["text/html", "application/json", "application/vnd.google.protobuf; proto=x", "textplain"] {
    #expect(ExpositionFormat(contentType: type) == nil, "\(type)")
  }
}

private let malformed: [(String, ExpositionFaultKind)] = [
  ("{a=\"b\"} 1", .badName), ("1m 1", .badName), ("-m 1", .badName), ("é 1", .badName), ("\u{0} 1", .badName),
  ("\"m\" 1", .badName), ("=1", .badName), ("{} 1", .badName), (String(repeating: "m", count: 201) + " 1", .badName),
  ("m", .badValue), ("m ", .badValue), ("m x", .badValue), ("m 1x", .badValue), ("m 1_0", .badValue),
  ("m 0x10", .badValue), ("m 1e", .badValue), ("m .", .badValue), ("m +-1", .badValue), ("m 1,5", .badValue),
  ("m nano", .badValue), ("m infinit", .badValue), ("m --1", .badValue), ("m \"1\"", .badValue), ("m é", .badValue),
  ("m.n 1", .badValue), ("m-n 1", .badValue), ("m=1", .badValue), ("m{}", .badValue), ("m{a=\"b\"}", .badValue),
  ("m{a=\"b\"}x", .badValue), ("m 1 x", .badTime), ("m 1 1.5", .badTime), ("m 1 +1", .badTime), ("m 1 -", .badTime),
  ("m 1 9223372036854775808", .badTime), ("m 1 9223372036854775807", .badTime), ("m 1 1e3", .badTime),
  ("m 1 -9223372036854775808", .badTime), ("m 1 1 1", .trailing), ("m 1 1 x", .trailing), ("m 1 # {} 1", .trailing),
  ("m 1 1 # {} 1", .trailing), ("m{", .badLabel), ("m{a", .badLabel), ("m{a}", .badLabel), ("m{a=", .badLabel),
  ("m{a=b} 1", .badLabel), ("m{a='b'} 1", .badLabel), ("m{a=\"b\"", .badLabel), ("m{a=\"b\" 1", .badLabel),
  ("m{a=\"b\"c=\"d\"} 1", .badLabel), ("m{,} 1", .badLabel), ("m{,a=\"b\"} 1", .badLabel),
  ("m{a=\"b\",,} 1", .badLabel), ("m{=\"b\"} 1", .badLabel), ("m{1a=\"b\"} 1", .badLabel),
  ("m{a:b=\"c\"} 1", .badLabel),
  ("m{\"a\"=\"b\"} 1", .badLabel), ("m{a-b=\"c\"} 1", .badLabel), ("m{{a=\"b\"}} 1", .badLabel),
  ("m{\(String(repeating: "a", count: 201))=\"b\"} 1", .badLabel), ("m{a=\"b} 1", .openQuote), ("m{a=\"", .openQuote),
  ("m{a=\"b\\", .openQuote), ("m{a=\"b\\\"} 1", .openQuote), ("m{a=\"\\t\"} 1", .badEscape),
  ("m{a=\"\\u0041\"} 1", .badEscape), ("m{a=\"\\x\"} 1", .badEscape), ("m{a=\"b\",a=\"c\"} 1", .repeatedLabel),
  ("m{instance=\"b\",exported_instance=\"c\"} 1", .repeatedLabel),
  ("m{" + (0..<65).map { "l\($0)=\"v\"" }.joined(separator: ",") + "} 1", .tooManyLabels),
  ("m{a=\"\(String(repeating: "x", count: 9000))\"} 1", .tooLong),
  ("m{a=\"\(String(repeating: "\u{1}", count: 2000))\"} 1", .tooLong),
  ("#" + String(repeating: "x", count: 65_536), .tooLong),
  ("m \(String(repeating: "1", count: 65_536))", .tooLong),
]

@Test func `a malformed sample is counted with its reason, and its neighbours are taken`() {
  var cases = malformed.map { (Array($0.0.utf8), $0.1) }
  for bytes: [UInt8] in [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80]] {
    cases.append((Array("m{a=\"".utf8) + bytes + Array("\"} 1".utf8), .notUTF8))
  }
  let good = Array("good 1\n".utf8)
  for (line, kind) in cases {
    let found = Exposition(good + line + [10] + good, .text, target, now: nine, maxSamples: 1000)
    let shown = String(decoding: line.prefix(80), as: UTF8.self)
    #expect(found.firstFault == ExpositionFault(line: 2, kind: kind), "\(shown)")
    #expect(found.refused == 1 && found.samples == 2 && found.records.count == 2, "\(shown)")
  }
}

@Test func `no sample at all, and numbers that are none, are told apart`() {
  for text in ["", "\n\n", "# HELP", "#", "# TYPE m nonsense", "\r\n", " \t"] {
    let found = decode(text)
    #expect(found.samples == 0 && found.refused == 0 && found.records.isEmpty, "\(text)")
  }
  for value in ["NaN", "nan", "+Inf", "-Inf", "inf", "1e999", "-1e999", "Infinity"] {
    let found = decode("m \(value)")
    #expect(found.samples == 1 && found.notFinite == 1 && found.records.isEmpty, "\(value)")
  }
}

@Test func `more samples than allowed, or labels that explode, end the reading`() {
  let many = String(repeating: "m 1\n", count: 11)
  #expect(decode(many, maxSamples: 10).isTooLarge && decode(many, maxSamples: 10).records.count == 10)
  #expect(!decode(many, maxSamples: 11).isTooLarge)
  let wide = "m{a=\"\(String(repeating: "x", count: 8000))\"} 1\n"
  #expect(decode(String(repeating: wide, count: 9000), maxSamples: 100_000).isTooLarge)
}

@Test func `an exposition that is cut anywhere or mutated never traps and gives only valid metrics`() {
  let seeds = [
    "m{a=\"b\\n\\\"\",le=\"+Inf\"} 1.5e3 1795165200000\nn 2\n",
    "# TYPE m counter\nm_total 7 1.5 # {t=\"x\"} 1\n# EOF\n",
  ]
  for seed in seeds {
    let bytes = Array(seed.utf8)
    for count in 0...bytes.count {
      for format in [ExpositionFormat.text, .openMetrics] {
        let found = Exposition(Array(bytes.prefix(count)), format, target, now: nine, maxSamples: 100)
        #expect(found.records.count + found.notFinite == found.samples)
      }
    }
  }
  var random = SplitMix64(seed: 9090)
  var taken = 0
  for round in 0..<30_000 {
    let bytes = mutate(seeds[round % 2], &random)
    let found = Exposition(bytes, round % 3 == 0 ? .openMetrics : .text, target, now: nine, maxSamples: 100)
    taken += found.records.count
    for case .metric(let metric) in found.records.map(\.body) {
      #expect(metric.value.isFinite && (1...200).contains(metric.name.utf8.count))
      if let labels = metric.labels { #expect(SmallObject(labels.bytes) != nil) }
    }
  }
  #expect(taken > 10_000)
}

@Test func `there are at least sixty malformed samples`() { #expect(malformed.count >= 60) }
