// What goes to a lane and comes back, and the slot through which it changes hands.
internal import Platform
internal import Postgres
internal import Telemetry

/// A stream that a connection asks for.
struct StreamRequest: Equatable, Sendable {
  enum Wish: Equatable, Sendable {
    /// Make it known and say what is stored.
    case register
    /// Write down that everything up to `last` that is not stored is lost.
    case recordGap(last: Int64)
  }
  var connection: UInt64
  var stream: Int64
  var source: String
  var name: String
  var wish: Wish

  /// Of `.recordGap`.
  var missingThrough: Int64? { if case .recordGap(let last) = wish { last } else { nil } }
}

/// `committed` stands in PostgreSQL behind a commit of this epoch.
enum StreamAnswer: Equatable, Sendable {
  case committed(Int64)
  case refused(reason: String)
}

/// A batch and the hellos behind it. Owned by one thread at a time: the slot of its lane hands it over.
final class LaneWork {
  enum End: Equatable {
    /// All rows and requests are committed.
    case committed
    /// The lane was told to stop, or is fenced: what is not committed never will be.
    case aborted
    /// The batch can't be written as it stands: its connections start again from what is stored.
    case givenUp(reason: String)
  }
  /// For which it was filled; what comes back of an older one means nothing to the clients of this one.
  var epoch: Int64 = 0
  var batch = Batch()
  var requests: [StreamRequest] = []

  /// Filled by the lane.
  var end = End.aborted
  var commits: [Claim] = []
  /// Records that PostgreSQL refused, beside those that the decoder refused.
  var poison: [Reject] = []
  /// The same for records of deliveries.
  var deliveryPoison: [(delivery: UInt64, reject: DeliveryReject)] = []
  /// Deliveries that were stored before, at least in part, and those whose key stands for other contents.
  var duplicates: Set<UInt64> = []
  var conflicts: Set<UInt64> = []
  /// Rows of theirs that were not written again.
  var repeatedRows = 0
  var answers: [(request: StreamRequest, answer: StreamAnswer)] = []
  var committedAt: BootInstant?

  var isEmpty: Bool { batch.isEmpty && requests.isEmpty }

  /// Ready for the next use; keeps the memory.
  func reset() {
    batch.removeAll()
    requests = []
    commits = []
    poison = []
    deliveryPoison = []
    duplicates = []
    conflicts = []
    repeatedRows = 0
    answers = []
    end = .aborted
    committedAt = nil
  }
}

enum LaneCommand: Equatable, Sendable { case activate(Activation), work, halt, shutDown }

/// What a lane says of itself.
struct LaneStatus: Equatable, Sendable {
  var state = IngestSnapshot.LaneState.connecting
  var batches = 0
  var rows = 0
  var retries = 0
  var sessions = 0
  var lastCommitMilliseconds = 0.0
}

/// The ends of a lane that other threads hold.
final class LaneHandle: Sendable {
  struct Slot {
    var toLane: LaneWork?
    var fromLane: LaneWork?
  }
  let number: Int
  let mailbox: Mailbox<LaneCommand>
  /// Ends the lane's waits for PostgreSQL.
  let interrupt: Interrupt
  /// One work each way; whoever takes it out owns it.
  let slot: Guarded<Slot>
  let status = Guarded(LaneStatus())

  init(number: Int) throws {
    self.number = number
    mailbox = try Mailbox(capacity: 64)
    interrupt = try Interrupt()
    slot = Guarded(Slot())
  }
  func give(_ work: LaneWork) {
    slot.withLock {
      precondition($0.toLane == nil)
      $0.toLane = work
    }
    mailbox.post(.work)
  }
}
