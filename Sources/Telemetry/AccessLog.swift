// A line of a web server's access log to a web record, by the template that the server writes it with.

/// What a line said.
public struct AccessLogEntry: Equatable, Sendable {
  /// µs since 2000-01-01 UTC; nil when the template has no time.
  public var time: Int64?
  public var web: Record.Web
}

/// Why a line is none of its template's.
public enum AccessLogFault: Error, Equatable, Sendable {
  /// Longer than `AccessLogFormat.greatestLine`.
  case tooLong
  /// The text between two fields is not there.
  case mismatch
  /// More behind the last field.
  case trailing
  case badTime
  case badStatus
  case badNumber
}

extension AccessLogFormat {
  public static let greatestLine = 65_536
  private static let greatestAttributes = 32

  /// Reads one line, without its newline. `now` is only used for the session's day where the line has no time.
  public func parse(_ line: ArraySlice<UInt8>, now: Int64) throws(AccessLogFault) -> AccessLogEntry {
    guard line.count <= Self.greatestLine else { throw .tooLong }
    var found = Found()
    var at = line.startIndex
    for (index, part) in parts.enumerated() {
      switch part {
      case .literal(let literal):
        guard line[at...].starts(with: literal) else { throw .mismatch }
        at += literal.count
      case .field(let field):
        let stop = try end(of: index, line, at)
        try found.take(field, line[at..<stop])
        at = stop
      }
    }
    guard at == line.endIndex else { throw .trailing }
    return try found.entry(now: now, keepsQuery: keepsQuery)
  }

  /// A field ends where the text behind it begins; in quotes, a quote behind a backslash belongs to the field.
  private func end(of index: Int, _ line: ArraySlice<UInt8>, _ start: Int) throws(AccessLogFault) -> Int {
    guard index + 1 < parts.count, case .literal(let literal) = parts[index + 1], let first = literal.first else {
      return line.endIndex
    }
    let isQuoted = first == UInt8(ascii: "\"")
    var at = start
    while at < line.endIndex {
      if isQuoted && line[at] == UInt8(ascii: "\\") {
        at += 2
        continue
      }
      if line[at] == first && line[at...].starts(with: literal) {
        // nginx writes the values of several upstreams as `0.001, 0.002`.
        if first != 0x20 || at == start || line[at - 1] != UInt8(ascii: ",") { return at }
      }
      at += 1
    }
    throw .mismatch
  }

  /// What the fields said so far.
  private struct Found {
    var time: Int64?
    var method: String?
    var target: String?
    var query: String?
    var code: Int?
    var bytes: Int64?
    var duration: Int64?
    var client: String?
    var session: String?
    var referrer: String?
    var agent: String?
    var attributes = JSONObject()
    var attributeCount = 0

    mutating func take(_ field: Field, _ value: ArraySlice<UInt8>) throws(AccessLogFault) {
      let isAbsent = value.isEmpty || value.elementsEqual([UInt8(ascii: "-")])
      var scanner = ByteScanner(value)
      switch field {
      case .ignored: break
      case .localTime: time = try wholeTime(&scanner) { scanCommonLogTime(&$0) }
      case .isoTime: time = try wholeTime(&scanner) { scanLogTime(&$0, zone: 0, now: 0) }
      case .epoch(let unit): time = try epoch(&scanner, unit)
      case .request: takeRequest(value)
      case .method: method = Self.text(value, limit: 20)
      case .target: target = Self.text(value, limit: 4096)
      case .query: query = isAbsent ? nil : Self.text(value.first == UInt8(ascii: "?") ? value.dropFirst() : value)
      case .status:
        guard value.count == 3, let number = scanner.number(), number >= 100, number <= 599 else { throw .badStatus }
        code = Int(number)
      case .bytes: bytes = isAbsent ? 0 : try whole(&scanner)
      case .duration(let unit): duration = isAbsent ? nil : try microseconds(&scanner, unit)
      case .client: client = isAbsent ? nil : Self.text(value, limit: 255)
      case .cookie: session = isAbsent ? nil : Self.text(value, limit: 200)
      case .referrer: referrer = isAbsent ? nil : Self.text(value, limit: 2048)
      case .agent: agent = isAbsent ? nil : Self.text(value, limit: 1024)
      case .attribute(let name):
        guard !isAbsent, attributeCount < greatestAttributes else { return }
        attributes.add(name, Self.text(value, limit: 1024))
        attributeCount += 1
      }
    }

    /// `GET /path?query HTTP/1.1`; what is no such line (a TLS hello on the plain port) stays as an attribute.
    private mutating func takeRequest(_ value: ArraySlice<UInt8>) {
      guard let first = value.firstIndex(of: 0x20), first > value.startIndex, first - value.startIndex <= 20,
        value[..<first].allSatisfy({ $0 >= 65 && $0 <= 90 || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") })
      else {
        (method, target) = ("-", "-")
        if !value.isEmpty && !value.elementsEqual([UInt8(ascii: "-")]) {
          attributes.add("request", Self.text(value, limit: 200))
        }
        return
      }
      var stop = value.endIndex
      if let last = value.lastIndex(of: 0x20), last > first, value[(last + 1)...].starts(with: Array("HTTP/".utf8)) {
        stop = last
      }
      method = Self.text(value[..<first], limit: 20)
      target = Self.text(value[min(first + 1, stop)..<stop], limit: 4096)
    }

    func entry(now: Int64, keepsQuery: Bool) throws(AccessLogFault) -> AccessLogEntry {
      guard let code else { throw .badStatus }
      let whole = target ?? "-"
      let mark = whole.utf8.firstIndex(of: UInt8(ascii: "?"))
      let path = mark.map { String(whole[..<$0]) } ?? whole
      var web = Record.Web(method: method ?? "-", path: path.isEmpty ? "-" : path, code: code)
      (web.bytes, web.durationMicroseconds, web.client) = (bytes, duration, client)
      (web.referrer, web.agent) = (referrer, agent)
      var attributes = attributes
      if keepsQuery, let query = query ?? mark.map({ String(whole[$0...].dropFirst()) }), !query.isEmpty {
        attributes.add("query", query)
      }
      web.attributes = attributes.isEmpty ? nil : attributes
      web.session = session ?? client.map { AccessLogFormat.session(time ?? now, $0, agent ?? "") }
      return AccessLogEntry(time: time, web: web)
    }

    private func wholeTime(
      _ scanner: inout ByteScanner, _ scan: (inout ByteScanner) -> Int64?
    ) throws(AccessLogFault) -> Int64 {
      guard let time = scan(&scanner), scanner.isAtEnd else { throw .badTime }
      return time
    }
    private func epoch(_ scanner: inout ByteScanner, _ unit: Int64) throws(AccessLogFault) -> Int64 {
      guard let value = try? microseconds(&scanner, unit) else { throw .badTime }  // any fault is a bad time
      let (time, overflow) = value.subtractingReportingOverflow(946_684_800_000_000)
      guard !overflow else { throw .badTime }
      return time
    }
    private func whole(_ scanner: inout ByteScanner) throws(AccessLogFault) -> Int64 {
      guard let number = scanner.number(), scanner.isAtEnd, let value = Int64(exactly: number) else {
        throw .badNumber
      }
      return value
    }
    /// A decimal of `unit` microseconds.
    private func microseconds(_ scanner: inout ByteScanner, _ unit: Int64) throws(AccessLogFault) -> Int64 {
      guard let number = scanner.number(), let value = Int64(exactly: number) else { throw .badNumber }
      let (product, overflow) = value.multipliedReportingOverflow(by: unit)
      var micros: Int64 = 0
      if scanner.take(UInt8(ascii: ".")) { micros = scanner.fraction() * unit / 1_000_000_000 }
      let (sum, over) = product.addingReportingOverflow(micros)
      guard !overflow, !over, scanner.isAtEnd else { throw .badNumber }
      return sum
    }

    /// Without the escapes that servers write for quotes and bytes above 0x7f (`\"`, `\xc3`, `\u00e9` of JSON); those
    /// of control characters stay.
    static func text(_ value: ArraySlice<UInt8>, limit: Int = 4096) -> String {
      var plain: [UInt8] = []
      var at = value.startIndex
      while at < value.endIndex && plain.count < limit {
        let byte = value[at]
        at += 1
        if byte == UInt8(ascii: "\\"), at < value.endIndex {
          let next = value[at]
          if next == UInt8(ascii: "\"") || next == UInt8(ascii: "\\") || next == UInt8(ascii: "/") {
            plain.append(next)
            at += 1
            continue
          }
          if next == UInt8(ascii: "x"), at + 3 <= value.endIndex, let high = hex(value[at + 1]),
            let low = hex(value[at + 2]), case let code = high << 4 | low, !code.isControl
          {
            plain.append(code)
            at += 3
            continue
          }
        }
        if byte.isControl { plain += [0xef, 0xbf, 0xbd] } else { plain.append(byte) }
      }
      // A character that the limit cut goes as a whole.
      if at < value.endIndex {
        while let last = plain.last, last & 0xc0 == 0x80 { plain.removeLast() }
        if let last = plain.last, last >= 0xc0 { plain.removeLast() }
      }
      return String(decoding: plain, as: UTF8.self)
    }
    private static func hex(_ digit: UInt8) -> UInt8? {
      switch digit {
      case 48...57: digit - 48
      case 65...70: digit - 55
      case 97...102: digit - 87
      default: nil
      }
    }
  }

  /// One visitor on one day (UTC): 16 hexadecimal digits of client, user agent and day.
  static func session(_ time: Int64, _ client: String, _ agent: String) -> String {
    let (quotient, remainder) = time.quotientAndRemainder(dividingBy: 86_400_000_000)
    let day = remainder < 0 ? quotient - 1 : quotient
    let digits = String(NameHash.id(of: Array("\(day)\n\(client)\n\(agent)".utf8)), radix: 16)
    return String(repeating: "0", count: max(0, 16 - digits.count)) + digits
  }
}
