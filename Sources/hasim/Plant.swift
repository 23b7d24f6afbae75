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
    }
  }

  /// Kinds of faults that are always among those of a run with this bug: the hunt for the rare ones is shorter so.
  var favoured: [FaultKind] {
    switch self {
    case .epochWithoutToken: [.missEpoch]
    case .timelineIgnored: [.failOver, .failOver, .failOver]
    case .warningIgnored: [.failOver, .stallCommits, .endLeaseSession, .stallThreads]
    case .leaseFromReply: [.slowDatabase]
    case .wallClockLease: [.setClock, .cutDatabase]
    case .neverYields: [.cutDatabase]
    case .lateResultBelieved: [.helper]
    case .unconditionalBump: [.atStep, .loseLock]
    case .noFence, .fenceWithoutTableLock, .ackBeforeCommit, .ackFromRead, .leaseNotEnforced, .addressBeforeBump,
      .oldSessionsKept, .judgeWithoutCompare, .noProbe, .claimNotChecked, .addressWithoutLifetime, .judgeOnSilence:
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
    case .noFence, .fenceWithoutTableLock, .epochWithoutToken, .timelineIgnored, .warningIgnored, .ackBeforeCommit,
      .ackFromRead,
      .wallClockLease,
      .unconditionalBump, .oldSessionsKept, .judgeWithoutCompare, .claimNotChecked, .addressWithoutLifetime:
      []
    }
  }
}
