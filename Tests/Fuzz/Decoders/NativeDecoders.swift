// The native protocol as a connection and as a body of lines, and lines of an agent's own clients.
@testable import Agent
@testable import Telemetry

private let recordWords =
  Field.allCases.map { "\"\($0.text)\":" }
  + ["queue", "step", "job", "metric", "log", "event", "process", "web", "span"].map { "\"type\":\"\($0)\"" }
  + ["2026-11-20T09:00:00Z", "\\u0000", "\\ud83d\\ude00", "e308", "null", "{\"hello\":{", "{\"ping\":1}", "\n"]

/// What one connection of the native protocol did.
private struct NativeTrace: Equatable, CustomStringConvertible {
  var rows: Rows
  var sent: [UInt8]
  var state: NativeSession.State
  var next: Int64
  var description: String { "\(rows)\nsent \(printable(sent))\nstate \(state), next \(next)" }
}
/// A connection whose batches commit when its window is full, and at its end.
private struct NativeConnection: ~Copyable {
  private var decoder = NativeDecoder(window: acceptedTimes, maxLine: 2048, namesLog2: 10)
  private var session: NativeSession
  private var buffer = LineBuffer(initialCapacity: 64, maximumCapacity: 4096)
  private var batch = Batch()
  private var sent: [UInt8] = []

  init(isAnonymous: Bool) {
    session = NativeSession(
      peer: "192.0.2.1",
      limits: NativeLimits(node: "a", epoch: 12, window: 8, maxLine: 2048, allowsAnonymous: isAnonymous))
  }
  private mutating func act(_ actions: [NativeSession.Action]) {
    for action in actions {
      switch action {
      case .send(let bytes): sent += bytes
      case .close: break
      case .lookUp(let hello):
        // Some streams are known, others have lost what PostgreSQL had.
        act(session.lookedUp(committed: hello.oldest % 3 == 0 ? hello.oldest : 0))
      case .recordGap(_, let last): act(session.gapRecorded(committed: last))
      }
    }
  }
  mutating func receive(_ bytes: ArraySlice<UInt8>) throws(Broken) {
    var rest = bytes
    while true {
      let count = buffer.append(Array(rest).span)
      rest = rest.dropFirst(count)
      var mayGoOn = false
      while session.mayDecode {
        let stop = decoder.decode(&buffer, &session.cursor, into: &batch, rowLimit: 4096, byteLimit: 1 << 24)
        act(session.decoded(stop))
        if stop == .full { return }
        if stop == .incomplete {
          // The intake has no room to read more into.
          if buffer.isFull { throw Broken("a full buffer is incomplete") }
          break
        }
        if stop == .windowFull {
          act(session.committed(through: session.cursor.next - 1, rejects: batch.rejects))
          mayGoOn = true
        }
      }
      if rest.isEmpty || count == 0 && !mayGoOn { break }
    }
  }
  consuming func end() throws(Broken) -> NativeTrace {
    if session.underWay > 0 { act(session.committed(through: session.cursor.next - 1, rejects: batch.rejects)) }
    return NativeTrace(
      rows: try Rows(batch, acceptedTimes), sent: sent, state: session.state, next: session.cursor.next)
  }
}

extension FuzzedDecoders {
  static let native = FuzzedDecoder(name: "native", longest: 12_288, words: recordWords) { bytes throws(Broken) in
    for isAnonymous in [true, false] {
      let hello = isAnonymous ? [] : Hello(source: "mes-07", stream: "s1", oldest: 1).line
      let trace = try howeverCut(bytes, each: 64) { pieces throws(Broken) in
        var connection = NativeConnection(isAnonymous: isAnonymous)
        try connection.receive(hello[...])
        for piece in pieces { try connection.receive(piece) }
        return try connection.end()
      }
      // Every line of ours can be read by a sender.
      for line in trace.sent.split(separator: 0x0a) {
        guard let reply = NativeReply(line: Array(line)) else { throw Broken("not a reply: \(printable(line))") }
        try hold(reply.line == Array(line) + [0x0a], "\(printable(line)) is printed as \(printable(reply.line))")
      }
    }
  }

  /// What a node answers is read from the network by agents and `standwatch-load`: any line is one of ours or none, and
  /// one of ours is printed and read again as the same.
  static let nativeReply = FuzzedDecoder(
    name: "native-reply", longest: 1024,
    words: [
      "{\"welcome\":{\"node\":\"a\",\"epoch\":12,\"committed\":7", ",\"window\":1024,\"max_line\":65536}}",
      "{\"ack\":", "{\"reject\":{\"seq\":", "\"reason\":\"", "{\"bye\":{", "{\"pong\":", "{\"live\":{\"seconds\":",
      "\\u0000",
      "\\ud83d\\ude00", "\\ud800", "-9223372036854775808", "1e3", "null",
    ]
  ) { bytes throws(Broken) in
    let reply = try Meter.bounded(bytes.count, fixed: 4096, each: 64) { NativeReply(line: bytes) }
    if !bytes.contains(0x0a) {
      try hold(NativeReply(line: bytes + [0x0a]) == reply, "with its newline it is another")
      try hold(NativeReply(line: bytes[...]) == reply, "as part of a buffer it is another")
    }
    guard let reply else { return }
    try hold(reply.line.last == 0x0a && reply.line.count { $0 == 0x0a } == 1, "\(reply) is printed as more than a line")
    let again = NativeReply(line: reply.line)
    try hold(
      again == reply, "\(reply) is printed as \(printable(reply.line)), which is \(again.map { "\($0)" } ?? "none")")
  }

  static let nativeLines = FuzzedDecoder(name: "native-lines", words: recordWords) { bytes throws(Broken) in
    let lines = try Meter.bounded(bytes.count, each: 128) { NativeLines(bytes, limit: 256) }
    guard let lines else { return }
    var delivery = Delivery(key: nil, source: "fuzz", records: [])
    delivery.lines = lines
    let rows = try Meter.bounded(bytes.count, fixed: 2 << 20, each: 256) { () throws(Broken) in
      try check(delivery)
    }
    try hold(rows.count == lines.count, "\(lines.count) lines are \(rows.count) rows")
    // White space around lines and empty ones change nothing.
    guard let spaced = NativeLines(Array("\r\n".utf8) + bytes + Array("\n \t\r\n".utf8), limit: 256) else {
      throw Broken("white space made lines")
    }
    delivery.lines = spaced
    let again = try check(delivery)
    try hold(again.tables == rows.tables, "white space changed the rows from\n\(rows)\nto\n\(again)")
  }

  /// An agent takes a line: what it sends is then taken by the node, byte for byte once more by an agent.
  static let localLines = FuzzedDecoder(name: "local-lines", longest: 8192, words: recordWords) {
    bytes throws(Broken) in
    struct Trace: Equatable {
      var taken: [UInt8]
      var count: Int
      var answers: [UInt8]
      var refused: Int64
      var lines: Int64
    }
    let trace = try howeverCut(bytes, each: 64) { pieces throws(Broken) in
      var completer = LineCompleter(maxLine: 2000)
      var lines = LocalLines(host: "h", app: "a", maxLine: 2000)
      for piece in pieces { lines.received(piece, &completer, at: nine) }
      lines.ended(&completer, at: nine)
      return Trace(
        taken: lines.taken, count: lines.takenCount, answers: lines.answers, refused: lines.refused,
        lines: lines.lines)
    }
    var completer = LineCompleter(maxLine: 3000)
    let defaults = LineDefaults(time: 0, host: "other", app: "other")
    let lines = trace.taken.split(separator: 0x0a)
    try hold(lines.count == trace.count, "\(trace.count) lines are \(lines.count)")
    for line in lines {
      let again: [UInt8]
      do throws(LineFault) { again = try completer.complete(line, defaults) } catch {
        throw Broken("\(printable(line)) was taken, and not again: \(error.description)")
      }
      try hold(again == Array(line) + [0x0a], "\(printable(line)) became \(printable(again))")
      guard let native = NativeLines(again, limit: 2) else { throw Broken("a line is two") }
      var delivery = Delivery(key: nil, source: "fuzz", records: [])
      delivery.lines = native
      try check(delivery)
    }
  }
}
