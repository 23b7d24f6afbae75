// The part of the configuration that says which listeners speak TLS, and with which files.
internal import Configuration
internal import Platform
public import TLS

/// What a listener over TCP does about TLS.
public enum TLSMode: String, Sendable, Equatable {
  case off
  /// The first byte tells: a client that begins a TLS handshake gets one, any other goes on in plain text.
  case optional
  case required
}

extension NodeConfiguration {
  /// TLS on the listeners of the intake.
  public struct TLS: Sendable {
    public var files: TLSFiles
    /// The files as they were when the configuration was read.
    public var credentials: TLSCredentials
    public var native = TLSMode.off
    public var syslogTCP = TLSMode.off
    public var forward = TLSMode.off
    public var zabbix = TLSMode.off
    public var influxTCP = TLSMode.off
    public init(files: TLSFiles, credentials: TLSCredentials) {
      (self.files, self.credentials) = (files, credentials)
    }

    /// Whether clients have to show a certificate.
    public var isMutual: Bool { files.authorities != nil }
  }

  /// Nil when there is no section `tls`. `asksKey`: whether Forward's server speaks first.
  static func tls(
    _ listen: inout ConfigurationSection, hasSyslogTLS: Bool, asksKey: Bool
  ) throws(ConfigurationError) -> TLS? {
    guard let value = listen.value("tls"), value != .null else {
      guard hasSyslogTLS else { return nil }
      throw listen.error(
        "syslogTLS", "needs listen.tls", "Add tls: { certificate: \"...\", key: \"...\" } to listen, or remove it")
    }
    var section = try ConfigurationSection(value, file: listen.file, path: listen.name("tls"))
    var files = TLSFiles(
      certificate: try path(&section, "certificate", example: "/etc/standwatch/tls/node.crt"),
      key: try path(&section, "key", example: "/etc/standwatch/tls/node.key"))
    if try section.textIfAny("clientCA") != nil {
      files.authorities = try path(&section, "clientCA", example: "/etc/standwatch/tls/ca.crt")
    }
    var tls = TLS(files: files, credentials: try credentials(files, section))
    tls.native = try mode(&section, "native")
    tls.syslogTCP = try mode(&section, "syslogTCP")
    tls.forward = try mode(&section, "forward")
    tls.zabbix = try mode(&section, "zabbix")
    tls.influxTCP = try mode(&section, "influxTCP")
    try section.finish()
    if tls.forward == .optional, asksKey {
      throw section.error(
        "forward", "can't be optional with forwardSharedKeyFile: there the server speaks first, and has to know what",
        "Write forward: \"required\" or \"off\"")
    }
    let modes = [tls.native, tls.syslogTCP, tls.forward, tls.zabbix, tls.influxTCP]
    guard hasSyslogTLS || modes.contains(where: { $0 != .off }) else {
      throw listen.error("tls", "is used by no listener", "Add native: \"optional\" to it, say, or remove it")
    }
    return tls
  }

  private static func mode(_ section: inout ConfigurationSection, _ key: String) throws(ConfigurationError) -> TLSMode {
    guard let text = try section.textIfAny(key) else { return .off }
    guard let mode = TLSMode(rawValue: text) else {
      throw section.error(key, "\"\(text)\" is none of off, optional, required", "Write \(key): \"required\"")
    }
    return mode
  }
  private static func path(
    _ section: inout ConfigurationSection, _ key: String, example: String
  ) throws(ConfigurationError) -> String {
    let path = try section.text(key, example: example)
    guard path.hasPrefix("/") else {
      throw section.error(key, "\"\(path)\" is not an absolute path", "Begin it with /")
    }
    return path
  }

  private static func credentials(
    _ files: TLSFiles, _ section: ConfigurationSection
  ) throws(ConfigurationError) -> TLSCredentials {
    // What can't be looked at is told by the reading below.
    if let key = files.key, (try? fileStatus(key))?.isReadableByOthers == true {
      throw section.error("key", "\(key) can be read by others", "chmod 640 \(key)")
    }
    do {
      return try TLSCredentials(files)
    } catch {
      let key =
        switch error.part {
        case .certificate: "certificate"
        case .key: "key"
        case .authorities: "clientCA"
        }
      throw section.error(key, "\(error)", mend(error))
    }
  }
  private static func mend(_ error: TLSFileError) -> String {
    switch error.part {
    case .certificate: "Put the certificate for the service IP there, in PEM form, as the README's TLS section says"
    case .key: "Put the key that the certificate was made for there: openssl pkey -in \(error.path) -noout checks it"
    case .authorities: "Put the certificates of the authority of your senders there, in PEM form"
    }
  }
}

extension NodeConfiguration.Listen {
  /// Keys of the listeners that take records in plain text, also where TLS is optional.
  public var inPlainText: [String] {
    let streams: [(String, [SocketAddress], TLSMode?)] = [
      ("native", native, tls?.native), ("syslogTCP", syslogTCP, tls?.syslogTCP), ("forward", forward, tls?.forward),
      ("zabbix", zabbix, tls?.zabbix), ("influxTCP", influxTCP, tls?.influxTCP), ("syslogUDP", syslogUDP, nil),
      ("http", http, nil),
    ]
    return streams.filter { !$0.1.isEmpty && $0.2 != .required }.map(\.0)
  }
}

extension NodeConfiguration.TLS {
  public var keyPath: String? { files.key }
  public var certificatePath: String? { files.certificate }
  /// Whole days that the certificate is valid for; negative afterwards.
  public func daysLeft(at seconds: Int64) -> Int64? {
    credentials.certificate.map { ($0.validUntil - seconds) / 86_400 }
  }
  /// What is wrong with the certificate's times at `seconds` since 1970: a problem, and whether it is one already; nil
  /// while more than 30 days are left.
  public func expiry(at seconds: Int64) -> (problem: String, isOver: Bool)? {
    guard let certificate = credentials.certificate, let path = files.certificate else { return nil }
    let left = certificate.validUntil - seconds
    if seconds < certificate.validFrom { return ("the certificate in \(path) is not valid yet", true) }
    if left <= 0 { return ("the certificate in \(path) has expired", true) }
    return left < 30 * 86_400 ? ("the certificate in \(path) expires in \(left / 86_400) days", false) : nil
  }
}
