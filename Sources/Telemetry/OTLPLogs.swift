// LogRecords of OTLP to `log` records.

extension OTLPDecoder {
  private static let ours = ["resource", "scope", "severity_text", "event_name", "dropped_attributes", "cut_from"]

  mutating func decodeLog(_ range: Range<Int>) throws(OTLPFault) {
    beginItem()
    let log: (body: Record.Log, time: UInt64)
    do throws(WireFault) { log = try readLog(range) } catch { throw .wire(error) }
    try add(
      .log(log.body), nanoseconds: log.time, size: log.body.message.utf8.count + (log.body.attributes?.count ?? 0))
  }

  private func readLog(_ range: Range<Int>) throws(WireFault) -> (body: Record.Log, time: UInt64) {
    var cursor = WireCursor(range)
    var log = Record.Log(severity: 6, message: "")
    var attributes = JSONObject()
    var (time, observed): (UInt64, UInt64) = (0, 0)
    var body = OTLPValue.none
    var event = ""
    while let field = try cursor.next(in: bytes) {
      switch (field.number, field.value) {
      case (1, .fixed64(let number)): time = number
      case (11, .fixed64(let number)): observed = number
      case (2, .varint): log.severity = OTLPDecoder.severity(field.int32 ?? 0)
      case (3, .bytes(let range)) where !range.isEmpty: attributes.add("severity_text", try text(range))
      case (5, .bytes(let range)): body = try value(range)
      case (6, .bytes(let range)): try add(member: range, to: &attributes, ours: OTLPDecoder.ours)
      case (7, .varint(let number)) where number != 0:
        attributes.add("dropped_attributes", Int64(UInt32(truncatingIfNeeded: number)))
      case (9, .bytes(let range)): log.trace = trace(range)
      case (10, .bytes(let range)): log.span = span(range)
      case (12, .bytes(let range)): event = try text(range)
      default: break
      }
    }
    // A span belongs to a trace.
    if log.trace == nil { log.span = nil }
    log.message = try plainText(body)
    if !event.isEmpty {
      attributes.add("event_name", event)
      if body == .none { log.message = event }
    }
    if log.message.utf8.count > limits.messageBytes {
      attributes.add("cut_from", Int64(log.message.utf8.count))
      log.message = OTLPDecoder.cut(log.message, at: limits.messageBytes)
    }
    if !resource.attributes.isEmpty { attributes.add("resource", resource.attributes) }
    if !scope.isEmpty { attributes.add("scope", scope) }
    log.attributes = attributes.isEmpty ? nil : attributes
    return (log, time != 0 ? time : observed)
  }

  /// The table by which the logs data model (appendix B) reads syslog, backwards: 1 to 24 becomes 7 to 0. Records
  /// without a severity, or with one that nobody knows, are informational.
  static func severity(_ number: Int32) -> Int {
    switch number {
    case 1...8: 7
    case 10...12: 5
    case 13...16: 4
    case 17: 3
    case 18: 2
    case 19...20: 1
    case 21...24: 0
    default: 6
    }
  }

  /// The longest beginning of whole characters that has at most `most` bytes.
  static func cut(_ text: String, at most: Int) -> String {
    var end = text.utf8.index(text.startIndex, offsetBy: most, limitedBy: text.endIndex) ?? text.endIndex
    while end > text.startIndex, end.samePosition(in: text.unicodeScalars) == nil { end = text.utf8.index(before: end) }
    return String(text[..<end])
  }
}
