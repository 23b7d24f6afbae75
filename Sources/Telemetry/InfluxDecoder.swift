// Bodies of the Influx line protocol to records: what becomes a metric, what a log, and whose they are.

/// What a decoder has to know beside the bytes.
public struct InfluxContext: Sendable {
  public var precision = InfluxPrecision.nanoseconds
  /// The application of points without a tag `app` or `service`: the name of the database or bucket.
  public var database: String
  /// The host of points without a tag `host`: the sender's address.
  public var peer: String
  /// µs since 2000-01-01 UTC: the time of points without one.
  public var now: Int64
  /// Records that a body may hold.
  public var maxRecords: Int
  public init(database: String, peer: String, now: Int64, maxRecords: Int = DeliveryLimits().records) {
    (self.database, self.peer, self.now, self.maxRecords) = (database, peer, now, maxRecords)
  }
}

/// A line that was refused.
public struct InfluxFault: Equatable, Sendable {
  /// From 1 on; comments and empty lines count.
  public var line: Int
  public var kind: InfluxFaultKind
  /// The line; of one that is too long, its beginning.
  public var raw: [UInt8]
  public init(line: Int, kind: InfluxFaultKind, raw: [UInt8]) { (self.line, self.kind, self.raw) = (line, kind, raw) }
}

/// What a body says.
///
/// Every number and boolean of a point is a metric `measurement.field` (`measurement` alone when the field is `value`),
/// tags are its labels. Texts of a point that has numbers are labels, too; a point of texts only is one log.
public struct InfluxWrite: Equatable, Sendable {
  public var records: [Record] = []
  public var faults: [InfluxFault] = []
  /// Lines that were taken.
  public var points = 0
  /// No point had to be given the time of its arrival, so the same bytes always are the same records.
  public var isTimed = true
  /// More records than a delivery may hold: nothing of the body may be stored.
  public var isTooLarge = false

  private(set) var lines = 0
  /// Bytes that the records make of their own, about.
  private var size = 0

  public static let maxLine = 65_536
  static let maxSize = 64 << 20
  /// Of the labels of one point, and of all its metrics together.
  static let maxLabels = 8192
  static let maxPointSize = 1 << 20

  init() {}

  /// Decodes a whole body.
  public init(_ bytes: [UInt8], _ context: InfluxContext) {
    var at = 0
    while at < bytes.count && !isTooLarge {
      switch influxLineEnd(bytes, at, bytes.count, maxLine: InfluxWrite.maxLine, isLast: true) {
      case .at(let end):
        add(bytes, at, end, context)
        at = end + 1
      case .tooLong:
        addTooLong(bytes, at, context)
        at = (bytes[(at + InfluxWrite.maxLine)...].firstIndex(of: 0x0a) ?? bytes.count) + 1
      case .incomplete: preconditionFailure("the last bytes are always a line")
      }
    }
  }

  /// Refuses the line that begins at `start` and is longer than any may be.
  mutating func addTooLong(_ bytes: [UInt8], _ start: Int, _ context: InfluxContext) {
    lines += 1
    note(.tooLong, bytes[start..<start + InfluxWrite.maxLine], context)
  }
  /// Takes or refuses the line `bytes[start..<end]`.
  mutating func add(_ bytes: [UInt8], _ start: Int, _ end: Int, _ context: InfluxContext) {
    lines += 1
    var scanner = InfluxScanner(bytes, start, end)
    if scanner.isBlankOrComment { return }
    do throws(InfluxFaultKind) {
      try add(try scanner.point(), context)
      points += 1
    } catch {
      note(error, bytes[start..<end], context)
    }
  }
  private mutating func note(_ kind: InfluxFaultKind, _ line: ArraySlice<UInt8>, _ context: InfluxContext) {
    faults.append(InfluxFault(line: lines, kind: kind, raw: Array(line)))
    size += line.count + 100
    if count > context.maxRecords || size > InfluxWrite.maxSize { isTooLarge = true }
  }
  /// Records and faults.
  var count: Int { records.count + faults.count }

  /// As the intake takes it: what was refused is kept beside the records.
  public func delivery(key: [UInt8]?, source: String) -> Delivery {
    Delivery(
      key: key, source: source, records: records,
      faults: faults.map { DeliveryFault(reason: "influx: \($0.kind.text)", raw: $0.raw) })
  }

  private mutating func add(_ point: InfluxPoint, _ context: InfluxContext) throws(InfluxFaultKind) {
    var time = context.now
    if let given = point.time {
      guard let converted = context.precision.microsecondsSince2000(given) else { throw .badTime }
      time = converted
    }
    let host = point.tags.first { $0.key == "host" }?.value ?? context.peer
    let appKey = ["app", "service"].first { key in point.tags.contains { $0.key == key } }
    let app = point.tags.first { $0.key == appKey }?.value ?? context.database
    try check(host)
    try check(app)
    var labels = JSONObject()
    for tag in point.tags where tag.key != "host" && tag.key != appKey { labels.add(tag.key, tag.value) }
    let hasNumbers = point.fields.contains { $0.value.number != nil }
    if hasNumbers {
      try addMetrics(point, time, host, app, &labels)
    } else {
      try addLog(point, time, host, app, &labels)
    }
    if point.time == nil { isTimed = false }
    if count > context.maxRecords || size > InfluxWrite.maxSize { isTooLarge = true }
  }

  private mutating func addMetrics(
    _ point: InfluxPoint, _ time: Int64, _ host: String, _ app: String, _ labels: inout JSONObject
  ) throws(InfluxFaultKind) {
    var keys = Set(point.tags.map(\.key))
    var metrics: [Record.Metric] = []
    for field in point.fields {
      if let value = field.value.number {
        let name = field.key == "value" ? point.measurement : point.measurement + "." + field.key
        try check(name)
        metrics.append(Record.Metric(name: name, value: value))
      } else if case .text(let text) = field.value, keys.insert(field.key).inserted {
        // Where a tag has the field's name, the tag says whose the values are, and stays.
        labels.add(field.key, text)
      }
    }
    let (each, all) = (labels.count + point.measurement.utf8.count + 100, point.fields.count)
    if labels.count > InfluxWrite.maxLabels || each * all > InfluxWrite.maxPointSize { throw .tooMuch }
    size += each * all
    for var metric in metrics {
      metric.labels = labels.isEmpty ? nil : labels
      records.append(Record(time: time, host: host, app: app, .metric(metric)))
    }
  }

  /// The message is the field `message`, `msg`, `value` or else the first; the severity is a tag or field of that name.
  private mutating func addLog(
    _ point: InfluxPoint, _ time: Int64, _ host: String, _ app: String, _ labels: inout JSONObject
  ) throws(InfluxFaultKind) {
    var texts: [(key: String, text: String)] = []
    for field in point.fields {
      if case .text(let text) = field.value { texts.append((field.key, text)) }
    }
    let said = ["message", "msg", "value"].compactMap { name in texts.firstIndex { $0.key == name } }.first ?? 0
    guard texts.indices.contains(said) else { throw .noFields }
    var severity: Int?
    for name in ["severity", "level"] where severity == nil {
      let word = texts.first { $0.key == name }?.text ?? point.tags.first { $0.key == name }?.value
      severity = word.flatMap(severityNumber)
    }
    var keys = Set(point.tags.map(\.key))
    for (index, field) in texts.enumerated() where index != said && keys.insert(field.key).inserted {
      labels.add(field.key, field.text)
    }
    if keys.insert("measurement").inserted { labels.add("measurement", point.measurement) }
    let message = texts[said].text
    if labels.count > InfluxWrite.maxLabels { throw .tooMuch }
    size += labels.count + message.utf8.count + 100
    var log = Record.Log(severity: severity ?? 6, message: message)
    log.attributes = labels
    records.append(Record(time: time, host: host, app: app, .log(log)))
  }

  private func check(_ name: String) throws(InfluxFaultKind) {
    if name.isEmpty || name.utf8.count > 200 { throw .nameLength }
    if name.utf8.contains(where: \.isControl) { throw .controlCharacter }
  }
}

/// RFC 5424's number of a severity by its number or one of the words in use; nil for other words.
func severityNumber(_ word: String) -> Int? {
  switch word.lowercased() {
  case "0", "emerg", "emergency", "panic": 0
  case "1", "alert": 1
  case "2", "crit", "critical", "fatal": 2
  case "3", "err", "error": 3
  case "4", "warn", "warning": 4
  case "5", "notice": 5
  case "6", "info", "information", "informational": 6
  case "7", "debug", "trace": 7
  default: nil
  }
}
