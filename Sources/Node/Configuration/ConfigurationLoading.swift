// `node.json5` to a checked `NodeConfiguration`; the first thing wrong is named with its mend.
public import Configuration
internal import Platform
internal import Postgres

extension NodeConfiguration {
  /// Reads and checks a configuration file and the key files it names.
  public static func load(path: String) throws(ConfigurationError) -> NodeConfiguration {
    let bytes: [UInt8]
    do {
      bytes = try readFile(path)
    } catch {
      throw ConfigurationError(
        file: path, key: "", problem: "cannot be read: \(errorText(error.code))",
        mend: "Name a file that is there with --config, or start from ha/node.example.json5")
    }
    return try parse(bytes, file: path)
  }

  /// As `load`, from bytes; `file` is only named in errors.
  public static func parse(_ bytes: [UInt8], file: String) throws(ConfigurationError) -> NodeConfiguration {
    var root = try ConfigurationSection(
      ConfigurationValue.parse(bytes, file: file, example: "ha/node.example.json5"), file: file, path: "")
    let cluster = try identifier(&root, "cluster", example: "plant1")
    let node = try identifier(&root, "node", example: "a")
    let user = try root.textIfAny("user")
    let runtimeFolder = try root.textIfAny("runtimeFolder") ?? "/run/standwatch"
    let logLevel = try level(&root)
    let timing = try timing(&root)
    let configuration = NodeConfiguration(
      cluster: cluster, node: node, user: user, runtimeFolder: runtimeFolder, logLevel: logLevel,
      database: try database(&root), service: try service(&root), peers: try peers(&root, node: node),
      listen: try listen(&root), ingest: try ingest(&root), timing: timing, scrape: try scrape(&root))
    try root.finish()
    return configuration
  }

  /// Where `hactl` reaches this node.
  public var controlSocketPath: String { "\(runtimeFolder)/\(cluster)-\(node).sock" }

  /// `[a-z0-9-]{1,16}`: PostgreSQL keeps only 63 bytes of the identity that is built from it.
  static func isIdentifier(_ text: String) -> Bool {
    (1...16).contains(text.utf8.count)
      && text.utf8.allSatisfy { ($0 >= 0x61 && $0 <= 0x7a) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x2d }
  }
  private static func identifier(
    _ section: inout ConfigurationSection, _ key: String, example: String
  ) throws(ConfigurationError) -> String {
    let text = try section.text(key, example: example)
    guard isIdentifier(text) else {
      throw section.error(
        key, "\"\(text)\" is not a name of 1 to 16 characters of a-z, 0-9 and -", "Write \(key): \"\(example)\"")
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

  private static func database(_ root: inout ConfigurationSection) throws(ConfigurationError) -> Database {
    var section = try root.section("database")
    let text = try section.text("connection", example: "host=db1,db2 dbname=standwatch user=standwatch_login")
    let reports = try section.textIfAny("reports")
    let lanes = try section.integer("lanes", in: 2...16, default: 2)
    try section.finish()
    func parsed(_ key: String, _ text: String) throws(ConfigurationError) -> ConnectionString {
      do { return try ConnectionString(text) } catch {
        throw section.error(key, error.message, "Write it as libpq's documentation on connection strings says")
      }
    }
    let connection = try parsed("connection", text)
    guard let reports else { return Database(connection: connection, lanes: lanes) }
    return Database(connection: connection, reports: try parsed("reports", reports), lanes: lanes)
  }

  private static func service(_ root: inout ConfigurationSection) throws(ConfigurationError) -> Service {
    var section = try root.section("service")
    var addresses: [ServiceAddress] = []
    let values = try section.list("addresses") ?? []
    guard !values.isEmpty, values.count <= 16 else {
      throw section.error(
        "addresses", "needs 1 to 16 service addresses", "Add [{ address: \"10.0.0.100\", interface: \"eth0\" }]")
    }
    for (index, value) in values.enumerated() {
      var entry = try ConfigurationSection(value, file: section.file, path: section.name("addresses[\(index)]"))
      let address = try entry.text("address", example: "10.0.0.100")
      let interface = try entry.text("interface", example: "eth0")
      try entry.finish()
      guard SocketAddress(host: address, port: 0) != nil else {
        throw entry.error(
          "address", "\"\(address)\" is not a numeric IPv4 or IPv6 address", "Write it without a prefix length")
      }
      guard (1...15).contains(interface.utf8.count), !interface.contains("/"), !interface.contains(" ") else {
        throw entry.error("interface", "\"\(interface)\" is not the name of an interface", "`ip -br link` lists them")
      }
      guard !addresses.contains(where: { $0.address == address }) else {
        throw entry.error("address", "\"\(address)\" is named twice", "Name each service address once")
      }
      addresses.append(ServiceAddress(address: address, interface: interface))
    }
    let helpers = try helpers(&section)
    try section.finish()
    return Service(addresses: addresses, helpers: helpers)
  }

  private static func helpers(_ service: inout ConfigurationSection) throws(ConfigurationError) -> Helpers {
    var section = try service.section("helpers")
    let folder = try section.textIfAny("folder") ?? "/usr/lib/standwatch/ha"
    var paths: [String: String] = [:]
    for key in ["claim", "renew", "release", "status"] {
      let path = try section.textIfAny(key)
      if let path, !path.hasPrefix("/") {
        throw section.error(key, "\"\(path)\" is not an absolute path", "Begin it with /")
      }
      paths[key] = path
    }
    guard folder.hasPrefix("/") else {
      throw section.error("folder", "\"\(folder)\" is not an absolute path", "Begin it with /")
    }
    let deadline = try section.integer("deadlineMilliseconds", in: 50...400, default: 400)
    try section.finish()
    return Helpers(
      claim: paths["claim"] ?? folder + "/vip-claim", renew: paths["renew"],
      release: paths["release"] ?? folder + "/vip-release",
      status: paths["status"] ?? folder + "/vip-status", deadlineMilliseconds: Int64(deadline))
  }

  private static func listen(_ root: inout ConfigurationSection) throws(ConfigurationError) -> Listen {
    var section = try root.section("listen")
    func addresses(_ key: String, _ standard: [String], _ port: UInt16) throws(ConfigurationError) -> [SocketAddress] {
      var found: [SocketAddress] = []
      for text in try section.texts(key) ?? standard {
        guard let address = SocketAddress(text: text, defaultPort: port) else {
          throw section.error(key, "\"\(text)\" is not a numeric address with a port", "Write [\"0.0.0.0:\(port)\"]")
        }
        found.append(address)
      }
      return found
    }
    var listen = Listen(
      native: try addresses("native", ["0.0.0.0:7400"], 7400),
      syslogTCP: try addresses("syslogTCP", ["0.0.0.0:514"], 514),
      syslogUDP: try addresses("syslogUDP", ["0.0.0.0:514"], 514), http: try addresses("http", ["0.0.0.0:7480"], 7480),
      forward: try addresses("forward", [], 24224), zabbix: try addresses("zabbix", [], 10051),
      influxTCP: try addresses("influxTCP", [], 8094), forwardSharedKey: try sharedKey(&section))
    listen.syslogTLS = try addresses("syslogTLS", [], 6514)
    listen.tls = try tls(
      &section, hasSyslogTLS: !listen.syslogTLS.isEmpty, asksKey: listen.forwardSharedKey != nil)
    try section.finish()
    return listen
  }

  private static func ingest(_ root: inout ConfigurationSection) throws(ConfigurationError) -> Ingest {
    var section = try root.section("ingest")
    let standard = Ingest()
    var ingest = Ingest(
      memoryBytes: try section.integer("memoryBytes", in: (4 << 20)...(1 << 34), default: standard.memoryBytes),
      perSourceBytes: try section.integer("perSourceBytes", in: 65536...(1 << 30), default: standard.perSourceBytes),
      maxConnections: try section.integer("maxConnections", in: 1...100_000, default: standard.maxConnections),
      maxConnectionsPerAddress: try section.integer(
        "maxConnectionsPerAddress", in: 1...100_000, default: standard.maxConnectionsPerAddress),
      maxLine: try section.integer("maxLine", in: 1024...(1 << 20), default: standard.maxLine),
      window: try section.integer("window", in: 1...(1 << 20), default: standard.window),
      allowAnonymous: try section.boolean("allowAnonymous", default: standard.allowAnonymous),
      rollups: try section.boolean("rollups", default: standard.rollups))
    func wait(_ key: String, _ standard: Int64) throws(ConfigurationError) -> Int64 {
      Int64(try section.integer(key, in: 1000...3_600_000, default: Int(standard)))
    }
    ingest.patience.helloMilliseconds = try wait("helloMilliseconds", ingest.patience.helloMilliseconds)
    ingest.patience.messageMilliseconds = try wait("messageMilliseconds", ingest.patience.messageMilliseconds)
    ingest.patience.unreadMilliseconds = try wait("unreadMilliseconds", ingest.patience.unreadMilliseconds)
    try section.finish()
    return ingest
  }

  private static func timing(_ root: inout ConfigurationSection) throws(ConfigurationError) -> Timing {
    var section = try root.section("timing")
    var timing = Timing()
    func milliseconds(_ key: String, _ range: ClosedRange<Int>, _ standard: Int64) throws(ConfigurationError) -> Int64 {
      Int64(try section.integer(key, in: range, default: Int(standard)))
    }
    timing.leaseMilliseconds = try milliseconds("leaseMilliseconds", 1000...60_000, timing.leaseMilliseconds)
    timing.beatMilliseconds = try milliseconds("beatMilliseconds", 50...10_000, timing.beatMilliseconds)
    timing.peerBeatMilliseconds = try milliseconds("peerBeatMilliseconds", 20...5000, timing.peerBeatMilliseconds)
    timing.silenceMilliseconds = try milliseconds("silenceMilliseconds", 100...30_000, timing.silenceMilliseconds)
    timing.observationMilliseconds = try milliseconds(
      "observationMilliseconds", 150...30_000, timing.observationMilliseconds)
    try section.finish()
    guard timing.leaseMilliseconds >= 3 * timing.beatMilliseconds else {
      throw section.error(
        "leaseMilliseconds",
        "a lease of \(timing.leaseMilliseconds) ms is shorter than three beats of \(timing.beatMilliseconds) ms",
        "Use at least \(3 * timing.beatMilliseconds)")
    }
    guard timing.leaseMilliseconds % 1000 == 0 else {
      throw section.error(
        "leaseMilliseconds", "has to be whole seconds: the kernel counts an address's lifetime in seconds", "Use 2000")
    }
    guard timing.silenceMilliseconds >= 3 * timing.peerBeatMilliseconds else {
      throw section.error(
        "silenceMilliseconds", "is shorter than three peer beats of \(timing.peerBeatMilliseconds) ms",
        "Use at least \(3 * timing.peerBeatMilliseconds)")
    }
    guard timing.observationMilliseconds >= 3 * timing.beatMilliseconds else {
      throw section.error(
        "observationMilliseconds",
        "is shorter than three beats of \(timing.beatMilliseconds) ms: a living node could be fenced",
        "Use at least \(3 * timing.beatMilliseconds)")
    }
    return timing
  }
}
