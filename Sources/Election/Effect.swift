// What the core asks of the shell. Plain data: the shell carries it out outside all locks and answers with one event.

/// One command. The four executors (lease, watch, address, ingest) are a thread each and keep the order of their
/// commands; each command with an operation id is answered by exactly one event with that id, at the latest at its
/// deadline (`.failed` then, and what was half done is given up: the connection dropped, the child killed).
public enum Effect: Equatable, Sendable {
  case lease(OperationID, LeaseCommand, deadline: Instant)
  case watch(OperationID, WatchCommand, deadline: Instant)
  case address(OperationID, AddressCommand, deadline: Instant)
  case ingest(OperationID, IngestCommand, deadline: Instant)
  /// To every peer on every link; the shell stamps, signs and sends. No answer.
  case sendBeat(PeerBeat)
  /// To the operator who gave the command. No answer.
  case reply(CommandID, CommandReply)
  /// A change of state: log it once as key=value, and store it in `ha.event` when the database allows (best effort,
  /// outside the lease session). No answer.
  case record(Transition)
  /// Log it. No answer.
  case warn(Warning)
  /// End the worker now; guard and kernel finish what is left. Nothing follows.
  case exitWorker(ExitReason)
}

/// For the thread of the lease session.
public enum LeaseCommand: Equatable, Sendable {
  /// Connect, check what must be checked at every connect, apply the session settings, write the own incarnation into
  /// `ha.node`. Answer: `.connected` or `.failed`.
  case connect
  /// `ha.wait_leader()` with this `lock_timeout`. Answer: `.granted`, `.notGranted` or `.failed`.
  case waitLeader(lockTimeout: Interval)
  /// Counter and state into `ha.node`, and read the cluster's state, in one statement. Answer: `.beatAnswered` with the
  /// instant just before the sending, or `.failed`.
  case beat(counter: Int64, state: NodeState)
  /// End every session of an older incarnation of any node, every writing session (lane, upkeep, web) of every other
  /// node, and the own lanes that served an earlier term of this incarnation: one of them, held open by a flow that
  /// something in between dropped, would keep the bump waiting. Answer: `.oldSessionsEnded` or `.failed`.
  case endOldSessions
  /// The conditional bump, see "Promotion" in the design; writes term and leader. Answer: `.bumped`, `.bumpRefused`,
  /// `.failed` (certainly not done; the session still stands) or `.outcomeUnknown` (the session is gone).
  case bump(expecting: Term, timeout: Interval)
  /// Says in the database that the address was released verifiably and who is to lead next (with an expiry).
  /// Answer: `.marked` or `.failed`.
  case markCleanRelease(of: Term, successor: ShortName?)
  /// `pg_advisory_unlock_all()`, verified. Answer: `.unlocked` or `.failed`.
  case unlock
  /// Cut the connection at once, ahead of what is in progress (which answers `.failed`). Answer: `.closed`.
  case close
}

/// For the thread of the watch session, which connects by itself when it has no connection.
public enum WatchCommand: Equatable, Sendable {
  /// Answer: `.read` or `.failed`.
  case read
  /// `ha.fence`: compares all four under the lock of the beat row, then ends all sessions of that incarnation.
  /// Answer: `.fenced`, `.mismatch` or `.failed`.
  case fence(term: Term, node: NodeIncarnation, counter: Int64)
}

/// For the guard. `probe` and `claim` are slow; `release` overtakes and kills them, then removes, then verifies.
/// A claim or renewal whose deadline has passed is not carried out: a guard that was stopped in between would put the
/// address back long after the lease. An address that the guard removes by its own decision is told as `.addressLost`.
public enum AddressCommand: Equatable, Sendable {
  /// Whether somebody answers for the address: at least three questions within `span`. Answer: `.silent` at the end,
  /// `.answered` as soon as one answers, or `.failed`.
  case probe(span: Interval)
  /// Add the address with this lifetime and announce. Answer: `.claimed` once it is verified, or `.failed`.
  case claim(lifetime: Interval)
  /// Answer: `.renewed` or `.failed`.
  case renew(lifetime: Interval)
  /// Stop announcing, remove, verify. Answer: `.released` or `.stillPresent`. Also right when it was never held.
  case release
}

/// For ingest: listeners, connections and writer lanes.
public enum IngestCommand: Equatable, Sendable {
  /// Accept, with new lanes of this term. A lane that finds itself on another timeline at any connect reports
  /// `.laneFenced`: what it read before a failover of PostgreSQL proves nothing behind it, even in the same epoch.
  /// Answer: `.opened` or `.failed`.
  case open(TimelineTerm)
  /// Stop accepting and reading, commit what is in flight, tell clients. Answer: `.drained` or `.drainTimedOut`.
  case drain
  /// At once: stop accepting, acknowledge nothing more, abort writers, reset client connections. Answer: `.aborted`.
  case abort
}

/// An operator's command.
public enum Command: Equatable, Sendable {
  /// Only the active node can do it. `nil`: whoever wins.
  case switchover(to: ShortName?)
  /// The worker is asked to end (SIGTERM): hand over when active, then `.exitWorker(.stopRequested)`.
  case stop
}

public enum CommandReply: Equatable, Sendable {
  /// Refused, with a sentence for the operator.
  case refused(String)
  /// Accepted; a `.done` or `.failed` follows.
  case started
  case done(phases: [PhaseTime])
  case failed(String)
}

public enum ExitReason: Equatable, Sendable {
  case stopRequested
  /// The address could not be removed.
  case addressNotRemoved
  /// Ingest did not confirm its abort in time: something could still acknowledge.
  case ingestNotAborted
}
