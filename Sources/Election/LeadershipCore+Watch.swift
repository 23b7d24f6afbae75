// The watch session: what it reads, whether the database is there, and the judge who fences a dead holder.

extension LeadershipCore {
  mutating func readSoon(at now: Instant) { nextReadAt = min(nextReadAt, now) }

  /// The fence goes before the next read.
  mutating func driveWatch(at now: Instant) {
    guard watchOp == nil else { return }
    // Judged when it can be asked for: a judgement that waited for a read would be about what that read saw.
    if let window, let reason = judge(window, at: now) {
      out.append(.warn(.fencing(window.holder.node, reason)))
      return ask(watch: .fence(term: window.term, node: window.holder.node, counter: window.counter), at: now)
    }
    if now >= nextReadAt {
      nextReadAt = now + settings.watchInterval
      ask(watch: .read, at: now)
    }
  }

  private mutating func ask(watch command: WatchCommand, at now: Instant) {
    let op = Pending(id: nextID(), command: command, began: now, deadline: now + settings.statementTimeout)
    watchOp = op
    watchOpOverslept = false
    out.append(.watch(op.id, command, deadline: op.deadline))
  }

  mutating func watchAnswered(_ id: OperationID, _ result: WatchResult, at now: Instant) {
    guard let op = watchOp, op.id == id else { return }
    let overslept = watchOpOverslept
    watchOp = nil
    switch result {
    case .failed:
      if databaseSuccessAt.map({ $0 <= op.began }) ?? true { databaseFailed = true }
      // A fence that came to nothing is judged anew on a read that succeeds, not at once and again and again.
      if case .fence = op.command { window = nil }
    case .read(let read):
      databaseAnswered(at: now)
      if let led = ledTerm?.term, read.cluster.term != led, reading?.cluster.term != read.cluster.term {
        // Somebody else leads: whoever rested for its sake is ready again.
        holdOffUntil = now
      }
      noteUnreleased(read.cluster)
      reading = read
      readingAt = now
      observe(read, asked: op.began, overslept: overslept, at: now)
    case .fenced:
      databaseAnswered(at: now)
      if case .fence(_, let node, _) = op.command { fencedHolder = (node, op.began, now) }
      window = nil
      readSoon(at: now)
    case .mismatch:
      databaseAnswered(at: now)
      if case .fence(_, let node, _) = op.command { out.append(.warn(.fenceRefused(node))) }
      window = nil
      readSoon(at: now)
    }
  }

  // MARK: Reachability

  mutating func databaseAnswered(at now: Instant) {
    if !databaseReachable(at: now) { databaseBackAt = now }
    databaseSuccessAt = now
    databaseFailed = false
  }

  func databaseReachable(at now: Instant) -> Bool {
    guard !databaseFailed, let last = databaseSuccessAt else { return false }
    return now - last < settings.reachabilityLifetime
  }

  // MARK: The judge

  /// Adds a read to the window over the present holder of the lock.
  private mutating func observe(_ read: WatchReading, asked: Instant, overslept: Bool, at now: Instant) {
    guard let holder = read.holder, holder.node != me else { return window = nil }
    if overslept { return window = nil }
    // -1: this run of the node has no row, because it never wrote one or another run has replaced it.
    let counter = read.rows.first { $0.node == holder.node }?.counter ?? -1
    let term = read.cluster.term
    var next = JudgeWindow(
      holder: holder, term: term, counter: counter, reads: 1, firstReceived: now, lastAsked: asked, holderSince: now,
      holderReads: 1, leaderMatches: read.leader == holder.node)
    if let window, window.holder == holder, window.term == term {
      next.holderSince = window.holderSince
      next.holderReads = window.holderReads + 1
      if window.counter == counter {
        next.reads = window.reads + 1
        next.firstReceived = window.firstReceived
      }
    }
    window = next
    // The read that completes the window comes when it is due, not at the next of the regular ones.
    let complete = next.firstReceived + settings.judgeWindow
    if next.reads > 1, complete > now { nextReadAt = min(nextReadAt, complete) }
    if let place = place(of: holder.node.node), let beat = views[place].lastBeat, beat.from == holder.node,
      beat.state.leads, !beat.resigned,
      beat.term?.term == term
    {
      rulingSession = holder
    }
  }

  /// Why the holder of the lock is to be fenced, by what is known now; `nil` when it is not.
  private func judge(_ window: JudgeWindow, at now: Instant) -> FenceReason? {
    guard mayJudge(at: now) else { return nil }
    let place = place(of: window.holder.node.node)
    let stands = window.lastAsked - window.firstReceived
    let stillEnough = window.reads >= settings.judgeReads
    let silent = isSilent(incarnation: window.holder.node, at: now)
    if silent, stillEnough && stands >= settings.judgeWindow || settings.flaws.contains(.judgeOnSilence) {
      return .silent
    }
    if settings.flaws.contains(.anyResignation), place.flatMap({ views[$0].lastBeat })?.resigned == true {
      return .resigned
    }
    if let place, let beat = views[place].lastBeat, beat.from == window.holder.node, beat.resigned, !beat.state.leads,
      beat.term?.term == window.term, !isSilent(views[place], at: now), rulingSession == window.holder
    {
      return .resigned
    }
    if stillEnough, stands >= settings.leaseLifetime { return .stuck }
    let isLate = window.lastAsked - window.holderSince >= settings.leaseLifetime
    return !window.leaderMatches && window.holderReads >= settings.judgeReads && isLate ? .notBumped : nil
  }

  /// Only who could lead instead judges, on a reading that is not old.
  @inline(__always)
  private func mayJudge(at now: Instant) -> Bool {
    guard case .standby = role, !isExcused, !isFaulty(at: now) else { return false }
    return now - readingAt <= settings.watchInterval * 4
  }
}
