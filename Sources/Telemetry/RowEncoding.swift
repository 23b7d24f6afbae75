// A checked record as the COPY row of its table, one function a table, in the order of Table.columns.

extension RecordParser {
  @inline(__always) private func has(_ field: Field) -> Bool { present & field.bit != 0 }

  /// Columns that all tables begin with: ts, app_id, host_id.
  @inline(__always) private func begin(
    _ row: inout CopyBuffer, _ table: Table, _ texts: Int, _ appID: Int64, _ hostID: Int64
  ) {
    // Sixteen columns at most, none but texts with more than 20 bytes.
    row.reserve(320 &+ texts)
    row.putColumnCount(table.columnCount)
    row.put(time)
    row.put(appID)
    row.put(hostID)
  }
  @inline(__always) private func putOrigin(_ stream: Int64, _ row: inout CopyBuffer) {
    let isNumbered = stream != Batch.noStream
    row.put(stream, if: isNumbered)
    row.put(seq, if: isNumbered)
  }
  @inline(__always) private func put(_ text: Extent, _ bytes: RawSpan, _ row: inout CopyBuffer) {
    if text.start >= 0 {
      row.put(bytes.extracting(text.start..<text.start &+ text.count))
    } else {
      // Sound: bytes of UInt8 have no padding.
      unsafe row.put(scratch.bytes.span.bytes.extracting(~text.start..<(~text.start &+ text.count)))
    }
  }
  @inline(__always) private func put(_ field: Field, _ text: Extent, _ bytes: RawSpan, _ row: inout CopyBuffer) {
    if has(field) { put(text, bytes, &row) } else { row.putNull() }
  }
  @inline(__always) private func putObject(_ field: Field, _ bytes: RawSpan, _ row: inout CopyBuffer) {
    if has(field) {
      row.putJSON(bytes.extracting(object.start..<object.start &+ object.count))
    } else {
      row.putNull()
    }
  }
  @inline(__always) private func isFailed(_ bytes: RawSpan) -> Bool {
    if status.start >= 0 { return isFailureStatus(bytes, status.start, status.count) }
    let copy = scratch.bytes
    // Sound: bytes of UInt8 have no padding.
    return unsafe isFailureStatus(copy.span.bytes, ~status.start, status.count)
  }
  @inline(__always) private func count(_ field: Field, _ text: Extent) -> Int { has(field) ? text.count : 0 }
  @inline(__always) private func objectCount(_ field: Field) -> Int { has(field) ? object.count : 0 }

  @inline(__always) func addQueue(
    _ appID: Int64, _ hostID: Int64, _ queueID: Int64, _ stream: Int64, _ batch: inout Batch
  ) {
    batch.add(.queue, stream: stream, seq: seq) { row in
      begin(&row, .queue, 0, appID, hostID)
      row.put(queueID)
      row.put(number0)
      row.put(number1, if: has(.enqueued))
      row.put(number2, if: has(.dequeued))
      row.put(number3, if: has(.capacity))
      row.put(number4, if: has(.oldestMs))
      putOrigin(stream, &row)
    }
  }
  @inline(__always) func addStep(
    _ appID: Int64, _ hostID: Int64, _ stepID: Int64, _ statusID: Int64, _ bytes: RawSpan, _ stream: Int64,
    _ batch: inout Batch
  ) {
    batch.add(.step, stream: stream, seq: seq, isFailure: isFailed(bytes)) { row in
      begin(&row, .step, text.count &+ objectCount(.attrs), appID, hostID)
      row.put(stepID)
      row.put(statusID)
      row.put(number0, if: has(.elapsedUs))
      putOrigin(stream, &row)
      put(text, bytes, &row)
      putObject(.attrs, bytes, &row)
    }
  }
  @inline(__always) func addJob(
    _ appID: Int64, _ hostID: Int64, _ jobID: Int64, _ statusID: Int64, _ bytes: RawSpan, _ stream: Int64,
    _ batch: inout Batch
  ) {
    batch.add(.job, stream: stream, seq: seq, isFailure: isFailed(bytes)) { row in
      begin(&row, .job, count(.txn, text) &+ objectCount(.attrs), appID, hostID)
      row.put(jobID)
      row.put(statusID)
      row.put(number0)
      row.put(number1, if: has(.cpuUs))
      row.put(number2, if: has(.sqlUs))
      putOrigin(stream, &row)
      put(.txn, text, bytes, &row)
      putObject(.attrs, bytes, &row)
      row.put(trace, if: has(.trace))
      row.put(span, if: has(.span))
    }
  }
  @inline(__always) func addMetric(
    _ appID: Int64, _ hostID: Int64, _ metricID: Int64, _ bytes: RawSpan, _ stream: Int64, _ batch: inout Batch
  ) {
    batch.add(.metric, stream: stream, seq: seq) { row in
      begin(&row, .metric, objectCount(.labels), appID, hostID)
      row.put(metricID)
      row.put(value)
      putOrigin(stream, &row)
      putObject(.labels, bytes, &row)
    }
  }
  @inline(__always) func addLog(
    _ appID: Int64, _ hostID: Int64, _ patternID: Int64, _ bytes: RawSpan, _ stream: Int64, _ batch: inout Batch
  ) {
    batch.add(.log, stream: stream, seq: seq, isFailure: severity <= Int64(failureSeverity)) { row in
      begin(&row, .log, text.count &+ objectCount(.attrs), appID, hostID)
      putOrigin(stream, &row)
      row.put(Int16(truncatingIfNeeded: severity))
      put(text, bytes, &row)
      putObject(.attrs, bytes, &row)
      row.put(trace, if: has(.trace))
      row.put(span, if: has(.span))
      row.put(patternID)
    }
  }
  @inline(__always) func addEvent(
    _ appID: Int64, _ hostID: Int64, _ kindID: Int64, _ bytes: RawSpan, _ stream: Int64, _ batch: inout Batch
  ) {
    batch.add(.event, stream: stream, seq: seq) { row in
      begin(&row, .event, objectCount(.attrs), appID, hostID)
      row.put(kindID)
      putOrigin(stream, &row)
      putObject(.attrs, bytes, &row)
    }
  }
  @inline(__always) func addProcess(
    _ appID: Int64, _ hostID: Int64, _ processID: Int64, _ stateID: Int64, _ bytes: RawSpan, _ stream: Int64,
    _ batch: inout Batch
  ) {
    batch.add(.process, stream: stream, seq: seq) { row in
      begin(&row, .process, objectCount(.attrs), appID, hostID)
      row.put(processID)
      row.put(stateID)
      row.put(number0, if: has(.pid))
      row.put(number1, if: has(.upMs))
      row.put(number2, if: has(.restarts))
      row.put(value, if: has(.cpu))
      row.put(number3, if: has(.memory))
      row.put(number4, if: has(.threads))
      putOrigin(stream, &row)
      putObject(.attrs, bytes, &row)
    }
  }
  @inline(never) func addWeb(
    _ appID: Int64, _ hostID: Int64, _ bytes: RawSpan, _ stream: Int64, _ batch: inout Batch
  ) {
    let texts =
      method.count &+ text.count &+ count(.client, client) &+ count(.session, session) &+ count(.referrer, referrer)
      &+ count(.agent, agent) &+ objectCount(.attrs)
    batch.add(.web, stream: stream, seq: seq, isFailure: severity >= Int64(failureCode)) { row in
      begin(&row, .web, texts, appID, hostID)
      row.put(Int16(truncatingIfNeeded: severity))
      row.put(number1, if: has(.bytes))
      row.put(number0, if: has(.durationUs))
      putOrigin(stream, &row)
      put(method, bytes, &row)
      put(text, bytes, &row)
      put(.client, client, bytes, &row)
      put(.session, session, bytes, &row)
      put(.referrer, referrer, bytes, &row)
      put(.agent, agent, bytes, &row)
      putObject(.attrs, bytes, &row)
    }
  }
  @inline(__always) func addSpan(
    _ appID: Int64, _ hostID: Int64, _ nameID: Int64, _ statusID: Int64, _ kind: Record.Span.Kind, _ bytes: RawSpan,
    _ stream: Int64, _ batch: inout Batch
  ) {
    batch.add(.span, stream: stream, seq: seq, isFailure: isFailed(bytes)) { row in
      begin(&row, .span, objectCount(.attrs), appID, hostID)
      row.put(nameID)
      row.put(statusID)
      row.put(number0)
      row.put(kind.rawValue)
      row.put(trace)
      row.put(span)
      row.put(parent, if: has(.parent) && parent != 0)
      putOrigin(stream, &row)
      putObject(.attrs, bytes, &row)
    }
  }
}
