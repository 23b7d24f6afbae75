// One application's connection as a state machine: bytes in, lines for the spool and answers out. Pure.
//
//   C: {"type":"queue","queue":"in","depth":31}            ts, host and app are filled in
//   C: {"hello":{"app":"EQP-12","ack":true}}               optional: the app of what follows, and answers
//   A: {"welcome":{"host":"mes-07","max_line":65000}}
//   A: {"ack":3}                                           3 lines of this connection are on this host's disk
//   A: {"reject":{"line":4,"reason":"..."}}                not taken; counts as a line that is done
//   C: {"ping":1}   A: {"pong":1}
//
// Lines are counted from 1, hello, ping and empty ones excepted.
internal import Telemetry

struct LocalLines: ~Copyable {
  /// Lines for the spool, each with its newline, and how many.
  private(set) var taken: [UInt8] = []
  private(set) var takenCount = 0
  /// For the client.
  var answers: [UInt8] = []
  /// Refused since the start.
  private(set) var refused: Int64 = 0
  private(set) var lastRefusal = ""
  /// The client wants to hear what became of its lines.
  private(set) var wantsAnswers = false
  /// Lines seen so far, taken or refused.
  private(set) var lines: Int64 = 0

  private let host: String
  private var app: String
  private let maxLine: Int
  private var buffer: [UInt8] = []
  private var isSkipping = false

  init(host: String, app: String, maxLine: Int) { (self.host, self.app, self.maxLine) = (host, app, maxLine) }

  /// What is held of the client; at most a line and what one reading brought.
  var heldBytes: Int { buffer.count + taken.count + answers.count }

  /// `now`: µs since 2000, for lines without a time.
  mutating func received(_ bytes: ArraySlice<UInt8>, _ completer: inout LineCompleter, at now: Int64) {
    buffer += bytes
    var start = 0
    while let end = buffer[start...].firstIndex(of: 0x0a) {
      if isSkipping { isSkipping = false } else { line(buffer[start..<end], &completer, now) }
      start = end + 1
    }
    buffer.removeFirst(start)
    if isSkipping {
      buffer = []
    } else if buffer.count > maxLine {
      // Refused as soon as that is certain; its rest is dropped as it comes.
      refuse("the line is longer than \(maxLine) bytes")
      (buffer, isSkipping) = ([], true)
    }
  }
  /// The client sends no more: what it left without a newline is a line, too.
  mutating func ended(_ completer: inout LineCompleter, at now: Int64) {
    if !isSkipping && !buffer.isEmpty { line(buffer[...], &completer, now) }
    buffer = []
  }
  /// The spool has the lines.
  mutating func handedOver() { (taken, takenCount) = ([], 0) }
  /// This many lines are on disk, or refused.
  mutating func stored(_ lines: Int64) { if wantsAnswers { answers += Array("{\"ack\":\(lines)}\n".utf8) } }

  private mutating func line(_ bytes: ArraySlice<UInt8>, _ completer: inout LineCompleter, _ now: Int64) {
    if bytes.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }) { return }
    if bytes.count > maxLine { return refuse("the line is longer than \(maxLine) bytes") }
    if bytes.count < 1024, let request = LocalRequest(line: bytes) {
      switch request {
      case .ping(let number): answers += Array("{\"pong\":\(number)}\n".utf8)
      case .hello(let app, let wants):
        if let app { self.app = app }
        wantsAnswers = wants
        answers += Array("{\"welcome\":{\"host\":\(jsonText(host)),\"max_line\":\(maxLine)}}\n".utf8)
      }
      return
    }
    do throws(LineFault) {
      taken += try completer.complete(bytes, LineDefaults(time: now, host: host, app: app))
      takenCount += 1
      lines += 1
    } catch {
      refuse((error.field.map { $0.text + ": " } ?? "") + error.kind.reason)
    }
  }
  private mutating func refuse(_ reason: String) {
    refused += 1
    lines += 1
    lastRefusal = reason
    if wantsAnswers {
      answers += Array("{\"reject\":{\"line\":\(lines),\"reason\":\(jsonText(reason))}}\n".utf8)
    }
  }
}
