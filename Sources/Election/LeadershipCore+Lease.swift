// The lease session: connect, queue for the lock, hang up; and its answers on their way to who asked.

extension LeadershipCore {
  /// Why this node must not lead now, though nothing is wrong with it; `nil` when it may.
  var excuse: String? {
    guard let reading = reading?.cluster else { return "the cluster's state is not known yet" }
    if reading.paused { return "paused" }
    if reading.noPromote { return "no-promote is set for this node" }
    if let successor = reading.successor, successor != me.node { return "\(successor) is the named successor" }
    return nil
  }

  func isFaulty(at now: Instant) -> Bool { !faults.isEmpty || now < faultFreeAt }

  /// Whether this node queues for the lock.
  func mayQueue(at now: Instant) -> Bool {
    guard !isExcused, !isFaulty(at: now), threadsTicking, stopCommand == nil else { return false }
    guard address == .absent || address == .held, ingest == .closed else { return false }
    let somebodyElseCan = views.contains { !isSilent($0, at: now) && $0.lastBeat?.databaseReachable == true }
    if now < holdOffUntil && somebodyElseCan { return false }
    return address == .held || !leavesHeadStart(at: now)
  }

  /// The database has just returned and a peer held the address all the while: let it win.
  private func leavesHeadStart(at now: Instant) -> Bool {
    guard now < databaseBackAt + settings.headStart else { return false }
    return views.contains {
      guard let held = $0.lastDegraded, !isSilent($0, at: now) else { return false }
      return now - held < settings.headStart + settings.reachabilityLifetime
    }
  }

  mutating func ask(lease command: LeaseCommand, within limit: Interval, at now: Instant) {
    let op = Pending(id: nextID(), command: command, began: now, deadline: now + limit)
    leaseOp = op
    out.append(.lease(op.id, command, deadline: op.deadline))
  }

  mutating func closeLease(at now: Instant) {
    leaseUntil = nil
    provenSent = nil
    guard leaseSession != nil || leaseOp != nil, leaseOp?.command != .close else { return }
    leaseSession = nil
    ask(lease: .close, within: settings.statementTimeout, at: now)
  }

  /// At most one command; who needs the session is asked by role.
  mutating func driveLease(at now: Instant) {
    guard leaseOp == nil else { return }
    switch role {
    case .stopped: break
    case .standby:
      if mayQueue(at: now) { queue(at: now) } else if leaseSession != nil { closeLease(at: now) }
    case .degraded:
      if mayQueue(at: now) { queue(at: now) }
    case .reigning: driveReign(at: now)
    case .handingOver(let handover): driveHandoverLease(handover, at: now)
    case .steppingDown(let stepDown): driveStepDown(stepDown, at: now)
    }
  }

  private mutating func queue(at now: Instant) {
    guard now >= leaseRetryAt else { return }
    guard leaseSession != nil else { return ask(lease: .connect, within: settings.statementTimeout, at: now) }
    let limit = settings.waitTimeout + settings.statementTimeout
    ask(lease: .waitLeader(lockTimeout: settings.waitTimeout), within: limit, at: now)
  }

  mutating func leaseAnswered(_ id: OperationID, _ result: LeaseResult, at now: Instant) {
    guard let op = leaseOp, op.id == id else { return }
    leaseOp = nil
    switch result {
    case .failed(let why, let sessionLost):
      if case .connect = op.command { return leaseSessionLost(why, at: now) }
      if op.command == .close { return }
      if sessionLost { return leaseSessionLost(why, at: now) }
      databaseAnswered(at: now)
      leaseCommandFailed(op.command, why, at: now)
    case .outcomeUnknown(let why): leaseSessionLost(why, at: now)
    case .closed: break
    case .connected:
      databaseAnswered(at: now)
      leaseSession = op.id
      leaseRetryAt = now
      leaseRetryPause = settings.retryFirst
    case .notGranted:
      databaseAnswered(at: now)
      leaseRetryAt = max(now, op.began + settings.retryFirst)
    case .granted:
      databaseAnswered(at: now)
      lockGranted(at: now)
    case .beatAnswered(let sent, let reading):
      databaseAnswered(at: now)
      beatAnswered(sent: sent, reading, at: now)
    case .oldSessionsEnded(let remaining):
      databaseAnswered(at: now)
      oldSessionsEnded(remaining: remaining, at: now)
    case .bumped(let term):
      databaseAnswered(at: now)
      bumped(term, at: now)
    case .bumpRefused(let refusal):
      databaseAnswered(at: now)
      stepDown(.promotionFailed(refusal.rawValue), keepSession: true, at: now)
    case .marked, .unlocked:
      databaseAnswered(at: now)
      handoverAnswered(result, at: now)
    }
  }

  /// A statement failed, the session stands.
  private mutating func leaseCommandFailed(_ command: LeaseCommand, _ why: String, at now: Instant) {
    switch command {
    case .connect, .close: break
    case .waitLeader, .beat:
      // Neither can fail on a sound session: what it still holds is unknown, so it goes.
      leaseSessionLost(why, at: now)
      ask(lease: .close, within: settings.statementTimeout, at: now)
    case .endOldSessions, .bump: stepDown(.promotionFailed(why), keepSession: true, at: now)
    case .markCleanRelease, .unlock:
      if case .handingOver = role { stepDown(.promotionFailed(why), keepSession: false, at: now) }
      closeLease(at: now)
    }
  }

  /// The session is gone, and with it the lock.
  mutating func leaseSessionLost(_ why: String, at now: Instant) {
    leaseSession = nil
    leaseOp = nil
    leaseRetryAt = now + leaseRetryPause
    leaseRetryPause = min(leaseRetryPause * 2, settings.retryLongest)
    if settings.flaws.contains(.connectsOnce) { leaseRetryAt = now + .seconds(3_600) }
    readSoon(at: now)
    switch role {
    case .standby, .degraded, .steppingDown, .stopped: break
    case .reigning, .handingOver: leaseEnded(.sessionLost(why), at: now)
    }
  }
}
