// The thread of the lease session: carries out the core's lease commands in order, one answer each.
internal import Election
internal import Platform
internal import Postgres

/// Owns the one session in which this node waits for, or holds, the advisory lock.
final class LeaseRole: Sendable {
  private struct Order: Sendable {
    var operation: OperationID
    var command: LeaseCommand
    var deadline: Instant
  }
  private let orders: Mailbox<Order>
  private let interrupt: Interrupt
  private let statements: LeaseStatements
  private let sessions: DatabaseSessions
  private let pulses: Pulses
  private let complaints = Complaints(about: "lease session")
  private let report: @Sendable (Event) -> Void

  init(
    sessions: DatabaseSessions, me: NodeIncarnation, pulses: Pulses, report: @escaping @Sendable (Event) -> Void
  ) throws(SystemError) {
    orders = try Mailbox(capacity: 64)
    interrupt = try Interrupt()
    statements = LeaseStatements(me: me)
    self.sessions = sessions
    self.pulses = pulses
    self.report = report
  }

  /// Called by the control thread. `.close` overtakes what is in progress by cutting its connection.
  func submit(_ operation: OperationID, _ command: LeaseCommand, deadline: Instant) {
    if command == .close { interrupt.raise() }
    if orders.post(Order(operation: operation, command: command, deadline: deadline)) != .posted {
      // Cannot happen while the core waits for answers; if it does, an answer keeps the core going.
      report(.leaseAnswered(operation, .failed("lease thread is behind", sessionLost: false)))
    }
  }
  func shutDown() {
    orders.close()
    interrupt.raise()
  }

  /// Runs until `shutDown`. The session ends with the thread.
  func run() {
    var session: Connection? = nil
    var opened = OperationID(number: 0)
    while true {
      let deadline = BootInstant.after(milliseconds: 500)
      pulses.waits(.lease, until: deadline)
      let ready = waitAny([(orders.descriptor, .read), (Self.descriptor(session), .read)], until: deadline)
      if orders.isClosed { return }
      guard ready.count == 2 else { continue }
      if !ready[1].isEmpty, !Self.stillThere(&session) {
        session = nil
        report(.leaseSessionLost(session: opened, reason: "the server closed the session"))
      }
      for order in orders.takeAll() {
        if order.command == .connect { opened = order.operation }
        pulses.waits(.lease, until: BootInstant(order.deadline))
        report(.leaseAnswered(order.operation, carryOut(order, &session)))
      }
    }
  }

  private static func descriptor(_ session: borrowing Connection?) -> Int32 {
    switch session {
    case .some(let session): session.descriptor
    case .none: -1
    }
  }
  private static func stillThere(_ session: inout Connection?) -> Bool { session?.isAlive() ?? true }

  private func carryOut(_ order: Order, _ session: inout Connection?) -> LeaseResult {
    let deadline = BootInstant(order.deadline)
    switch order.command {
    case .close:
      session = nil
      interrupt.clear()
      return .closed
    case .connect:
      do {
        var fresh = try sessions.open(.lease, deadline: deadline, interrupt: interrupt)
        try requirePreconditions(&fresh, cluster: sessions.cluster, deadline: deadline)
        try statements.register(&fresh, deadline)
        session = consume fresh
        return .connected
      } catch {
        complaints.note(error)
        session = nil
        return .failed(error.description, sessionLost: true)
      }
    case .waitLeader, .beat, .endOldSessions, .bump, .markCleanRelease, .unlock:
      guard var standing = session.take() else { return .failed("there is no lease session", sessionLost: true) }
      do {
        let result = try statements.run(order.command, &standing, deadline)
        // Nobody waits for what this session still holds: it goes, and the lock with it.
        if case .outcomeUnknown = result { return result }
        session = consume standing
        return result
      } catch {
        complaints.note(error)
        return given(up: error, order.command, consume standing, &session)
      }
    }
  }

  /// A refusal leaves the session as it is; after anything else its state is unknown and it is dropped.
  private func given(
    up error: PostgresError, _ command: LeaseCommand, _ standing: consuming Connection, _ session: inout Connection?
  ) -> LeaseResult {
    if error.state != nil {
      var standing = consume standing
      if standing.inTransaction {
        do {
          _ = try standing.run("ROLLBACK", deadline: .after(milliseconds: 500))
        } catch {
          return .failed(error.description, sessionLost: true)
        }
      }
      session = consume standing
      return .failed(error.description, sessionLost: false)
    }
    if case .bump = command { return .outcomeUnknown(error.description) }
    return .failed(error.description, sessionLost: true)
  }
}
