// The words of the election for logs, history and operators.
internal import Election
internal import Platform
internal import Postgres

func phaseTable(_ phases: [PhaseTime]) -> [String: Double] {
  Dictionary(phases.map { ($0.phase.rawValue, $0.after.millisecondsValue) }, uniquingKeysWith: { _, last in last })
}
/// `lockWon=1.2ms,bumped=5.0ms`, in order.
func phaseText(_ phases: [PhaseTime]) -> String {
  phases.map { "\($0.phase.rawValue)=\(tenths($0.after))ms" }.joined(separator: ",")
}
/// A JSON object of milliseconds by phase.
func phaseJSON(_ phases: [PhaseTime]) -> String {
  "{" + phases.map { "\"\($0.phase.rawValue)\": \(tenths($0.after))" }.joined(separator: ", ") + "}"
}
private func tenths(_ interval: Interval) -> String {
  let tenths = interval.nanoseconds / 100_000
  return "\(tenths / 10).\(abs(tenths % 10))"
}

/// Logs what an operator should know though the state did not change.
func warn(_ warning: Warning) {
  switch warning {
  case .peerLinkBroken(let peer):
    log(.warning, "no beat from a peer that lives: its links are broken", ["peer": peer.text])
  case .peerLinkMended(let peer): log(.notice, "beats of a peer are heard again", ["peer": peer.text])
  case .fencing(let node, let reason):
    log(.warning, "fencing", ["peer": node.node.text, "incarnation": "\(node.incarnation)", "reason": reason.rawValue])
  case .fenceRefused(let node): log(.notice, "fence refused: the node moved", ["peer": node.node.text])
  case .sessionsNotEnded(let count): log(.notice, "old sessions still end", ["sessions": "\(count)"])
  case .foreignAddressHolder(let who):
    log(.error, "a foreign host answers for the service IP; it is claimed all the same", ["holder": who])
  case .duplicateAddress(let who): log(.error, "another host claims the service IP", ["claimant": who])
  case .addressReclaimed: log(.warning, "the service IP was lost and claimed again", [:])
  case .overslept(let span): log(.warning, "overslept", ["ms": "\(span.wholeMilliseconds)"])
  case .sweepFailed(let why): log(.error, "a service IP left behind could not be removed", ["reason": why])
  }
}

/// Exit statuses of the worker, read by the guard.
enum WorkerExit {
  /// Asked to stop and done.
  static let stopped: Int32 = 0
  /// The address could not be removed: the guard and the kernel finish the work.
  static let addressNotRemoved: Int32 = 70
  static let guardGone: Int32 = 71
  static let ingestHung: Int32 = 72
  /// A restart would be refused again; the guard ends, too.
  static let refused = workerRefuses
  static func status(_ reason: ExitReason) -> Int32 {
    switch reason {
    case .stopRequested: stopped
    case .addressNotRemoved, .ingestNotAborted: addressNotRemoved
    }
  }
}

/// What the database refuses a node: without a word a node that can never lead would look like one that waits.
final class Complaints: Sendable {
  private let about: String
  private let last = Guarded("")
  init(about: String) { self.about = about }

  /// Says a refusal, each once until another comes. A server that is away is said by the lanes.
  func note(_ error: PostgresError) {
    switch error.reason {
    case .server, .misuse: break
    case .connect, .deadline, .interrupted, .lost: return
    }
    let isNew = last.withLock { last in
      defer { last = error.message }
      return last != error.message
    }
    if isNew { log(.error, "refused by the database or refusing it", ["by": about, "reason": error.message]) }
  }
}
