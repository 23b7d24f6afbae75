// A writer lane's thread: one session with PostgreSQL, kept warm; one work at a time while active.
internal import Platform
internal import Postgres

/// Why a lane gave the work in its hands back.
enum LaneHalt: Error, Equatable {
  /// A command waits.
  case told
  case fenced
  case givenUp(reason: String)
}

/// State of the thread "lane-n". Nothing of it is seen by another thread but through its handle.
struct Lane: ~Copyable {
  let handle: LaneHandle
  let sessions: DatabaseSessions
  let settings: IngestSettings
  let report: @Sendable (IngestEvent) -> Void
  /// Tells the intake that the slot has something, or that the lane has halted.
  let post: @Sendable (IntakeMessage) -> Void
  /// Asks upkeep for partitions.
  let needPartitions: @Sendable () -> Void

  /// Nil where rollups are configured off.
  let rollups: LaneRollups?

  var session: LaneSession?
  var former: BackendIdentity?
  var activation: Activation?
  var activatedAt: BootInstant?
  /// The lane's own stream: numbers the transactions with rows that have no number of their own.
  var own: OwnStream?
  /// Sources of registered streams, for what is set aside. Forgotten when there are too many.
  var sources: [Int64: String] = [:]
  /// Holes recorded and not yet told in the log.
  var gapsUntold = 0
  var nextGapLine = BootInstant(nanoseconds: 0)
  /// When to rehearse next, and not before when the last one cost a session.
  var rehearsal = (due: BootInstant(nanoseconds: 0), notBefore: BootInstant(nanoseconds: 0))
  private var failures: Int64 = 0
  private var reportedFailure = ""

  struct OwnStream: Equatable {
    var id: Int64
    var next: Int64
  }

  init(
    handle: LaneHandle, sessions: DatabaseSessions, settings: IngestSettings, hasRollups: Bool,
    trap: PlantedTrap?,
    report: @escaping @Sendable (IngestEvent) -> Void, post: @escaping @Sendable (IntakeMessage) -> Void,
    needPartitions: @escaping @Sendable () -> Void
  ) {
    (self.handle, self.sessions, self.settings) = (handle, sessions, settings)
    rollups = hasRollups ? LaneRollups(trap: trap) : nil
    (self.report, self.post, self.needPartitions) = (report, post, needPartitions)
  }

  mutating func run() {
    while true {
      for command in handle.mailbox.takeAll() {
        switch command {
        case .activate(let activation):
          self.activation = activation
          activatedAt = .now()
          own = nil
          note(session == nil ? .connecting : .idle)
        case .work: work()
        case .halt:
          halt()
        case .shutDown: return
        }
      }
      keepWarm()
    }
  }

  private mutating func halt() {
    handle.interrupt.clear()
    activation = nil
    own = nil
    if let session, session.connection.inTransaction { drop() }
    note(session == nil ? .connecting : .warm)
    let left = handle.slot.withLock { slot in
      let left = slot.toLane
      slot.toLane = nil
      return left
    }
    if let left { giveBack(left) }
    post(.laneHalted(handle.number))
  }

  /// Connects where there is no session, then waits for a command or for the session's end.
  private mutating func keepWarm() {
    if session == nil {
      do {
        _ = try connected()
        rehearsal.due = max(.now(), rehearsal.notBefore)
        note(activation == nil ? .warm : .idle)
      } catch {
        // Interrupted, and the command is on its way.
        _ = wait(handle.mailbox.descriptor, for: .read, until: .after(milliseconds: 10))
        return
      }
    }
    if activation == nil, .now() >= rehearsal.due { rehearse() }
    guard let session else { return }
    let ready = waitAny(
      [(handle.mailbox.descriptor, .read), (session.connection.descriptor, .read)],
      until: activation == nil ? rehearsal.due : nil)
    if ready.count == 2, !ready[1].isEmpty, !session.connection.isAlive() {
      failed("the session ended")
      drop()
    }
  }

  private mutating func work() {
    guard
      let work = handle.slot.withLock({ slot in
        let work = slot.toLane
        slot.toLane = nil
        return work
      })
    else { return }
    defer { giveBack(work) }
    guard activation != nil else { return }
    do {
      note(.writing)
      try write(work)
      work.end = .committed
      note(.idle)
    } catch {
      switch error {
      case .told: work.end = .aborted
      case .fenced:
        work.end = .aborted
        activation = nil
        note(.fenced)
      case .givenUp(let reason):
        work.end = .givenUp(reason: reason)
        failed(reason)
        note(.idle)
      }
    }
  }
  private func giveBack(_ work: LaneWork) {
    handle.slot.withLock {
      precondition($0.fromLane == nil)
      $0.fromLane = work
    }
    post(.laneReturned(handle.number))
  }

  // MARK: the session

  /// The session, opened again and again until there is one; throws when a command comes.
  mutating func connected() throws(LaneHalt) -> LaneSession {
    while true {
      if let session { return session }
      do {
        let opened = try LaneSession(
          sessions, lane: handle.number, former: former,
          deadline: .after(milliseconds: settings.connectDeadlineMilliseconds), interrupt: handle.interrupt)
        former = nil
        session = opened
        handle.status.withLock { $0.sessions += 1 }
        reportedFailure = ""
        post(.laneConnected(handle.number, true))
        return opened
      } catch {
        if error.reason == .interrupted { throw .told }
        failed("\(error)")
        try pause()
      }
    }
  }
  /// Gives the session up. Its backend may still be at work: the next session ends it first.
  mutating func drop() {
    guard let session else { return }
    former = session.backend
    self.session = nil
    post(.laneConnected(handle.number, false))
  }

  /// Waits longer from failure to failure; throws when a command comes meanwhile.
  mutating func pause() throws(LaneHalt) {
    let time = min(settings.retryMilliseconds << min(failures, 10), settings.longestRetryMilliseconds)
    failures += 1
    if handle.interrupt.isRaised { throw .told }
    if !wait(handle.mailbox.descriptor, for: .read, until: .after(milliseconds: time)).isEmpty { throw .told }
  }
  mutating func succeeded() { failures = 0 }

  /// Says it once, however often it is tried again.
  mutating func failed(_ reason: String) {
    handle.status.withLock { $0.retries += 1 }
    guard reason != reportedFailure else { return }
    reportedFailure = reason
    report(.laneFailed(lane: handle.number, reason: reason))
  }
  func note(_ state: IngestSnapshot.LaneState) { handle.status.withLock { $0.state = state } }
}
