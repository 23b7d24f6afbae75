// Section `collect` of agent.json5: what is measured, and how often.
internal import Configuration

public struct CollectSettings: Sendable, Equatable {
  /// Between two samples; one second while somebody watches the host.
  public var intervalMilliseconds: Int64 = 10_000
  /// Metrics of the host; nil for none.
  public var host: HostSettings? = HostSettings()
  /// Processes that are watched, each under a name of its own.
  public var processes: [ProcessWatch] = []
}

/// What of a host is measured.
public struct HostSettings: Sendable, Equatable {
  public enum Cores: String, Sendable, CaseIterable { case modes, busy, none }
  /// Of each core: all modes, only how busy it is, or nothing.
  public var cores = Cores.modes
  /// Names with `*`, `?` and `[...]`.
  public var ignoreInterfaces = ["lo", "veth*", "cali*"]
  public var ignoreDisks = ["loop*", "ram*"]
  public var ignoreMounts: [String] = []
  /// Between two looks at the space of file systems.
  public var spaceMilliseconds: Int64 = 10_000
}

/// A process as its operator knows it.
public struct ProcessWatch: Sendable, Equatable {
  public enum Way: Sendable, Equatable {
    /// By its name: that of the program, or what the process calls itself.
    case name(String)
    /// By its arguments, with blanks between them: a pattern with `*`, `?` and `[...]`.
    case commandLine(String)
    case pidFile(String)
    /// By a unit of systemd.
    case unit(String)
  }
  /// In records.
  public var process: String
  public var way: Way
  public init(process: String, _ way: Way) { (self.process, self.way) = (process, way) }
}

extension CollectSettings {
  init(_ root: inout ConfigurationSection) throws(ConfigurationError) {
    var section = try root.section("collect")
    intervalMilliseconds = Int64(
      try section.integer("intervalMilliseconds", in: 1000...600_000, default: Int(intervalMilliseconds)))
    switch section.value("host") {
    case .boolean(false): host = nil
    case nil, .null, .boolean(true): break
    default: host = try HostSettings(&section)
    }
    processes = try ProcessWatch.list(&section)
    try section.finish()
  }
}

extension HostSettings {
  init(_ collect: inout ConfigurationSection) throws(ConfigurationError) {
    var section = try collect.section("host")
    if let text = try section.textIfAny("cores") {
      guard let cores = Cores(rawValue: text) else {
        throw section.error("cores", "\"\(text)\" is none of modes, busy, none", "The default is \"modes\"")
      }
      self.cores = cores
    }
    ignoreInterfaces = try section.texts("ignoreInterfaces") ?? ignoreInterfaces
    ignoreDisks = try section.texts("ignoreDisks") ?? ignoreDisks
    ignoreMounts = try section.texts("ignoreMounts") ?? ignoreMounts
    spaceMilliseconds = Int64(
      try section.integer("spaceMilliseconds", in: 1000...600_000, default: Int(spaceMilliseconds)))
    try section.finish()
  }
}

extension ProcessWatch {
  static let greatestCount = 200

  static func list(_ collect: inout ConfigurationSection) throws(ConfigurationError) -> [ProcessWatch] {
    var found: [ProcessWatch] = []
    for (index, value) in (try collect.list("processes") ?? []).enumerated() {
      var section = try ConfigurationSection(
        value, file: collect.file, path: collect.name("processes") + "[\(index)]")
      let watch = try one(&section)
      try section.finish()
      guard !found.contains(where: { $0.process == watch.process }) else {
        throw section.error("process", "\"\(watch.process)\" is there twice", "Give each a name of its own")
      }
      found.append(watch)
    }
    guard found.count <= greatestCount else {
      throw collect.error("processes", "has more than \(greatestCount) entries", "Watch fewer")
    }
    return found
  }
  private static func one(_ section: inout ConfigurationSection) throws(ConfigurationError) -> ProcessWatch {
    let mend = "Write one of name, commandLine, pidFile, unit"
    var ways: [(String, Way)] = []
    if let name = try section.textIfAny("name") { ways.append((name, .name(name))) }
    if let pattern = try section.textIfAny("commandLine") { ways.append((pattern, .commandLine(pattern))) }
    if let path = try section.textIfAny("pidFile") { ways.append((path, .pidFile(path))) }
    if let unit = try section.textIfAny("unit") {
      guard !unit.utf8.contains(UInt8(ascii: "/")) else {
        throw section.error("unit", "\"\(unit)\" is no name of a unit", "Write \"nginx.service\"")
      }
      ways.append((unit, .unit(unit)))
    }
    guard ways.count == 1, let (text, way) = ways.first else {
      throw section.error("", ways.isEmpty ? "says nothing to look for" : "says more than one thing to look for", mend)
    }
    let process = try AgentSettings.name(&section, "process") ?? text
    guard process.utf8.count <= 200 else {
      throw section.error("process", "is needed: what is looked for is longer than 200 bytes", "Add a short name")
    }
    return ProcessWatch(process: process, way)
  }
}
