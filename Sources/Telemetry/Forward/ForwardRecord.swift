// A record of the Forward protocol, a map of anything, as a record of ours: a log line, or what its `type` names.

/// Members of a map in their order; each is asked for once, what nobody asked for becomes attributes.
struct RecordMembers {
  /// Longest message that is kept.
  static let mostMessageBytes = 65_536

  private var members: [(key: String, value: MessagePackValue)?] = []

  mutating func append(_ key: String, _ value: MessagePackValue) { members.append((key, value)) }

  /// Takes the first member of one of these names (in lower case; in the order given) that `read` can read.
  mutating func take<Value>(_ names: [String], _ read: (MessagePackValue) -> Value?) -> Value? {
    for name in names {
      for index in members.indices {
        guard let member = members[index], RecordMembers.equals(member.key, name), let value = read(member.value)
        else { continue }
        members[index] = nil
        return value
      }
    }
    return nil
  }
  /// As `take`, and leaves it where it is.
  func look<Value>(_ name: String, _ read: (MessagePackValue) -> Value?) -> Value? {
    var copy = self
    return copy.take([name], read)
  }
  /// What was not taken.
  var rest: JSONObject? {
    var object = JSONObject()
    for case let (key, value)? in members { value.add(key, to: &object) }
    return object.isEmpty ? nil : object
  }
  var isEmpty: Bool { members.allSatisfy { $0 == nil } }
  mutating func removeNulls() {
    for index in members.indices where members[index]?.value == .null { members[index] = nil }
  }

  /// ASCII letters of either case: journald's fields are in capitals.
  private static func equals(_ key: String, _ lowerCase: String) -> Bool {
    key.utf8.count == lowerCase.utf8.count
      && zip(key.utf8, lowerCase.utf8).allSatisfy { ($0 >= 0x41 && $0 <= 0x5a ? $0 | 0x20 : $0) == $1 }
  }
}

extension MessagePackValue {
  var asText: String? { if case .text(let text) = self { text } else { nil } }
  var asWhole: Int64? { if case .whole(let value) = self { value } else { nil } }
  var asCount: Int64? { asWhole.flatMap { $0 >= 0 ? $0 : nil } }
  var asObject: JSONObject? { if case .object(let object) = self { object } else { nil } }
  var asDouble: Double? {
    switch self {
    case .whole(let value): Double(value)
    case .double(let value): value.isFinite ? value : nil
    case .null, .bool, .text, .object, .list: nil
    }
  }
  /// A text that can be a name of ours.
  var asName: String? {
    guard let text = asText, (1...200).contains(text.utf8.count), text.utf8.allSatisfy({ $0 >= 0x20 }) else {
      return nil
    }
    return text
  }
  /// RFC 5424's number, or a name of it that loggers use.
  var asSeverity: Int? {
    switch self {
    case .whole(let value): return (0...7).contains(value) ? Int(value) : nil
    case .text(let text): return severity(named: text)
    case .null, .bool, .double, .object, .list: return nil
    }
  }
  /// 32 hexadecimal digits.
  var asTrace: TraceID? {
    guard let text = asText, text.utf8.count == 32, let high = hexadecimal(text.utf8.prefix(16)),
      let low = hexadecimal(text.utf8.suffix(16))
    else { return nil }
    return TraceID(high: high, low: low)
  }
  /// 16 hexadecimal digits.
  var asSpan: UInt64? {
    guard let text = asText, text.utf8.count == 16 else { return nil }
    return hexadecimal(text.utf8.prefix(16))
  }
}

private func hexadecimal(_ digits: some Sequence<UInt8>) -> UInt64? {
  var value: UInt64 = 0
  for digit in digits {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(digit - 48)
    case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt64(digit - 87)
    case UInt8(ascii: "A")...UInt8(ascii: "F"): value = value << 4 | UInt64(digit - 55)
    default: return nil
    }
  }
  return value
}

/// What loggers write for RFC 5424's severities: its names, their short forms, those of other libraries, a digit.
func severity(named name: String) -> Int? {
  guard name.utf8.count <= 16 else { return nil }
  switch name.lowercased() {
  case "0", "emerg", "emergency", "panic": return 0
  case "1", "alert": return 1
  case "2", "crit", "critical", "fatal": return 2
  case "3", "err", "error", "severe": return 3
  case "4", "warn", "warning": return 4
  case "5", "notice": return 5
  case "6", "info", "informational", "information": return 6
  case "7", "debug", "trace", "verbose", "fine", "finer", "finest": return 7
  default: return nil
  }
}

/// What a record without names of its own goes by.
struct ForwardOrigin: Equatable {
  var tag: String
  /// The client's name or address.
  var host: String
}

extension Record {
  /// A map of the Forward protocol. `metadata` is what Fluent Bit keeps beside a record.
  static func fromForward(
    _ given: RecordMembers, time: Int64, metadata: JSONObject?, origin: ForwardOrigin
  ) -> Record {
    if let native = NativeForm.record(given, time: time, origin: origin) { return native }
    var members = given
    let message = members.take(["message", "log", "msg"], \.asText)
    let severity = members.take(["level", "severity", "priority"], \.asSeverity)
    let host = members.take(["host", "hostname", "_hostname"], \.asName)
    let app = members.take(["app", "service"], \.asName)
    // A message of nothing would say nothing: what it is about stands in for it.
    var log = Log(severity: severity ?? 6, message: message ?? origin.tag)
    log.trace = members.take(["trace_id", "trace"], \.asTrace)
    log.span = members.take(["span_id", "span"], \.asSpan)
    var attributes = members.rest ?? JSONObject()
    if let metadata { attributes.add("metadata", metadata) }
    log.message = trimmed(log.message, &attributes)
    log.attributes = attributes.isEmpty ? nil : attributes
    return Record(time: time, host: host ?? origin.host, app: app ?? name(origin.tag), .log(log))
  }

  /// Without the line end that containers' logs keep, without zero characters, and cut where it is too long.
  private static func trimmed(_ message: String, _ attributes: inout JSONObject) -> String {
    var bytes = Array(message.utf8)
    while let last = bytes.last, last == 0x0a || last == 0x0d { bytes.removeLast() }
    if bytes.count > RecordMembers.mostMessageBytes {
      attributes.add("cut", Int64(bytes.count))
      bytes = Array(cut(bytes, RecordMembers.mostMessageBytes))
    }
    if !bytes.contains(0) { return String(decoding: bytes, as: UTF8.self) }
    return String(decoding: bytes.flatMap { $0 == 0 ? [0xef, 0xbf, 0xbd] : [$0] }, as: UTF8.self)
  }

  /// A text as a name: cut, and without control characters.
  static func name(_ text: String, orElse other: String = "forward") -> String {
    let bytes = cut(text.utf8.filter { $0 >= 0x20 }, 200)
    return bytes.isEmpty ? other : String(decoding: bytes, as: UTF8.self)
  }
  /// The first bytes of UTF-8 that are no more than `most`, and not half a character.
  private static func cut(_ bytes: [UInt8], _ most: Int) -> ArraySlice<UInt8> {
    guard bytes.count > most else { return bytes[...] }
    var end = most
    while end > 0, bytes[end] & 0xc0 == 0x80 { end -= 1 }
    return bytes[..<end]
  }
}
