// The planted bugs: each must be found by the checks.

import Election

enum Plant: String, CaseIterable {
  case noFence = "no-fence"
  case fenceWithoutTableLock = "fence-without-table-lock"
  case epochWithoutToken = "epoch-without-token"
  case timelineIgnored = "timeline-ignored"
  case ackBeforeCommit = "ack-before-commit"
  case warningIgnored = "commit-warning-ignored"
  case ackFromRead = "ack-from-read"
  case leaseFromReply = "lease-from-reply"
  case wallClockLease = "wall-clock-lease"
  case leaseNotEnforced = "lease-not-enforced"
  case addressBeforeBump = "address-before-bump"
  case unconditionalBump = "unconditional-bump"
  case oldSessionsKept = "old-sessions-kept"
  case lateResultBelieved = "late-result-believed"
  case judgeWithoutCompare = "judge-without-compare"
  case noProbe = "no-probe"
  case neverYields = "never-yields"
  case claimNotChecked = "claim-not-checked"
  case addressWithoutLifetime = "address-without-lifetime"
  case judgeOnSilence = "judge-on-silence"
  case markedBeforeRelease = "marked-before-release"
  case epochFromBeat = "epoch-from-beat"
  case duplicateAcked = "duplicate-acknowledged"
  case unknownOutcomeAcked = "unknown-outcome-acknowledged"
  case claimNotLocked = "claim-not-locked"
  case lateClaim = "late-claim"
  case releaseNotVerified = "release-not-verified"
  case pauseNotAsked = "pause-not-asked"
  case monotonicLease = "monotonic-lease"
  case faultNeverEnds = "fault-never-ends"
  case connectsOnce = "connects-once"
  case anyResignation = "any-resignation"

  /// One line for `--help`.
  var sentence: String {
    switch self {
    case .noFence: "a write does not check the term at all"
    case .fenceWithoutTableLock: "a write checks the term by a plain SELECT, without the table lock"
    case .epochWithoutToken: "a write compares the epoch, neither token nor timeline"
    case .timelineIgnored: "a lane goes on in the same epoch after a failover of PostgreSQL"
    case .ackBeforeCommit: "a batch is acknowledged when its rows are sent, before COMMIT"
    case .warningIgnored: "a COMMIT that answers with a warning is acknowledged"
    case .ackFromRead: "what a read shows as committed is acknowledged at once"
    case .leaseFromReply: "the lease counts from the reply instead of the sending"
    case .wallClockLease: "the lease counts on a clock that can be set"
    case .leaseNotEnforced: "the end of the lease is not enforced by an own timer"
    case .addressBeforeBump: "the service IP is claimed before the bump"
    case .unconditionalBump: "the bump does not ask for lock, epoch, pause and successor"
    case .oldSessionsKept: "the sessions of older incarnations are not ended"
    case .lateResultBelieved: "a helper's result counts after its operation was given up"
    case .judgeWithoutCompare: "ha.fence does not compare incarnation and beat counter"
    case .noProbe: "the service IP is claimed without a probe"
    case .neverYields: "an active without database keeps the service IP whatever its peers say"
    case .claimNotChecked: "a batch is stored without a claim"
    case .addressWithoutLifetime: "the kernel does not remove the service IP by itself"
    case .judgeOnSilence: "the judge fences on silence between peers alone"
    case .markedBeforeRelease: "a switchover marks its release as clean before the service IP is released"
    case .epochFromBeat: "the epoch in a peer's beat is taken over instead of giving way to it"
    case .duplicateAcked: "a batch that is refused as a duplicate is acknowledged"
    case .unknownOutcomeAcked: "a batch whose connection broke is acknowledged"
    case .claimNotLocked: "a claim compares what is committed without a lock on the stream"
    case .lateClaim: "the guard carries out a claim whose deadline has passed"
    case .releaseNotVerified: "a release is confirmed without a look whether the service IP is gone"
    case .pauseNotAsked: "the bump does not ask for pause and no-promote"
    case .monotonicLease: "the lease counts on a clock that stands still while the machine is suspended"
    case .faultNeverEnds: "the end of a local fault is not noticed"
    case .connectsOnce: "a node whose lease session was lost does not connect again"
    case .anyResignation: "the judge takes a resignation from another reign for one of the present"
    }
  }

  /// Kinds of faults that are always among those of a run with this bug: the hunt for the rare ones is shorter so.
  var favoured: [FaultKind] {
    switch self {
    case .epochWithoutToken: [.missEpoch]
    case .timelineIgnored: [.failOver, .failOver, .failOver]
    case .warningIgnored: [.failOver, .stallCommits, .endLeaseSession, .stallThreads, .failOver, .stallCommits]
    case .leaseFromReply: [.slowDatabase]
    case .wallClockLease: [.setClock, .cutDatabase]
    case .neverYields: [.cutDatabase, .cutDatabase, .cutDatabase, .cutBoth]
    case .lateResultBelieved: [.helper]
    case .unconditionalBump: [.atStep, .loseLock]
    case .markedBeforeRelease: [.switchover]
    case .releaseNotVerified: [.switchover, .atStep, .switchover, .atStep, .helper]
    case .epochFromBeat: [.loseLock, .missEpoch, .stallThreads]
    case .duplicateAcked, .claimNotLocked: [.stallCommits, .holdLane, .stallCommits]
    case .lateClaim: [.stopAll, .atStep, .atStep, .killWorker]
    case .pauseNotAsked: [.atStep, .pause, .noPromote, .killWorker]
    case .monotonicLease: [.pauseMachine, .pauseMachine, .pauseMachine]
    case .faultNeverEnds: [.localFault]
    case .noFence, .fenceWithoutTableLock, .ackBeforeCommit, .ackFromRead, .leaseNotEnforced, .addressBeforeBump,
      .oldSessionsKept, .judgeWithoutCompare, .noProbe, .claimNotChecked, .addressWithoutLifetime, .judgeOnSilence,
      .unknownOutcomeAcked, .connectsOnce, .anyResignation:
      []
    }
  }

  /// Those that sit in the core; the others are in the simulator's model of shell and database.
  var flaws: Flaws {
    switch self {
    case .leaseFromReply: .leaseFromReply
    case .leaseNotEnforced: .leaseNotEnforced
    case .addressBeforeBump: .addressBeforeBump
    case .lateResultBelieved: .lateResultBelieved
    case .noProbe: .noProbe
    case .neverYields: .neverYields
    case .judgeOnSilence: .judgeOnSilence
    case .markedBeforeRelease: .markedBeforeRelease
    case .epochFromBeat: .epochFromBeat
    case .faultNeverEnds: .faultNeverEnds
    case .connectsOnce: .connectsOnce
    case .anyResignation: .anyResignation
    case .noFence, .fenceWithoutTableLock, .epochWithoutToken, .timelineIgnored, .warningIgnored, .ackBeforeCommit,
      .ackFromRead,
      .wallClockLease,
      .unconditionalBump, .oldSessionsKept, .judgeWithoutCompare, .claimNotChecked, .addressWithoutLifetime,
      .duplicateAcked, .unknownOutcomeAcked, .claimNotLocked, .lateClaim, .releaseNotVerified, .pauseNotAsked,
      .monotonicLease:
      []
    }
  }
}
