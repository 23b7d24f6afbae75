// Between the core's words for the address and the guard's.
internal import Election
internal import Platform

/// Stateless but for the interfaces' names, which the guard counts.
struct GuardTranslation {
  let interfaces: [String]

  func request(_ id: OperationID, _ command: AddressCommand) -> GuardRequest {
    switch command {
    case .probe: .probe(operation: id.number)
    case .claim(let lifetime): .claim(operation: id.number, lifetimeMilliseconds: milliseconds(lifetime))
    case .renew(let lifetime): .renew(operation: id.number, lifetimeMilliseconds: milliseconds(lifetime))
    case .release: .release(operation: id.number)
    }
  }
  private func milliseconds(_ interval: Interval) -> UInt32 { UInt32(clamping: interval.wholeMilliseconds) }

  /// Nil for what the core need not know.
  func event(_ reply: GuardReply) -> Event? {
    func answer(_ operation: UInt64, _ result: AddressResult) -> Event {
      .addressAnswered(OperationID(number: operation), result)
    }
    switch reply {
    case .probeSilent(let operation): return answer(operation, .silent)
    case .probeAnswered(let operation, _, let hardware): return answer(operation, .answered("\(hardware)"))
    case .probeFailed(let operation, let failure): return answer(operation, .failed("\(failure)"))
    case .claimed(let operation): return answer(operation, .claimed)
    case .claimFailed(let operation, let failure):
      return answer(operation, failure.reason == .stillPresent ? .stillPresent : .failed("\(failure)"))
    case .renewed(let operation): return answer(operation, .renewed)
    case .renewFailed(let operation, let failure): return answer(operation, .failed("\(failure)"))
    case .released(let operation): return answer(operation, .released)
    case .releaseFailed(let operation, _): return answer(operation, .stillPresent)
    case .status: return nil
    case .addressLost: return .addressLost
    case .duplicateSeen(let index, let hardware): return .duplicateAddressSeen("\(hardware) on \(interface(index))")
    case .carrier(let index, let up):
      let fault = LocalFault.carrierLost(interface: interface(index))
      return up ? .faultEnded(fault) : .faultBegan(fault)
    }
  }
  private func interface(_ index: UInt8) -> String {
    Int(index) < interfaces.count ? interfaces[Int(index)] : "interface \(index)"
  }

  /// The supervisor shows the worker's role.
  static func state(_ state: NodeState) -> WorkerState {
    switch state {
    case .starting: .starting
    case .standby: .standby
    case .promoting: .promoting
    case .active: .active
    case .draining: .draining
    case .steppingDown: .steppingDown
    case .degraded: .degraded
    case .faulty: .faulty
    case .excused: .excused
    case .stopped: .stopped
    }
  }
}

extension IngestEvent {
  /// Whether what a lane met is about this term.
  func concerns(_ term: Term) -> Bool {
    switch self {
    case .fenced(let epoch): epoch == term.epoch
    case .timelineChanged: true
    case .listening, .listenFailed, .stopped, .drained, .firstCommit, .lanesReady, .laneFailed: false
    }
  }
}
