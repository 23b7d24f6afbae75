// Everything of one run, and how a node and the server reach each other.

import Election

final class Cluster {
  let world: World
  let settings: Settings
  let name: ShortName
  let network: Network
  let database: Database
  let checks: Checks
  private(set) var hosts: [Host] = []
  private(set) var clients: [Client] = []
  private var faults: Faults?
  /// Whether a guard ends a silent worker or only takes its address away.
  let guardEndsSilentWorkers: Bool
  /// Called for every effect before it is carried out: faults strike at steps, too.
  var atStep: (Effect, Host) -> Void = { _, _ in }

  init(plan: Plan) {
    world = World(plan: plan)
    var settings = Settings()
    settings.flaws = plan.plant?.flaws ?? []
    self.settings = settings
    guard let name = ShortName("sim") else { preconditionFailure("a valid name") }
    self.name = name
    let count = plan.nodes ?? world.random.pick([2, 2, 2, 3, 3, 4])
    network = Network(world: world, nodes: count)
    database = Database(world: world, leaseLifetime: settings.leaseLifetime.nanoseconds)
    database.store.synchronous = world.random.chance(0.5)
    checks = Checks(world: world)
    guardEndsSilentWorkers = world.random.chance(0.5)
    hosts = (0..<count).map { index in
      guard let name = ShortName("n\(index)") else { preconditionFailure("a valid name") }
      return Host(world: world, index: index, name: name, cluster: self)
    }
    let streams = plan.order == nil ? world.random.int(1...3) : 1
    clients = (0..<streams).map { Client(world: world, stream: $0, cluster: self) }
    database.believesToLead = { [unowned self] node in
      guard let worker = hosts.first(where: { $0.name == node.node })?.worker, worker.me == node else { return false }
      return !worker.frozen && !worker.controlStalled && worker.state.leads
    }
    network.breakConnections = { [unowned self] host, serverSide in breakConnections(of: host, serverSide: serverSide) }
    let store = database.store
    store.commitStall = { [unowned self] in world.random.chance(0.2) ? database.commitStall : 0 }
    for host in hosts { world.after(world.random.milliseconds(0...500)) { host.powerUp() } }
    for client in clients { client.start() }
    checks.start(cluster: self)
    faults = Faults(cluster: self)
  }

  /// Runs it all; the first broken promise, if any.
  func run() -> Violation? {
    world.run(until: world.plan.faultPhase + world.plan.calmPhase)
    if world.violation == nil { checks.atTheEnd() }
    // The queue's closures hold the cluster and the cluster holds the queue.
    world.clear()
    for host in hosts { host.forget() }
    for client in clients { client.forget() }
    database.forget()
    network.forget()
    checks.forget()
    hosts = []
    clients = []
    return world.violation
  }

  // MARK: Connections to the server

  func connect(_ host: Host, _ owner: NodeIncarnation, _ role: SessionRole, _ answer: @escaping (Link?) -> Void) {
    network.message(.request, host: host.index) { [self] in
      let session = database.connect(owner, host: host.index, role: role)
      let link = session.map(Link.init)
      world.after(world.random.microseconds(500...3_000)) { [self] in
        network.message(.answer, host: host.index) { answer(link) }
      }
    }
  }

  /// The client's end closes; the server learns of it as soon as the network lets it.
  func hangUp(_ link: Link, host: Host) {
    link.open = false
    if link.held { return }
    network.message(.request, host: host.index) { [self] in database.hangUp(link.session) }
  }

  /// A host that lost power says nothing: keepalives end its sessions.
  func serverNoticesLoss(of host: Host) {
    let orphans = database.sessions.filter { $0.host == host.index }
    world.after(world.random.milliseconds(2_000...4_000)) { [self] in
      for session in orphans { database.hangUp(session) }
    }
  }

  private func breakConnections(of index: Int, serverSide: Bool) {
    if serverSide {
      for session in database.sessions where session.host == index { database.hangUp(session) }
    } else {
      hosts[index].worker?.perform { worker in
        worker.lease.breakConnection()
        worker.watch.breakConnection()
        worker.ingest.breakConnections()
      }
    }
  }
}
