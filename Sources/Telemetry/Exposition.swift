// Prometheus exposition to metrics: the text format 0.0.4 and OpenMetrics 1.0, one line at a time.
//
// Formats: prometheus.io, "Exposition formats"; OpenMetrics specification 1.0.0. A malformed line is counted and the
// others are taken; histograms and summaries stay the series that they are exposed as.

/// How the target says it writes (`Content-Type`).
public enum ExpositionFormat: Equatable, Sendable {
  case text, openMetrics

  /// By the answer's `Content-Type`; nil for what can't be an exposition (an error page, a protocol buffer).
  public init?(contentType: String) {
    let parts = contentType.split(separator: ";").map { $0.lowercased().filter { $0 != " " && $0 != "\t" } }
    switch parts.first ?? "" {
    case "application/openmetrics-text": self = .openMetrics
    // What older exporters and plain files say.
    case "text/plain", "", "application/octet-stream": self = .text
    default: return nil
    }
  }
}

/// Whose the samples are.
public struct ExpositionTarget: Equatable, Sendable {
  public var app: String
  public var host: String
  /// `host:port` of the target, a label of every sample as in Prometheus.
  public var instance: String
  public init(app: String, host: String, instance: String) {
    (self.app, self.host, self.instance) = (app, host, instance)
  }
}

/// Why a sample's line is refused.
public enum ExpositionFaultKind: Error, Equatable, Sendable {
  case notUTF8, badName, badLabel, badEscape, openQuote, repeatedLabel, tooManyLabels, tooLong, badValue, badTime
  case trailing, afterEnd

  public var text: String {
    switch self {
    case .notUTF8: "not valid UTF-8"
    case .badName: "not a metric name of 1 to 200 bytes"
    case .badLabel: "labels have to be {name=\"value\",...}"
    case .badEscape: "not a valid escape in a label"
    case .openQuote: "a label's value has no end"
    case .repeatedLabel: "a label comes twice"
    case .tooManyLabels: "more than 64 labels"
    case .tooLong: "a line of more than 64 KiB or labels of more than 8 KiB"
    case .badValue: "not a number"
    case .badTime: "not a timestamp"
    case .trailing: "something follows the sample"
    case .afterEnd: "something follows # EOF"
    }
  }
}

public struct ExpositionFault: Equatable, Sendable {
  /// From 1 on.
  public var line: Int
  public var kind: ExpositionFaultKind
  public init(line: Int, kind: ExpositionFaultKind) { (self.line, self.kind) = (line, kind) }
}

/// What an exposition says.
public struct Exposition: Equatable, Sendable {
  /// A metric for each finite sample, in the order of the lines.
  public var records: [Record] = []
  /// Samples read, those that are not finite included.
  public var samples = 0
  /// NaN and infinities, which no metric can have.
  public var notFinite = 0
  /// Malformed lines; `firstFault` says where and why.
  public var refused = 0
  public var firstFault: ExpositionFault?
  /// More samples than a scrape may have; the records are incomplete and not to be stored.
  public var isTooLarge = false
  /// False for OpenMetrics without its `# EOF`: the answer was cut off.
  public var isWhole = true

  public static let maxLine = 65_536
  static let maxLabels = 64
  static let maxLabelBytes = 8192
  static let maxSize = 64 << 20

  /// `now` (µs since 2000-01-01 UTC) is the time of samples without one.
  public init(
    _ bytes: [UInt8], _ format: ExpositionFormat, _ target: ExpositionTarget, now: Int64, maxSamples: Int
  ) {
    var at = 0
    var line = 0
    var size = 0
    var hasEnd = false
    while at < bytes.count {
      let end = bytes[at...].firstIndex(of: 0x0a) ?? bytes.count
      defer { at = end + 1 }
      line += 1
      do throws(ExpositionFaultKind) {
        if end - at > Exposition.maxLine { throw .tooLong }
        var scanner = ExpositionScanner(bytes, at, end, format)
        if scanner.isEmpty { continue }
        if hasEnd { throw .afterEnd }
        if scanner.isComment {
          hasEnd = format == .openMetrics && scanner.isEnd
          continue
        }
        guard let sample = try scanner.sample(target.instance) else {
          samples += 1
          notFinite += 1
          continue
        }
        samples += 1
        size += sample.labels.count + 100
        if samples > maxSamples || size > Exposition.maxSize {
          isTooLarge = true
          return
        }
        records.append(
          Record(
            time: sample.time ?? now, host: target.host, app: target.app,
            .metric(Record.Metric(name: sample.name, value: sample.value, labels: sample.labels))))
      } catch {
        refused += 1
        if firstFault == nil { firstFault = ExpositionFault(line: line, kind: error) }
      }
    }
    isWhole = format == .text || hasEnd
  }
}

struct ExpositionSample {
  var name: String
  var labels: JSONObject
  var value: Double
  /// µs since 2000-01-01 UTC.
  var time: Int64?
}

/// Reads one line, `bytes[start..<end]`.
private struct ExpositionScanner {
  let bytes: [UInt8]
  let format: ExpositionFormat
  var at: Int
  var end: Int

  init(_ bytes: [UInt8], _ start: Int, _ end: Int, _ format: ExpositionFormat) {
    (self.bytes, self.format, at, self.end) = (bytes, format, start, end)
    while self.end > at, isBlank(bytes[self.end - 1]) || bytes[self.end - 1] == 0x0d { self.end -= 1 }
    skipBlanks()
  }
  var isEmpty: Bool { at == end }
  var isComment: Bool { at < end && bytes[at] == UInt8(ascii: "#") }
  var isEnd: Bool { bytes[at..<end].elementsEqual("# EOF".utf8) }

  /// Nil when its value is not finite.
  mutating func sample(_ instance: String) throws(ExpositionFaultKind) -> ExpositionSample? {
    let name = token(isNameByte)
    if name.isEmpty || name.count > 200 || (48...57).contains(name[name.startIndex]) { throw .badName }
    skipBlanks()
    var labels = JSONObject()
    labels.add("instance", instance)
    if take(UInt8(ascii: "{")) { try self.labels(into: &labels) }
    if labels.count > Exposition.maxLabelBytes { throw .tooLong }
    skipBlanks()
    let value = try number(token { !isBlank($0) })
    skipBlanks()
    var time: Int64?
    if at < end, bytes[at] != UInt8(ascii: "#") { time = try self.time(token { !isBlank($0) }) }
    skipBlanks()
    // An exemplar says something about one observation, not about the series.
    let hasExemplar = at < end && format == .openMetrics && bytes[at] == UInt8(ascii: "#")
    if at < end && !hasExemplar { throw .trailing }
    if !value.isFinite { return nil }
    return ExpositionSample(name: String(decoding: name, as: UTF8.self), labels: labels, value: value, time: time)
  }

  private mutating func labels(into labels: inout JSONObject) throws(ExpositionFaultKind) {
    var names: [String] = []
    while true {
      skipBlanks()
      if take(UInt8(ascii: "}")) { return }
      if names.count == Exposition.maxLabels { throw .tooManyLabels }
      let raw = token { isNameByte($0) && $0 != UInt8(ascii: ":") }
      if raw.isEmpty || raw.count > 200 || (48...57).contains(raw[raw.startIndex]) { throw .badLabel }
      skipBlanks()
      guard take(UInt8(ascii: "=")) else { throw .badLabel }
      skipBlanks()
      guard take(UInt8(ascii: "\"")) else { throw .badLabel }
      let value = try quoted()
      // The scraper's own label keeps its name, as in Prometheus (honor_labels: false).
      let said = String(decoding: raw, as: UTF8.self)
      let name = said == "instance" ? "exported_instance" : said
      if names.contains(name) { throw .repeatedLabel }
      names.append(name)
      // A label without a value is the same as none.
      if !value.isEmpty { labels.add(name, value) }
      skipBlanks()
      if take(UInt8(ascii: ",")) { continue }
      guard take(UInt8(ascii: "}")) else { throw .badLabel }
      return
    }
  }
  private mutating func quoted() throws(ExpositionFaultKind) -> String {
    var text: [UInt8] = []
    while at < end {
      let c = bytes[at]
      at += 1
      switch c {
      case UInt8(ascii: "\""):
        guard let valid = String(validating: text, as: UTF8.self) else { throw .notUTF8 }
        return valid
      case UInt8(ascii: "\\"):
        guard at < end else { throw .openQuote }
        switch bytes[at] {
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "\\"), UInt8(ascii: "\""): text.append(bytes[at])
        default: throw .badEscape
        }
        at += 1
      default: text.append(c)
      }
    }
    throw .openQuote
  }

  private func number(_ token: ArraySlice<UInt8>) throws(ExpositionFaultKind) -> Double {
    let text = String(decoding: token, as: UTF8.self)
    switch text.lowercased() {
    case "nan", "+nan", "-nan": return .nan
    case "inf", "+inf", "infinity", "+infinity": return .infinity
    case "-inf", "-infinity": return -.infinity
    default: break
    }
    guard isDecimal(token, allowsPlus: true), let value = Double(text) else { throw .badValue }
    return value
  }
  /// Milliseconds since 1970 in the text format, seconds with a fraction in OpenMetrics.
  private func time(_ token: ArraySlice<UInt8>) throws(ExpositionFaultKind) -> Int64 {
    let text = String(decoding: token, as: UTF8.self)
    switch format {
    case .text:
      guard isDecimal(token, allowsPlus: false), let milliseconds = Int64(text),
        let time = InfluxPrecision.milliseconds.microsecondsSince2000(milliseconds)
      else { throw .badTime }
      return time
    case .openMetrics:
      guard isDecimal(token, allowsPlus: false), let seconds = Double(text), seconds.magnitude < 1e12 else {
        throw .badTime
      }
      return Int64((seconds * 1e6).rounded()) - 946_684_800_000_000
    }
  }

  private mutating func token(_ isMember: (UInt8) -> Bool) -> ArraySlice<UInt8> {
    let start = at
    while at < end, isMember(bytes[at]) { at += 1 }
    return bytes[start..<at]
  }
  private mutating func take(_ byte: UInt8) -> Bool {
    guard at < end, bytes[at] == byte else { return false }
    at += 1
    return true
  }
  private mutating func skipBlanks() { while at < end, isBlank(bytes[at]) { at += 1 } }
}

private func isBlank(_ c: UInt8) -> Bool { c == 0x20 || c == 0x09 }
private func isNameByte(_ c: UInt8) -> Bool {
  (97...122).contains(c) || (65...90).contains(c) || (48...57).contains(c) || c == 0x5f || c == 0x3a
}
