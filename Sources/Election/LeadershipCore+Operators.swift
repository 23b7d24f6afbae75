// Ingest, local faults, and what operators ask: switchover, stop, failback.

extension LeadershipCore {
  // MARK: Ingest

  private mutating func ask(ingest command: IngestCommand, within limit: Interval, at now: Instant) {
    let op = Pending(id: nextID(), command: command, began: now, deadline: now + limit)
    ingestOp = op
    out.append(.ingest(op.id, command, deadline: op.deadline))
  }

  mutating func abortIngest(at now: Instant) {
    guard ingest != .closed, ingest != .aborting else { return }
    ingest = .aborting
    ask(ingest: .abort, within: settings.statementTimeout / 2, at: now)
  }

  mutating func driveIngest(at now: Instant) {
    guard ingest == .closed, reignStep == .ruling, let term = ledTerm else { return }
    ingest = .opening
    ask(ingest: .open(term), within: settings.statementTimeout, at: now)
  }

  mutating func ingestAnswered(_ id: OperationID, _ result: IngestResult, at now: Instant) {
    guard let op = ingestOp, op.id == id else { return }
    ingestOp = nil
    switch op.command {
    case .open:
      guard result == .opened else {
        let why = if case .failed(let why) = result { why } else { "unexpected answer" }
        return stepDown(.listenersFailed(why), keepSession: true, at: now)
      }
      ingest = .open
      passed(.listening, at: now)
      noteServing(at: now)
    case .drain:
      guard case .handingOver(var handover) = role else { return }
      let next = settings.flaws.contains(.markedBeforeRelease) ? Handover.Step.marking : .aborting
      handover.passed(.drained, next: next, at: now)
      role = .handingOver(handover)
      abortIngest(at: now)
    case .abort:
      guard result == .aborted else { return exit(.ingestNotAborted, at: now) }
      ingest = .closed
      guard case .handingOver(var handover) = role, handover.step == .aborting else { return }
      handover.passed(.aborted, next: .releasing, at: now)
      role = .handingOver(handover)
      releaseAddress(at: now)
    }
  }

  // MARK: Local faults

  mutating func faultBegan(_ fault: LocalFault, at now: Instant) {
    if !faults.contains(fault), faults.count < 64 { faults.append(fault) }
    switch role {
    case .reigning, .handingOver: stepDown(.localFault(fault), keepSession: true, at: now)
    case .degraded: stepDown(.localFault(fault), keepSession: false, at: now)
    case .standby, .steppingDown, .stopped: break
    }
  }

  mutating func faultEnded(_ fault: LocalFault, at now: Instant) {
    guard faults.contains(fault), !settings.flaws.contains(.faultNeverEnds) else { return }
    faults.removeAll { $0 == fault }
    faultFreeAt = max(faultFreeAt, now + settings.faultHoldDown)
  }

  // MARK: Switchover

  mutating func commanded(_ id: CommandID, _ command: Command, at now: Instant) {
    switch command {
    case .switchover(let successor):
      if let refusal = switchoverRefusal(successor, at: now) { return out.append(.reply(id, .refused(refusal))) }
      out.append(.reply(id, .started))
      handOver(to: successor, reason: .switchover(to: successor), command: id, at: now)
    case .stop:
      guard stopCommand == nil else { return out.append(.reply(id, .refused("the node is already stopping"))) }
      stopCommand = id
      why = .stopRequested
      switch role {
      case .standby:
        if address == .absent, ingest == .closed {
          exit(.stopRequested, at: now)
        } else {
          stepDown(.stopRequested, keepSession: false, at: now)
        }
      case .reigning(let reign) where reign.served && ingest == .open && address == .held:
        handOver(to: nil, reason: .stopRequested, command: id, at: now)
      case .reigning, .degraded: stepDown(.stopRequested, keepSession: true, at: now)
      case .handingOver, .steppingDown, .stopped: break
      }
    }
  }

  private func switchoverRefusal(_ successor: ShortName?, at now: Instant) -> String? {
    guard case .reigning = role, state(at: now) == .active else { return "this node is not active" }
    if reading?.cluster.paused == true { return "the cluster is paused; resume it first" }
    if successor == me.node { return "this node is already active" }
    if let successor, view(of: successor) == nil { return "\(successor) is not a node of this cluster" }
    let able = views.filter {
      !isSilent($0, at: now) && $0.lastBeat?.state == .standby && $0.lastBeat?.databaseReachable == true
    }
    if let successor { return able.contains { $0.node == successor } ? nil : "\(successor) is not ready to lead" }
    return able.isEmpty ? "no other node is ready to lead" : nil
  }

  private mutating func handOver(to successor: ShortName?, reason: Reason, command: CommandID?, at now: Instant) {
    why = reason
    role = .handingOver(Handover(command: command, successor: successor, reason: reason, began: now))
    ingest = .draining
    ask(ingest: .drain, within: settings.drainTimeout, at: now)
  }

  /// The address is released by the guard's answer alone; here the handover sees it.
  mutating func driveHandover(at now: Instant) {
    guard case .handingOver(var handover) = role, handover.step == .releasing, address == .absent else { return }
    handover.passed(.released, next: .marking, at: now)
    role = .handingOver(handover)
  }

  /// Called while the lease executor is free: mark and unlock, until then the beats go on.
  mutating func driveHandoverLease(_ handover: Handover, at now: Instant) {
    switch handover.step {
    case .draining, .aborting, .releasing: if now >= nextBeatAt { beat(at: now) }
    case .marking:
      guard let term = ledTerm?.term else { return }
      let mark = LeaseCommand.markCleanRelease(of: term, successor: handover.successor)
      ask(lease: mark, within: settings.statementTimeout / 2, at: now)
    case .unlocking: ask(lease: .unlock, within: settings.statementTimeout / 2, at: now)
    }
  }

  mutating func handoverAnswered(_ result: LeaseResult, at now: Instant) {
    guard case .handingOver(var handover) = role else { return }
    if result == .marked {
      handover.passed(.marked, next: .unlocking, at: now)
      role = .handingOver(handover)
    } else if result == .unlocked {
      handover.passed(.unlocked, next: .unlocking, at: now)
      resigned = true
      closeLease(at: now)
      role = .standby
      why = handover.reason
      holdOffUntil = now + settings.restAfterSwitchover
      if let command = handover.command, stopCommand == nil {
        out.append(.reply(command, .done(phases: handover.phases)))
      }
      if stopCommand != nil { exit(.stopRequested, at: now) }
    }
  }

  // MARK: Failback

  /// Only when configured: gives way to the preferred node once it has been sound for long enough.
  mutating func driveFailback(at now: Instant) {
    guard reignStep == .ruling, stopCommand == nil,
      let home = reading?.cluster.failbackTo ?? settings.failbackTo, home != me.node, let view = view(of: home)
    else { return }
    guard let since = view.soundSince, now - since >= settings.failbackDelay else { return }
    guard switchoverRefusal(home, at: now) == nil else { return }
    handOver(to: home, reason: .switchover(to: home), command: nil, at: now)
  }
}

extension Handover {
  mutating func passed(_ phase: Phase, next: Step, at now: Instant) {
    phases.append(PhaseTime(phase: phase, after: now - began))
    step = next
  }
}
