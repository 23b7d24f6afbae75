// An entry of systemd's journal, as `journalctl --output=json` writes it (one object a line).

/// Fields: systemd.journal-fields(7); their form: https://systemd.io/JOURNAL_EXPORT_FORMATS
public struct JournalEntry: Equatable, Sendable {
  /// Names this entry for ever; at most 900 bytes.
  public var cursor: String
  /// When the journal got it: µs since 1970.
  public var realtime: Int64
  public var severity = 6
  public var message = ""
  /// Who wrote it: its identifier, program or unit.
  public var app = "journal"
  public var attributes = JSONObject()

  /// Fields that are asked for; the others would only be thrown away.
  public static let fields = [
    "MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "SYSLOG_FACILITY", "_SYSTEMD_UNIT", "_SYSTEMD_USER_UNIT", "_PID",
    "_UID", "_COMM", "_TRANSPORT", "CONTAINER_NAME", "MESSAGE_ID",
  ]

  /// Nil when the line is no entry.
  public init?(_ line: ArraySlice<UInt8>) {
    guard let members = jsonMembers(line) else { return nil }
    var texts: [String: String] = [:]
    for (name, value) in members { texts[name] = JournalEntry.text(value) }
    guard let cursor = texts["__CURSOR"], (1...900).contains(cursor.utf8.count),
      let realtime = texts["__REALTIME_TIMESTAMP"].flatMap({ Int64($0) }), realtime >= 0
    else { return nil }
    (self.cursor, self.realtime) = (cursor, realtime)
    if let priority = texts["PRIORITY"].flatMap({ Int($0) }), (0...7).contains(priority) { severity = priority }
    message = texts["MESSAGE"] ?? ""
    let unit = texts["_SYSTEMD_UNIT"] ?? texts["_SYSTEMD_USER_UNIT"]
    for candidate in [texts["SYSLOG_IDENTIFIER"], texts["_COMM"], unit] {
      guard let candidate, let name = JournalEntry.name(candidate) else { continue }
      app = name
      break
    }
    let wanted = [
      ("unit", unit), ("pid", texts["_PID"]), ("uid", texts["_UID"]), ("command", texts["_COMM"]),
      ("facility", texts["SYSLOG_FACILITY"]), ("transport", texts["_TRANSPORT"]),
      ("container", texts["CONTAINER_NAME"]), ("message_id", texts["MESSAGE_ID"]),
    ]
    for (name, value) in wanted { if let value, value.utf8.count <= 500 { attributes.add(name, value) } }
  }

  /// A field can be a text, bytes that are no text, or several of both, of which the first one counts.
  private static func text(_ value: JSONMember) -> String? {
    switch value {
    case .text(let text): return text
    case .other(let json):
      guard json.first == UInt8(ascii: "["), json.count > 1 else { return nil }
      if json[1] == UInt8(ascii: "\"") || json[1] == UInt8(ascii: "[") {
        let wrapped = Array("{\"a\":".utf8) + first(json) + [UInt8(ascii: "}")]
        guard let member = jsonMembers(wrapped[...])?.first?.value else { return nil }
        if case .text(let text) = member { return text }
        if case .other(let inner) = member, inner.count < json.count { return text(member) }
        return nil
      }
      var bytes: [UInt8] = []
      var s = ByteScanner(json)
      _ = s.take(UInt8(ascii: "["))
      while let number = s.number() {
        guard number < 256 else { return nil }
        bytes.append(UInt8(number))
        s.skipBlanks()
        if !s.take(UInt8(ascii: ",")) { break }
      }
      return logText(bytes[...])
    }
  }
  /// The first element of an array of texts or arrays, which is known to be valid JSON.
  private static func first(_ json: [UInt8]) -> [UInt8] {
    let isText = json[1] == UInt8(ascii: "\"")
    var at = 2
    while at < json.count {
      if isText && json[at] == UInt8(ascii: "\\") {
        at += 2
        continue
      }
      if json[at] == UInt8(ascii: isText ? "\"" : "]") { return Array(json[1...at]) }
      at += 1
    }
    return []
  }
  private static func name(_ text: String) -> String? {
    let clean = text.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7f }
    var name = String(String.UnicodeScalarView(clean))
    while name.utf8.count > 200 { name.removeLast() }
    return name.isEmpty ? nil : name
  }
}
