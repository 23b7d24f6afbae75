// What of a syslog header has no column: facility, process, message id, structured data, as the jsonb of attrs.
//
//   {"facility":"auth","process":"1234","msgid":"ID47","sd":{"origin@32473":{"ip":"10.0.0.1"}},"cut_from":70000}

private let facilities: [StaticString] = [
  "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp", "audit",
  "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
]

extension SyslogDecoder {
  /// Writes the attributes of a message to `json`. `cutFrom` is the length a cut message had.
  mutating func buildAttributes(_ header: Header, cutFrom: Int?, keepsTime: Bool) {
    json.count = 0
    append("{\"facility\":\"")
    append(facilities[header.priority >> 3])
    append("\"")
    appendMember("process", header.process)
    appendMember("msgid", header.messageID)
    if keepsTime { appendMember("ts", header.timeText) }
    if let cutFrom {
      append(",\"cut_from\":")
      for digit in String(cutFrom).utf8 { json.append(digit) }
    }
    if !header.structuredData.isEmpty { appendStructuredData(header.structuredData) }
    append("}")
  }

  private mutating func appendMember(_ name: StaticString, _ value: Range<Int>) {
    if value.isEmpty { return }
    append(",\"")
    append(name)
    append("\":\"")
    for i in value { appendEscaped(work.bytes[i]) }
    append("\"")
  }

  /// `[id name="value" ...]...`, known to have its brackets and quotes closed.
  private mutating func appendStructuredData(_ range: Range<Int>) {
    append(",\"sd\":{")
    var at = range.lowerBound
    var isFirst = true
    while at < range.upperBound {
      at += 1
      append(isFirst ? "\"" : ",\"")
      isFirst = false
      at = appendName(at)
      append("\":{")
      var isFirstParameter = true
      while work.bytes[at] != UInt8(ascii: "]") {
        if work.bytes[at] <= UInt8(ascii: " ") {
          at += 1
          continue
        }
        append(isFirstParameter ? "\"" : ",\"")
        isFirstParameter = false
        at = appendName(at)
        append("\":\"")
        if work.bytes[at] == UInt8(ascii: "=") { at += 1 }
        at = appendQuoted(at)
        append("\"")
      }
      append("}")
      at += 1
    }
    append("}")
  }
  /// A name up to `=`, a blank, a quote or the bracket; answers the index behind it.
  private mutating func appendName(_ start: Int) -> Int {
    var at = start
    while case let c = work.bytes[at], c > UInt8(ascii: " "), c != UInt8(ascii: "="), c != UInt8(ascii: "]"),
      c != UInt8(ascii: "\"")
    {
      appendEscaped(c)
      at += 1
    }
    return at
  }
  /// A quoted value, where `\"`, `\\` and `\]` stand for the second character (RFC 5424, 6.3.3).
  private mutating func appendQuoted(_ start: Int) -> Int {
    guard work.bytes[start] == UInt8(ascii: "\"") else { return start }
    var at = start + 1
    while case let c = work.bytes[at], c != UInt8(ascii: "\"") {
      if c == UInt8(ascii: "\\"), case let next = work.bytes[at + 1],
        next == UInt8(ascii: "\"") || next == UInt8(ascii: "\\") || next == UInt8(ascii: "]")
      {
        appendEscaped(next)
        at += 2
      } else {
        appendEscaped(c)
        at += 1
      }
    }
    return at + 1
  }

  private mutating func append(_ text: StaticString) {
    // Sound: `i` is below the literal's own length.
    for i in 0..<text.utf8CodeUnitCount { unsafe json.append(text.utf8Start[i]) }
  }
  /// One byte of a JSON string; the bytes are valid UTF-8 already.
  private mutating func appendEscaped(_ byte: UInt8) {
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"):
      json.append(UInt8(ascii: "\\"))
      json.append(byte)
    case ..<0x20:
      append("\\u00")
      json.append(byte < 16 ? 48 : 49)
      let low = byte & 15
      json.append(low < 10 ? 48 + low : 87 + low)
    default: json.append(byte)
    }
  }
}
