// The TCP protocols whose senders wait for an answer, each a pure session in Telemetry: one enum, so that a connection
// holds any of them.
//
// To add one: its case in `DeliveryWire` and `DeliverySession`, a line in each switch.
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
}

/// One connection's session. Nothing in it knows sockets; `now` is µs since 2000-01-01 UTC.
enum DeliverySession {
  case influx(InfluxSession)

  init?(_ wire: DeliveryWire, peer: String, limits: DeliveryLimits) {
    switch wire {
    case .influxTCP: self = .influx(InfluxSession(peer: peer, limits: limits))
    case .forward, .zabbix: return nil
    }
  }
  /// Whether the socket may be read: not while too much is under way, nor after the end.
  var mayReceive: Bool {
    switch self {
    case .influx(let session): session.mayReceive
    }
  }
  /// What it keeps of what it received; bounded by the limits.
  var heldBytes: Int {
    switch self {
    case .influx(let session): session.heldBytes
    }
  }
  mutating func received(_ bytes: [UInt8], now: Int64) -> [DeliveryAction] {
    switch self {
    case .influx(var session):
      let actions = session.received(bytes, now: now)
      self = .influx(session)
      return actions
    }
  }
  mutating func delivered(_ number: Int, _ outcome: DeliveryOutcome, now: Int64) -> [DeliveryAction] {
    switch self {
    case .influx(var session):
      let actions = session.delivered(number, outcome)
      self = .influx(session)
      return actions
    }
  }
  /// The client sends no more; what it sent may still be delivered and answered.
  mutating func ended(now: Int64) -> [DeliveryAction] {
    switch self {
    case .influx(var session):
      let actions = session.ended(now: now)
      self = .influx(session)
      return actions
    }
  }
}
