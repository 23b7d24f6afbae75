// The parts of the core's state, each a plain value.

/// A command that an executor has not answered yet.
struct Pending<Command: Equatable & Sendable>: Equatable, Sendable {
  var id: OperationID
  var command: Command
  var began: Instant
  var deadline: Instant
}

/// What the node does. Everything that is true only in one of them lives in its payload; boxed, for every event looks at
/// the role, and few change it.
indirect enum Role: Equatable, Sendable {
  /// Does not hold the lock; queues for it when it may.
  case standby
  /// From the grant of the lock on.
  case reigning(Reign)
  case handingOver(Handover)
  case steppingDown(StepDown)
  case degraded(Degraded)
  case stopped
}

struct Reign: Equatable, Sendable {
  enum Step: Equatable, Sendable { case proving, clearing, bumping, ruling }
  var step = Step.proving
  /// What the first beat after the grant read: the bump is on condition that it still holds.
  var seen: ClusterReading?
  var probeBegan: Instant?
  var nextProbeAt: Instant
  /// The probe found silence, or the last leader released cleanly.
  var mayClaim = false
  var served = false
  var began: Instant
  var phases: [PhaseTime] = []

  mutating func passed(_ phase: Phase, at now: Instant) {
    guard !phases.contains(where: { $0.phase == phase }) else { return }
    phases.append(PhaseTime(phase: phase, after: now - began))
  }
}

struct Handover: Equatable, Sendable {
  enum Step: Equatable, Sendable { case draining, aborting, releasing, marking, unlocking }
  var step = Step.draining
  var command: CommandID?
  var successor: ShortName?
  var reason: Reason
  var began: Instant
  var phases: [PhaseTime] = []
}

struct StepDown: Equatable, Sendable {
  var reason: Reason
  var unlockTried = false
  var rest: Interval
}

struct Degraded: Equatable, Sendable {
  /// When lease or session was lost.
  var since: Instant
  /// Not confirmed by every peer by then: step down.
  var decideBy: Instant
  var confirmed = false
}

package enum AddressState: Equatable, Sendable { case unknown, absent, claiming, held, releasing }
enum IngestState: Equatable, Sendable { case closed, opening, open, draining, aborting }

/// What is known of one peer.
struct PeerView: Equatable, Sendable {
  var node: ShortName
  var lastBeat: PeerBeat?
  var lastHeard: Instant?
  var links: [Status.Link] = []
  var lastLeading: Instant?
  var lastDegraded: Instant?
  /// Since when it has been a sound standby, for the failback.
  var soundSince: Instant?
  var linkWarned = false
}

/// The judge's window over the holder of the lock.
struct JudgeWindow: Equatable, Sendable {
  var holder: LockHolder
  var term: Term
  var counter: Int64
  var reads: Int
  /// First answer and last asking with this holder, term and counter: their distance can only be too small.
  var firstReceived: Instant
  var lastAsked: Instant
  /// When this holder was first seen with this term, and over how many reads.
  var holderSince: Instant
  var holderReads: Int
  var leaderMatches: Bool
}
