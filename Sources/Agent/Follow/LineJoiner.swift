// Lines that belong together (a stack trace) to one record, bounded in lines, bytes and time.
internal import Platform

/// How a line says that it continues the one before.
struct JoinRule {
  /// A record begins where this matches; every other line continues.
  var start: TextPattern?
  /// A line that this matches continues; every other line begins a record.
  var continues: TextPattern?
  var greatestLines = 500
  var greatestBytes = 65_536
  /// After this long without another line a record is whole.
  var flushMilliseconds: Int64 = 1000
}

/// Bytes of one record, and where in the file it begins and ends.
struct JoinedLines: Equatable {
  var bytes: [UInt8]
  var start: Int64
  var end: Int64
  var lines = 1
  /// Something is missing at its end.
  var isCut = false
}

/// Keeps the record that may not be whole yet. A value; of one file.
struct LineJoiner {
  private(set) var pending: JoinedLines?
  private var lastLine = BootInstant(nanoseconds: 0)
  init() {}

  /// Takes the next line; what is whole now, if anything.
  mutating func add(_ line: JoinedLines, _ rule: JoinRule?, now: BootInstant) -> JoinedLines? {
    guard let rule else { return line }
    lastLine = now
    guard var open = pending, belongs(line.bytes[...], rule), open.lines < rule.greatestLines,
      open.bytes.count + 1 + line.bytes.count <= rule.greatestBytes
    else {
      let whole = pending
      pending = line
      return whole
    }
    pending = nil
    open.bytes.append(0x0a)
    open.bytes += line.bytes
    (open.end, open.lines, open.isCut) = (line.end, open.lines + 1, open.isCut || line.isCut)
    pending = open
    return nil
  }
  private func belongs(_ line: ArraySlice<UInt8>, _ rule: JoinRule) -> Bool {
    if let start = rule.start { return !start.matches(line, limit: 1024) }
    return rule.continues?.matches(line, limit: 1024) ?? false
  }

  /// What has waited long enough.
  mutating func due(_ rule: JoinRule?, now: BootInstant) -> JoinedLines? {
    guard let rule, pending != nil, now.milliseconds(since: lastLine) >= Double(rule.flushMilliseconds) else {
      return nil
    }
    return flush()
  }
  /// Whatever there is.
  mutating func flush() -> JoinedLines? {
    defer { pending = nil }
    return pending
  }
}
