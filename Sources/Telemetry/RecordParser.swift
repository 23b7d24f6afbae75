// One record: its fields, in any order, are scanned into place. What is done with them is in RecordRows.swift.

/// The fields of the line parsed last. Reused for every line: nothing is allocated.
struct RecordParser: ~Copyable {
  /// Bits of the fields that the line has with a value other than null.
  var present: UInt64 = 0
  /// The field that was scanned last, for the reason of a refusal.
  var field: Field?
  var seq: Int64 = 0
  var table = Table.queue
  var time: Int64 = 0
  var host = Extent()
  var app = Extent()
  /// queue, step, job, process or name (of a metric or span).
  var name = Extent()
  /// Of an event or a span.
  var kind = Extent()
  /// status or state.
  var status = Extent()
  /// txn, message or path.
  var text = Extent()
  var method = Extent()
  var client = Extent()
  var session = Extent()
  var referrer = Extent()
  var agent = Extent()
  /// attrs or labels.
  var object = Extent()
  /// value or cpu.
  var value = 0.0
  /// severity or code.
  var severity: Int64 = 0
  var trace = TraceID(high: 0, low: 0)
  var span: Int64 = 0
  var parent: Int64 = 0
  /// depth, duration_us, elapsed_us, pid; then the others in the order of their columns.
  var number0: Int64 = 0
  var number1: Int64 = 0
  var number2: Int64 = 0
  var number3: Int64 = 0
  var number4: Int64 = 0
  var scratch: ScratchText
  var times = TimeScanner()
  var pattern = LogPattern()

  init(maxLine: Int) { scratch = ScratchText(capacity: maxLine) }

  /// Notes the field that a fault is about.
  mutating func fault(_ kind: FaultKind, _ field: Field) -> FaultKind {
    self.field = field
    return kind
  }

  /// Forgets the line before.
  @inline(__always) mutating func begin() { (present, field, scratch.count) = (0, nil, 0) }

  // MARK: scanning

  /// Scans the record `at..<end` of a padded buffer, where byte `end` is its newline.
  @inline(__always) mutating func parse(_ bytes: RawSpan, _ at: inout Int, end: Int) throws(FaultKind) {
    begin()
    if !take(UInt8(ascii: "{"), bytes, &at) {
      skipBlanks(bytes, &at)
      guard take(UInt8(ascii: "{"), bytes, &at) else { throw .syntax }
    }
    while true {
      if !take(UInt8(ascii: "\""), bytes, &at) {
        skipBlanks(bytes, &at)
        guard take(UInt8(ascii: "\""), bytes, &at) else { throw .syntax }
      }
      let field = try scanField(bytes, &at)
      if byte(bytes, at) <= 0x20 { skipBlanks(bytes, &at) }
      self.field = field
      if present & field.bit != 0 { throw .repeated }
      if byte(bytes, at) == UInt8(ascii: "n") {
        try skipValue(bytes, &at)
      } else {
        try scanValue(field, bytes, &at)
        present |= field.bit
      }
      self.field = nil
      if take(UInt8(ascii: ","), bytes, &at) { continue }
      if take(UInt8(ascii: "}"), bytes, &at) { break }
      skipBlanks(bytes, &at)
      if take(UInt8(ascii: ","), bytes, &at) { continue }
      if take(UInt8(ascii: "}"), bytes, &at) { break }
      throw .syntax
    }
    if at != end {
      skipBlanks(bytes, &at)
      guard at == end else { throw .trailing }
    }
  }

  /// From behind the opening quote of a key to behind its colon. No key has more than 16 bytes.
  @inline(__always) private func scanField(_ bytes: RawSpan, _ at: inout Int) throws(FaultKind) -> Field {
    let first = word(bytes, at)
    var stops = stringStops(first)
    var length = firstMark(stops)
    var second: UInt64 = 0
    if stops == 0 {
      second = word(bytes, at &+ 8)
      stops = stringStops(second)
      if stops == 0 { throw .unknownField }
      second = prefix(second, firstMark(stops))
      length = 8 &+ firstMark(stops)
    }
    guard let field = RecordParser.field(stops != 0 && length < 8 ? prefix(first, length) : first, second) else {
      throw .unknownField
    }
    at &+= length
    guard take(UInt8(ascii: "\""), bytes, &at) else { throw .unknownField }
    if !take(UInt8(ascii: ":"), bytes, &at) {
      skipBlanks(bytes, &at)
      guard take(UInt8(ascii: ":"), bytes, &at) else { throw .syntax }
    }
    return field
  }

  @inline(__always) private static func field(_ first: UInt64, _ second: UInt64) -> Field? {
    if second != 0 {
      if first == key("oldest_ms") && second == key("oldest_ms", from: 8) { return .oldestMs }
      if first == key("elapsed_us") && second == key("elapsed_us", from: 8) { return .elapsedUs }
      if first == key("duration_us") && second == key("duration_us", from: 8) { return .durationUs }
      return nil
    }
    switch first {
    case key("seq"): return .seq
    case key("type"): return .type
    case key("ts"): return .ts
    case key("host"): return .host
    case key("app"): return .app
    case key("queue"): return .queue
    case key("depth"): return .depth
    case key("enqueued"): return .enqueued
    case key("dequeued"): return .dequeued
    case key("capacity"): return .capacity
    case key("txn"): return .txn
    case key("step"): return .step
    case key("status"): return .status
    case key("attrs"): return .attrs
    case key("job"): return .job
    case key("cpu_us"): return .cpuUs
    case key("sql_us"): return .sqlUs
    case key("name"): return .name
    case key("value"): return .value
    case key("labels"): return .labels
    case key("severity"): return .severity
    case key("message"): return .message
    case key("kind"): return .kind
    case key("process"): return .process
    case key("state"): return .state
    case key("pid"): return .pid
    case key("up_ms"): return .upMs
    case key("restarts"): return .restarts
    case key("cpu"): return .cpu
    case key("memory"): return .memory
    case key("threads"): return .threads
    case key("method"): return .method
    case key("path"): return .path
    case key("code"): return .code
    case key("bytes"): return .bytes
    case key("client"): return .client
    case key("session"): return .session
    case key("referrer"): return .referrer
    case key("agent"): return .agent
    case key("trace"): return .trace
    case key("span"): return .span
    case key("parent"): return .parent
    default: return nil
    }
  }

  @inline(__always) private mutating func scanValue(
    _ field: Field, _ bytes: RawSpan, _ at: inout Int
  ) throws(FaultKind) {
    switch field {
    case .seq: seq = try scanCount(bytes, &at)
    case .type: table = try scanType(bytes, &at)
    case .ts:
      guard take(UInt8(ascii: "\""), bytes, &at) else { throw .badTime }
      time = try times.scan(bytes, &at)
      guard take(UInt8(ascii: "\""), bytes, &at) else { throw .badTime }
    case .host: host = try scanName(bytes, &at)
    case .app: app = try scanName(bytes, &at)
    case .queue, .step, .job, .name, .process: name = try scanName(bytes, &at)
    case .kind: kind = try scanName(bytes, &at)
    case .status, .state: status = try scanName(bytes, &at)
    case .depth, .elapsedUs, .durationUs, .pid: number0 = try scanCount(bytes, &at)
    case .enqueued, .cpuUs, .upMs, .bytes: number1 = try scanCount(bytes, &at)
    case .dequeued, .sqlUs, .restarts: number2 = try scanCount(bytes, &at)
    case .capacity, .memory: number3 = try scanCount(bytes, &at)
    case .oldestMs, .threads: number4 = try scanCount(bytes, &at)
    case .txn, .message, .path: text = try scanString(bytes, &at)
    case .method: method = try scanName(bytes, &at)
    case .client: client = try scanString(bytes, &at)
    case .session: session = try scanString(bytes, &at)
    case .referrer: referrer = try scanString(bytes, &at)
    case .agent: agent = try scanString(bytes, &at)
    case .attrs, .labels:
      let start = at
      try skipObject(bytes, &at)
      object = Extent(start: start, count: at - start)
    case .value: value = try scanDouble(bytes, &at)
    case .severity: severity = try scanSeverity(bytes, &at)
    case .cpu:
      value = try scanDouble(bytes, &at)
      if value < 0 { throw .negative }
    case .code:
      severity = try scanWhole(bytes, &at)
      if severity < 100 || severity > 599 { throw .notACode }
    case .trace: trace = try scanTrace(bytes, &at)
    case .span:
      span = try scanSpan(bytes, &at)
      if span == 0 { throw .notASpan }
    case .parent: parent = try scanSpan(bytes, &at)
    }
  }
  @inline(__always) private mutating func scanString(_ bytes: RawSpan, _ at: inout Int) throws(FaultKind) -> Extent {
    guard take(UInt8(ascii: "\""), bytes, &at) else { throw .notText }
    return try scanText(bytes, &at, &scratch)
  }
  private func scanTrace(_ bytes: RawSpan, _ at: inout Int) throws(FaultKind) -> TraceID {
    guard take(UInt8(ascii: "\""), bytes, &at) else { throw .notText }
    guard let high = scanHex(bytes, at), let low = scanHex(bytes, at &+ 16), high | low != 0 else { throw .notATrace }
    at &+= 32
    guard take(UInt8(ascii: "\""), bytes, &at) else { throw .notATrace }
    return TraceID(high: high, low: low)
  }
  /// As it is stored: the bits of an unsigned number.
  private func scanSpan(_ bytes: RawSpan, _ at: inout Int) throws(FaultKind) -> Int64 {
    guard take(UInt8(ascii: "\""), bytes, &at) else { throw .notText }
    guard let value = scanHex(bytes, at) else { throw .notASpan }
    at &+= 16
    guard take(UInt8(ascii: "\""), bytes, &at) else { throw .notASpan }
    return Int64(bitPattern: value)
  }
  @inline(__always) private func scanCount(_ bytes: RawSpan, _ at: inout Int) throws(FaultKind) -> Int64 {
    let value = try scanWhole(bytes, &at)
    if value < 0 { throw .negative }
    return value
  }
  @inline(__always) private mutating func scanName(_ bytes: RawSpan, _ at: inout Int) throws(FaultKind) -> Extent {
    guard take(UInt8(ascii: "\""), bytes, &at) else { throw .notText }
    let name = try scanText(bytes, &at, &scratch)
    if name.count == 0 || name.count > 200 { throw .nameLength }
    if name.start < 0 {
      for i in ~name.start..<scratch.count where scratch.bytes[i] < 0x20 { throw .controlCharacter }
    }
    return name
  }
  @inline(__always) private func scanType(_ bytes: RawSpan, _ at: inout Int) throws(FaultKind) -> Table {
    guard take(UInt8(ascii: "\""), bytes, &at) else { throw .notText }
    let found = word(bytes, at)
    let stops = stringStops(found)
    if stops == 0 { throw .unknownType }
    let table: Table
    switch prefix(found, firstMark(stops)) {
    case key("queue"): table = .queue
    case key("step"): table = .step
    case key("job"): table = .job
    case key("metric"): table = .metric
    case key("log"): table = .log
    case key("event"): table = .event
    case key("process"): table = .process
    case key("web"): table = .web
    case key("span"): table = .span
    default: throw .unknownType
    }
    at &+= firstMark(stops)
    guard take(UInt8(ascii: "\""), bytes, &at) else { throw .unknownType }
    return table
  }
  private func scanSeverity(_ bytes: RawSpan, _ at: inout Int) throws(FaultKind) -> Int64 {
    if !take(UInt8(ascii: "\""), bytes, &at) {
      let value = try scanWhole(bytes, &at)
      if value < 0 || value > 7 { throw .notASeverity }
      return value
    }
    let found = word(bytes, at)
    let stops = stringStops(found)
    if stops == 0 { throw .notASeverity }
    at += firstMark(stops)
    guard take(UInt8(ascii: "\""), bytes, &at) else { throw .notASeverity }
    switch prefix(found, firstMark(stops)) {
    case key("emerg"): return 0
    case key("alert"): return 1
    case key("crit"), key("critical"), key("fatal"): return 2
    case key("err"), key("error"): return 3
    case key("warn"), key("warning"): return 4
    case key("notice"): return 5
    case key("info"): return 6
    case key("debug"), key("trace"): return 7
    default: throw .notASeverity
    }
  }
}
