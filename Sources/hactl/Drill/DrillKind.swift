// The faults that can be rehearsed, and what is expected of the cluster in each.

enum DrillKind: String, CaseIterable, Sendable {
  case kill
  case stop
  case switchover
  case cutPeer = "cut-peer"
  case cutDatabase = "cut-database"

  var does: String {
    switch self {
    case .kill: "kills the worker of the active node (SIGKILL)"
    case .stop: "stops the worker of the active node (SIGSTOP), as a hanging machine would"
    case .switchover: "hands over as in hactl switchover"
    case .cutPeer: "drops all beats between this node and the others for three seconds"
    case .cutDatabase: "drops all packets between this host and PostgreSQL"
    }
  }
  /// Whether another node has to serve afterwards; otherwise none may.
  var movesTheService: Bool {
    switch self {
    case .kill, .stop, .switchover, .cutDatabase: true
    case .cutPeer: false
    }
  }
  /// Milliseconds between two acknowledgements that are still good.
  var gapLimitMilliseconds: Double {
    switch self {
    case .kill, .switchover, .cutPeer: 1000
    case .stop, .cutDatabase: 2500
    }
  }
  var needsRoot: Bool {
    switch self {
    case .kill, .stop, .cutPeer, .cutDatabase: true
    case .switchover: false
    }
  }
  var needsPacketFilter: Bool {
    switch self {
    case .cutPeer, .cutDatabase: true
    case .kill, .stop, .switchover: false
    }
  }
}
