// The part of the settings that says how the agent knows the service, and the service the agent.
internal import Configuration
internal import Platform
public import TLS

/// Section `tls` of agent.json5.
public struct TLSSettings: Sendable, Equatable {
  /// `ca`, `certificate` and `key`; they are read when the agent connects, anew when they were changed.
  public var files: TLSFiles
  /// What the service's certificate has to be for; nil: the address that the agent connects to.
  public var serverName: String?

  /// Nil when there is no such section.
  init?(_ root: inout ConfigurationSection) throws(ConfigurationError) {
    guard let value = root.value("tls"), value != .null else { return nil }
    var section = try ConfigurationSection(value, file: root.file, path: root.name("tls"))
    func path(_ key: String) throws(ConfigurationError) -> String? {
      try section.textIfAny(key) == nil ? nil : AgentSettings.path(&section, key, default: "")
    }
    let ca = try path("ca")
    guard ca != nil else {
      throw section.error(
        "ca", "is missing: the agent has to know whose certificates it trusts",
        "Add ca: \"/etc/standwatch-agent/tls/ca.crt\"")
    }
    let (certificate, key) = (try path("certificate"), try path("key"))
    guard (certificate == nil) == (key == nil) else {
      throw section.error(
        certificate == nil ? "certificate" : "key", "is missing: certificate and key belong together",
        "Name both, or neither where the service asks for none")
    }
    files = TLSFiles(certificate: certificate, key: key, authorities: ca)
    serverName = try AgentSettings.name(&section, "serverName")
    try section.finish()
  }
}

/// What is wrong with the files, each with what to do; empty when they can be used.
func tlsTroubles(_ settings: TLSSettings?) -> [(problem: String, mend: String)] {
  guard let settings else { return [] }
  var found: [(String, String)] = []
  // What can't be looked at is told by the reading below.
  if let key = settings.files.key, (try? fileStatus(key))?.isReadableByOthers == true {
    found.append(("\(key) can be read by others", "chmod 640 \(key) && chgrp standwatch-agent \(key)"))
  }
  do {
    let credentials = try TLSCredentials(settings.files)
    if let certificate = credentials.certificate, certificate.validUntil < wallMicroseconds() / 1_000_000 {
      let path = settings.files.certificate ?? ""
      found.append(("\(path) has expired", "renew it; the agent takes the new file by itself"))
    }
  } catch {
    let key =
      switch error.part {
      case .certificate: "certificate"
      case .key: "key"
      case .authorities: "ca"
      }
    found.append(("tls.\(key): \(error)", "put it there in PEM form, readable by the agent's user"))
  }
  return found
}
