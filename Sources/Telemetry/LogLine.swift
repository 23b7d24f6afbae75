// What a line of a log says beside its words: when, how bad, and of which trace; in plain text and in JSON.

/// A log line read.
public struct LogLine: Equatable, Sendable {
  /// µs since 2000-01-01 UTC; nil when the line doesn't say.
  public var time: Int64?
  /// RFC 5424; nil when the line doesn't say.
  public var severity: Int?
  public var message: String
  public var trace: TraceID?
  public var span: UInt64?
  /// What else a JSON line holds.
  public var attributes = JSONObject()

  /// A message that says nothing beside itself.
  public init(message: String) { self.message = message }

  /// Plain text: a time at the beginning, a severity near it. The message stays whole. `zone` and `now` as in
  /// `scanLogTime`.
  public init(text line: ArraySlice<UInt8>, zone: Int, now: Int64) {
    message = logText(line)
    var s = ByteScanner(line)
    if s.next == UInt8(ascii: "<"), let (priority, end) = Self.priority(s) {
      severity = priority & 7
      s.go(to: end)
    }
    s.skipBlanks()
    _ = s.take(UInt8(ascii: "["))
    time = scanLogTime(&s, zone: zone, now: now)
    if severity == nil { severity = logSeverity(line[s.at..<min(line.endIndex, s.at + 160)]) }
  }
  private static func priority(_ scanner: ByteScanner) -> (Int, Int)? {
    var s = scanner
    s.skip()
    guard s.next != 0x20, s.next != 0x09, let number = s.number(), number <= 191, s.take(UInt8(ascii: ">")) else {
      return nil
    }
    return (Int(number), s.at)
  }

  /// One JSON object: the usual names of its members mean what they say, the others become attributes. Nil when it is
  /// no such object, or has no message.
  public init?(json line: ArraySlice<UInt8>, zone: Int, now: Int64) {
    guard let members = jsonMembers(line) else { return nil }
    message = ""
    var hasMessage = false
    for (name, value) in members {
      switch (name, value) {
      case ("message", .text(let text)), ("msg", .text(let text)), ("MESSAGE", .text(let text)),
        ("event", .text(let text)):
        if hasMessage {
          attributes.add(name, text)
        } else {
          (message, hasMessage) = (text, true)
        }
      case ("time", _), ("ts", _), ("timestamp", _), ("@timestamp", _), ("t", _), ("datetime", _):
        if time == nil { time = Self.time(value, zone, now) }
      case ("level", _), ("severity", _), ("lvl", _), ("loglevel", _), ("log.level", _), ("levelname", _):
        if severity == nil { severity = Self.severity(value) }
      case ("trace_id", .text(let text)), ("traceId", .text(let text)), ("trace.id", .text(let text)),
        ("traceID", .text(let text)):
        trace = Self.traceID(text)
        if trace == nil { attributes.add(name, text) }
      case ("span_id", .text(let text)), ("spanId", .text(let text)), ("span.id", .text(let text)),
        ("spanID", .text(let text)):
        span = text.utf8.count == 16 ? Self.hexadecimal(text[...]) : nil
        if span == 0 { span = nil }
        if span == nil { attributes.add(name, text) }
      case (_, .text(let text)): attributes.add(name, text)
      case (_, .other(let json)): attributes.add(name, checked: json)
      }
    }
    if !hasMessage { return nil }
  }
  private static func time(_ value: JSONMember, _ zone: Int, _ now: Int64) -> Int64? {
    let bytes: [UInt8]
    switch value {
    case .text(let text): bytes = Array(text.utf8)
    case .other(let json): bytes = json
    }
    var s = ByteScanner(bytes)
    return scanLogTime(&s, zone: zone, now: now)
  }
  private static func severity(_ value: JSONMember) -> Int? {
    switch value {
    case .text(let text): return severityOfWord(Array(text.utf8)[...])
    case .other(let json):
      var s = ByteScanner(json)
      guard let number = s.number(), s.isAtEnd else { return nil }
      // 0 to 7 as syslog; 10 to 60 as bunyan and pino count.
      switch number {
      case 0...7: return Int(number)
      case 10...20: return 7
      case 30: return 6
      case 40: return 4
      case 50: return 3
      case 60: return 2
      default: return nil
      }
    }
  }
  private static func traceID(_ text: String) -> TraceID? {
    guard text.utf8.count == 32, let high = hexadecimal(text.prefix(16)), let low = hexadecimal(text.suffix(16)),
      high != 0 || low != 0
    else { return nil }
    return TraceID(high: high, low: low)
  }
  /// Digits only: `UInt64` takes a sign as well.
  private static func hexadecimal(_ text: Substring) -> UInt64? {
    text.utf8.first == UInt8(ascii: "+") ? nil : UInt64(text, radix: 16)
  }
}

/// Text of a log: U+FFFD for what is no UTF-8 and for zero bytes.
public func logText(_ bytes: ArraySlice<UInt8>) -> String {
  if !bytes.contains(0) { return String(decoding: bytes, as: UTF8.self) }
  var clean: [UInt8] = []
  for byte in bytes { if byte == 0 { clean += [0xef, 0xbf, 0xbd] } else { clean.append(byte) } }
  return String(decoding: clean, as: UTF8.self)
}

/// The severity that the beginning of a message names: a word in capitals, in brackets, behind `level=`, or before a
/// colon. A word in the middle of a sentence is none.
public func logSeverity(_ bytes: ArraySlice<UInt8>) -> Int? {
  func isLetter(_ byte: UInt8) -> Bool { byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z") }
  var at = bytes.startIndex
  while at < bytes.endIndex {
    guard isLetter(bytes[at]) else {
      at += 1
      continue
    }
    let start = at
    while at < bytes.endIndex, isLetter(bytes[at]) { at += 1 }
    let word = bytes[start..<at]
    guard let severity = severityOfWord(word) else { continue }
    let before = start > bytes.startIndex ? bytes[start - 1] : 0x20
    let after = at < bytes.endIndex ? bytes[at] : 0x20
    let isBounded =
      !(before &- 48 < 10) && !(after &- 48 < 10) && before != UInt8(ascii: "_") && after != UInt8(ascii: "_")
    let isCapital = word.allSatisfy { $0 < UInt8(ascii: "a") }
    let isMarked = "[<(|=\"".utf8.contains(before) || after == UInt8(ascii: ":") || after == UInt8(ascii: "]")
    if isBounded && (isCapital || isMarked) { return severity }
  }
  return nil
}

/// RFC 5424's number of a word for it, in any case.
public func severityOfWord(_ word: ArraySlice<UInt8>) -> Int? {
  guard word.count >= 3, word.count <= 13 else { return nil }
  switch String(decoding: word.map { $0 >= 65 && $0 <= 90 ? $0 | 0x20 : $0 }, as: UTF8.self) {
  case "emerg", "emergency", "panic": return 0
  case "alert": return 1
  case "crit", "critical", "fatal": return 2
  case "err", "error", "severe": return 3
  case "warn", "warning": return 4
  case "notice": return 5
  case "info", "information", "informational": return 6
  case "debug", "trace", "verbose", "fine": return 7
  default: return nil
  }
}

/// A member's value: a text, or the JSON of anything else.
public enum JSONMember: Equatable, Sendable { case text(String), other([UInt8]) }

/// The members of a JSON object, of at most `limit` of them; nil when the line is none, or holds what jsonb refuses.
public func jsonMembers(_ line: ArraySlice<UInt8>, limit: Int = 256) -> [(name: String, value: JSONMember)]? {
  guard line.first(where: { $0 > 0x20 }) == UInt8(ascii: "{") else { return nil }
  let padded = Array(line) + Array(repeating: 0x0a, count: padding)
  // Sound: bytes of UInt8 have no padding.
  let bytes = unsafe padded.span.bytes
  var members: [(name: String, value: JSONMember)] = []
  var at = 0
  do throws(FaultKind) {
    skipBlanks(bytes, &at)
    var end = at
    try skipObject(bytes, &end)
    var behind = end
    skipBlanks(bytes, &behind)
    guard behind == line.count else { return nil }
    var scratch = ScratchText(capacity: end - at)
    at += 1
    while members.count < limit {
      skipBlanks(bytes, &at)
      if take(UInt8(ascii: "}"), bytes, &at) { return members }
      if take(UInt8(ascii: ","), bytes, &at) { continue }
      _ = take(UInt8(ascii: "\""), bytes, &at)
      let name = memberText(padded, try scanText(bytes, &at, &scratch), scratch)
      scratch.count = 0
      skipBlanks(bytes, &at)
      _ = take(UInt8(ascii: ":"), bytes, &at)
      skipBlanks(bytes, &at)
      if take(UInt8(ascii: "\""), bytes, &at) {
        members.append((name, .text(memberText(padded, try scanText(bytes, &at, &scratch), scratch))))
        scratch.count = 0
      } else {
        let start = at
        try skipValue(bytes, &at)
        members.append((name, .other(Array(padded[start..<at]))))
      }
    }
    return members
  } catch {
    return nil
  }
}
private func memberText(_ bytes: [UInt8], _ extent: Extent, _ scratch: borrowing ScratchText) -> String {
  extent.start >= 0
    ? String(decoding: bytes[extent.start..<extent.start + extent.count], as: UTF8.self)
    : String(decoding: scratch.bytes[~extent.start..<(~extent.start + extent.count)], as: UTF8.self)
}
