// The part of the configuration that says which targets the active node scrapes.
internal import Configuration
internal import Platform

extension NodeConfiguration {
  /// Prometheus targets. All nodes of a cluster have the same.
  public struct Scrape: Sendable, Equatable {
    public var targets: [Target] = []
    public init() {}

    public struct Target: Sendable, Equatable {
      /// `http` or `https`, at most 190 bytes.
      public var url: String
      public var app: String
      public var host: String
      /// `host:port` of the URL.
      public var instance: String
      public var intervalMilliseconds: Int64
      /// At most the interval.
      public var timeoutMilliseconds: Int64
    }
  }

  static func scrape(_ root: inout ConfigurationSection) throws(ConfigurationError) -> Scrape {
    var section = try root.section("scrape")
    let interval = try section.integer("intervalSeconds", in: 1...3600, default: 15)
    let timeout = try section.integer("timeoutSeconds", in: 1...3600, default: 10)
    var scrape = Scrape()
    for (index, value) in (try section.list("targets") ?? []).enumerated() {
      var entry = try ConfigurationSection(value, file: section.file, path: section.name("targets[\(index)]"))
      let example = "http://10.0.0.11:9100/metrics"
      let url = try entry.text("url", example: example)
      guard let instance = instance(ofURL: url) else {
        throw entry.error(
          "url", "\"\(url)\" is not an HTTP URL of at most 190 bytes without a user's name", "Write \"\(example)\"")
      }
      let app = try entry.text("app", example: "node-exporter")
      let host = try entry.textIfAny("host") ?? hostPart(instance)
      for (key, name) in [("app", app), ("host", host)] {
        guard name.utf8.count <= 200, name.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
          throw entry.error(key, "is not a name of 1 to 200 bytes", "Name whose metrics they are")
        }
      }
      let own = try entry.integer("intervalSeconds", in: 1...3600, default: interval)
      try entry.finish()
      guard !scrape.targets.contains(where: { $0.url == url }) else {
        throw entry.error("url", "\"\(url)\" is named twice", "Name each target once")
      }
      scrape.targets.append(
        Scrape.Target(
          url: url, app: app, host: host, instance: instance, intervalMilliseconds: Int64(own) * 1000,
          timeoutMilliseconds: Int64(min(own, timeout)) * 1000))
    }
    guard scrape.targets.count <= 1000 else {
      throw section.error("targets", "has more than 1000 targets", "Let other senders bring the rest")
    }
    try section.finish()
    return scrape
  }

  /// `host:port` of an HTTP URL, its default port included; nil for what is none.
  static func instance(ofURL url: String) -> String? {
    let schemes = [("http://", "80"), ("https://", "443")]
    guard url.utf8.count <= 190, url.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f }),
      let (scheme, port) = schemes.first(where: { url.lowercased().hasPrefix($0.0) })
    else { return nil }
    let authority = url.dropFirst(scheme.count).prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    guard !authority.contains("@") else { return nil }
    let host = hostPart(String(authority))
    let rest =
      authority.hasPrefix("[") ? authority.dropFirst(host.utf8.count + 2) : authority.dropFirst(host.utf8.count)
    guard !host.isEmpty else { return nil }
    if rest.isEmpty { return "\(authority):\(port)" }
    guard rest.hasPrefix(":"), let number = UInt16(rest.dropFirst()), number > 0 else { return nil }
    return String(authority)
  }
  /// Without port and brackets.
  private static func hostPart(_ authority: String) -> String {
    if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
      return String(authority[authority.index(after: authority.startIndex)..<end])
    }
    return String(authority.prefix { $0 != ":" })
  }
}
