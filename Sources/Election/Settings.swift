// The times and bounds of the election, each with the reason for its default.

/// Times and bounds of the core. The same on all nodes of a cluster.
public struct Settings: Equatable, Sendable {
  /// Lease TTL. A beat sent at t proves the lease until t + this. Also `idle_session_timeout` of the lease session.
  public var leaseLifetime = Interval.seconds(2)
  /// Between two beats of the active node in its lease session.
  public var leaseBeatInterval = Interval.milliseconds(250)
  /// Between two UDP beats.
  public var peerBeatInterval = Interval.milliseconds(100)
  /// No UDP beat on any link for this long: the peer is silent.
  public var peerSilence = Interval.milliseconds(500)
  /// Between two reads of the watch session. Always running, so that the window overlaps with the silence.
  public var watchInterval = Interval.milliseconds(100)
  /// The lock holder's counter must stand still over reads that span this long before it is fenced.
  public var judgeWindow = Interval.milliseconds(750)
  /// ... and over at least this many successful reads.
  public var judgeReads = 3
  /// An active whose beat got no answer for this long and that hears a peer with the database steps down.
  public var unansweredBeatLimit = Interval.milliseconds(600)
  /// A beat answered later than this renews no address.
  public var renewalAnswerLimit = Interval.milliseconds(250)
  /// `valid_lft` of the address, whole seconds: the kernel is the dead man's switch.
  public var addressLifetime = Interval.seconds(2)
  /// On top of `addressLifetime`: the longest wait for an old holder to fall silent before the address is claimed.
  public var probeMargin = Interval.milliseconds(1_300)
  /// How long one probe listens: at least three questions, and time for the answer to the last.
  public var probeSpan = Interval.milliseconds(80)
  /// Helpers are killed at this deadline.
  public var helperDeadline = Interval.milliseconds(400)
  /// `lock_timeout` of one `ha.wait_leader()`.
  public var waitTimeout = Interval.seconds(2)
  /// `lock_timeout` and `statement_timeout` of the bump.
  public var bumpTimeout = Interval.milliseconds(1_000)
  /// Any other statement and any connect is abandoned after this.
  public var statementTimeout = Interval.milliseconds(1_000)
  /// How long a switchover waits for batches in flight before it aborts them.
  public var drainTimeout = Interval.milliseconds(500)
  /// "The database is reachable" expires this long after the last success: well before `unansweredBeatLimit`, or the
  /// active of a database that has fallen silent for all would take its peers' last word for theirs now.
  public var reachabilityLifetime = Interval.milliseconds(450)
  /// When the database returns, the others leave the holder of the address this much time to win the lock again.
  public var headStart = Interval.seconds(1)
  /// A local fault must be gone for this long before the node queues for the lock again.
  public var faultHoldDown = Interval.seconds(5)
  /// After a demotion without a standing fault the node lets the others go first for this long.
  public var restAfterStepDown = Interval.milliseconds(1_000)
  /// After a switchover without a named successor the former active lets the others go first for this long.
  public var restAfterSwitchover = Interval.seconds(5)
  /// An address that is lost again within this time of its re-claim demotes.
  public var reclaimWindow = Interval.seconds(60)
  /// First and longest pause between two attempts to connect or promote.
  public var retryFirst = Interval.milliseconds(50)
  public var retryLongest = Interval.milliseconds(250)
  /// After the loss of the lease session a peer's "I reach the database" counts only once it is newer than this.
  public var reachabilitySettle = Interval.milliseconds(250)
  /// How long the core waits past a command's deadline for an executor that does not answer.
  public var answerGrace = Interval.milliseconds(200)
  /// Later than this behind the own deadline, the core counts itself as overslept.
  public var oversleepLimit = Interval.milliseconds(300)
  /// The node that leads again, by a switchover of its own, once it has been a sound standby for `failbackDelay`.
  public var failbackTo: ShortName? = nil
  public var failbackDelay = Interval.seconds(60)
  /// Planted bugs for the simulator; empty in the product.
  package var flaws = Flaws()

  public init() {}

  /// What is wrong with the settings, each one sentence with the key; empty when sound.
  public func faults() -> [String] {
    var found: [String] = []
    func require(_ sound: Bool, _ sentence: String) { if !sound { found.append(sentence) } }
    require(leaseBeatInterval > .zero, "leaseBeatInterval must be above zero")
    require(leaseLifetime >= leaseBeatInterval * 3, "leaseLifetime must be at least three leaseBeatInterval")
    require(peerBeatInterval > .zero, "peerBeatInterval must be above zero")
    require(peerSilence >= peerBeatInterval * 3, "peerSilence must be at least three peerBeatInterval")
    require(watchInterval > .zero, "watchInterval must be above zero")
    require(judgeReads >= 3, "judgeReads must be at least 3")
    require(judgeWindow >= leaseBeatInterval * 3, "judgeWindow must be at least three leaseBeatInterval")
    require(reachabilityLifetime < unansweredBeatLimit, "reachabilityLifetime must be below unansweredBeatLimit")
    require(unansweredBeatLimit < leaseLifetime, "unansweredBeatLimit must be below leaseLifetime")
    require(addressLifetime >= .seconds(1), "addressLifetime must be at least one second")
    require(addressLifetime.nanoseconds % 1_000_000_000 == 0, "addressLifetime must be whole seconds")
    require(bumpTimeout < leaseLifetime, "bumpTimeout must be below leaseLifetime")
    require(helperDeadline <= .milliseconds(400), "helperDeadline must be at most 400 ms")
    return found
  }
}

/// Bugs that the simulator plants in the core, to prove that it would find them.
package struct Flaws: OptionSet, Equatable, Sendable {
  package let rawValue: Int
  package init(rawValue: Int) { self.rawValue = rawValue }
  /// The lease counts from the reply instead of the sending.
  package static let leaseFromReply = Flaws(rawValue: 1)
  /// The address is claimed as soon as the lock is won.
  package static let addressBeforeBump = Flaws(rawValue: 2)
  /// A helper's result counts even when its operation was given up.
  package static let lateResultBelieved = Flaws(rawValue: 4)
  /// The address is claimed without asking whether somebody still answers.
  package static let noProbe = Flaws(rawValue: 8)
  /// The holder of the address keeps it without a lease, whatever its peers say.
  package static let neverYields = Flaws(rawValue: 16)
  /// The end of the lease is not enforced by the own timer.
  package static let leaseNotEnforced = Flaws(rawValue: 32)
  /// The judge fences on silence between peers alone, without looking at the counter.
  package static let judgeOnSilence = Flaws(rawValue: 64)
  /// A switchover marks its release as clean before the address is released.
  package static let markedBeforeRelease = Flaws(rawValue: 128)
  /// The term in a peer's beat is taken over instead of giving way to it.
  package static let epochFromBeat = Flaws(rawValue: 256)
  /// The end of a local fault is not noticed.
  package static let faultNeverEnds = Flaws(rawValue: 512)
  /// A node whose lease session was lost does not connect again.
  package static let connectsOnce = Flaws(rawValue: 1_024)
  /// The judge takes "I resigned" for the present reign, whichever it is about.
  package static let anyResignation = Flaws(rawValue: 2_048)
}
