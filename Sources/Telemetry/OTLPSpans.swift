// Spans of OTLP to `span` records; their events and links become attributes.

extension OTLPDecoder {
  private static let ours = [
    "resource", "scope", "name", "status_message", "trace_state", "events", "links", "dropped_attributes",
    "dropped_events", "dropped_links", "ended_before_start_us",
  ]

  mutating func decodeSpan(_ range: Range<Int>) throws(OTLPFault) {
    beginItem()
    let span: (body: Record.Span, time: UInt64)?
    do throws(WireFault) { span = try readSpan(range) } catch { throw .wire(error) }
    guard let span else {
      try refuse("a span has no valid trace id (16 bytes, not all 0) or no valid span id (8 bytes, not all 0)", range)
      return
    }
    try add(
      .span(span.body), nanoseconds: span.time, size: span.body.name.utf8.count + (span.body.attributes?.count ?? 0))
  }

  /// Nil without identifiers.
  private func readSpan(_ range: Range<Int>) throws(WireFault) -> (body: Record.Span, time: UInt64)? {
    var attributes = JSONObject()
    var (trace, id): (TraceID?, UInt64?) = (nil, nil)
    var body = Record.Span(
      trace: TraceID(high: 0, low: 0), span: 0, name: "", durationMicroseconds: 0, status: "unset")
    var (start, end): (UInt64, UInt64) = (0, 0)
    var (events, links, statuses): ([Range<Int>], [Range<Int>], [Range<Int>]) = ([], [], [])
    var cursor = WireCursor(range)
    while let field = try cursor.next(in: bytes) {
      switch (field.number, field.value) {
      case (1, .bytes(let range)): trace = self.trace(range)
      case (2, .bytes(let range)): id = span(range)
      case (3, .bytes(let range)) where !range.isEmpty: attributes.add("trace_state", try text(range))
      case (4, .bytes(let range)): body.parent = span(range)
      case (5, .bytes(let range)): body.name = try text(range)
      case (6, .varint): body.kind = Record.Span.Kind(rawValue: Int16(clamping: field.int32 ?? 0)) ?? .unspecified
      case (7, .fixed64(let number)): start = number
      case (8, .fixed64(let number)): end = number
      case (9, .bytes(let range)): try add(member: range, to: &attributes, ours: OTLPDecoder.ours)
      case (10, .varint(let number)): addDropped("dropped_attributes", number, to: &attributes)
      case (11, .bytes(let range)): events.append(range)
      case (12, .varint(let number)): addDropped("dropped_events", number, to: &attributes)
      case (13, .bytes(let range)): links.append(range)
      case (14, .varint(let number)): addDropped("dropped_links", number, to: &attributes)
      case (15, .bytes(let range)): statuses.append(range)
      default: break
      }
    }
    for status in statuses { try readStatus(status, &body, &attributes) }
    try addEvents(events, start: start, to: &attributes)
    try addLinks(links, to: &attributes)
    guard let trace, let id else { return nil }
    (body.trace, body.span) = (trace, id)
    setDuration(start, end, &body, &attributes)
    let name = OTLPDecoder.name(body.name)
    if name != body.name { attributes.add("name", body.name) }
    body.name = name.isEmpty ? "unnamed" : name
    if !resource.attributes.isEmpty { attributes.add("resource", resource.attributes) }
    if !scope.isEmpty { attributes.add("scope", scope) }
    body.attributes = attributes.isEmpty ? nil : attributes
    return (body, start != 0 ? start : end)
  }

  private func readStatus(
    _ range: Range<Int>, _ body: inout Record.Span, _ attributes: inout JSONObject
  ) throws(WireFault) {
    var cursor = WireCursor(range)
    while let field = try cursor.next(in: bytes) {
      switch (field.number, field.value) {
      case (2, .bytes(let range)) where !range.isEmpty: attributes.add("status_message", try text(range))
      case (3, .varint): body.status = field.int32 == 1 ? "ok" : field.int32 == 2 ? "error" : "unset"
      default: break
      }
    }
  }

  /// A span that has not ended lasted no time; one whose clock went backwards as well, and says so.
  private func setDuration(_ start: UInt64, _ end: UInt64, _ body: inout Record.Span, _ attributes: inout JSONObject) {
    if start == 0 || end == 0 { return }
    if end >= start {
      body.durationMicroseconds = Int64((end - start) / 1000)
    } else {
      attributes.add("ended_before_start_us", Int64((start - end) / 1000))
    }
  }

  private func addDropped(_ key: String, _ number: UInt64, to attributes: inout JSONObject) {
    if number != 0 { attributes.add(key, Int64(UInt32(truncatingIfNeeded: number))) }
  }

  /// `"events":[{"name":"retry","after_us":120,"attributes":{...}}]`: `after_us` counts from the span's start.
  private func addEvents(_ events: [Range<Int>], start: UInt64, to attributes: inout JSONObject) throws(WireFault) {
    if events.isEmpty { return }
    var out: [UInt8] = []
    for range in events {
      var event = JSONObject()
      var members = JSONObject()
      var cursor = WireCursor(range)
      while let field = try cursor.next(in: bytes) {
        switch (field.number, field.value) {
        case (1, .fixed64(let time)):
          event.add("after_us", OTLPDecoder.microseconds(time) - OTLPDecoder.microseconds(start))
        case (2, .bytes(let range)): event.add("name", try text(range))
        case (3, .bytes(let range)): try add(member: range, to: &members)
        default: break
        }
      }
      if !members.isEmpty { event.add("attributes", members) }
      out += [out.isEmpty ? UInt8(ascii: "[") : UInt8(ascii: ",")] + event.bytes
    }
    attributes.add("events", checked: out + [UInt8(ascii: "]")])
  }

  /// `"links":[{"trace":"32 digits","span":"16 digits","attributes":{...}}]`
  private func addLinks(_ links: [Range<Int>], to attributes: inout JSONObject) throws(WireFault) {
    if links.isEmpty { return }
    var out: [UInt8] = []
    for range in links {
      var link = JSONObject()
      var members = JSONObject()
      var cursor = WireCursor(range)
      while let field = try cursor.next(in: bytes) {
        switch (field.number, field.value) {
        case (1, .bytes(let range)):
          if let id = trace(range) { link.add("trace", OTLPDecoder.hex(id.high) + OTLPDecoder.hex(id.low)) }
        case (2, .bytes(let range)):
          if let id = span(range) { link.add("span", OTLPDecoder.hex(id)) }
        case (4, .bytes(let range)): try add(member: range, to: &members)
        default: break
        }
      }
      if !members.isEmpty { link.add("attributes", members) }
      out += [out.isEmpty ? UInt8(ascii: "[") : UInt8(ascii: ",")] + link.bytes
    }
    attributes.add("links", checked: out + [UInt8(ascii: "]")])
  }
}
