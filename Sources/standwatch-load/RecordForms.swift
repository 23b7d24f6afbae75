// Records as bytes made ahead: only the number and the time are filled in while sending.
import Platform

/// The types of records of the native protocol.
enum RecordType: String, CaseIterable { case queue, step, job, metric, log, event, process, web, span }

/// One record in pieces: `start`, then number, `middle`, time, `tail` (native), or time, `middle`, number, `tail`.
struct RecordForm {
  var start: [UInt8]
  var middle: [UInt8]
  var tail: [UInt8]
  var timeFirst = false

  /// Appends the whole record.
  func append(_ seq: Int64, _ timestamp: [UInt8], to bytes: inout [UInt8]) {
    bytes.append(contentsOf: start)
    if timeFirst {
      bytes.append(contentsOf: timestamp)
      bytes.append(contentsOf: middle)
      appendDigits(seq, from: 1_000_000_000_000, to: &bytes)
    } else {
      var divisor: Int64 = 1
      while seq / divisor >= 10 { divisor *= 10 }
      appendDigits(seq, from: divisor, to: &bytes)
      bytes.append(contentsOf: middle)
      bytes.append(contentsOf: timestamp)
    }
    bytes.append(contentsOf: tail)
  }
}

/// The forms that one source takes in turn: some of each type asked for, so that rows differ.
func recordForms(source number: Int, types: [RecordType]) -> [RecordForm] {
  let variants = 4
  return (0..<variants).flatMap { variant in
    types.map { type in
      let host = "load-host-\(number % 500)"
      let app = "LOAD-APP-\(number % 50)"
      let tail = #"","host":"\#(host)","app":"\#(app)",\#(fields(type, number, variant))}"# + "\n"
      return RecordForm(
        start: Array(#"{"seq":"#.utf8), middle: Array(#","type":"\#(type.rawValue)","ts":""#.utf8),
        tail: Array(tail.utf8))
    }
  }
}

private func fields(_ type: RecordType, _ number: Int, _ variant: Int) -> String {
  let size = 17 + (number * 31 + variant * 97) % 900
  return switch type {
  case .queue: #""queue":"in-\#(variant)","depth":\#(size),"capacity":1000,"enqueued":\#(size * 7)"#
  case .step: #""txn":"LOT-\#(number)-\#(size)","step":"move-\#(variant)","status":"ok","elapsed_us":\#(size * 11)"#
  case .job: #""job":"dispatch-\#(variant)","duration_us":\#(size * 13),"status":"ok","sql_us":\#(size)"#
  case .metric: #""name":"cpu.user.\#(variant)","value":\#(size).25,"labels":{"core":"\#(variant)"}"#
  case .log: #""severity":\#(variant + 3),"message":"worker \#(variant) finished its round of \#(size) lots""#
  case .event: #""kind":"deploy-\#(variant)","attrs":{"version":"1.\#(size)"}"#
  case .process:
    #""process":"worker-\#(variant)","state":"running","pid":\#(size),"up_ms":\#(size * 1000),"#
      + #""restarts":\#(variant),"cpu":\#(variant).5,"memory":\#(size * 65_536),"threads":\#(variant + 1)"#
  case .web:
    #""method":"GET","path":"/lots/\#(size)","code":\#(variant == 3 ? 503 : 200),"bytes":\#(size * 9),"#
      + #""duration_us":\#(size * 7),"client":"10.0.\#(number % 250).\#(variant)","session":"s-\#(number)","#
      + #""referrer":"/lots","agent":"standwatch-load""#
  case .span:
    #""trace":"\#(hexadecimal(number + 1))\#(hexadecimal(size))","span":"\#(hexadecimal(variant + 1))","#
      + #""name":"move-\#(variant)","kind":"server","duration_us":\#(size * 3),"status":"ok""#
  }
}

/// Sixteen digits.
private func hexadecimal(_ number: Int) -> String {
  let digits = String(number, radix: 16)
  return String(repeating: "0", count: max(16 - digits.count, 0)) + digits
}

/// Octet-counted RFC 5424 messages that begin with `standwatch-load RUN SOURCE NUMBER`: the number has always 13 digits,
/// so that the length is known ahead.
func syslogForms(source number: Int, run: String) -> [RecordForm] {
  (0..<4).map { variant in
    let start = "<\(128 + variant + 3)>1 "
    let middle = " load-host-\(number % 500) load-app-\(number % 50) - - - standwatch-load \(run) \(number) "
    let tail = " worker \(variant) finished its round"
    let length = start.utf8.count + timestampBytes().count + middle.utf8.count + 13 + tail.utf8.count
    return RecordForm(
      start: Array("\(length) \(start)".utf8), middle: Array(middle.utf8), tail: Array(tail.utf8), timeFirst: true)
  }
}

/// Appends decimal digits, the first of which counts `highest`.
private func appendDigits(_ number: Int64, from highest: Int64, to bytes: inout [UInt8]) {
  var divisor = highest
  var rest = number
  while divisor > 0 {
    bytes.append(UInt8(truncatingIfNeeded: 48 + rest / divisor))
    rest %= divisor
    divisor /= 10
  }
}

/// Now, in the time format of both protocols (always 24 bytes); made once a round.
func timestampBytes() -> [UInt8] { Array(rfc3339(wallMicroseconds: wallMicroseconds()).utf8) }
