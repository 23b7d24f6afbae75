// `agent.json5` to checked settings; the first thing wrong is named with its mend.
public import Configuration
public import Platform

/// What one agent does; /etc/standwatch-agent/agent.json5.
public struct AgentSettings: Sendable, Equatable {
  /// Where to send: the service IP; further addresses are tried in turn.
  public var servers: [SocketAddress]
  /// Nil: in plain text.
  public var tls: TLSSettings?
  /// The host's name in every record.
  public var host: String
  /// The name of the agent's stream: "HOST/agent".
  public var source: String
  /// The file with the token that is shown to the service; nil for none.
  public var tokenFile: String?
  /// The app of what the agent measures itself.
  public var app: String
  public var logLevel: LogLevel
  public var spool: SpoolSettings
  public var listen: ListenSettings
  public var collect: CollectSettings
  public var follow: FollowSettings

  public struct SpoolSettings: Sendable, Equatable {
    public var folder: String
    /// Of all segments together.
    public var bytes: Int
    /// What is written is on disk after this long at the latest.
    public var syncMilliseconds: Int64
  }
  /// Where applications of this host write to.
  public struct ListenSettings: Sendable, Equatable {
    /// Path of the unix socket; nil for none.
    public var unix: String?
    /// Loopback addresses only.
    public var tcp: [SocketAddress]
    /// The app of records that name none.
    public var app: String
    public var maxConnections: Int
    /// Bytes of the longest line.
    public var maxLine: Int
    /// Where `--status` asks.
    public var status: String
  }
}

extension AgentSettings {
  static let example = "ha/agent.example.json5"

  public static func load(path: String) throws(ConfigurationError) -> AgentSettings {
    let bytes: [UInt8]
    do {
      bytes = try readFile(path)
    } catch {
      throw ConfigurationError(
        file: path, key: "", problem: "cannot be read: \(errorText(error.code))",
        mend: "Name a file that is there with --config, or start from \(example)")
    }
    return try parse(bytes, file: path)
  }

  /// As `load`, from bytes; `file` is only named in errors.
  public static func parse(_ bytes: [UInt8], file: String) throws(ConfigurationError) -> AgentSettings {
    var root = try ConfigurationSection(
      ConfigurationValue.parse(bytes, file: file, example: example), file: file, path: "")
    let host = try name(&root, "host") ?? hostName()
    let source = try name(&root, "source") ?? "\(host)/agent"
    guard source.utf8.count <= 200 else {
      throw root.error("host", "is longer than 194 bytes", "Write a shorter one, or a source")
    }
    let settings = AgentSettings(
      servers: try servers(&root), tls: try TLSSettings(&root), host: host, source: source,
      tokenFile: try tokenFile(&root),
      app: try name(&root, "app") ?? "host", logLevel: try level(&root), spool: try spool(&root),
      listen: try listen(&root), collect: try CollectSettings(&root), follow: try FollowSettings(&root))
    try root.finish()
    return settings
  }

  private static func servers(_ root: inout ConfigurationSection) throws(ConfigurationError) -> [SocketAddress] {
    let mend = "Write servers: [\"10.0.0.100:7400\"], the service IP"
    guard let texts = try root.texts("servers"), (1...8).contains(texts.count) else {
      throw root.error("servers", "needs 1 to 8 addresses", mend)
    }
    var found: [SocketAddress] = []
    for text in texts {
      guard let address = SocketAddress(text: text, defaultPort: 7400), address.port > 0 else {
        throw root.error("servers", "\"\(text)\" is not a numeric address with a port", mend)
      }
      found.append(address)
    }
    return found
  }

  private static func tokenFile(_ root: inout ConfigurationSection) throws(ConfigurationError) -> String? {
    guard let path = try root.textIfAny("tokenFile") else { return nil }
    guard path.hasPrefix("/") else {
      throw root.error("tokenFile", "\"\(path)\" is not an absolute path", "Begin it with /")
    }
    do throws(TokenFileFlaw) { _ = try readTokenFile(path) } catch {
      throw root.error("tokenFile", error.problem, error.mend)
    }
    return path
  }

  /// A name as records have it.
  static func name(_ section: inout ConfigurationSection, _ key: String) throws(ConfigurationError) -> String? {
    guard let text = try section.textIfAny(key) else { return nil }
    guard text.utf8.count <= 200, text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
      throw section.error(key, "is longer than 200 bytes or holds control characters", "Write a short, plain name")
    }
    return text
  }
  private static func level(_ root: inout ConfigurationSection) throws(ConfigurationError) -> LogLevel {
    switch try root.textIfAny("logLevel") {
    case nil, "info": return .info
    case "debug": return .debug
    case "notice": return .notice
    case "warning": return .warning
    case "error": return .error
    case let other?:
      throw root.error("logLevel", "\"\(other)\" is not a level", "One of error, warning, notice, info, debug")
    }
  }
  /// A path that begins with /.
  static func path(
    _ section: inout ConfigurationSection, _ key: String, default standard: String
  ) throws(ConfigurationError) -> String {
    let path = try section.textIfAny(key) ?? standard
    guard path.hasPrefix("/"), !path.utf8.contains(0) else {
      throw section.error(key, "\"\(path)\" is not an absolute path", "Begin it with /")
    }
    return path
  }
  private static func spool(_ root: inout ConfigurationSection) throws(ConfigurationError) -> SpoolSettings {
    var section = try root.section("spool")
    let spool = SpoolSettings(
      folder: try path(&section, "folder", default: "/var/lib/standwatch-agent"),
      bytes: try section.integer("bytes", in: (1 << 20)...(1 << 40), default: 1 << 30),
      syncMilliseconds: Int64(try section.integer("syncMilliseconds", in: 10...10_000, default: 250)))
    try section.finish()
    return spool
  }
  private static func listen(_ root: inout ConfigurationSection) throws(ConfigurationError) -> ListenSettings {
    var section = try root.section("listen")
    let runtime = "/run/standwatch-agent"
    let isOff = section.value("unix") == .boolean(false)
    var tcp: [SocketAddress] = []
    for text in try section.texts("tcp") ?? [] {
      guard let address = SocketAddress(text: text, defaultPort: 7404),
        address.host.hasPrefix("127.") || address.host == "::1"
      else {
        throw section.error(
          "tcp", "\"\(text)\" is not a loopback address with a port: whoever reaches it writes unasked",
          "Write [\"127.0.0.1:7404\"]")
      }
      tcp.append(address)
    }
    let unix = isOff ? nil : try path(&section, "unix", default: runtime + "/records.sock")
    let status = try path(&section, "status", default: runtime + "/status.sock")
    for (key, path) in [("unix", unix ?? ""), ("status", status)] where SocketAddress(unixPath: path) == nil {
      throw section.error(key, "\"\(path)\" is longer than the 107 bytes of a socket's path", "Choose a shorter one")
    }
    let listen = ListenSettings(
      unix: unix, tcp: tcp, app: try name(&section, "app") ?? "local",
      maxConnections: try section.integer("maxConnections", in: 1...10_000, default: 256),
      maxLine: try section.integer("maxLine", in: 1024...65_000, default: 65_000), status: status)
    try section.finish()
    return listen
  }
}
