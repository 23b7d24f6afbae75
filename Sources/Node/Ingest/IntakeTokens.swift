// Tokens in the intake: asked at a hello, and again of everybody who is connected when they changed.
internal import Platform
internal import Telemetry

/// A hello that can't be judged yet.
struct UndecidedHello {
  var connection: UInt64
  var until: BootInstant
}

extension Intake {
  /// How long a hello waits for tokens to be read; its sender then comes again.
  private static let undecidedMilliseconds: Int64 = 1000

  /// A hello came: registered, refused, or kept until the tokens have been read.
  func judge(_ connection: ClientConnection, _ hello: Hello) {
    guard let verdict = tokens.judge(hello.token, source: hello.source, peer: connection.peer) else {
      undecided.append(
        UndecidedHello(connection: connection.token, until: .after(milliseconds: Self.undecidedMilliseconds)))
      return
    }
    switch verdict {
    case .admitted(_, let token):
      connection.sourceToken = token
      lookUp(connection, hello)
    case .refused(let refusal): refuse(connection, refusal, source: hello.source)
    }
  }
  func refuse(_ connection: ClientConnection, _ refusal: TokenRefusal, source: String) {
    tokens.note(refusal, source: source, peer: connection.peer, wire: connection.wire.name)
    if connection.wire == .native { return perform(connection, connection.native.refused(reason: refusal.rawValue)) }
    if isServing { count(refusal.rawValue, in: &counters.refusedByReason) }
    close(connection, resetting: true)
  }

  /// Whether a protocol without tokens is taken now, counting those that are not.
  func takes(_ wire: WireProtocol, _ peer: String) -> Bool {
    guard let kind = wire.openProtocol(hasForwardKey: configuration.listen.forwardSharedKey != nil),
      !tokens.takes(kind)
    else { return true }
    let refusal = tokens.table == nil ? TokenRefusal.unreadable : .impossible
    tokens.note(refusal, source: peer, peer: peer, wire: wire.name)
    if isServing { count(refusal.rawValue, in: &counters.refusedByReason) }
    return false
  }

  /// A datagram that could show no token.
  func countRefused(_ listener: Listener, _ peer: String, bytes: Int) {
    tokens.note(.impossible, source: peer, peer: peer, wire: WireProtocol.syslogTCP.name)
    shed.add("\(listener.address)", "*", "a token is required", messages: 1, bytes: bytes)
    counters.shedMessages += 1
    counters.shedBytes += bytes
  }

  /// The tokens were read.
  func tokensRead(changed: Bool) {
    if changed {
      takesSyslog = tokens.takes(.syslog)
      resumeListeners()
      for connection in Array(connections.values) where connection.closeAt == nil { judgeAgain(connection) }
    }
    let waiting = undecided
    undecided = []
    for one in waiting {
      guard let connection = connections[one.connection], case .lookingUp(let hello) = connection.native.state else {
        continue
      }
      judge(connection, hello)
    }
  }
  private func judgeAgain(_ connection: ClientConnection) {
    guard let table = tokens.table else { return }
    guard connection.wire == .native else {
      if !takes(connection.wire, connection.peer) { close(connection, resetting: true) }
      return
    }
    switch connection.native.state {
    case .fresh, .anonymous:
      if connection.native.limits.allowsAnonymous, !table.takes(.anonymous) {
        refuse(connection, .missing, source: connection.peer)
      }
    case .lookingUp(let hello), .recordingGap(let hello, _), .streaming(let hello):
      if undecided.contains(where: { $0.connection == connection.token }) { return }
      if let refusal = table.objection(to: connection.sourceToken, source: hello.source) {
        refuse(connection, refusal, source: hello.source)
      }
    case .closed: break
    }
  }
  /// Those who waited too long come again later, or to another node.
  func expireUndecided(_ now: BootInstant) {
    let late = undecided.filter { $0.until <= now }
    undecided.removeAll { $0.until <= now }
    for one in late {
      guard let connection = connections[one.connection], case .lookingUp(let hello) = connection.native.state else {
        continue
      }
      refuse(connection, .unreadable, source: hello.source)
    }
  }
}

extension WireProtocol {
  /// As `open_protocols` and the counters call it.
  var name: String {
    switch self {
    case .native: "native"
    case .syslogTCP: "syslog"
    case .delivery(let wire): wire.rawValue
    }
  }
  /// Nil where senders show who they are.
  func openProtocol(hasForwardKey: Bool) -> OpenProtocol? {
    switch self {
    case .native: nil
    case .syslogTCP: .syslog
    case .delivery(.forward): hasForwardKey ? nil : .forward
    case .delivery(.zabbix): .zabbix
    case .delivery(.influxTCP): .influxTCP
    }
  }
}
