// The connection string: taken apart into one endpoint a host, so that every host can be tried in parallel
// and by its numeric address.
internal import CPostgres
internal import Platform

/// A parsed libpq connection string (URI or keywords). Secrets stay inside; `description` has none.
public struct ConnectionString: Sendable, Equatable, CustomStringConvertible {
  /// Keyword and value of everything but hosts and ports.
  var common: [(keyword: String, value: String)]
  /// Host (name, address or socket folder), numeric address where given, and port of each server.
  public private(set) var hosts: [(host: String, address: String?, port: String)]

  public static func == (a: ConnectionString, b: ConnectionString) -> Bool {
    a.common.elementsEqual(b.common, by: ==)
      && a.hosts.elementsEqual(b.hosts, by: { $0.host == $1.host && $0.address == $1.address && $0.port == $1.port })
  }

  /// Throws `misuse` with libpq's sentence when the text is not a connection string.
  public init(_ text: String) throws(PostgresError) {
    var failure: UnsafeMutablePointer<CChar>?
    guard let options = unsafe PQconninfoParse(text, &failure) else {
      let message = unsafe failure.map { unsafe String(cString: $0) } ?? "out of memory"
      unsafe PQfreemem(failure)
      throw PostgresError(.misuse, message)
    }
    defer { unsafe PQconninfoFree(options) }
    common = []
    var names: [String] = []
    var addresses: [String] = []
    var ports: [String] = []
    func split(_ text: String) -> [String] {
      text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }
    var index = 0
    // Sound: libpq ends the array with an entry whose keyword is NULL.
    while let keyword = unsafe options[index].keyword {
      if let raw = unsafe options[index].val {
        let value = unsafe String(cString: raw)
        switch unsafe String(cString: keyword) {
        case "host": names = split(value)
        case "hostaddr": addresses = split(value)
        case "port": ports = split(value)
        case let other: common.append((other, value))
        }
      }
      index += 1
    }
    hosts = []
    let count = max(names.count, addresses.count, 1)
    for position in 0..<count {
      let host = position < names.count ? names[position] : ""
      let address = position < addresses.count && !addresses[position].isEmpty ? addresses[position] : nil
      let port = ports.isEmpty ? "" : ports.count == 1 ? ports[0] : position < ports.count ? ports[position] : ""
      hosts.append((host, address, port.isEmpty ? "5432" : port))
    }
  }

  /// A value of the string other than host and port; nil when it is not set.
  public subscript(keyword: String) -> String? { common.last { $0.keyword == keyword }?.value }
  /// Whether the text itself has a password, instead of naming a file.
  public var hasPassword: Bool { common.contains { $0.keyword == "password" && !$0.value.isEmpty } }
  public var description: String {
    hosts.map { "\($0.host.isEmpty ? $0.address ?? "local" : $0.host):\($0.port)" }.joined(separator: ",")
  }

  /// One connection string a server, each for exactly one address. Host names are looked up here, which blocks:
  /// call it from a thread that may. A name that is not found now is left out.
  public func resolve() -> [Endpoint] {
    hosts.flatMap { host -> [Endpoint] in
      if host.address != nil || host.host.isEmpty || host.host.hasPrefix("/") || host.host.hasPrefix("@") {
        return [Endpoint(self, host: host.host, address: host.address, port: host.port)]
      }
      return lookUp(host.host).map { Endpoint(self, host: host.host, address: $0, port: host.port) }
    }
  }
}

/// One server of a connection string, by numeric address or socket folder: connecting never looks up a name.
public struct Endpoint: Sendable, Equatable, CustomStringConvertible {
  public let description: String
  let settings: [(keyword: String, value: String)]
  public static func == (a: Endpoint, b: Endpoint) -> Bool { a.settings.elementsEqual(b.settings, by: ==) }

  init(_ string: ConnectionString, host: String, address: String?, port: String) {
    var settings = string.common
    if !host.isEmpty { settings.append(("host", host)) }
    if let address { settings.append(("hostaddr", address)) }
    settings.append(("port", port))
    self.settings = settings
    description = "\(address ?? (host.isEmpty ? "local" : host)):\(port)"
  }
}
