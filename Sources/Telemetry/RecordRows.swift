// A scanned record to a row: its fields are checked against its type, its names noted, its COPY row written.

extension RecordParser {
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
  /// Whether the line that was parsed is a record but for its time and names.
  mutating func checkForm() throws(FaultKind) {
    if present & Field.type.bit == 0 { throw fault(.missing, .type) }
    try checkFields()
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
