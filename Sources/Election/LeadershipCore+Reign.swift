// From the grant of the lock on: the order of a promotion, the beats, and what ends a reign.

extension LeadershipCore {
  mutating func lockGranted(at now: Instant) {
    let mayLead: Bool
    switch role {
    case .standby, .degraded: mayLead = mayQueue(at: now)
    case .reigning, .handingOver, .steppingDown, .stopped: mayLead = false
    }
    guard mayLead else {
      // Granted to a node that has other things to do: hang up, the next in the queue gets it.
      return closeLease(at: now)
    }
    var reign = Reign(nextProbeAt: now, began: promotionBegan(at: now))
    if let fenced = fencedHolder, fenced.askedAt >= reign.began {
      reign.phases.append(PhaseTime(phase: .detected, after: fenced.askedAt - reign.began))
      reign.phases.append(PhaseTime(phase: .fenced, after: fenced.fencedAt - reign.began))
    } else {
      reign.passed(.detected, at: now)
    }
    reign.passed(.lockWon, at: now)
    fencedHolder = nil
    why = .lockWon
    role = .reigning(reign)
    nextBeatAt = now
    if settings.flaws.contains(.addressBeforeBump), address == .absent { claim(at: now) }
  }

  /// The last sign of life of the former active, when it is not long ago.
  private func promotionBegan(at now: Instant) -> Instant {
    let last = views.compactMap(\.lastLeading).max()
    guard let last, now - last < .seconds(10) else { return now }
    return last
  }

  /// For who needs no more of a reign: a copy of all of it costs.
  @inline(__always)
  var reignStep: Reign.Step? { if case .reigning(let reign) = role { reign.step } else { nil } }

  /// The next step of a promotion, or the next beat.
  mutating func driveReign(at now: Instant) {
    switch reignStep {
    case .proving: beat(at: now)
    case .clearing: ask(lease: .endOldSessions, within: settings.statementTimeout / 2, at: now)
    case .bumping:
      guard case .reigning(let reign) = role, let seen = reign.seen else {
        return stepDown(.promotionFailed("no reading"), keepSession: true, at: now)
      }
      let limit = settings.bumpTimeout + settings.statementTimeout / 4
      ask(lease: .bump(expecting: seen.term, timeout: settings.bumpTimeout), within: limit, at: now)
    case .ruling: if now >= nextBeatAt { beat(at: now) }
    case nil: break
    }
  }

  mutating func beat(at now: Instant) {
    beatCounter += 1
    nextBeatAt = now + settings.leaseBeatInterval
    ask(lease: .beat(counter: beatCounter, state: state(at: now)), within: settings.leaseLifetime, at: now)
  }

  mutating func beatAnswered(sent: Instant, _ read: BeatReading, at now: Instant) {
    let sent = min(sent, now)
    let proof = settings.flaws.contains(.leaseFromReply) ? now : sent
    reading?.cluster = read.cluster
    guard read.lockHeld else { return endReign(.lockLost, at: now) }
    guard !read.inRecovery else { return endReign(.promotionFailed("the server is in recovery"), at: now) }
    switch role {
    case .standby, .steppingDown, .degraded, .stopped: return
    case .handingOver:
      guard read.cluster.term == ledTerm?.term else { return endReign(.fenced(read.cluster.term), at: now) }
    case .reigning(var reign):
      if reign.step == .ruling {
        let mine = read.cluster.term == ledTerm?.term && read.cluster.timeline == ledTerm?.timeline
        guard mine else { return endReign(.fenced(read.cluster.term), at: now) }
      } else if reign.step == .proving {
        if let excuse = promotionExcuse(read.cluster) {
          // Known from here on, or the lock would be won and given up again until the next read says it.
          reading?.cluster.paused = read.cluster.paused
          reading?.cluster.noPromote = read.cluster.noPromote
          reading?.cluster.successor = read.cluster.successor
          return stepDown(.promotionFailed(excuse), keepSession: true, at: now)
        }
        reign.seen = read.cluster
        reign.mayClaim = reign.mayClaim || isReleasedCleanly(read.cluster)
        reign.step = .clearing
        reign.passed(.leaseProven, at: now)
        role = .reigning(reign)
      }
    }
    leaseUntil = proof + settings.leaseLifetime
    provenSent = proof
    if now - sent <= settings.renewalAnswerLimit { renewDue = true }
  }

  /// Whether the last leader has let go of the address, by its own word in the database.
  ///
  /// A failover of PostgreSQL may have lost a later term, whose leader still holds the address: the mark counts only
  /// when this node saw its term without it on the same timeline.
  private func isReleasedCleanly(_ cluster: ClusterReading) -> Bool {
    guard cluster.cleanRelease == cluster.term else { return false }
    return unreleasedTerm == TimelineTerm(timeline: cluster.timeline, term: cluster.term)
  }

  mutating func noteUnreleased(_ cluster: ClusterReading) {
    guard cluster.cleanRelease != cluster.term else { return }
    unreleasedTerm = TimelineTerm(timeline: cluster.timeline, term: cluster.term)
  }

  private func promotionExcuse(_ cluster: ClusterReading) -> String? {
    if cluster.paused { return "paused" }
    if cluster.noPromote { return "no-promote is set for this node" }
    if let successor = cluster.successor, successor != me.node { return "\(successor) is the named successor" }
    return nil
  }

  mutating func oldSessionsEnded(remaining: Int, at now: Instant) {
    guard case .reigning(var reign) = role, reign.step == .clearing else { return }
    // Those that could not be ended are held off by the table lock of the bump.
    if remaining > 0 { out.append(.warn(.sessionsNotEnded(remaining))) }
    reign.passed(.oldSessionsEnded, at: now)
    reign.step = .bumping
    role = .reigning(reign)
  }

  mutating func bumped(_ term: TimelineTerm, at now: Instant) {
    guard case .reigning(var reign) = role, reign.step == .bumping else { return }
    reign.passed(.bumped, at: now)
    reign.step = .ruling
    role = .reigning(reign)
    ledTerm = term
    resigned = false
  }

  /// Called when listeners or address may just have completed the promotion.
  mutating func noteServing(at now: Instant) {
    guard case .reigning(var reign) = role, reign.step == .ruling, !reign.served else { return }
    guard ingest == .open, address == .held else { return }
    reign.served = true
    role = .reigning(reign)
    why = .served
    lastTakeover = Transition(
      from: .promoting, to: .active, term: ledTerm, reason: .served, began: reign.began, at: now,
      phases: reign.phases)
  }

  mutating func passed(_ phase: Phase, at now: Instant) {
    guard case .reigning(var reign) = role, !reign.served else { return }
    reign.passed(phase, at: now)
    role = .reigning(reign)
  }

  /// A lease that ended, a beat that got no answer while a peer has the database.
  mutating func enforceLease(at now: Instant) {
    switch role {
    case .standby, .steppingDown, .degraded, .stopped: return
    case .reigning, .handingOver: break
    }
    if let until = leaseUntil, now >= until, !settings.flaws.contains(.leaseNotEnforced) {
      closeLease(at: now)
      return leaseEnded(.leaseExpired, at: now)
    }
    if let op = leaseOp, case .beat = op.command, now >= op.began + settings.unansweredBeatLimit,
      !settings.flaws.contains(.neverYields),
      views.contains(where: { !isSilent($0, at: now) && $0.lastBeat?.databaseReachable == true })
    {
      stepDown(.cutOff, keepSession: false, at: now)
    }
  }

  /// The proof of leadership is gone. Who held the address asks the others before it lets go: when nobody has the
  /// database, moving the address helps nobody.
  mutating func leaseEnded(_ reason: Reason, at now: Instant) {
    let decideBy = leaseUntil ?? now
    leaseUntil = nil
    provenSent = nil
    guard case .reigning(let reign) = role, reign.step == .ruling, address == .held, faults.isEmpty else {
      return stepDown(reason, keepSession: false, at: now)
    }
    resigned = true
    why = reason
    abortIngest(at: now)
    role = .degraded(Degraded(since: now, decideBy: max(now, decideBy)))
    enforceDegraded(at: now)
  }

  /// Ends a reign whose lock or term is proven lost.
  mutating func endReign(_ reason: Reason, at now: Instant) {
    switch role {
    case .reigning, .handingOver: stepDown(reason, keepSession: false, at: now)
    case .standby, .steppingDown, .degraded, .stopped: break
    }
  }

  mutating func laneFenced(_ term: Term, at now: Instant) {
    guard term == ledTerm?.term else { return }
    endReign(.laneFenced, at: now)
  }
}
