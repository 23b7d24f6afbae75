// What the guard does with the addresses. One rule above all: nothing is there that the guard does not mean to hold.
internal import Platform

extension GuardLoop {
  // MARK: Claim

  mutating func claim(_ operation: UInt64, lifetimeMilliseconds: UInt32, isStale: Bool) {
    let seconds = wholeSeconds(lifetimeMilliseconds)
    var failure: GuardFailure?
    if isStale {
      failure = GuardFailure(.stale)
    } else if seconds == 0 {
      failure = GuardFailure(.lifetime)
    } else if case .claiming = holding {
      failure = GuardFailure(.busy)
    } else if waitingClaim != nil {
      failure = GuardFailure(.busy)
    } else if ending != nil {
      failure = GuardFailure(.superseded)
    } else if unfinishedRemoval != nil {
      failure = GuardFailure(.stillPresent)
    } else {
      failure = addresses.obstacle()
    }
    if let failure {
      log(.warning, "claim refused", ["reason": "\(failure)"])
      tell(.claimFailed(operation: operation, failure: failure))
      return
    }
    waitingClaim = Claim(operation: operation, seconds: seconds)
  }

  mutating func begin(_ claim: Claim) {
    // A re-claim: what is left is not announced before all is there again.
    lan.stopAnnouncing()
    holding = .claiming(claim)
    let entry = addresses.configured[claim.index]
    if let end = helper.start(.claim(index: claim.index), entry, seconds: claim.seconds) {
      helperEnded(.claim(index: claim.index), end)
    }
  }

  mutating func helperEnded(_ task: HelperTask, _ end: HelperEnd) {
    if let failure = end.failure {
      log(.error, "helper failed", ["task": "\(task)", "reason": "\(failure)"])
    }
    switch task {
    case .release: break
    case .claim: claimHelperEnded(end)
    case .renew: renewHelperEnded(end)
    }
  }

  private mutating func claimHelperEnded(_ end: HelperEnd) {
    guard case .claiming(var claim) = holding else { return }
    if let failure = end.failure {
      failClaim(claim, failure)
      return
    }
    claim.index += 1
    if claim.index < addresses.configured.count {
      begin(claim)
      return
    }
    // The first of several has used up some of its lifetime while the last was claimed.
    if claim.index > 1, configuration.service.helpers.renew == nil,
      let failure = addresses.renew(seconds: claim.seconds)
    {
      failClaim(claim, failure)
      return
    }
    if let failure = addresses.unverified(within: claim.seconds) {
      failClaim(claim, failure)
      return
    }
    holding = .held
    lost = []
    let now = BootInstant.now()
    lan.startAnnouncing(now: now)
    _ = lan.tick(now: now)
    log(.notice, "addresses claimed", ["lifetime": "\(claim.seconds)s"])
    tell(.claimed(operation: claim.operation))
  }

  private mutating func failClaim(_ claim: Claim, _ failure: GuardFailure) {
    _ = dropAddresses(claimIsAnswered: true)
    let shown = unfinishedRemoval == nil ? failure : GuardFailure(.stillPresent)
    log(
      .error, "claim failed", ["reason": "\(failure)", "address": unfinishedRemoval == nil ? "absent" : "still there"])
    tell(.claimFailed(operation: claim.operation, failure: shown))
  }

  // MARK: Renewal

  mutating func renew(_ operation: UInt64, lifetimeMilliseconds: UInt32, isStale: Bool) {
    let seconds = wholeSeconds(lifetimeMilliseconds)
    var failure: GuardFailure?
    if isStale {
      failure = GuardFailure(.stale)
    } else if seconds == 0 {
      failure = GuardFailure(.lifetime)
    } else if case .claiming = holding {
      failure = GuardFailure(.busy)
    } else if case .absent = holding {
      failure = GuardFailure(.notHeld)
    } else if configuration.service.helpers.renew == nil {
      failure = addresses.renew(seconds: seconds)
    } else if helper.isBusy || waitingClaim != nil {
      failure = GuardFailure(.busy)
    } else {
      renewByScript(Renewal(operation: operation, seconds: seconds))
      return
    }
    answer(operation, failure)
  }
  private mutating func renewByScript(_ next: Renewal) {
    renewal = next
    let entry = addresses.configured[next.index]
    if let end = helper.start(.renew(index: next.index), entry, seconds: next.seconds) {
      helperEnded(.renew(index: next.index), end)
    }
  }
  private mutating func renewHelperEnded(_ end: HelperEnd) {
    guard var current = renewal else { return }
    current.index += 1
    if end.failure == nil, current.index < addresses.configured.count {
      renewByScript(current)
      return
    }
    renewal = nil
    answer(current.operation, end.failure ?? addresses.unverified(within: current.seconds))
  }
  private mutating func answer(_ operation: UInt64, _ failure: GuardFailure?) {
    guard let failure else {
      tell(.renewed(operation: operation))
      return
    }
    log(.warning, "renewal failed", ["reason": "\(failure)"])
    tell(.renewFailed(operation: operation, failure: failure))
  }

  /// The worker may ask for less than the lease, never for more; a rest of a second is not lived.
  private func wholeSeconds(_ milliseconds: UInt32) -> UInt32 {
    let longest = UInt32(clamping: configuration.timing.leaseMilliseconds)
    return min(milliseconds, longest) / 1000
  }

  // MARK: Removal

  mutating func release(_ operation: UInt64) {
    let held = dropAddresses()
    if unfinishedRemoval == nil {
      if held { log(.notice, "addresses released") }
      tell(.released(operation: operation))
    } else {
      tell(.releaseFailed(operation: operation, failure: GuardFailure(.stillPresent)))
    }
  }

  /// The safety path, native and bounded: stops announcing, kills the helper that could put an address back, removes,
  /// verifies. A site's release scripts run afterwards. True when something was or could have been held.
  mutating func dropAddresses(claimIsAnswered: Bool = false) -> Bool {
    lan.stopAnnouncing()
    let superseded = GuardFailure(.superseded)
    var held = true
    var interrupted: [GuardReply] = []
    switch holding {
    case .absent: held = false
    case .held: break
    case .claiming(let claim):
      if !claimIsAnswered { interrupted.append(.claimFailed(operation: claim.operation, failure: superseded)) }
    }
    if held { helper.stop() }
    holding = .absent
    lost = []
    if let claim = waitingClaim { interrupted.append(.claimFailed(operation: claim.operation, failure: superseded)) }
    waitingClaim = nil
    if let current = renewal { interrupted.append(.renewFailed(operation: current.operation, failure: superseded)) }
    renewal = nil
    removeAgain(held: held)
    if held { pendingReleases = Array(addresses.configured.indices) }
    for reply in interrupted { tell(reply) }
    return held
  }

  /// Removes and verifies; what fails is tried again every 100 ms.
  mutating func removeAgain(held: Bool) {
    let wasTrying = unfinishedRemoval != nil
    guard let failure = addresses.remove(held: held) else {
      if wasTrying { log(.notice, "address removed at last") }
      unfinishedRemoval = nil
      return
    }
    if !wasTrying {
      let mend = failure.reason == .staticAddress ? "remove the static address by hand: ip addr del" : "none"
      log(.error, "address not removed", ["reason": "\(failure)", "mend": mend])
    }
    // A static address of somebody else's never goes by our doing: then looking again is all that is left.
    unfinishedRemoval = held || failure.reason != .staticAddress ? (held, .after(milliseconds: 100)) : nil
  }

  // MARK: What the kernel says

  mutating func linksChanged(_ events: [LinkEvent]) {
    var links = false
    var ours = false
    for event in events {
      switch event {
      case .link, .linkGone: links = true
      case .address(let entry), .addressGone(let entry):
        if addresses.index(of: entry.address) != nil { ours = true }
      case .overflow:
        links = true
        ours = true
      }
    }
    if links { pollLinks() }
    if ours { comparePresence() }
  }

  mutating func pollLinks() {
    guard let links = readLinks() else { return }
    lan.refresh(links)
    let before = carriers
    carriers = addresses.configured.map { own in links.contains { $0.name == own.interface && $0.isUp } }
    guard toldCarriers else { return }
    for (index, up) in carriers.enumerated() where index >= before.count || before[index] != up {
      log(up ? .notice : .error, "carrier", ["interface": addresses.configured[index].interface, "up": "\(up)"])
      tell(.carrier(index: UInt8(index), up: up))
      // Whoever is on the other side of a new link may have forgotten, or be another switch.
      if up, lan.isAnnouncing { lan.startAnnouncing(now: .now()) }
    }
  }
  private mutating func readLinks() -> [LinkStatus]? {
    do {
      return try addresses.links()
    } catch {
      log(.error, "links not read", ["reason": "\(error)"])
      return nil
    }
  }
  mutating func tellCarriers() {
    toldCarriers = true
    for (index, up) in carriers.enumerated() { tell(.carrier(index: UInt8(index), up: up)) }
  }

  /// Holds what is there against what is meant: a held address that is gone is said, one that nobody means is removed.
  private mutating func comparePresence() {
    switch holding {
    case .claiming: return
    case .absent:
      guard unfinishedRemoval == nil, let present = presence(), present.contains(true) else { return }
      // An orphan of a helper, or a hand.
      log(.error, "an address appeared that is not held here")
      removeAgain(held: false)
    case .held:
      guard let present = presence() else { return }
      for index in present.indices where !present[index] && lost.insert(index).inserted {
        lan.stopAnnouncing()
        log(.error, "address lost", ["address": "\(addresses.configured[index].address)"])
        tell(.addressLost(index: UInt8(index)))
      }
    }
  }
  private mutating func presence() -> [Bool]? {
    do {
      return try addresses.presence().present
    } catch {
      log(.error, "addresses not read", ["reason": "\(error)"])
      return nil
    }
  }

  mutating func tellStatus(_ operation: UInt64) {
    do {
      let (present, shortest) = try addresses.presence()
      let bits = present.enumerated().reduce(UInt16(0)) { $1.element ? $0 | 1 << UInt16($1.offset) : $0 }
      let milliseconds = UInt32(clamping: UInt64(shortest ?? 0) * 1000)
      tell(.status(operation: operation, present: bits, shortestMilliseconds: milliseconds))
    } catch {
      log(.error, "addresses not read", ["reason": "\(error)"])
    }
  }
}
