// Who may send as whom, as last read from PostgreSQL: pure, asked at a hello and at a request, never for a record.
internal import TLS
internal import Telemetry

/// The protocols that `open_protocols` names.
enum OpenProtocol: String, CaseIterable, Sendable {
  case syslog, forward, zabbix, anonymous
  case influxTCP = "influx-tcp"
}

enum TokenVerdict: Equatable, Sendable {
  /// `source`: whom it sends as. `token`: the id of its token, nil without one.
  case admitted(source: String, token: Int64?)
  case refused(TokenRefusal)
}

struct TokenTable: Equatable, Sendable {
  struct Entry: Equatable, Sendable {
    /// With `*` at the end every source that begins so.
    var source: String
    var hash: [UInt8]
    var isRevoked: Bool

    func covers(_ source: String) -> Bool {
      guard self.source.hasSuffix("*") else { return source == self.source }
      return source.utf8.starts(with: self.source.utf8.dropLast())
    }
    /// Whom a sender that names nobody sends as; of a family its own address tells it from the others.
    func source(of peer: String) -> String { source.hasSuffix("*") ? source.dropLast() + peer : source }
  }
  var revision: Int64
  var isRequired: Bool
  var open: Set<OpenProtocol> = []
  var entries: [Int64: Entry] = [:]

  /// `text`: what the sender showed, empty for nothing. `source`: whom it says it is, nil when it does not say.
  func judge(_ text: String, source: String?, peer: String) -> TokenVerdict {
    if text.isEmpty { return isRequired ? .refused(.missing) : .admitted(source: source ?? peer, token: nil) }
    guard let token = SourceToken(text), let entry = entries[token.id],
      isEqualInConstantTime(token.hash, entry.hash)
    else { return .refused(.invalid) }
    if entry.isRevoked { return .refused(.revoked) }
    let name = source ?? entry.source(of: peer)
    return entry.covers(name) ? .admitted(source: name, token: token.id) : .refused(.otherSource)
  }
  /// Whether who was admitted before would be now; nil when so.
  func objection(to token: Int64?, source: String) -> TokenRefusal? {
    guard let token else { return isRequired ? .missing : nil }
    guard let entry = entries[token] else { return .revoked }
    return entry.isRevoked ? .revoked : entry.covers(source) ? nil : .otherSource
  }
  func takes(_ wire: OpenProtocol) -> Bool { !isRequired || open.contains(wire) }
}
