// `listen.tls` of node.json5: what is taken, and what is refused with its mend.
import Configuration
import Platform
import TLS
import Testing

@testable import Node

@Suite struct TLSConfigurationTests {
  let certificates: Certificates
  init() throws { certificates = try Certificates.shared.get() }

  /// The text of a configuration that works but for `listen`.
  private func text(_ listen: String) throws -> [UInt8] {
    let key = certificates.folder + "/beat.key"
    try replaceFile(key, with: Array(String(repeating: "ab", count: 32).utf8), mode: 0o600)
    let listen = listen.split(separator: "@", omittingEmptySubsequences: false).joined(separator: certificates.folder)
    return Array(
      """
      { cluster: "plant1", node: "a", database: { connection: "host=10.77.0.9 dbname=standwatch user=sw" },
        service: { addresses: [{ address: "10.77.0.100", interface: "eth0" }] },
        peers: { listen: ["10.77.0.1:7401"], keyFiles: ["\(key)"], nodes: [] },
        listen: { \(listen) } }
      """.utf8)
  }
  private func listen(_ text: String) throws -> NodeConfiguration.Listen {
    try NodeConfiguration.parse(self.text(text), file: "node.json5").listen
  }
  private static let files = "certificate: '@/node.crt', key: '@/node.key'"

  @Test func `listeners speak TLS as they are told, and plain text when nothing is said`() throws {
    let plain = try listen("")
    #expect(plain.tls == nil && plain.syslogTLS.isEmpty)
    #expect(plain.inPlainText == ["native", "syslogTCP", "syslogUDP", "http"])
    let found = try listen(
      "syslogTLS: ['10.0.0.1'], tls: { \(Self.files), clientCA: '@/ca.crt', native: 'required', syslogTCP: 'optional' }"
    )
    #expect(found.syslogTLS.map(\.description) == ["10.0.0.1:6514"])
    let tls = try #require(found.tls)
    #expect(tls.native == .required && tls.syslogTCP == .optional && tls.forward == .off && tls.isMutual)
    #expect(found.inPlainText == ["syslogTCP", "syslogUDP", "http"])
  }

  @Test(arguments: [
    ("tls: { key: '@/node.key', native: 'required' }", "listen.tls.certificate", "Add certificate"),
    ("tls: { \(files), native: 'yes' }", "listen.tls.native", "Write native: \"required\""),
    ("tls: { \(files), nativ: 'required' }", "listen.tls.nativ", "Did you mean \"native\"?"),
    ("tls: { \(files) }", "listen.tls", "Add native: \"optional\""),
    ("syslogTLS: ['0.0.0.0:6514']", "listen.syslogTLS", "Add tls"),
    ("tls: { certificate: 'node.crt', key: '@/node.key', native: 'optional' }", "listen.tls.certificate", "Begin it"),
    ("tls: { certificate: '@/none.crt', key: '@/node.key', native: 'optional' }", "listen.tls.certificate", "README"),
    ("tls: { certificate: '@/node.crt', key: '@/agent.key', native: 'optional' }", "listen.tls.key", "openssl pkey"),
    ("tls: { \(files), clientCA: '@/none.crt', native: 'optional' }", "listen.tls.clientCA", "PEM"),
    ("tls: { \(files), clientCA: '@/node.key', native: 'optional' }", "listen.tls.clientCA", "PEM"),
    (
      "forwardSharedKeyFile: '@/node.key', tls: { \(files), forward: 'optional' }", "listen.tls.forward", "\"required\""
    ),
  ])
  func `a mistake is named with its key and its mend`(_ text: String, _ key: String, _ mend: String) throws {
    do {
      _ = try listen(text)
      Issue.record("\(text) was accepted")
    } catch let error as ConfigurationError {
      #expect(error.key == key && error.mend.contains(mend), "\(error)")
    }
  }

  @Test func `a key that others can read is refused`() throws {
    let (key, certificate) = (certificates.folder + "/open.key", certificates.folder + "/node.crt")
    try replaceFile(key, with: readFile(certificates.folder + "/node.key"), mode: 0o644)
    do {
      _ = try listen("tls: { certificate: '\(certificate)', key: '\(key)', native: 'optional' }")
      Issue.record("it was accepted")
    } catch let error as ConfigurationError {
      #expect(error.problem.contains("can be read by others") && error.mend == "chmod 640 \(key)")
    }
  }

  @Test func `a certificate is said to end thirty days before it does, and only a check refuses one that has`() throws {
    let tls = try #require(try listen("tls: { \(Self.files), native: 'optional' }").tls)
    let end = try #require(tls.credentials.certificate).validUntil
    #expect(tls.expiry(at: end - 31 * 86_400) == nil)
    let soon = try #require(tls.expiry(at: end - 10 * 86_400 - 5))
    #expect(soon.problem.hasSuffix("expires in 10 days") && !soon.isOver)
    #expect(try #require(tls.expiry(at: end)).isOver)
    #expect(try #require(tls.expiry(at: 0)).problem.hasSuffix("is not valid yet"))
    let path = certificates.folder + "/node.json5"
    try replaceFile(path, with: text("tls: { certificate: '@/old.crt', key: '@/old.key', native: 'optional' }"))
    #expect(try NodeConfiguration.load(path: path).listen.tls?.native == .optional)
    #expect(checkConfiguration(path: path) == workerRefuses)
    try replaceFile(path, with: text("tls: { \(Self.files), native: 'optional' }"))
    #expect(checkConfiguration(path: path) == 0)
  }
}
