// Texts of others that are read whole: expositions, access logs, log lines, journal entries, configurations.
@testable import Configuration
@testable import Telemetry

private let target = ExpositionTarget(app: "a", host: "h", instance: "h:9100")
private let templates = [
  "common", "combined", "$remote_addr [$time_iso8601] \"$request\" $status $request_time \"$http_x\" $msec",
  "$request_method $request_uri $args $status $body_bytes_sent $cookie_id",
].compactMap { try? AccessLogFormat($0) }

extension FuzzedDecoders {
  static let exposition = FuzzedDecoder(
    name: "exposition",
    words: [
      "# TYPE a counter\n", "# EOF\n", "http_requests_total{code=\"200\"} 1 1395066363000\n", "+Inf", "NaN", "\\n",
      " # {",
    ]
  ) { bytes throws(Broken) in
    for format in [ExpositionFormat.text, .openMetrics] {
      let found = try Meter.bounded(bytes.count, each: 160) {
        Exposition(bytes, format, target, now: nine, maxSamples: 4096)
      }
      try hold(found.records.count + found.notFinite <= found.samples, "\(found.records.count) of \(found.samples)")
      try hold((found.refused == 0) == (found.firstFault == nil), "\(found.refused) faults and the first is nil")
      try check(found.records)
      if found.isTooLarge || format == .openMetrics { continue }
      // Lines are read one by one: each for itself gives the same.
      var records: [Record] = []
      for line in bytes.split(separator: 0x0a) {
        records += Exposition(Array(line), format, target, now: nine, maxSamples: 4096).records
      }
      try hold(records == found.records, "\(records)\nis not\n\(found.records)")
    }
  }

  static let accessLog = FuzzedDecoder(
    name: "access-log", longest: 2048,
    words: [
      "127.0.0.1 - - [20/Nov/2026:09:00:00 +0000] \"GET / HTTP/1.1\" 200 5", "\\x22", "\\\"", " \"-\" \"",
      "0.001, 0.002",
    ]
  ) { bytes throws(Broken) in
    try hold(templates.count == 4, "\(templates.count) templates of 4 are known")
    for template in templates {
      for line in bytes.split(separator: 0x0a) {
        let entry = try Meter.bounded(line.count, each: 1024) { try? template.parse(line, now: nine) }
        guard let entry else { continue }
        try check([Record(time: entry.time ?? nine, host: "h", app: "a", .web(entry.web))])
      }
    }
    // A template is text from outside, too.
    if let text = String(validating: bytes, as: UTF8.self), let format = try? AccessLogFormat(text) {
      _ = try? format.parse(bytes[...], now: nine)
    }
  }

  static let logLine = FuzzedDecoder(
    name: "log-line", longest: 2048,
    words: [
      "2026-11-20T09:00:00.123Z ", "ERROR ", "[warn]", "{\"level\":\"info\",\"msg\":\"", "\"time\":", "\"trace_id\":\"",
    ]
  ) { bytes throws(Broken) in
    for line in bytes.split(separator: 0x0a) {
      let found = try Meter.bounded(line.count, each: 1024) {
        [LogLine(text: line, zone: 3600, now: nine), LogLine(json: line, zone: 3600, now: nine)].compactMap { $0 }
      }
      for one in found {
        var log = Record.Log(severity: one.severity ?? 6, message: one.message)
        if !one.attributes.isEmpty { log.attributes = one.attributes }
        (log.trace, log.span) = (one.trace, one.span)
        try check([Record(time: one.time ?? nine, host: "h", app: "a", .log(log))])
      }
    }
  }

  static let journal = FuzzedDecoder(
    name: "journal", longest: 2048,
    words: JournalEntry.fields.map { "\"\($0)\":\"" }
      + ["{\"__CURSOR\":\"s=1\",\"__REALTIME_TIMESTAMP\":\"1795165200000000\",", "[104,105]", "null"]
  ) { bytes throws(Broken) in
    for line in bytes.split(separator: 0x0a) {
      guard let entry = try Meter.bounded(line.count, each: 1024, { JournalEntry(line) }) else { continue }
      try hold((1...900).contains(entry.cursor.utf8.count), "a cursor of \(entry.cursor.utf8.count) bytes")
      var log = Record.Log(severity: entry.severity, message: entry.message)
      if !entry.attributes.isEmpty { log.attributes = entry.attributes }
      try check([Record(time: nine, host: "h", app: entry.app, .log(log))])
    }
  }

  /// Printed as JSON and parsed again, a configuration is the same.
  static let configuration = FuzzedDecoder(
    name: "configuration", longest: 1024,
    words: ["{\"a\":", "// c\n", "/* c */", "'t'", "0x1f", "+1", "Infinity", "NaN", ".5", ",]", "key:", "\\\n"]
  ) { bytes throws(Broken) in
    guard let value = try? ConfigurationValue.parse(bytes, file: "f", example: "e") else { return }
    guard let text = printed(value) else { return }
    let again = try? ConfigurationValue.parse(Array(text.utf8), file: "f", example: "e")
    try hold(again == value, "\(value) is printed as \(text), which is \(again.map { "\($0)" } ?? "none")")
    guard var section = try? ConfigurationSection(value, file: "f", path: "") else { return }
    _ = try? section.integer("a", in: 0...100, default: 1)
    _ = try? section.textIfAny("b")
    _ = try? section.texts("c")
    _ = try? section.boolean("d", default: true)
    do throws(ConfigurationError) { try section.finish() } catch {
      try hold(!error.description.isEmpty, "an error without words")
    }
  }
  /// Nil for numbers that JSON has no digits for.
  private static func printed(_ value: ConfigurationValue) -> String? {
    switch value {
    case .null: return "null"
    case .boolean(let value): return "\(value)"
    case .number(let number): return number.isFinite ? "\(number)" : nil
    case .text(let text): return quoted(text)
    case .list(let values):
      let texts = values.map(printed)
      return texts.contains(nil) ? nil : "[" + texts.compactMap { $0 }.joined(separator: ",") + "]"
    case .object(let members):
      let texts = members.map { key, value in printed(value).map { quoted(key) + ":" + $0 } }
      return texts.contains(nil) ? nil : "{" + texts.compactMap { $0 }.joined(separator: ",") + "}"
    }
  }
  private static func quoted(_ text: String) -> String {
    let escaped = text.unicodeScalars.map { scalar in
      if scalar.value >= 0x20 && scalar != "\"" && scalar != "\\" { return String(scalar) }
      return "\\u" + String(scalar.value + 0x10000, radix: 16).dropFirst()
    }
    return "\"" + escaped.joined() + "\""
  }
}
