// Between the machine's clock and the core's: both count nanoseconds of CLOCK_BOOTTIME.
internal import Election
internal import Platform

extension BootInstant {
  init(_ instant: Instant) { self.init(nanoseconds: instant.nanoseconds) }
}
extension Instant {
  init(_ instant: BootInstant) { self.init(nanoseconds: instant.nanoseconds) }
  static func bootNow() -> Instant { Instant(.now()) }
}
extension Interval {
  var wholeMilliseconds: Int64 { nanoseconds / 1_000_000 }
  var millisecondsValue: Double { Double(nanoseconds) / 1_000_000 }
}

extension NodeState {
  /// The state's name in PostgreSQL, in logs and for operators.
  var name: String {
    switch self {
    case .starting: "starting"
    case .standby: "standby"
    case .promoting: "promoting"
    case .active: "active"
    case .draining: "draining"
    case .steppingDown: "stepping-down"
    case .degraded: "degraded"
    case .faulty: "faulty"
    case .excused: "excused"
    case .stopped: "stopped"
    }
  }
  /// The state of that name; nil for a name that a later version may have written.
  init?(name: String) {
    guard let state = NodeState.allCases.first(where: { $0.name == name }) else { return nil }
    self = state
  }
}
