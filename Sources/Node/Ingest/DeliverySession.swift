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
  init?(_ wire: DeliveryWire, peer: String, limits: DeliveryLimits) {
    switch wire {
    case .forward, .zabbix, .influxTCP: return nil
    }
  }
  /// Whether the socket may be read: not while too much is under way, nor after the end.
  var mayReceive: Bool {
    switch self {}
  }
  /// What it keeps of what it received; bounded by the limits.
  var heldBytes: Int {
    switch self {}
  }
  mutating func received(_ bytes: [UInt8], now: Int64) -> [DeliveryAction] {
    switch self {}
  }
  mutating func delivered(_ number: Int, _ outcome: DeliveryOutcome, now: Int64) -> [DeliveryAction] {
    switch self {}
  }
  /// The client sends no more; what it sent may still be delivered and answered.
  mutating func ended(now: Int64) -> [DeliveryAction] {
    switch self {}
  }
}
