// What goes wrong: each run enables some kinds of faults and strikes with them at random moments and at steps.

import Election

enum FaultKind: CaseIterable {
  case killWorker, stopWorker, stopAll, killAll, pauseMachine, crashHost, cutPeers, cutDatabase, cutBoth, noise
  case endLeaseSession, loseLock, restartDatabase, failOver, stallCommits, helper, pause, noPromote, switchover
  case removeAddress, localFault, atStep, setClock, slowDatabase, stallThreads, holdLane, missEpoch
}

final class Faults {
  let world: World
  unowned let cluster: Cluster
  private let kinds: [FaultKind]
  private let gap: ClosedRange<Int>
  private var over = false
  /// The next effect of such a node suffers.
  private var armed: ((Effect, Host) -> Bool)?
  private var commands: UInt64 = 0

  init(cluster: Cluster) {
    self.cluster = cluster
    world = cluster.world
    let share = world.random.pick([0.12, 0.25, 0.5])
    var kinds: [FaultKind] = []
    for kind in FaultKind.allCases where world.random.chance(share) { kinds.append(kind) }
    kinds += world.plan.plant?.favoured ?? []
    if kinds.isEmpty { kinds = [.killWorker, .stopAll] }
    self.kinds = kinds
    gap = world.random.pick([300...1_500, 1_000...4_000, 3_000...9_000])
    world.trace("faults", "\(kinds)")
    world.after(world.plan.faultPhase) { [unowned self] in mendAll() }
    if let order = world.plan.order {
      follow(order)
      return
    }
    cluster.atStep = { [unowned self] effect, host in strikeAtStep(effect, host) }
    world.after(world.random.milliseconds(1_000...4_000)) { [unowned self] in strike() }
  }

  private func strike() {
    guard !over else { return }
    strike(world.random.pick(kinds))
    // A quiet life follows the thick of it: long enough between two faults for everything to settle, or not quite.
    let gap = world.now < world.plan.busyPhase ? gap : 4_000...60_000
    world.after(world.random.milliseconds(gap)) { [unowned self] in strike() }
  }

  private func later(_ range: ClosedRange<Int>, _ work: @escaping () -> Void) {
    world.after(world.random.milliseconds(range)) { [unowned self] in if !over { work() } }
  }

  /// Rather the active node than another.
  private func victim() -> Host {
    let active = cluster.hosts.filter { $0.worker?.state == .active }
    if let host = active.first, world.random.chance(0.6) { return host }
    return world.random.pick(cluster.hosts)
  }

  private func strike(_ kind: FaultKind) { strike(kind, victim()) }

  private func strike(_ kind: FaultKind, _ host: Host) {
    switch kind {
    case .killWorker: host.killWorker("killed")
    case .killAll: host.killAll()
    case .stopWorker, .stopAll:
      host.stop(guardToo: kind == .stopAll)
      later(world.random.chance(0.3) ? 5_000...20_000 : 50...4_000) { host.resume() }
    case .pauseMachine: pause(host)
    case .crashHost:
      host.powerDown()
      later(500...8_000) { host.powerUp() }
    case .cutPeers: cutPeers(host)
    case .cutDatabase: cutDatabase(host)
    case .cutBoth:
      cutPeers(host)
      cutDatabase(host)
    case .noise: noise()
    case .endLeaseSession, .loseLock: harmLease(kind)
    case .restartDatabase:
      cluster.database.restart(downtime: world.random.milliseconds(200...4_000), clean: world.random.chance(0.5))
    case .failOver: failOver()
    case .missEpoch: missEpoch()
    case .stallCommits: stallCommits()
    case .helper, .removeAddress, .localFault, .setClock, .stallThreads: harm(host, kind)
    case .pause, .noPromote, .switchover: operate(host, kind)
    case .atStep: arm()
    case .slowDatabase: slowDatabase()
    case .holdLane: host.worker?.ingest.holdLane()
    }
  }

  // MARK: Hosts

  private func pause(_ host: Host) {
    host.pause(clockStops: world.random.chance(0.5))
    later(100...7_000) { host.unpause() }
  }

  private func harm(_ host: Host, _ kind: FaultKind) {
    switch kind {
    case .helper:
      host.disturbed()
      host.helperMood = world.random.pick(Host.HelperMood.allCases)
      world.trace(host.name.text, "helper \(host.helperMood)")
      later(1_000...8_000) {
        host.disturbed()
        host.helperMood = .fine
      }
    case .removeAddress: (cluster.hosts.first(where: \.addressPresent) ?? host).administratorRemovesAddress()
    case .localFault:
      guard host.localFault == nil else { return }
      let fault = LocalFault.carrierLost(interface: "eth0")
      host.disturbed()
      host.localFault = fault
      host.worker?.report(.faultBegan(fault))
      later(500...6_000) { [unowned self] in endLocalFault(host) }
    case .setClock: host.wallOffset += (world.random.chance(0.5) ? -1 : 1) * world.random.milliseconds(100...10_000)
    case .stallThreads:
      host.disturbed()
      if world.random.chance(0.3) {
        host.worker?.report(.criticalThreads(ticking: false))
      } else {
        host.worker?.stallControl(true)
      }
      later(500...4_000) {
        host.disturbed()
        host.worker?.stallControl(false)
        host.worker?.report(.criticalThreads(ticking: true))
      }
    case .killWorker, .stopWorker, .stopAll, .killAll, .pauseMachine, .crashHost, .cutPeers, .cutDatabase, .cutBoth,
      .noise, .endLeaseSession, .loseLock, .restartDatabase, .failOver, .stallCommits, .pause, .noPromote, .switchover,
      .atStep, .slowDatabase, .holdLane, .missEpoch:
      break
    }
  }

  private func endLocalFault(_ host: Host) {
    guard let fault = host.localFault else { return }
    host.disturbed()
    host.localFault = nil
    host.worker?.report(.faultEnded(fault))
  }

  /// The next effect of a kind that matters finds its node stopped, paused, dead or cut off.
  private func arm() {
    let wanted = world.random.int(0...10)
    armed = { effect, _ in
      switch (effect, wanted) {
      case (.lease(_, .bump, _), 0...2), (.lease(_, .beat, _), 3), (.lease(_, .unlock, _), 4),
        (.lease(_, .endOldSessions, _), 4), (.lease(_, .markCleanRelease, _), 4), (.watch(_, .fence, _), 5...6),
        (.address(_, .claim, _), 7), (.address(_, .release, _), 10), (.address(_, .renew, _), 8),
        (.ingest(_, .open, _), 9), (.ingest(_, .abort, _), 9), (.ingest(_, .drain, _), 9):
        true
      default: false
      }
    }
  }

  private func strikeAtStep(_ effect: Effect, _ host: Host) {
    guard let armed, !over, armed(effect, host) else { return }
    self.armed = nil
    world.trace("faults", "at step \(effect)")
    let delay = world.random.chance(0.5) ? 0 : world.random.microseconds(0...3_000)
    let kind = world.random.pick([
      FaultKind.stopWorker, .stopAll, .pauseMachine, .crashHost, .killWorker, .cutDatabase, .loseLock, .pause, .helper,
    ])
    world.after(delay) { [unowned self] in
      switch kind {
      case .stopWorker, .stopAll:
        host.stop(guardToo: kind == .stopAll)
        later(100...6_000) { host.resume() }
      case .pauseMachine: pause(host)
      case .crashHost:
        host.powerDown()
        later(500...8_000) { host.powerUp() }
      case .killWorker: host.killWorker("killed at a step")
      case .loseLock: harmLease(.loseLock)
      case .pause: operate(host, .pause)
      case .helper: harm(host, .helper)
      default: cutDatabase(host)
      }
    }
  }

  // MARK: Network

  private func cutPeers(_ host: Host) {
    for other in cluster.hosts where other !== host {
      let way = world.random.int(0...2)
      if way != 1 { cluster.network.cutPeers(from: host.index, to: other.index, true) }
      if way != 2 { cluster.network.cutPeers(from: other.index, to: host.index, true) }
      world.trace("network", "\(host.name) and \(other.name) cut, way \(way)")
      later(200...8_000) { [unowned self] in
        cluster.network.cutPeers(from: host.index, to: other.index, false)
        cluster.network.cutPeers(from: other.index, to: host.index, false)
      }
    }
  }

  private func cutDatabase(_ host: Host) {
    let way = world.random.int(0...2)
    host.disturbed()
    cluster.network.cutDatabase(host.index, requests: way != 1, answers: way != 2)
    world.trace("network", "\(host.name) cut from the database, way \(way)")
    later(100...8_000) { [unowned self] in
      host.disturbed()
      if !host.paused { cluster.network.cutDatabase(host.index, requests: false, answers: false) }
    }
  }

  private func noise() {
    let network = cluster.network
    network.lanDisturbed()
    cluster.database.disturbed()
    network.loss = Double(world.random.int(0...30)) / 100
    network.duplication = Double(world.random.int(0...20)) / 100
    network.jitter = world.random.milliseconds(0...60)
    world.trace("network", "loss \(network.loss)")
    later(1_000...10_000) { [unowned self] in quiet() }
  }

  private func quiet() {
    cluster.network.lanDisturbed()
    cluster.database.disturbed()
    cluster.network.loss = 0
    cluster.network.duplication = 0
    cluster.network.jitter = 0
  }

  // MARK: PostgreSQL

  private func harmLease(_ kind: FaultKind) {
    let leases = cluster.database.sessions.filter { $0.role == .lease }
    guard !leases.isEmpty else { return }
    cluster.database.disturbed()
    let chosen = cluster.database.lockHolder ?? world.random.pick(leases)
    if kind == .loseLock {
      world.trace("database", "the lock is lost by pid \(chosen.pid)")
      cluster.database.loseLock(chosen)
    } else {
      cluster.database.terminate(chosen, "ended by an administrator")
    }
  }

  private func failOver() {
    let store = cluster.database.store
    store.replicationStalled = true
    cluster.database.disturbed()
    // A synchronous standby that hangs stalls every commit; one that lags asynchronously does not.
    later(0...3_500) { [unowned self] in
      let tells = world.random.chance(0.5)
      if let host = cluster.hosts.first(where: { $0.worker?.state == .active }), world.random.chance(0.4) {
        strike(.stallThreads, host)
      }
      cluster.database.failOver(downtime: world.random.milliseconds(100...2_500), tellsClients: tells)
      store.replicationStalled = false
    }
  }

  /// The standby misses a promotion and takes over right then, while the one who was promoted is slow to notice.
  private func missEpoch() {
    let store = cluster.database.store
    store.replicationStalled = true
    harmLease(.endLeaseSession)
    later(100...1_500) { [unowned self] in
      if let host = cluster.hosts.first(where: { $0.worker?.state == .active }), world.random.chance(0.7) {
        strike(.stallThreads, host)
      }
      cluster.database.failOver(downtime: world.random.milliseconds(50...500), tellsClients: world.random.chance(0.3))
      store.replicationStalled = false
    }
  }

  private func stallCommits() {
    cluster.database.disturbed()
    let database = cluster.database
    if world.random.chance(0.5) {
      database.commitStall = world.random.milliseconds(300...4_000)
    } else {
      database.store.replicationStalled = true
    }
    later(500...5_000) {
      database.commitStall = 0
      database.store.replicationStalled = false
      database.disturbed()
    }
  }

  private func slowDatabase() {
    cluster.database.disturbed()
    let network = cluster.network
    network.requestDelay = world.random.milliseconds(0...500)
    network.answerDelay = world.random.milliseconds(0...2_500)
    world.trace("network", "slow answers")
    later(1_000...6_000) { [unowned self] in
      network.requestDelay = 0
      network.answerDelay = 0
      cluster.database.disturbed()
    }
  }

  // MARK: Operators

  private func operate(_ host: Host, _ kind: FaultKind) {
    let database = cluster.database
    if kind == .switchover {
      let other = world.random.pick(cluster.hosts)
      let named = world.random.chance(0.7) ? other.name : nil
      for host in cluster.hosts { command(.switchover(to: named), host) }
      return
    }
    database.disturbed()
    if kind == .pause { database.paused = true } else { database.noPromote = [host.name] }
    world.trace("operator", kind == .pause ? "pause" : "no-promote \(host.name)")
    later(1_000...8_000) {
      database.disturbed()
      if kind == .pause { database.paused = false } else { database.noPromote = [] }
    }
  }

  func command(_ command: Command, _ host: Host) {
    commands += 1
    let id = CommandID(number: commands)
    world.trace("operator", "\(command) asked of \(host.name)")
    host.worker?.perform { $0.deliver(.commanded(id, command)) }
  }

  // MARK: The end of all faults

  private func mendAll() {
    over = true
    armed = nil
    world.trace("faults", "over")
    heal()
  }

  /// Whatever stands, is cut, slow or forbidden is no longer.
  func heal() {
    let network = cluster.network
    quiet()
    network.requestDelay = 0
    network.answerDelay = 0
    for a in cluster.hosts {
      for b in cluster.hosts { network.cutPeers(from: a.index, to: b.index, false) }
      network.cutDatabase(a.index, requests: false, answers: false)
      a.helperMood = .fine
      endLocalFault(a)
      a.unpause()
      a.resume()
      a.powerUp()
      a.worker?.stallControl(false)
      a.worker?.report(.criticalThreads(ticking: true))
      a.disturbed()
    }
    let database = cluster.database
    database.commitStall = 0
    database.store.replicationStalled = false
    database.paused = false
    database.noPromote = []
    database.disturbed()
  }
}
