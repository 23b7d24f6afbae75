// One record: its fields in any order are scanned into place, checked against the type, and encoded as a COPY row.

/// The fields of the line parsed last. Reused for every line: nothing is allocated.
struct RecordParser: ~Copyable {
  /// Bits of the fields that the line has with a value other than null.
  private(set) var present: UInt32 = 0
  /// The field that was scanned last, for the reason of a refusal.
  private(set) var field: Field?
  private(set) var seq: Int64 = 0
  private var table = Table.queue
  private var time: Int64 = 0
  private var host = Extent()
  private var app = Extent()
  /// queue, step, job, name (of a metric) or kind (of an event).
  private var name = Extent()
  private var status = Extent()
  /// txn or message.
  private var text = Extent()
  /// attrs or labels.
  private var object = Extent()
  private var value = 0.0
  private var severity: Int64 = 0
  /// depth, duration_us, elapsed_us; then the others in the order of their columns.
  private var number0: Int64 = 0
  private var number1: Int64 = 0
  private var number2: Int64 = 0
  private var number3: Int64 = 0
  private var number4: Int64 = 0
  private var scratch: ScratchText
  private var times = TimeScanner()

  init(maxLine: Int) { scratch = ScratchText(capacity: maxLine) }

  /// Notes the field that a fault is about.
  mutating func fault(_ kind: FaultKind, _ field: Field) -> FaultKind {
    self.field = field
    return kind
  }

  // MARK: scanning

  /// Scans the record `at..<end` of a padded buffer, where byte `end` is its newline.
  @inline(__always) mutating func parse(_ bytes: RawSpan, _ at: inout Int, end: Int) throws(FaultKind) {
    (present, field, scratch.count) = (0, nil, 0)
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
    case .queue, .step, .job, .name, .kind: name = try scanName(bytes, &at)
    case .status: status = try scanName(bytes, &at)
    case .depth, .elapsedUs, .durationUs: number0 = try scanCount(bytes, &at)
    case .enqueued, .cpuUs: number1 = try scanCount(bytes, &at)
    case .dequeued, .sqlUs: number2 = try scanCount(bytes, &at)
    case .capacity: number3 = try scanCount(bytes, &at)
    case .oldestMs: number4 = try scanCount(bytes, &at)
    case .txn, .message:
      guard take(UInt8(ascii: "\""), bytes, &at) else { throw .notText }
      text = try scanText(bytes, &at, &scratch)
    case .attrs, .labels:
      let start = at
      try skipObject(bytes, &at)
      object = Extent(start: start, count: at - start)
    case .value: value = try scanDouble(bytes, &at)
    case .severity: severity = try scanSeverity(bytes, &at)
    }
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

  // MARK: encoding

  private static let common = Field.seq.bit | Field.type.bit | Field.ts.bit | Field.host.bit | Field.app.bit

  /// Checks that the fields are those of the type, and adds the row to the batch.
  @inline(__always) mutating func encode(
    _ bytes: RawSpan, _ names: inout Names, _ window: TimeWindow, stream: Int64, into batch: inout Batch
  ) throws(FaultKind) {
    if present & Field.type.bit == 0 { throw fault(.missing, .type) }
    try checkFields()
    if time < window.from || time >= window.until { throw fault(.timeOutOfRange, .ts) }
    let hostID = try note(.host, .host, host, bytes, &names, &batch)
    let appID = try note(.app, .app, app, bytes, &names, &batch)
    let seq = seq
    let hasSeq = stream != Batch.noStream
    switch table {
    case .queue:
      let queueID = try note(.queue, .queue, name, bytes, &names, &batch)
      batch.add(.queue, stream: stream, seq: seq) { row in
        row.reserve(192)
        row.putColumnCount(11)
        row.put(time)
        row.put(appID)
        row.put(hostID)
        row.put(queueID)
        row.put(number0)
        row.put(number1, if: present & Field.enqueued.bit != 0)
        row.put(number2, if: present & Field.dequeued.bit != 0)
        row.put(number3, if: present & Field.capacity.bit != 0)
        row.put(number4, if: present & Field.oldestMs.bit != 0)
        row.put(stream, if: hasSeq)
        row.put(seq, if: hasSeq)
      }
    case .step:
      let stepID = try note(.step, .step, name, bytes, &names, &batch)
      let statusID = try note(.status, .status, status, bytes, &names, &batch)
      batch.add(.step, stream: stream, seq: seq) { row in
        row.reserve(192 &+ text.count &+ object.count)
        row.putColumnCount(10)
        row.put(time)
        row.put(appID)
        row.put(hostID)
        row.put(stepID)
        row.put(statusID)
        row.put(number0, if: present & Field.elapsedUs.bit != 0)
        row.put(stream, if: hasSeq)
        row.put(seq, if: hasSeq)
        put(text, bytes, &row)
        putObject(.attrs, bytes, &row)
      }
    case .job:
      let jobID = try note(.job, .job, name, bytes, &names, &batch)
      let statusID = try note(.status, .status, status, bytes, &names, &batch)
      batch.add(.job, stream: stream, seq: seq) { row in
        row.reserve(192 &+ text.count &+ object.count)
        row.putColumnCount(12)
        row.put(time)
        row.put(appID)
        row.put(hostID)
        row.put(jobID)
        row.put(statusID)
        row.put(number0)
        row.put(number1, if: present & Field.cpuUs.bit != 0)
        row.put(number2, if: present & Field.sqlUs.bit != 0)
        row.put(stream, if: hasSeq)
        row.put(seq, if: hasSeq)
        if present & Field.txn.bit != 0 { put(text, bytes, &row) } else { row.putNull() }
        putObject(.attrs, bytes, &row)
      }
    case .metric:
      let metricID = try note(.metric, .name, name, bytes, &names, &batch)
      batch.add(.metric, stream: stream, seq: seq) { row in
        row.reserve(192 &+ object.count)
        row.putColumnCount(8)
        row.put(time)
        row.put(appID)
        row.put(hostID)
        row.put(metricID)
        row.put(value)
        row.put(stream, if: hasSeq)
        row.put(seq, if: hasSeq)
        putObject(.labels, bytes, &row)
      }
    case .log:
      batch.add(.log, stream: stream, seq: seq) { row in
        row.reserve(192 &+ text.count &+ object.count)
        row.putColumnCount(8)
        row.put(time)
        row.put(appID)
        row.put(hostID)
        row.put(stream, if: hasSeq)
        row.put(seq, if: hasSeq)
        row.put(Int16(truncatingIfNeeded: severity))
        put(text, bytes, &row)
        putObject(.attrs, bytes, &row)
      }
    case .event:
      let kindID = try note(.event, .kind, name, bytes, &names, &batch)
      batch.add(.event, stream: stream, seq: seq) { row in
        row.reserve(192 &+ object.count)
        row.putColumnCount(7)
        row.put(time)
        row.put(appID)
        row.put(hostID)
        row.put(kindID)
        row.put(stream, if: hasSeq)
        row.put(seq, if: hasSeq)
        putObject(.attrs, bytes, &row)
      }
    case .rejected, .name: throw .unknownType
    }
  }
  @inline(__always) private mutating func checkFields() throws(FaultKind) {
    let required: UInt32
    let optional: UInt32
    switch table {
    case .queue:
      required = Field.queue.bit | Field.depth.bit
      optional = Field.enqueued.bit | Field.dequeued.bit | Field.capacity.bit | Field.oldestMs.bit
    case .step:
      required = Field.txn.bit | Field.step.bit | Field.status.bit
      optional = Field.elapsedUs.bit | Field.attrs.bit
    case .job:
      required = Field.job.bit | Field.durationUs.bit | Field.status.bit
      optional = Field.txn.bit | Field.cpuUs.bit | Field.sqlUs.bit | Field.attrs.bit
    case .metric:
      required = Field.name.bit | Field.value.bit
      optional = Field.labels.bit
    case .log:
      required = Field.severity.bit | Field.message.bit
      optional = Field.attrs.bit
    case .event:
      required = Field.kind.bit
      optional = Field.attrs.bit
    case .rejected, .name: throw .unknownType
    }
    // seq is required of streams alone, and was checked for them.
    let all = RecordParser.common & ~Field.seq.bit | required
    if present & all != all { throw fault(.missing, first(all & ~present)) }
    let foreign = present & ~(RecordParser.common | required | optional)
    if foreign != 0 { throw fault(.foreign, first(foreign)) }
  }
  @inline(never) private func first(_ bits: UInt32) -> Field {
    Field.allCases.first { bits & $0.bit != 0 } ?? .type
  }
  @inline(__always) private mutating func note(
    _ kind: NameKind, _ field: Field, _ name: Extent, _ bytes: RawSpan, _ names: inout Names, _ batch: inout Batch
  ) throws(FaultKind) -> Int64 {
    if name.start >= 0 { return try note(kind, field, bytes, name.start, name.count, &names, &batch) }
    // Sound: bytes of UInt8 have no padding.
    return try noteScratch(kind, field, ~name.start, name.count, &names, &batch)
  }
  @inline(never) private mutating func noteScratch(
    _ kind: NameKind, _ field: Field, _ start: Int, _ count: Int, _ names: inout Names, _ batch: inout Batch
  ) throws(FaultKind) -> Int64 {
    let copy = scratch.bytes
    // Sound: bytes of UInt8 have no padding.
    return try unsafe note(kind, field, copy.span.bytes, start, count, &names, &batch)
  }
  @inline(__always) private mutating func note(
    _ kind: NameKind, _ field: Field, _ source: RawSpan, _ start: Int, _ count: Int, _ names: inout Names,
    _ batch: inout Batch
  ) throws(FaultKind) -> Int64 {
    let id = NameHash.id(source, start, count)
    switch names.note(kind, id, source, start, count) {
    case .known: break
    case .new: batch.addName(kind, id, source.extracting(start..<start + count))
    case .collision: throw fault(.nameCollision, field)
    }
    return id
  }
  @inline(__always) private func put(_ text: Extent, _ bytes: RawSpan, _ row: inout CopyBuffer) {
    if text.start >= 0 {
      row.put(bytes.extracting(text.start..<text.start &+ text.count))
    } else {
      // Sound: bytes of UInt8 have no padding.
      unsafe row.put(scratch.bytes.span.bytes.extracting(~text.start..<(~text.start &+ text.count)))
    }
  }
  @inline(__always) private func putObject(_ field: Field, _ bytes: RawSpan, _ row: inout CopyBuffer) {
    if present & field.bit != 0 {
      row.putJSON(bytes.extracting(object.start..<object.start &+ object.count))
    } else {
      row.putNull()
    }
  }
}
