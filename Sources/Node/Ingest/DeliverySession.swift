// The TCP protocols whose senders wait for an answer, each a pure session in Telemetry: one enum, so that a connection
// holds any of them.
//
// To add one: its case in `DeliveryWire` and `DeliverySession`, a line in each switch.
internal import Compression
internal import Platform
internal import Telemetry

/// What is spoken on a listener whose protocol delivers. The text tells their keys apart, for ever.
enum DeliveryWire: String, CaseIterable, Sendable {
  case forward, zabbix
  case influxTCP = "influx-tcp"

  func addresses(_ listen: NodeConfiguration.Listen) -> [SocketAddress] {
    switch self {
    case .forward: listen.forward
    case .zabbix: listen.zabbix
    case .influxTCP: listen.influxTCP
    }
  }
  func mode(_ tls: NodeConfiguration.TLS) -> TLSMode {
    switch self {
    case .forward: tls.forward
    case .zabbix: tls.zabbix
    case .influxTCP: tls.influxTCP
    }
  }
}

/// One connection's session. Nothing in it knows sockets; `now` is µs since 2000-01-01 UTC. What changes it consumes
/// itself first, so that the bytes it holds are not copied each time.
enum DeliverySession {
  case forward(ForwardSession)
  case zabbix(ZabbixSession)
  case influx(InfluxSession)

  /// `security` is what a forward listener asks of its clients, if anything.
  init(_ wire: DeliveryWire, peer: String, limits: DeliveryLimits, security: ForwardSecurity?) {
    switch wire {
    case .forward:
      self = .forward(ForwardSession(peer: peer, limits: limits, security: security, unpack: unpackForSessions))
    case .zabbix: self = .zabbix(ZabbixSession(peer: peer, limits: limits, unpack: unpackForSessions))
    case .influxTCP: self = .influx(InfluxSession(peer: peer, limits: limits))
    }
  }
  /// The connection stands: what the server says first.
  func opened() -> [DeliveryAction] {
    switch self {
    case .forward(let session): session.opened()
    case .zabbix, .influx: []
    }
  }
  /// Whether a client still has to show who it is; it gets as long as others have for their hello.
  var isGreeting: Bool {
    switch self {
    case .forward(let session): session.isGreeting
    case .zabbix, .influx: false
    }
  }
  /// Whether the socket may be read: not while too much is under way, nor after the end.
  var mayReceive: Bool {
    switch self {
    case .forward(let session): session.mayReceive
    case .zabbix(let session): session.mayReceive
    case .influx(let session): session.mayReceive
    }
  }
  /// What it keeps of what it received; bounded by the limits.
  var heldBytes: Int {
    switch self {
    case .forward(let session): session.heldBytes
    case .zabbix(let session): session.heldBytes
    case .influx(let session): session.heldBytes
    }
  }
  /// What came of a message that is not whole yet.
  var partialBytes: Int {
    switch self {
    case .forward(let session): session.partialBytes
    case .zabbix(let session): session.partialBytes
    case .influx(let session): session.partialBytes
    }
  }
  mutating func received(_ bytes: [UInt8], now: Int64) -> [DeliveryAction] {
    switch consume self {
    case .forward(var session):
      let actions = session.received(bytes, now: now)
      self = .forward(session)
      return actions
    case .zabbix(var session):
      let actions = session.received(bytes, now: now)
      self = .zabbix(session)
      return actions
    case .influx(var session):
      let actions = session.received(bytes, now: now)
      self = .influx(session)
      return actions
    }
  }
  mutating func delivered(_ number: Int, _ outcome: DeliveryOutcome, now: Int64) -> [DeliveryAction] {
    switch consume self {
    case .forward(var session):
      let actions = session.delivered(number, outcome, now: now)
      self = .forward(session)
      return actions
    case .zabbix(var session):
      let actions = session.delivered(number, outcome, now: now)
      self = .zabbix(session)
      return actions
    case .influx(var session):
      let actions = session.delivered(number, outcome)
      self = .influx(session)
      return actions
    }
  }
  /// The client sends no more; what it sent may still be delivered and answered.
  mutating func ended(now: Int64) -> [DeliveryAction] {
    switch consume self {
    case .forward(var session):
      let actions = session.ended(now: now)
      self = .forward(session)
      return actions
    case .zabbix(var session):
      let actions = session.ended(now: now)
      self = .zabbix(session)
      return actions
    case .influx(var session):
      let actions = session.ended(now: now)
      self = .influx(session)
      return actions
    }
  }
}

/// zlib, for sessions that know no libraries.
private let unpackForSessions: Unpack = { bytes, limit in
  do throws(CompressionError) {
    return .bytes(try inflate(bytes, limit: limit))
  } catch {
    // Without the number, which is another one for each size: reasons are counted.
    if case .tooLarge = error { return .refused("unpacks to too much") }
    return .refused(error.description)
  }
}
