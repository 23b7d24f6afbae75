// The promises, checked while the run goes on and at its end. Those about epochs and commits are in the store.

import Election

final class Checks {
  private struct Watch {
    var falseAddressSince: Moment?
    /// The term that was found to be this worker's own.
    var ownTerm: TimelineTerm?
  }

  private let world: World
  private var cluster: Cluster?
  private var watches: [Watch] = []
  private var lifetime: Moment = 0
  private var lastActiveAt: Moment = 0
  private var overlapSince: Moment?
  /// How long a sound node may need until somebody is active, whatever happens to the others.
  private let takeoverBound = 15 * second
  /// How long two may hold the address: a lease, its kernel lifetime, and the kernel's slowness.
  private let overlapBound = 4_500 * millisecond
  /// What the run did, for those who want to know that it did anything.
  private(set) var promotions = 0

  init(world: World) { self.world = world }

  func start(cluster: Cluster) {
    self.cluster = cluster
    lifetime = cluster.settings.leaseLifetime.nanoseconds
    watches = Array(repeating: Watch(), count: cluster.hosts.count)
    world.every(40 * millisecond) { [unowned self] in
      look()
      return true
    }
  }

  private func look() {
    guard let cluster else { return }
    for host in cluster.hosts { look(at: host) }
    lookForOverlap(cluster.hosts)
    lookForAvailability(cluster)
  }

  /// A worker that has had the time to act on what it can know.
  private func isAwake(_ worker: Worker) -> Bool {
    !worker.frozen && !worker.controlStalled && worker.host.runs && world.now - worker.thawedAt > 30 * millisecond
  }

  private func look(at host: Host) {
    guard let worker = host.worker, isAwake(worker) else { return watches[host.index] = Watch() }
    if worker.holdsAddress, !host.addressPresent {
      let since = watches[host.index].falseAddressSince ?? world.now
      watches[host.index].falseAddressSince = since
      if world.now - since > 200 * millisecond {
        world.fail("\(host.name) believes that it holds the service IP, and does not")
      }
    } else {
      watches[host.index].falseAddressSince = nil
    }
    guard worker.state == .active else { return }
    lastActiveAt = world.now
    lease(of: worker)
    // Who bumped to a term never changes: one look for each.
    if let term = worker.term, watches[host.index].ownTerm != term {
      watches[host.index].ownTerm = term
      if cluster?.database.store.owners[term] != worker.me {
        world.fail("\(host.name) leads epoch \(term.term.epoch), which is not its own")
      }
    }
  }

  /// With every look, and before whatever an active worker does next.
  func lease(of worker: Worker) {
    guard let proven = worker.provenBoot, isAwake(worker) else { return }
    let boot = worker.host.boot
    if boot > proven + lifetime + 30 * millisecond {
      world.fail(
        "\(worker.host.name) is active \((boot - proven) / millisecond) ms after the sending of its last answered beat")
    }
  }

  private func lookForOverlap(_ hosts: [Host]) {
    guard hosts.count(where: { $0.addressPresent && $0.runs }) > 1 else { return overlapSince = nil }
    let since = overlapSince ?? world.now
    overlapSince = since
    if world.now - since > overlapBound {
      let holders = hosts.filter { $0.addressPresent && $0.runs }
      world.fail("\(holders.map(\.name.text)) hold the service IP together for \((world.now - since) / millisecond) ms")
    }
  }

  /// Called when a host has just added the address: an honest probe must have heard who answers all the while.
  ///
  /// Only while the LAN is whole and has been for longer than any address lives: a clean release says nothing of a
  /// third host that the one who released could not hear.
  func claimed(by host: Host) {
    let long = 8 * second
    guard let cluster, cluster.network.loss == 0, !cluster.network.lanIsCut else { return }
    guard world.now - cluster.network.lanDisturbedAt > long || cluster.network.lanDisturbedAt == 0 else { return }
    guard world.now - host.unpausedAt > long else { return }
    for other in cluster.hosts where other !== host && other.addressPresent && other.runs {
      guard world.now - other.addressSince > 150 * millisecond, world.now - other.unpausedAt > long else { continue }
      world.fail("\(host.name) claims the service IP while \(other.name) answers for it")
    }
  }

  func changed(_ worker: Worker, to state: NodeState) { if state == .active { promotions += 1 } }

  /// Somebody leads when a sound node had the time for it.
  private func lookForAvailability(_ cluster: Cluster) {
    let since = world.now - takeoverBound
    guard since > 0, lastActiveAt < since, cluster.database.up, cluster.database.disturbedAt < since else { return }
    let sound = cluster.hosts.first { host in
      guard let worker = host.worker, isAwake(worker), host.guardRuns else { return false }
      return host.disturbedAt < since && cluster.network.reaches(host.index) && host.helperMood == .fine
        && host.localFault == nil && !cluster.database.noPromote.contains(host.name) && !cluster.database.paused
    }
    if let sound { world.fail("nobody was active for \(takeoverBound / second) s though \(sound.name) is sound") }
  }

  /// The run is over.
  func forget() { cluster = nil }

  // MARK: At the end

  func atTheEnd() {
    guard let cluster else { return }
    let states = cluster.hosts.map { $0.worker?.state ?? .stopped }
    let active = states.count { $0 == .active }
    if active != 1 { world.fail("\(active) active nodes at the end: \(states)") }
    for client in cluster.clients {
      if world.now - client.progressedAt > 5 * second {
        world.fail("stream \(client.stream) makes no progress at the end")
      }
      exactlyOnce(client, cluster.database.store)
    }
  }

  private func exactlyOnce(_ client: Client, _ store: Store) {
    var covered = 0
    var missing: [(Int, Int)] = []
    for batch in (store.stored[client.stream] ?? []).sorted(by: { $0.first < $1.first }) {
      if batch.first <= covered {
        return world.fail("stream \(client.stream): records \(batch.first) to \(min(covered, batch.last)) stored twice")
      }
      if batch.first > covered + 1 { missing.append((covered + 1, batch.first - 1)) }
      if batch.gap { missing.append((batch.first, batch.last)) }
      covered = max(covered, batch.last)
    }
    if covered < client.acknowledged { missing.append((covered + 1, client.acknowledged)) }
    for (first, last) in missing {
      for record in first...min(last, max(first, client.acknowledged)) where record <= client.acknowledged {
        let excused = store.excused.contains { $0.stream == client.stream && ($0.first...$0.last).contains(record) }
        if !excused { return world.fail("stream \(client.stream): acknowledged record \(record) is lost") }
      }
    }
  }
}
