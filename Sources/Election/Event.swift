// What happened, as the shell tells the core. Results carry the operation id of their command.

public enum Event: Equatable, Sendable {
  /// Time passed; due at `nextDeadline`, harmless at any other time.
  case ticked
  case leaseAnswered(OperationID, LeaseResult)
  /// The lease session broke while nothing was asked of it (the thread polls its socket). `session` is the id of the
  /// `.connect` that opened it.
  case leaseSessionLost(session: OperationID, reason: String)
  case watchAnswered(OperationID, WatchResult)
  case addressAnswered(OperationID, AddressResult)
  /// The kernel says that the address is gone though nobody released it.
  case addressLost
  /// Somebody else on the LAN answers for the address that we hold.
  case duplicateAddressSeen(String)
  case ingestAnswered(OperationID, IngestResult)
  /// A writer lane found another term or another timeline than its own.
  case laneFenced(Term)
  /// An authentic beat that `BeatGate` admitted.
  case peerBeat(PeerBeat, roundTrip: Interval?)
  case faultBegan(LocalFault)
  case faultEnded(LocalFault)
  /// Whether every critical thread ticked within the last second; while not, no beat is sent.
  case criticalThreads(ticking: Bool)
  case commanded(CommandID, Command)
}

public enum LeaseResult: Equatable, Sendable {
  case connected
  case granted
  case notGranted
  /// `sent` is the own boot clock just before the statement went out.
  case beatAnswered(sent: Instant, BeatReading)
  /// How many sessions could not be ended (terminate returned false in time).
  case oldSessionsEnded(remaining: Int)
  case bumped(TimelineTerm)
  case bumpRefused(BumpRefusal)
  case outcomeUnknown(String)
  case marked
  case unlocked
  case closed
  /// `sessionLost`: the connection is gone or was dropped; otherwise the session stands.
  case failed(String, sessionLost: Bool)
}

public enum BumpRefusal: String, Equatable, Sendable {
  case epochMoved, lockNotHeld, paused, noPromote, otherSuccessor
}

public enum WatchResult: Equatable, Sendable {
  case read(WatchReading)
  case fenced
  case mismatch
  case failed(String)
}

public enum AddressResult: Equatable, Sendable {
  case silent
  /// Who answered, for the log.
  case answered(String)
  case claimed
  case renewed
  case released
  case stillPresent
  case failed(String)
}

public enum IngestResult: Equatable, Sendable {
  case opened
  case drained
  case drainTimedOut
  case aborted
  case failed(String)
}

/// What makes this node unfit to lead while it stands, and for a while after.
public enum LocalFault: Hashable, Sendable, CustomStringConvertible {
  case carrierLost(interface: String)
  case healthCheck(String)
  case helper(String)
  public var description: String {
    switch self {
    case .carrierLost(let interface): "carrier lost on \(interface)"
    case .healthCheck(let what): "health check failing: \(what)"
    case .helper(let what): "helper failing: \(what)"
    }
  }
}
