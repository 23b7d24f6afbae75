// Section `follow` of agent.json5: log files, the journal and access logs.
internal import Configuration
internal import Platform
public import Telemetry

public struct FollowSettings: Sendable, Equatable {
  public var files: [FollowSource] = []
  /// Nil: the journal is not read.
  public var journal: JournalSettings?
}

/// Files that are followed as one kind of log.
public struct FollowSource: Sendable, Equatable {
  public enum Format: Sendable, Equatable {
    /// Only the message; the severity is the default one.
    case plain
    /// With the time and the severity that the line begins with.
    case text
    case json
    case access(AccessLogFormat)
  }
  public enum Zone: Sendable, Equatable { case local, fixed(Int) }
  /// Absolute paths; `*`, `?` and `[...]` in any of their names.
  public var paths: [String]
  public var exclude = ["*.gz", "*.xz", "*.bz2", "*.zst", "*.zip"]
  public var app: String
  /// Another than the agent's.
  public var host: String?
  public var format = Format.text
  /// Of lines that name none.
  public var severity = 6
  /// Of times without one.
  public var zone = Zone.local
  /// What is there when the agent follows these files for the first time is read, too.
  public var readsFromBeginning = false
  public var start: String?
  public var continues: String?
  public var flushMilliseconds: Int64 = 1000
  /// Bytes after which a line is cut.
  public var maxLine = 16_384
  public init(paths: [String], app: String) { (self.paths, self.app) = (paths, app) }
}

public struct JournalSettings: Sendable, Equatable {
  /// Only entries of these units; empty for all.
  public var units: [String] = []
  /// Least urgent severity that is taken.
  public var severity = 7
  /// Folder of the journal's files; nil for the system's own.
  public var folder: String?
  /// What is there at the first start is read, too.
  public var readsFromBeginning = false
  /// Program that reads the journal; nil for systemd's own in the usual folders.
  public var program: String?
}

extension FollowSettings {
  static let greatestSources = 100

  init(_ root: inout ConfigurationSection) throws(ConfigurationError) {
    var section = try root.section("follow")
    for (index, value) in (try section.list("files") ?? []).enumerated() {
      var source = try ConfigurationSection(value, file: section.file, path: section.name("files") + "[\(index)]")
      files.append(try FollowSource(&source))
      try source.finish()
    }
    guard files.count <= Self.greatestSources else {
      throw section.error("files", "has more than \(Self.greatestSources) entries", "Join some with patterns")
    }
    switch section.value("journal") {
    case nil, .null, .boolean(false): break
    case .boolean(true): journal = JournalSettings()
    default: journal = try JournalSettings(&section)
    }
    try section.finish()
  }
}

extension FollowSource {
  init(_ section: inout ConfigurationSection) throws(ConfigurationError) {
    guard let paths = try section.texts("paths"), (1...100).contains(paths.count) else {
      throw section.error("paths", "needs 1 to 100 paths", "Write [\"/var/log/app/*.log\"]")
    }
    for path in paths where !path.hasPrefix("/") || path.utf8.count > 1000 || path.utf8.contains(0) {
      throw section.error("paths", "\"\(path)\" is not an absolute path", "Begin it with /")
    }
    guard let app = try AgentSettings.name(&section, "app") else {
      throw section.error("app", "is missing", "Add app: \"shop\"")
    }
    self.init(paths: paths, app: app)
    exclude = try section.texts("exclude") ?? exclude
    host = try AgentSettings.name(&section, "host")
    format = try Self.format(&section)
    severity = try Self.severity(&section, default: severity)
    zone = try Self.zone(&section)
    switch try section.textIfAny("from") {
    case nil, "end": readsFromBeginning = false
    case "beginning": readsFromBeginning = true
    case let other?: throw section.error("from", "\"\(other)\" is neither end nor beginning", "The default is \"end\"")
    }
    maxLine = try section.integer("maxLine", in: 256...32_768, default: maxLine)
    var joined = try section.section("multiline")
    start = try Self.pattern(&joined, "start")
    continues = try Self.pattern(&joined, "continues")
    flushMilliseconds = Int64(
      try joined.integer("flushMilliseconds", in: 100...60_000, default: Int(flushMilliseconds)))
    if start != nil && continues != nil {
      throw joined.error("continues", "is there beside start", "Write one of the two")
    }
    try joined.finish()
  }

  private static func format(_ section: inout ConfigurationSection) throws(ConfigurationError) -> Format {
    let template = try section.textIfAny("template")
    let keepsQuery = try section.boolean("keepQuery", default: false)
    let name = try section.textIfAny("format") ?? "text"
    switch name {
    case "plain", "text", "json":
      if template != nil {
        throw section.error("template", "is only for format: \"access\"", "Remove it, or name that format")
      }
      return name == "plain" ? .plain : name == "json" ? .json : .text
    case "access", "common", "combined":
      do throws(AccessLogFormatError) {
        var format = try AccessLogFormat(template ?? (name == "access" ? "combined" : name))
        format.keepsQuery = keepsQuery
        return .access(format)
      } catch {
        throw section.error("template", error.problem, "Copy it from the server's log_format or LogFormat")
      }
    default:
      throw section.error(
        "format", "\"\(name)\" is none of plain, text, json, access, common, combined", "The default is \"text\"")
    }
  }
  static func severity(
    _ section: inout ConfigurationSection, default standard: Int
  ) throws(ConfigurationError) -> Int {
    guard let word = try section.textIfAny("severity") else { return standard }
    guard let severity = severityOfWord(Array(word.utf8)[...]) else {
      throw section.error(
        "severity", "\"\(word)\" is no severity", "One of emerg, alert, crit, err, warning, notice, info, debug")
    }
    return severity
  }
  private static func zone(_ section: inout ConfigurationSection) throws(ConfigurationError) -> Zone {
    switch try section.textIfAny("zone") {
    case nil, "local": return .local
    case "UTC": return .fixed(0)
    case let text?:
      let bytes = Array(text.utf8)
      var s = ByteScanner(bytes)
      let sign = s.next
      s.skip()
      guard bytes.count == 6, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-"), let hours = s.digits(2),
        hours < 24,
        s.take(UInt8(ascii: ":")), let minutes = s.digits(2), minutes < 60
      else { throw section.error("zone", "\"\(text)\" is no zone", "Write \"local\", \"UTC\" or \"+09:00\"") }
      return .fixed((hours * 60 + minutes) * (sign == UInt8(ascii: "-") ? -60 : 60))
    }
  }
  private static func pattern(
    _ section: inout ConfigurationSection, _ key: String
  ) throws(ConfigurationError) -> String? {
    guard let text = try section.textIfAny(key) else { return nil }
    guard TextPattern(text) != nil else {
      throw section.error(key, "\"\(text)\" is no extended regular expression", "Try it with grep -E")
    }
    return text
  }
}

extension JournalSettings {
  init(_ follow: inout ConfigurationSection) throws(ConfigurationError) {
    var section = try follow.section("journal")
    units = try section.texts("units") ?? []
    severity = try FollowSource.severity(&section, default: severity)
    if try section.textIfAny("folder") != nil { folder = try AgentSettings.path(&section, "folder", default: "/") }
    if try section.textIfAny("program") != nil { program = try AgentSettings.path(&section, "program", default: "/") }
    switch try section.textIfAny("from") {
    case nil, "end": readsFromBeginning = false
    case "beginning": readsFromBeginning = true
    case let other?: throw section.error("from", "\"\(other)\" is neither end nor beginning", "The default is \"end\"")
    }
    try section.finish()
  }
}
