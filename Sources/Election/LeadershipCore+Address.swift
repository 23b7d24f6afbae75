// The service IP: sweep, probe, claim, renew, release.

extension LeadershipCore {
  mutating func ask(address command: AddressCommand, within limit: Interval, at now: Instant) {
    let op = Pending(id: nextID(), command: command, began: now, deadline: now + limit)
    addressOp = op
    out.append(.address(op.id, command, deadline: op.deadline))
  }

  /// Overtakes whatever the guard does; nothing to do when the address was never asked for.
  mutating func releaseAddress(at now: Instant) {
    switch address {
    case .absent:
      addressOp = nil
      return
    case .releasing: return
    case .unknown, .claiming, .held: break
    }
    address = .releasing
    ask(address: .release, within: settings.helperDeadline * 2, at: now)
  }

  mutating func claim(at now: Instant) {
    address = .claiming
    ask(address: .claim(lifetime: settings.addressLifetime), within: settings.helperDeadline, at: now)
  }

  mutating func driveAddress(at now: Instant) {
    guard addressOp == nil else { return }
    switch role {
    case .standby:
      if address == .unknown, now >= nextSweepAt { releaseAddress(at: now) }
    case .reigning:
      if address == .absent || address == .unknown { driveClaim(at: now) }
      // The lifetime was counted from an earlier beat than the lease: it would end first, and there would be nothing
      // left to keep in the degraded state.
      let lives = renewDue || !databaseReachable(at: now) && everyPeerSaysNoDatabase(at: now)
      if address == .held, reignStep == .ruling, lives { renew(at: now) }
    case .degraded(let degraded):
      let keeps = degraded.confirmed && everyPeerSaysNoDatabase(at: now)
      if address == .held, keeps || settings.flaws.contains(.neverYields) { renew(at: now) }
    case .handingOver, .steppingDown, .stopped: break
    }
  }

  /// Only on beats that are as fresh as an answer of the database would have to be.
  private func everyPeerSaysNoDatabase(at now: Instant) -> Bool {
    views.allSatisfy { view in
      guard let beat = view.lastBeat, let heard = view.lastHeard else { return false }
      return !beat.databaseReachable && now - heard <= settings.renewalAnswerLimit
    }
  }

  private mutating func driveClaim(at now: Instant) {
    guard case .reigning(let reign) = role, reign.step != .proving else { return }
    if !reign.mayClaim, !settings.flaws.contains(.noProbe) {
      guard now >= reign.nextProbeAt else { return }
      var probing = reign
      probing.probeBegan = reign.probeBegan ?? now
      role = .reigning(probing)
      return ask(address: .probe(span: settings.probeSpan), within: settings.helperDeadline, at: now)
    }
    guard reign.step == .ruling, let proven = provenSent else { return }
    if now - proven <= settings.renewalAnswerLimit + settings.leaseBeatInterval { claim(at: now) }
  }

  /// When a third of the lifetime is used.
  private mutating func renew(at now: Instant) {
    renewDue = false
    guard now - (renewedAt ?? now) >= settings.addressLifetime / 3 else { return }
    ask(address: .renew(lifetime: settings.addressLifetime), within: settings.helperDeadline, at: now)
  }

  mutating func addressAnswered(_ id: OperationID, _ result: AddressResult, at now: Instant) {
    guard let op = addressOp, op.id == id else {
      if settings.flaws.contains(.lateResultBelieved), result == .claimed { address = .held }
      return
    }
    addressOp = nil
    switch op.command {
    case .probe: probeAnswered(result, at: now)
    case .claim:
      if result == .claimed {
        address = .held
        renewedAt = op.began
        renewFailures = 0
        passed(.claimed, at: now)
        why = .served
        noteServing(at: now)
      } else {
        stepDown(.claimFailed(describe(result)), keepSession: true, at: now)
      }
    case .renew:
      if result == .renewed {
        renewedAt = op.began
        renewFailures = 0
        return
      }
      // One more try with the next beat: two thirds of the lifetime are left.
      renewFailures += 1
      renewedAt = renewedAt.map { $0 - settings.addressLifetime }
      if renewFailures > 1 { stepDown(.renewFailed(describe(result)), keepSession: true, at: now) }
    case .release: releaseAnswered(result, at: now)
    }
  }

  private mutating func probeAnswered(_ result: AddressResult, at now: Instant) {
    guard case .reigning(var reign) = role else { return }
    let limit = (reign.probeBegan ?? now) + settings.addressLifetime + settings.probeMargin
    if result == .silent {
      reign.mayClaim = true
    } else if now >= limit {
      // None of our nodes can hold it for so long; somebody else does.
      reign.mayClaim = true
      out.append(.warn(.foreignAddressHolder(describe(result))))
    } else {
      reign.nextProbeAt = now + .milliseconds(20)
    }
    if reign.mayClaim, !reign.served { reign.passed(.probed, at: now) }
    role = .reigning(reign)
  }

  private mutating func releaseAnswered(_ result: AddressResult, at now: Instant) {
    if result == .released {
      address = .absent
      renewedAt = nil
      sweepWarned = false
      return
    }
    if case .standby = role {
      // The sweep at the start: a static address, perhaps. Not in the race until it is gone.
      address = .unknown
      nextSweepAt = now + .seconds(1)
      if !sweepWarned { out.append(.warn(.sweepFailed(describe(result)))) }
      sweepWarned = true
      return
    }
    why = .addressNotRemoved
    exit(.addressNotRemoved, at: now)
  }

  /// Claimed again once while the lease is valid, then no more. One of several is gone, perhaps: only a release proves
  /// that all are.
  mutating func addressLost(at now: Instant) {
    guard address == .held else { return }
    address = .unknown
    addressOp = nil
    switch role {
    case .standby, .handingOver, .steppingDown, .stopped: break
    case .degraded: stepDown(.addressLost, keepSession: false, at: now)
    case .reigning(var reign):
      guard reign.step == .ruling else { break }
      if let last = reclaimedAt, now - last < settings.reclaimWindow {
        return stepDown(.addressLost, keepSession: true, at: now)
      }
      reclaimedAt = now
      reign.mayClaim = true
      role = .reigning(reign)
      why = .addressLost
      out.append(.warn(.addressReclaimed))
    }
  }

  private func describe(_ result: AddressResult) -> String {
    switch result {
    case .failed(let why): why
    case .answered(let who): who
    case .stillPresent: "still present"
    case .silent, .claimed, .renewed, .released: "unexpected answer"
    }
  }
}
