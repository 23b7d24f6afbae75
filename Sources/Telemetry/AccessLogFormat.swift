// The template of an access log, nginx's `log_format` or Apache's `LogFormat`, compiled to the parts of its lines.

/// Why a template can't be read lines with; a sentence for the operator.
public struct AccessLogFormatError: Error, Equatable, Sendable {
  public var problem: String
}

/// Reads lines of one template: `parse`.
public struct AccessLogFormat: Equatable, Sendable {
  enum Part: Equatable { case literal([UInt8]), field(Field) }
  /// What a field means. A unit is in microseconds.
  enum Field: Equatable {
    case ignored
    case localTime
    case isoTime
    case epoch(Int64)
    case request
    case method
    case target
    case query
    case status
    case bytes
    case duration(Int64)
    case client
    case cookie
    case referrer
    case agent
    case attribute(String)
  }
  let parts: [Part]
  /// Queries can hold secrets: they are dropped unless they are asked for (attribute `query`).
  public var keepsQuery = false

  /// `common` or `combined`, as both servers write them.
  public static let common = #"%h %l %u %t "%r" %>s %b"#
  public static let combined = common + #" "%{Referer}i" "%{User-Agent}i""#

  /// `template` as it stands in the server's configuration: with `$` it is nginx's, otherwise Apache's.
  public init(_ template: String) throws(AccessLogFormatError) {
    let text: String
    switch template {
    case "common": text = Self.common
    case "combined": text = Self.combined
    default: text = template
    }
    guard text.utf8.count <= 4096 else { throw AccessLogFormatError(problem: "is longer than 4096 bytes") }
    let bytes = Array(text.utf8)
    let isNginx = zip(bytes, bytes.dropFirst()).contains {
      $0 == UInt8(ascii: "$") && (Self.isName($1) || $1 == UInt8(ascii: "{"))
    }
    let found = try isNginx ? Self.nginx(bytes) : Self.apache(bytes)
    parts = try Self.checked(found)
  }

  private static func checked(_ found: [Part]) throws(AccessLogFormatError) -> [Part] {
    var parts: [Part] = []
    for part in found {
      switch (parts.last, part) {
      case (.literal(let left), .literal(let right)): parts[parts.count - 1] = .literal(left + right)
      case (.field, .field):
        throw AccessLogFormatError(problem: "has two fields with nothing between them: no line could be taken apart")
      default: parts.append(part)
      }
    }
    guard parts.count <= 129 else { throw AccessLogFormatError(problem: "has more than 64 fields") }
    let fields = parts.compactMap { if case .field(let field) = $0 { field } else { nil } }
    guard fields.contains(.status) else {
      throw AccessLogFormatError(problem: "has no status ($status, %>s)")
    }
    guard fields.contains(.request) || fields.contains(.target) else {
      throw AccessLogFormatError(problem: "has neither request nor path ($request, $uri, %r, %U)")
    }
    return parts
  }

  private static func isName(_ byte: UInt8) -> Bool {
    byte | 0x20 >= UInt8(ascii: "a") && byte | 0x20 <= UInt8(ascii: "z") || byte == UInt8(ascii: "_")
  }

  // MARK: nginx

  private static func nginx(_ bytes: [UInt8]) throws(AccessLogFormatError) -> [Part] {
    var parts: [Part] = []
    var at = 0
    while at < bytes.count {
      guard bytes[at] == UInt8(ascii: "$") else {
        parts.append(.literal([bytes[at]]))
        at += 1
        continue
      }
      at += 1
      let isBraced = at < bytes.count && bytes[at] == UInt8(ascii: "{")
      if isBraced { at += 1 }
      let start = at
      while at < bytes.count, isName(bytes[at]) || bytes[at] &- 48 < 10 { at += 1 }
      let name = String(decoding: bytes[start..<at], as: UTF8.self)
      guard !name.isEmpty else { throw AccessLogFormatError(problem: "has a $ without a name behind it") }
      if isBraced {
        guard at < bytes.count, bytes[at] == UInt8(ascii: "}") else {
          throw AccessLogFormatError(problem: "has \"${\(name)\" without its brace")
        }
        at += 1
      }
      parts.append(.field(nginxField(name)))
    }
    return parts
  }
  private static func nginxField(_ name: String) -> Field {
    switch name {
    case "time_local": .localTime
    case "time_iso8601": .isoTime
    case "msec": .epoch(1_000_000)
    case "request": .request
    case "request_method": .method
    case "request_uri", "uri", "document_uri": .target
    case "args", "query_string": .query
    case "status": .status
    case "body_bytes_sent", "bytes_sent": .bytes
    case "request_time": .duration(1_000_000)
    case "remote_addr": .client
    case "http_referer": .referrer
    case "http_user_agent": .agent
    case "remote_user": .attribute("user")
    case "host", "http_host", "server_name": .attribute("server")
    case _ where name.hasPrefix("cookie_"): .cookie
    default: .attribute(name)
    }
  }

  // MARK: Apache

  private static func apache(_ bytes: [UInt8]) throws(AccessLogFormatError) -> [Part] {
    var parts: [Part] = []
    var at = 0
    while at < bytes.count {
      if bytes[at] == UInt8(ascii: "\\"), at + 1 < bytes.count {
        // As they stand in a LogFormat directive.
        parts.append(.literal([bytes[at + 1] == UInt8(ascii: "t") ? 9 : bytes[at + 1]]))
        at += 2
        continue
      }
      guard bytes[at] == UInt8(ascii: "%") else {
        parts.append(.literal([bytes[at]]))
        at += 1
        continue
      }
      at += 1
      if at < bytes.count, bytes[at] == UInt8(ascii: "%") {
        parts.append(.literal([bytes[at]]))
        at += 1
        continue
      }
      parts += try apacheDirective(bytes, &at)
    }
    return parts
  }
  /// `[!][200,304][<>][{name}]letter` behind its percent sign.
  private static func apacheDirective(_ bytes: [UInt8], _ at: inout Int) throws(AccessLogFormatError) -> [Part] {
    while at < bytes.count, bytes[at] &- 48 < 10 || "!,<>".utf8.contains(bytes[at]) { at += 1 }
    var name = ""
    if at < bytes.count, bytes[at] == UInt8(ascii: "{") {
      guard let close = bytes[at...].firstIndex(of: UInt8(ascii: "}")) else {
        throw AccessLogFormatError(problem: "has a \"%{\" without its brace")
      }
      name = String(decoding: bytes[(at + 1)..<close], as: UTF8.self)
      at = close + 1
    }
    guard at < bytes.count else { throw AccessLogFormatError(problem: "ends behind a %") }
    let letter = Character(UnicodeScalar(bytes[at]))
    at += 1
    // %^FU, %^FB
    if letter == "^" { throw AccessLogFormatError(problem: "has a %^ directive, which is not known") }
    if letter == "t" && name.isEmpty { return [.literal([0x5b]), .field(.localTime), .literal([0x5d])] }
    guard let field = apacheField(letter, name) else {
      let written = name.isEmpty ? "%\(letter)" : "%{\(name)}\(letter)"
      throw AccessLogFormatError(problem: "has \"\(written)\", which is not known")
    }
    return [.field(field)]
  }
  private static func apacheField(_ letter: Character, _ name: String) -> Field? {
    switch (letter, name.lowercased()) {
    case ("h", _), ("a", _): .client
    case ("l", _): .ignored
    case ("u", _): .attribute("user")
    case ("r", _): .request
    case ("m", _): .method
    case ("U", _): .target
    case ("q", _): .query
    case ("s", _): .status
    case ("b", _), ("B", _), ("O", _): .bytes
    case ("D", _), ("T", "us"): .duration(1)
    case ("T", "ms"): .duration(1000)
    case ("T", ""), ("T", "s"): .duration(1_000_000)
    case ("t", "sec"): .epoch(1_000_000)
    case ("t", "msec"): .epoch(1000)
    case ("t", "usec"): .epoch(1)
    case ("t", _): nil
    case ("v", _), ("V", _), ("i", "host"): .attribute("server")
    case ("i", "referer"): .referrer
    case ("i", "user-agent"): .agent
    case ("C", _): name.isEmpty ? nil : .cookie
    case ("i", _), ("o", _), ("e", _), ("n", _), ("x", _): name.isEmpty ? nil : .attribute(name)
    case ("p", _): .attribute("port")
    case ("P", _): .attribute("pid")
    case ("H", _): .attribute("protocol")
    case ("I", _): .attribute("received")
    case ("S", _): .attribute("transferred")
    case ("X", _): .attribute("connection")
    case ("k", _): .attribute("keepalive")
    case ("L", _): .attribute("log_id")
    case ("A", _): .attribute("address")
    case ("f", _): .attribute("file")
    case ("R", _): .attribute("handler")
    default: nil
    }
  }
}
