// The two headers of syslog: RFC 5424, and what RFC 3164 found in use.

private let space = UInt8(ascii: " ")

extension SyslogDecoder {
  /// `1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA [MSG]` behind the priority; false if it is none.
  mutating func scanRFC5424(_ header: inout Header, _ start: Int, _ end: Int) -> Bool {
    guard work.bytes[start] == UInt8(ascii: "1"), work.bytes[start + 1] == space else { return false }
    var found = header
    var at = start + 2
    guard let time = token(&at, end), let host = token(&at, end), let app = token(&at, end),
      let process = token(&at, end), let messageID = token(&at, end)
    else { return false }
    if !isNil(time) {
      guard let value = scanTime(time) else { return false }
      (found.time, found.timeText) = (value, time)
    }
    found.host = isNil(host) ? 0..<0 : host
    found.app = isNil(app) ? 0..<0 : app
    found.process = isNil(process) ? 0..<0 : process
    found.messageID = isNil(messageID) ? 0..<0 : messageID
    let data = at
    guard skipStructuredData(&at, end) else { return false }
    if work.bytes[data] == UInt8(ascii: "[") { found.structuredData = data..<at }
    if at < end && work.bytes[at] == space { at += 1 }
    // RFC 5424, 6.4: a byte order mark says that the message is UTF-8, and is no part of it.
    if end - at >= 3, work.bytes[at] == 0xef, work.bytes[at + 1] == 0xbb, work.bytes[at + 2] == 0xbf { at += 3 }
    found.message = min(at, end)..<end
    header = found
    return true
  }

  /// `[id name="value" ...]...` or `-`; false if it is neither.
  private func skipStructuredData(_ at: inout Int, _ end: Int) -> Bool {
    if work.bytes[at] == UInt8(ascii: "-") {
      at += 1
      return at == end || work.bytes[at] == space
    }
    guard work.bytes[at] == UInt8(ascii: "[") else { return false }
    while at < end && work.bytes[at] == UInt8(ascii: "[") {
      var isQuoted = false
      at += 1
      while at < end {
        let c = work.bytes[at]
        if isQuoted && c == UInt8(ascii: "\\") { at += 1 }
        if c == UInt8(ascii: "\"") { isQuoted.toggle() }
        if c == UInt8(ascii: "]") && !isQuoted { break }
        at += 1
      }
      if at >= end { return false }
      at += 1
    }
    return at == end || work.bytes[at] == space
  }

  /// `[TIMESTAMP] [HOSTNAME] [TAG[PID]:] MSG` behind the priority; what is missing stays empty.
  mutating func scanRFC3164(_ header: inout Header, _ start: Int, _ end: Int, _ now: Int64) {
    var at = start
    skipSpaces(&at, end)
    let begin = at
    if let time = scanOldTime(&at, end, now) {
      (header.time, header.timeText) = (time, begin..<at)
    } else {
      var after = begin
      if let first = token(&after, end), let time = scanTime(first) {
        (header.time, header.timeText) = (time, first)
        at = after
      }
    }
    skipSpaces(&at, end)
    // Some implementations leave the host out; a tag shows itself by its colon or its process id.
    if header.time != nil && !scanTag(&header, &at, end) {
      var after = at
      if let host = token(&after, end), after < end, isHost(host) {
        header.host = host
        at = after
        skipSpaces(&at, end)
        _ = scanTag(&header, &at, end)
      }
    } else if header.time == nil {
      _ = scanTag(&header, &at, end)
    }
    header.message = at..<end
  }

  /// `tag:`, `tag[pid]:` or `tag[pid]`, of at most 64 bytes; goes behind it and its blank.
  private func scanTag(_ header: inout Header, _ at: inout Int, _ end: Int) -> Bool {
    var i = at
    while i < end, i - at <= 64, case let c = work.bytes[i], c > space, c != UInt8(ascii: ":"), c != UInt8(ascii: "[") {
      i += 1
    }
    guard i > at, i - at <= 64, i < end else { return false }
    let tag = at..<i
    if work.bytes[i] == UInt8(ascii: "[") {
      let first = i + 1
      while i < end, i - first < 64, case let c = work.bytes[i], c > space, c != UInt8(ascii: "]") { i += 1 }
      guard i < end, work.bytes[i] == UInt8(ascii: "]") else { return false }
      header.process = first..<i
      i += 1
      if i < end && work.bytes[i] == UInt8(ascii: ":") { i += 1 }
    } else if work.bytes[i] == UInt8(ascii: ":"), i + 1 == end || work.bytes[i + 1] <= space {
      i += 1
    } else {
      return false
    }
    header.app = tag
    if i < end && work.bytes[i] == space { i += 1 }
    at = i
    return true
  }

  /// `Mmm dd hh:mm:ss` with an optional year behind the day; the year nearest to `now` where it is left out.
  private func scanOldTime(_ at: inout Int, _ end: Int, _ now: Int64) -> Int64? {
    guard end - at >= 15, let month = scanMonth(at), work.bytes[at + 3] == space else { return nil }
    var i = at + 4
    skipSpaces(&i, end)
    guard let day = scanDigits(&i, 1...2), day >= 1, work.bytes[i] == space else { return nil }
    i += 1
    var written: Int?
    if end - i > 5, work.bytes[i + 4] == space, let year = scanDigits(&i, 4...4) {
      written = year
      i += 1
    }
    guard let hour = scanDigits(&i, 2...2), hour < 24, work.bytes[i] == UInt8(ascii: ":") else { return nil }
    i += 1
    guard let minute = scanDigits(&i, 2...2), minute < 60, work.bytes[i] == UInt8(ascii: ":") else { return nil }
    i += 1
    guard let second = scanDigits(&i, 2...2), second <= 60 else { return nil }
    var micro: Int64 = 0
    if work.bytes[i] == UInt8(ascii: ".") {
      var scale: Int64 = 100_000
      i += 1
      while case let digit = work.bytes[i] &- 48, digit < 10 {
        micro += Int64(digit) * scale
        scale /= 10
        i += 1
      }
    }
    guard i >= end || work.bytes[i] == space || work.bytes[i] == UInt8(ascii: ":") else { return nil }
    if i < end && work.bytes[i] == UInt8(ascii: ":") { i += 1 }
    let today = Int(now.dividedFloor(by: 86_400_000_000))
    let thisYear = date(daysSince2000: max(today, -730_000)).year
    var best: Int64?
    for year in (written ?? thisYear - 1)...(written ?? thisYear + 1) {
      guard year >= 1, day <= daysIn(month: month, of: year) else { continue }
      let seconds = ((daysSince2000(year, month, day) * 24 + hour) * 60 + minute) * 60 + second - zoneOffsetSeconds
      let time = Int64(seconds) * 1_000_000 + micro
      if let other = best, distance(other, now) <= distance(time, now) { continue }
      best = time
    }
    if best != nil { at = min(i, end) }
    return best
  }
  private func distance(_ a: Int64, _ b: Int64) -> UInt64 { (a < b ? b &- a : a &- b).magnitude }

  private func scanMonth(_ at: Int) -> Int? {
    let name = (work.bytes[at] | 0x20, work.bytes[at + 1] | 0x20, work.bytes[at + 2] | 0x20)
    switch UInt64(name.0) | UInt64(name.1) << 8 | UInt64(name.2) << 16 {
    case key("jan"): return 1
    case key("feb"): return 2
    case key("mar"): return 3
    case key("apr"): return 4
    case key("may"): return 5
    case key("jun"): return 6
    case key("jul"): return 7
    case key("aug"): return 8
    case key("sep"): return 9
    case key("oct"): return 10
    case key("nov"): return 11
    case key("dec"): return 12
    default: return nil
    }
  }
  private func scanDigits(_ at: inout Int, _ counts: ClosedRange<Int>) -> Int? {
    var value = 0
    var count = 0
    while count < counts.upperBound, case let digit = work.bytes[at + count] &- 48, digit < 10 {
      value = value * 10 + Int(digit)
      count += 1
    }
    guard counts.contains(count) else { return nil }
    at += count
    return value
  }
  /// RFC 3339, all of the token.
  private mutating func scanTime(_ token: Range<Int>) -> Int64? {
    guard token.count >= 20, token.count <= 40 else { return nil }
    var at = token.lowerBound
    let copy = work.bytes
    // Sound: bytes of UInt8 have no padding.
    let bytes = unsafe copy.span.bytes
    // No time is an answer here: the token then belongs to the message.
    guard let time = try? times.scan(bytes, &at), at == token.upperBound else { return nil }
    return time
  }

  /// Bytes up to the next blank, and that blank; nil if there are none.
  private func token(_ at: inout Int, _ end: Int) -> Range<Int>? {
    var i = at
    while i < end && work.bytes[i] > space { i += 1 }
    guard i > at else { return nil }
    let token = at..<i
    at = i < end && work.bytes[i] == space ? i + 1 : i
    return token
  }
  private func isNil(_ token: Range<Int>) -> Bool {
    token.count == 1 && work.bytes[token.lowerBound] == UInt8(ascii: "-")
  }
  private func isHost(_ token: Range<Int>) -> Bool {
    token.count <= 255
      && work.bytes[token].allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
          UInt8(ascii: ":"):
          true
        default: false
        }
      }
  }
  private func skipSpaces(_ at: inout Int, _ end: Int) {
    while at < end && work.bytes[at] == space { at += 1 }
  }
}

extension Int64 {
  /// Rounds towards minus infinity; `divisor` is positive.
  fileprivate func dividedFloor(by divisor: Int64) -> Int64 {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? quotient - 1 : quotient
  }
}
