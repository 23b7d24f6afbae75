// One attempt at a fenced transaction, and what its end means. The only place that judges PostgreSQL's answers.
internal import Platform
internal import Postgres

/// How an attempt ended. Fencing and commands are thrown.
enum AttemptEnd {
  /// COMMIT was answered as such and without a warning.
  case committed(Outcome)
  /// It may have committed. The session is gone where that was the reason.
  case unknown
  /// It did not commit, for no fault of ours; a pause has passed.
  case retry
  /// `ingest.take` refused: stored already, or out of order.
  case claimRefused(String)
  case noPartition(String)
  /// PostgreSQL refuses something in the data itself.
  case poison(String)
}

extension Lane {
  /// Runs a script once. `results` is how many answers it has, the last of them COMMIT's.
  mutating func attempt(
    _ script: String, results: Int, _ activation: Activation, expecting: (Outcome) -> Bool = { _ in true },
    copy: (Int, borrowing CopyStream) throws(PostgresError) -> Connection.CopyEnd
  ) throws(LaneHalt) -> AttemptEnd {
    let session = try connected()
    let deadline = BootInstant.after(milliseconds: settings.batchDeadlineMilliseconds)
    let outcome: Outcome
    do throws(PostgresError) {
      outcome = try session.connection.run(script, deadline: deadline, copy: copy)
    } catch {
      return try judge(error, activation)
    }
    return try judge(outcome, results: results, expecting: expecting)
  }

  mutating func judge(
    _ outcome: Outcome, results: Int, expecting: (Outcome) -> Bool
  ) throws(LaneHalt) -> AttemptEnd {
    guard outcome.results.count == results, outcome.results.last?.command == "COMMIT", expecting(outcome) else {
      // COPY took another number of rows than it was given (a trigger or a rule of the site's?): never acknowledged.
      let commands = outcome.results.map(\.command).joined(separator: ", ")
      log(.error, "unexpected answers of PostgreSQL", ["lane": "\(handle.number)", "answers": commands])
      drop()
      throw .givenUp(reason: "unexpected answers of PostgreSQL: \(commands)")
    }
    guard outcome.warnings.isEmpty else {
      tellUnknown()
      failed("COMMIT with a warning: \(outcome.warnings.joined(separator: "; "))")
      try pause()
      return .unknown
    }
    succeeded()
    return .committed(outcome)
  }

  /// Before any pause: a lane that is told to end in it tells nothing more.
  private func tellUnknown() { log(.notice, "outcome of a transaction unknown", ["lane": "\(handle.number)"]) }

  mutating func judge(_ error: PostgresError, _ activation: Activation) throws(LaneHalt) -> AttemptEnd {
    guard let state = error.state else {
      // Never cancelled: a cancel can block for seconds. The next session ends this one's backend.
      drop()
      tellUnknown()
      if error.reason == .interrupted { throw .told }
      note(.retrying)
      failed("\(error)")
      try pause()
      return .unknown
    }
    try rollBack()
    switch state {
    case Refusal.fenced:
      log(.error, "fenced", ["lane": "\(handle.number)", "epoch": "\(activation.epoch)"])
      report(.fenced(epoch: activation.epoch))
      throw .fenced
    case Refusal.timeline:
      if let session, let activatedAt, session.openedAt < activatedAt {
        // A session kept warm may lead to the server that was replaced meanwhile.
        drop()
        return .retry
      }
      report(.timelineChanged(lane: handle.number, timeline: nil))
      throw .fenced
    case Refusal.claim: return .claimRefused(error.message)
    case "23514" where error.constraint == nil: return .noPartition(error.message)
    case "23502": return .poison("\(error)")
    // 22P04, bad COPY format, would be our own mistake and true for every record.
    case _ where state.hasPrefix("22") && state != "22P04": return .poison("\(error)")
    case _ where state.hasPrefix("23") && error.constraint != nil: return .poison("\(error)")
    default:
      // Deadlock, lock time-out, disk full, shutting down, ...: nothing that a record is to blame for.
      note(.retrying)
      failed("\(error)")
      if state.hasPrefix("57P") { drop() }
      try pause()
      return .retry
    }
  }

  /// Leaves a refused transaction; a session that can't is dropped.
  mutating func rollBack() throws(LaneHalt) {
    guard let session, session.connection.inTransaction else { return }
    do {
      _ = try session.connection.run(
        "ROLLBACK", deadline: .after(milliseconds: settings.batchDeadlineMilliseconds))
    } catch {
      drop()
      if error.reason == .interrupted { throw .told }
    }
  }
}
