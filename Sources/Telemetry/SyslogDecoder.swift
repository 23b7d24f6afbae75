// One syslog message to one row of the log table: RFC 5424, else RFC 3164, else plain text.
//
// The message is first copied to `work` as valid UTF-8 without zero bytes, cut at `maxMessage` and padded; everything
// after that is indices into this copy. Never refused unless empty: a header that can't be read belongs to the message.

/// Decodes messages of many senders, one at a time; owned by one thread.
public struct SyslogDecoder: ~Copyable {
  public var names: Names
  /// Messages with another time get the time of their arrival, and keep theirs as attribute `ts`.
  public var window: TimeWindow
  /// Of the zone in which RFC 3164 senders live, in seconds east of UTC.
  public var zoneOffsetSeconds = 0
  /// Bytes after which a message is cut.
  public let maxMessage: Int
  /// Messages taken, cut, and passed over because nothing was in them.
  public private(set) var taken = 0
  public private(set) var cut = 0
  public private(set) var empty = 0

  var work: ScratchText
  var json: ScratchText
  var times = TimeScanner()
  var pattern = LogPattern()

  public init(window: TimeWindow, maxMessage: Int = 32_768, namesLog2: Int = 16) {
    precondition(maxMessage >= 1024)
    (self.window, self.maxMessage) = (window, maxMessage)
    names = Names(capacityLog2: namesLog2)
    work = ScratchText(capacity: maxMessage + 8)
    // A byte becomes at most six (\u001f); keys and punctuation come on top, of at most as many.
    json = ScratchText(capacity: maxMessage * 12 + 1024)
  }

  /// What the header says; ranges are of `work`, empty where it says nothing.
  struct Header: Equatable {
    var priority = 13  // user.notice, RFC 3164, 4.3.3
    var time: Int64?
    var timeText = 0..<0
    var host = 0..<0
    var app = 0..<0
    var process = 0..<0
    var messageID = 0..<0
    var structuredData = 0..<0
    var message = 0..<0
  }

  /// Decodes `range` of `bytes`, of a message that has (or announced) `count` bytes.
  mutating func message(
    _ bytes: RawSpan, _ range: Range<Int>, _ count: Int, _ peer: String, _ now: Int64, _ batch: inout Batch
  ) {
    let used = sanitize(bytes, range)
    let isCut = used < count
    var end = work.count
    while end > 0, case let c = work.bytes[end - 1], c == 0x0a || c == 0x0d || c == 0x20 { end -= 1 }
    if end == 0 {
      empty += 1
      return
    }
    // Scanning functions end at a newline at the latest.
    for i in end..<end + padding { work.bytes[i] = 0x0a }
    var header = Header()
    var at = 0
    if let priority = scanPriority(&at, end) { header.priority = priority }
    if !scanRFC5424(&header, at, end) { scanRFC3164(&header, at, end, now) }
    add(header, isCut ? count : nil, peer, now, &batch)
    taken += 1
    if isCut { cut += 1 }
  }

  /// Copies to `work`, with U+FFFD for what is no UTF-8 and for zero bytes, and answers how many bytes it used.
  private mutating func sanitize(_ bytes: RawSpan, _ range: Range<Int>) -> Int {
    work.count = 0
    var at = range.lowerBound
    // Trailing zero bytes are some senders' line end.
    var end = range.upperBound
    while end > at, case let c = byte(bytes, end - 1), c == 0 || c == 0x0a || c == 0x0d { end -= 1 }
    while at < end && work.count < maxMessage {
      // A datagram has no padding behind it: its last bytes go one by one.
      if end - at >= 8 && work.count + 8 <= maxMessage {
        let next = word(bytes, at)
        let stops = zerosAndHighs(next)
        let plain = stops == 0 ? 8 : firstMark(stops)
        work.append(next, plain)
        at += plain
        if stops == 0 { continue }
      }
      let c = byte(bytes, at)
      if c < 0x80 {
        if c == 0 { work.append(scalar: 0xfffd) } else { work.append(c) }
        at += 1
        continue
      }
      let length = end - at >= 4 || end - at >= sequenceNeeds(c) ? sequenceLength(bytes, at) : 0
      if length == 0 {
        work.append(scalar: 0xfffd)
        at += 1
      } else {
        for i in at..<at + length { work.append(byte(bytes, i)) }
        at += length
      }
    }
    return at < end ? at - range.lowerBound : range.count
  }
  private func sequenceNeeds(_ lead: UInt8) -> Int { lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4 }

  /// `<0>` to `<191>`; nil leaves `at` where it was.
  private func scanPriority(_ at: inout Int, _ end: Int) -> Int? {
    guard work.bytes[0] == UInt8(ascii: "<") else { return nil }
    var i = 1
    var value = 0
    while i < 5, case let digit = work.bytes[i] &- 48, digit < 10 {
      value = value * 10 + Int(digit)
      i += 1
    }
    guard i > 1, i < 5, value <= 191, work.bytes[i] == UInt8(ascii: ">") else { return nil }
    at = i + 1
    return value
  }

  // MARK: the row

  private mutating func add(
    _ header: Header, _ cutFrom: Int?, _ peer: String, _ now: Int64, _ batch: inout Batch
  ) {
    var time = header.time ?? now
    let isOutside = time < window.from || time >= window.until
    if isOutside { time = now }
    buildAttributes(header, cutFrom: cutFrom, keepsTime: isOutside)
    let hostID = note(.host, header.host, orElse: peer, &batch)
    let appID = note(.app, header.app, orElse: "syslog", &batch)
    let severity = Int16(header.priority & 7)
    let message = header.message
    let copy = work.bytes
    // Sound: bytes of UInt8 have no padding.
    let patternID = unsafe pattern.note(copy.span.bytes, message.lowerBound, message.count, &names, &batch)
    // Sound: bytes of UInt8 have no padding.
    let text = unsafe work.bytes.span.bytes.extracting(message)
    let attributes = unsafe json.bytes.span.bytes.extracting(0..<json.count)
    let isFailure = severity <= Int16(failureSeverity)
    batch.add(.log, stream: Batch.noStream, seq: 0, isFailure: isFailure) { row in
      row.reserve(224 + text.byteCount + attributes.byteCount)
      row.putColumnCount(Table.log.columnCount)
      row.put(time)
      row.put(appID)
      row.put(hostID)
      row.putNull()
      row.putNull()
      row.put(severity)
      row.put(text)
      row.putJSON(attributes)
      row.putNull()
      row.putNull()
      row.put(patternID)
    }
  }

  /// The id of a name; what is no name goes by another.
  private mutating func note(
    _ kind: NameKind, _ range: Range<Int>, orElse other: String, _ batch: inout Batch
  ) -> Int64 {
    if !range.isEmpty && range.count <= 200 && !range.contains(where: { work.bytes[$0].isControl }) {
      let copy = work.bytes
      // Sound: bytes of UInt8 have no padding.
      let bytes = unsafe copy.span.bytes
      let id = NameHash.id(bytes, range.lowerBound, range.count)
      switch names.note(kind, id, bytes, range.lowerBound, range.count) {
      case .known: return id
      case .new:
        batch.addName(kind, id, bytes.extracting(range))
        return id
      case .refused: return noteOdd(kind, range.lowerBound..<range.lowerBound, orElse: "?", &batch)
      case .collision: break
      }
    }
    return noteOdd(kind, range, orElse: other, &batch)
  }
  /// A name cut at 200 bytes, without control characters; a name whose id is taken by another goes by "?".
  @inline(never) private mutating func noteOdd(
    _ kind: NameKind, _ range: Range<Int>, orElse other: String, _ batch: inout Batch
  ) -> Int64 {
    var name = Array(work.bytes[range].prefix(200))
    // Not in the middle of a character.
    if range.count > 200 && work.bytes[range.lowerBound + 200] & 0xc0 == 0x80 {
      while let last = name.last, last >= 0x80 {
        name.removeLast()
        if last >= 0xc0 { break }
      }
    }
    name = name.filter { !$0.isControl }
    if name.isEmpty { name = Array(other.utf8.prefix(200)) }
    for candidate in [name, [UInt8(ascii: "?")]] where !candidate.isEmpty {
      let id = NameHash.id(of: candidate)
      let padded = candidate + Array(repeating: 0, count: 8)
      // Sound: bytes of UInt8 have no padding.
      let bytes = unsafe padded.span.bytes
      switch names.note(kind, id, bytes, 0, candidate.count) {
      case .known: return id
      case .new:
        batch.addName(kind, id, bytes.extracting(0..<candidate.count))
        return id
      case .collision, .refused: continue
      }
    }
    return NameHash.id(of: [UInt8(ascii: "?")])
  }
}
