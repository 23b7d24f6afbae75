// A record as a value to a row: loaded into the parser as if its line had been scanned, then encoded like any other.

/// What became of a record.
public enum Added: Equatable, Sendable {
  case taken
  /// It is in the batch as a row of `ingest.rejected`.
  case refused(reason: String)
}

/// Packs a record's texts into one padded buffer and points the parser's fields there. Owned by a batch.
struct RecordLoader: ~Copyable {
  var parser = RecordParser(maxLine: 0)
  /// All texts one after the other, then `padding` bytes.
  private(set) var bytes: [UInt8] = []

  init() {}

  /// Takes the record apart; what a line could not say either is a fault. `seq` is the row's.
  mutating func load(_ record: Record, seq: Int64) throws(FaultKind) {
    parser.begin()
    bytes.removeAll(keepingCapacity: true)
    defer { bytes.append(contentsOf: repeatElement(0x0a, count: padding)) }
    parser.present = Field.type.bit | Field.ts.bit
    (parser.time, parser.seq) = (record.time, seq)
    parser.host = try name(.host, record.host)
    parser.app = try name(.app, record.app)
    switch record.body {
    case .queue(let queue): try load(queue)
    case .step(let step): try load(step)
    case .job(let job): try load(job)
    case .metric(let metric): try load(metric)
    case .process(let process): try load(process)
    case .log(let log): try load(log)
    case .web(let web): try load(web)
    case .span(let span): try load(span)
    case .event(let event):
      parser.table = .event
      parser.kind = try name(.kind, event.kind)
      object(.attrs, event.attributes)
    }
  }
  private mutating func load(_ queue: Record.Queue) throws(FaultKind) {
    parser.table = .queue
    parser.name = try name(.queue, queue.queue)
    parser.number0 = try count(.depth, queue.depth)
    parser.number1 = try count(.enqueued, queue.enqueued)
    parser.number2 = try count(.dequeued, queue.dequeued)
    parser.number3 = try count(.capacity, queue.capacity)
    parser.number4 = try count(.oldestMs, queue.oldestMilliseconds)
  }
  private mutating func load(_ step: Record.Step) throws(FaultKind) {
    parser.table = .step
    parser.text = try text(.txn, step.transaction)
    parser.name = try name(.step, step.step)
    parser.status = try name(.status, step.status)
    parser.number0 = try count(.elapsedUs, step.elapsedMicroseconds)
    object(.attrs, step.attributes)
  }
  private mutating func load(_ job: Record.Job) throws(FaultKind) {
    parser.table = .job
    parser.name = try name(.job, job.job)
    parser.status = try name(.status, job.status)
    parser.number0 = try count(.durationUs, job.durationMicroseconds)
    parser.number1 = try count(.cpuUs, job.cpuMicroseconds)
    parser.number2 = try count(.sqlUs, job.sqlMicroseconds)
    if let transaction = job.transaction { parser.text = try text(.txn, transaction) }
    try trace(job.trace, job.span)
    object(.attrs, job.attributes)
  }
  private mutating func load(_ metric: Record.Metric) throws(FaultKind) {
    parser.table = .metric
    parser.name = try name(.name, metric.name)
    parser.value = try number(.value, metric.value)
    object(.labels, metric.labels)
  }
  private mutating func load(_ process: Record.Process) throws(FaultKind) {
    parser.table = .process
    parser.name = try name(.process, process.process)
    parser.status = try name(.state, process.state)
    parser.number0 = try count(.pid, process.pid)
    parser.number1 = try count(.upMs, process.upMilliseconds)
    parser.number2 = try count(.restarts, process.restarts)
    parser.number3 = try count(.memory, process.memory)
    parser.number4 = try count(.threads, process.threads)
    if let cpu = process.cpu {
      parser.value = try number(.cpu, cpu)
      if cpu < 0 { throw parser.fault(.negative, .cpu) }
    }
    object(.attrs, process.attributes)
  }
  private mutating func load(_ log: Record.Log) throws(FaultKind) {
    parser.table = .log
    parser.severity = Int64(log.severity)
    note(.severity)
    if !(0...7).contains(log.severity) { throw parser.fault(.notASeverity, .severity) }
    parser.text = try text(.message, log.message)
    try trace(log.trace, log.span)
    object(.attrs, log.attributes)
  }
  private mutating func load(_ web: Record.Web) throws(FaultKind) {
    parser.table = .web
    parser.method = try name(.method, web.method)
    parser.text = try text(.path, web.path)
    parser.severity = Int64(web.code)
    note(.code)
    if !(100...599).contains(web.code) { throw parser.fault(.notACode, .code) }
    parser.number1 = try count(.bytes, web.bytes)
    parser.number0 = try count(.durationUs, web.durationMicroseconds)
    if let client = web.client { parser.client = try text(.client, client) }
    if let session = web.session { parser.session = try text(.session, session) }
    if let referrer = web.referrer { parser.referrer = try text(.referrer, referrer) }
    if let agent = web.agent { parser.agent = try text(.agent, agent) }
    object(.attrs, web.attributes)
  }
  private mutating func load(_ span: Record.Span) throws(FaultKind) {
    parser.table = .span
    parser.name = try name(.name, span.name)
    parser.status = try name(.status, span.status)
    parser.number0 = try count(.durationUs, span.durationMicroseconds)
    if let kind = span.kind.text { parser.kind = try name(.kind, kind) }
    try trace(span.trace, span.span)
    if let parent = span.parent {
      parser.parent = Int64(bitPattern: parent)
      note(.parent)
    }
    object(.attrs, span.attributes)
  }

  // MARK: fields

  private mutating func note(_ field: Field) { parser.present |= field.bit }
  /// A name as `RecordParser.scanName` takes it.
  private mutating func name(_ field: Field, _ value: String) throws(FaultKind) -> Extent {
    let extent = put(field, value)
    if extent.count == 0 || extent.count > 200 { throw parser.fault(.nameLength, field) }
    for byte in bytes[extent.start...] where byte < 0x20 { throw parser.fault(.controlCharacter, field) }
    return extent
  }
  private mutating func text(_ field: Field, _ value: String) throws(FaultKind) -> Extent {
    let extent = put(field, value)
    for byte in bytes[extent.start...] where byte == 0 { throw parser.fault(.zeroCharacter, field) }
    return extent
  }
  private mutating func put(_ field: Field, _ value: String) -> Extent {
    let start = bytes.count
    bytes.append(contentsOf: value.utf8)
    note(field)
    return Extent(start: start, count: bytes.count - start)
  }
  private mutating func object(_ field: Field, _ value: JSONObject?) {
    guard let value else { return }
    let start = bytes.count
    bytes.append(contentsOf: value.bytes)
    note(field)
    parser.object = Extent(start: start, count: bytes.count - start)
  }
  private mutating func count(_ field: Field, _ value: Int64?) throws(FaultKind) -> Int64 {
    guard let value else { return 0 }
    if value < 0 { throw parser.fault(.negative, field) }
    note(field)
    return value
  }
  private mutating func number(_ field: Field, _ value: Double) throws(FaultKind) -> Double {
    if !value.isFinite { throw parser.fault(.notFinite, field) }
    note(field)
    return value
  }
  private mutating func trace(_ trace: TraceID?, _ span: UInt64?) throws(FaultKind) {
    if let trace {
      if trace.high | trace.low == 0 { throw parser.fault(.notATrace, .trace) }
      parser.trace = trace
      note(.trace)
    }
    if let span {
      if span == 0 { throw parser.fault(.notASpan, .span) }
      parser.span = Int64(bitPattern: span)
      note(.span)
    }
  }
}

extension Batch {
  /// Adds a record, or, when it is none that a line could say, a row of `ingest.rejected` with the reason.
  ///
  /// `stream` may be `noStream`, and `seq` then 0. `names` and `window` are those of the decoder that fills this batch.
  public mutating func add(
    _ record: Record, stream: Int64, seq: Int64, names: inout Names, window: TimeWindow, source: String
  ) -> Added {
    var loader = takeLoader()
    var added = Added.taken
    do throws(FaultKind) {
      try loader.load(record, seq: seq)
      let bytes = loader.bytes
      // Sound: bytes of UInt8 have no padding.
      try unsafe loader.parser.encode(bytes.span.bytes, &names, window, stream: stream, into: &self)
    } catch {
      let reason = (loader.parser.field.map { $0.text + ": " } ?? "") + error.text
      var raw: [UInt8] = []
      record.appendLine(seq: stream == Batch.noStream ? nil : seq, to: &raw)
      // Without its newline.
      raw.removeLast()
      // Sound: bytes of UInt8 have no padding.
      unsafe addRejected(stream: stream, seq: seq, source: source, reason: reason, raw: raw.span.bytes)
      added = .refused(reason: reason)
    }
    keep(loader)
    return added
  }
}
