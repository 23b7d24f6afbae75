// A scanned record to a row: its fields are checked against its type and its names noted. The rows themselves are in
// RowEncoding.swift.

extension RecordParser {
  static let common = Field.seq.bit | Field.type.bit | Field.ts.bit | Field.host.bit | Field.app.bit

  /// Checks that the fields are those of the type, and adds the row to the batch.
  @inline(__always) mutating func encode(
    _ bytes: RawSpan, _ names: inout Names, _ window: TimeWindow, stream: Int64, into batch: inout Batch
  ) throws(FaultKind) {
    if present & Field.type.bit == 0 { throw fault(.missing, .type) }
    try checkFields()
    if time < window.from || time >= window.until { throw fault(.timeOutOfRange, .ts) }
    let hostID = try note(.host, .host, host, bytes, &names, &batch)
    let appID = try note(.app, .app, app, bytes, &names, &batch)
    switch table {
    case .queue:
      let id = try note(.queue, .queue, name, bytes, &names, &batch)
      addQueue(appID, hostID, id, stream, &batch)
    case .step:
      let id = try note(.step, .step, name, bytes, &names, &batch)
      let statusID = try note(.status, .status, status, bytes, &names, &batch)
      addStep(appID, hostID, id, statusID, bytes, stream, &batch)
    case .job:
      let id = try note(.job, .job, name, bytes, &names, &batch)
      let statusID = try note(.status, .status, status, bytes, &names, &batch)
      addJob(appID, hostID, id, statusID, bytes, stream, &batch)
    case .metric:
      let id = try note(.metric, .name, name, bytes, &names, &batch)
      if present & Field.labels.bit != 0 {
        let labels = NameHash.id(bytes, object.start, object.count)
        let set = UInt64(bitPattern: labels) ^ (UInt64(bitPattern: id) &* 0x9e37_79b9_7f4a_7c15)
        if !names.quota.takesLabels(set) { throw fault(.tooManyLabelSets, .labels) }
      }
      addMetric(appID, hostID, id, bytes, stream, &batch)
    case .log:
      let id = notePattern(bytes, &names, &batch)
      addLog(appID, hostID, id, bytes, stream, &batch)
    case .event:
      let id = try note(.event, .kind, kind, bytes, &names, &batch)
      addEvent(appID, hostID, id, bytes, stream, &batch)
    case .process:
      let id = try note(.process, .process, name, bytes, &names, &batch)
      let stateID = try note(.status, .state, status, bytes, &names, &batch)
      addProcess(appID, hostID, id, stateID, bytes, stream, &batch)
    case .web: addWeb(appID, hostID, bytes, stream, &batch)
    case .span:
      let kind = try spanKind(bytes)
      let id = try note(.span, .name, name, bytes, &names, &batch)
      let statusID = try note(.status, .status, status, bytes, &names, &batch)
      addSpan(appID, hostID, id, statusID, kind, bytes, stream, &batch)
    case .rejected, .name, .rollup: throw .unknownType
    }
  }
  /// Whether the line that was parsed is a record but for its time and names.
  mutating func checkForm() throws(FaultKind) {
    if present & Field.type.bit == 0 { throw fault(.missing, .type) }
    try checkFields()
  }
  @inline(__always) private mutating func checkFields() throws(FaultKind) {
    let required: UInt64
    let optional: UInt64
    switch table {
    case .queue:
      required = Field.queue.bit | Field.depth.bit
      optional = Field.enqueued.bit | Field.dequeued.bit | Field.capacity.bit | Field.oldestMs.bit
    case .step:
      required = Field.txn.bit | Field.step.bit | Field.status.bit
      optional = Field.elapsedUs.bit | Field.attrs.bit
    case .job:
      required = Field.job.bit | Field.durationUs.bit | Field.status.bit
      optional =
        Field.txn.bit | Field.cpuUs.bit | Field.sqlUs.bit | Field.attrs.bit | Field.trace.bit | Field.span.bit
    case .metric:
      required = Field.name.bit | Field.value.bit
      optional = Field.labels.bit
    case .log:
      required = Field.severity.bit | Field.message.bit
      optional = Field.attrs.bit | Field.trace.bit | Field.span.bit
    case .event:
      required = Field.kind.bit
      optional = Field.attrs.bit
    case .process:
      required = Field.process.bit | Field.state.bit
      optional =
        Field.pid.bit | Field.upMs.bit | Field.restarts.bit | Field.cpu.bit | Field.memory.bit | Field.threads.bit
        | Field.attrs.bit
    case .web:
      required = Field.method.bit | Field.path.bit | Field.code.bit
      optional =
        Field.bytes.bit | Field.durationUs.bit | Field.client.bit | Field.session.bit | Field.referrer.bit
        | Field.agent.bit | Field.attrs.bit
    case .span:
      required =
        Field.trace.bit | Field.span.bit | Field.name.bit | Field.durationUs.bit | Field.status.bit
      optional = Field.kind.bit | Field.parent.bit | Field.attrs.bit
    case .rejected, .name, .rollup: throw .unknownType
    }
    // seq is required of streams alone, and was checked for them.
    let all = RecordParser.common & ~Field.seq.bit | required
    if present & all != all { throw fault(.missing, first(all & ~present)) }
    let foreign = present & ~(RecordParser.common | required | optional)
    if foreign != 0 { throw fault(.foreign, first(foreign)) }
  }
  @inline(never) private func first(_ bits: UInt64) -> Field {
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
    case .refused: throw fault(.tooManyNames, field)
    }
    return id
  }
  @inline(__always) private mutating func notePattern(
    _ bytes: RawSpan, _ names: inout Names, _ batch: inout Batch
  ) -> Int64 {
    if text.start >= 0 { return pattern.note(bytes, text.start, text.count, &names, &batch) }
    let copy = scratch.bytes
    // Sound: bytes of UInt8 have no padding.
    return unsafe pattern.note(copy.span.bytes, ~text.start, text.count, &names, &batch)
  }
  @inline(__always) private mutating func spanKind(_ bytes: RawSpan) throws(FaultKind) -> Record.Span.Kind {
    if present & Field.kind.bit == 0 { return .unspecified }
    if kind.start < 0 { throw fault(.notASpanKind, .kind) }
    switch (kind.count, prefix(word(bytes, kind.start), min(kind.count, 8))) {
    case (8, key("internal")): return .internal
    case (6, key("server")): return .server
    case (6, key("client")): return .client
    case (8, key("producer")): return .producer
    case (8, key("consumer")): return .consumer
    default: throw fault(.notASpanKind, .kind)
    }
  }
}
