// The way down: demotion, and the degraded state while nobody has the database.

extension LeadershipCore {
  /// Stop accepting, acknowledge nothing more, release the address, then give up the lock.
  ///
  /// `keepSession`: the lease session is sound, so the lock is released by a verified unlock once listeners and address
  /// are down; otherwise the connection is cut at once.
  mutating func stepDown(_ reason: Reason, keepSession: Bool, at now: Instant) {
    switch role {
    case .steppingDown, .stopped: return
    case .standby, .reigning, .degraded: break
    case .handingOver(let handover):
      if let command = handover.command, stopCommand == nil {
        out.append(.reply(command, .failed("\(reason)")))
      }
    }
    why = reason
    if leadsTerm { resigned = true }
    leaseUntil = nil
    provenSent = nil
    role = .steppingDown(StepDown(reason: reason, rest: rest(after: reason)))
    abortIngest(at: now)
    releaseAddress(at: now)
    // An operation in progress would hold back the unlock for as long as it lasts.
    if !keepSession || leaseOp != nil { closeLease(at: now) }
  }

  /// Whether `ledTerm` is the term of the present reign.
  private var leadsTerm: Bool {
    switch role {
    case .reigning(let reign): reign.step == .ruling
    case .handingOver, .degraded: true
    case .standby, .steppingDown, .stopped: false
    }
  }

  /// How long the others go first. A holder of the address that lost the database does not rest.
  private func rest(after reason: Reason) -> Interval {
    switch reason {
    case .databaseUnreachable, .databaseReturned, .peerSilent: .zero
    case .claimFailed, .renewFailed, .listenersFailed, .addressNotRemoved: settings.faultHoldDown
    case .promotionFailed: settings.retryLongest
    case .switchover: settings.restAfterSwitchover
    case .started, .ready, .lockWon, .served, .leaseExpired, .sessionLost, .lockLost, .fenced, .laneFenced, .outranked,
      .cutOff, .addressLost, .localFault, .faultsOver, .notAllowed, .stopRequested, .steppedDown:
      settings.restAfterStepDown
    }
  }

  /// Called while the lease executor is free.
  mutating func driveStepDown(_ stepDown: StepDown, at now: Instant) {
    guard ingest == .closed, address == .absent else { return }
    guard leaseSession != nil else { return finishStepDown(stepDown, at: now) }
    guard stepDown.unlockTried else {
      var tried = stepDown
      tried.unlockTried = true
      role = .steppingDown(tried)
      return ask(lease: .unlock, within: settings.statementTimeout / 2, at: now)
    }
    closeLease(at: now)
  }

  private mutating func finishStepDown(_ stepDown: StepDown, at now: Instant) {
    role = .standby
    why = published == .steppingDown ? .steppedDown : stepDown.reason
    holdOffUntil = max(holdOffUntil, now + stepDown.rest)
    if case .promotionFailed = stepDown.reason { leaseRetryAt = max(leaseRetryAt, now + settings.retryLongest) }
    if stepDown.rest == settings.faultHoldDown { faultFreeAt = max(faultFreeAt, now + stepDown.rest) }
    if stopCommand != nil { exit(.stopRequested, at: now) }
  }

  mutating func exit(_ reason: ExitReason, at now: Instant) {
    closeLease(at: now)
    role = .stopped
    tell(at: now)
    if let command = stopCommand { out.append(.reply(command, .done(phases: []))) }
    out.append(.exitWorker(reason))
  }

  // MARK: Degraded

  /// While every peer's fresh beat says "no database", the holder keeps the address; anything else ends it.
  mutating func enforceDegraded(at now: Instant) {
    guard case .degraded(var degraded) = role else { return }
    if settings.flaws.contains(.neverYields) { return }
    if let excuse, databaseReachable(at: now) { return stepDown(.notAllowed(excuse), keepSession: false, at: now) }
    // The database answered this node after the loss: the lock is gone for good, there is nothing to wait for.
    if !degraded.confirmed, let answered = databaseSuccessAt, answered > degraded.since {
      return stepDown(why, keepSession: false, at: now)
    }
    // A beat right after the loss may still tell of the time before it.
    let settled = degraded.since + settings.reachabilitySettle
    for view in views where degraded.confirmed || now >= settled {
      guard let heard = view.lastHeard, heard >= settled || degraded.confirmed else { continue }
      if view.lastBeat?.databaseReachable == true {
        return stepDown(.databaseReturned(saidBy: view.node), keepSession: false, at: now)
      }
    }
    if degraded.confirmed {
      if let silent = views.first(where: { isSilent($0, at: now) }) {
        stepDown(.peerSilent(silent.node), keepSession: false, at: now)
      }
      return
    }
    if everyPeerLacksDatabase(since: degraded.since, at: now) {
      degraded.confirmed = true
      why = .databaseUnreachable
      role = .degraded(degraded)
    } else if now >= degraded.decideBy {
      stepDown(why, keepSession: false, at: now)
    }
  }

  private func everyPeerLacksDatabase(since: Instant, at now: Instant) -> Bool {
    views.allSatisfy { view in
      guard let heard = view.lastHeard, !isSilent(view, at: now), view.lastBeat?.databaseReachable == false else {
        return false
      }
      // After an expiry the beats of the last moments count, after a loss only those behind it.
      return heard >= since - settings.peerSilence
    }
  }
}
