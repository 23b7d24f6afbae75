// A source with numbered records: it keeps what is not acknowledged, and only that.

import Election

/// One TCP connection of a client to a node. Either side may believe in it longer than the other.
final class ClientConnection {
  let client: Client
  let stream: Int
  private let world: World
  private let host: Host
  var open = true

  init(client: Client, host: Host) {
    self.client = client
    self.host = host
    stream = client.stream
    world = host.world
  }

  private func toClient(_ work: @escaping (Client) -> Void) {
    guard host.runs else { return }
    world.after(world.random.microseconds(60...300)) { [self] in if open { work(client) } }
  }
  func welcome(_ committed: Int) { toClient { $0.welcomed(self, committed) } }
  func acknowledge(_ last: Int) { toClient { $0.acknowledged(self, last) } }
  func reset(reachable: Bool) { if reachable { toClient { $0.lost(self) } } }

  func toNode(_ work: @escaping (Worker) -> Void) {
    world.after(world.random.microseconds(60...300)) { [self] in
      guard open, host.runs else { return }
      guard let worker = host.worker else { return reset(reachable: true) }
      worker.perform(work)
    }
  }
}

final class Client {
  private let world: World
  let stream: Int
  private let cluster: Cluster
  private var connection: ClientConnection?
  private var welcomedAlready = false
  private var retryAt: Moment = 0
  /// How patient it is: our own senders give up soon, others wait.
  private let patience: Moment
  private var produced = 0
  private(set) var acknowledged = 0
  private var sent = 0
  private var outstandingSince: Moment?
  /// When an acknowledgement came last.
  private(set) var progressedAt: Moment = 0
  /// Between two times that it has something to tell, about.
  private var pace = second
  private var produceAt: Moment = 0
  private var wake: Alarm?

  init(world: World, stream: Int, cluster: Cluster) {
    self.world = world
    self.stream = stream
    self.cluster = cluster
    patience = world.random.pick([600, 1_500, 4_000]) * millisecond
    wake = Alarm(world: world) { [unowned self] in tick() }
  }

  /// The load varies: for a while it has much to tell, then little.
  private func varyPace() {
    let busy = world.now < world.plan.busyPhase
    let steady = world.plan.order != nil
    let paces: [Moment] = steady ? [100] : busy ? [20, 20, 100, 500] : [200, 500, 1_000, 1_000, 1_000, 2_000]
    pace = world.random.pick(paces) * millisecond
    world.after(world.random.milliseconds(10_000...30_000)) { [unowned self] in varyPace() }
  }

  func start() {
    varyPace()
    produceAt = pace
    planTick()
  }

  private func tick() {
    if world.now >= produceAt {
      if produced - acknowledged < 2_000 { produced += world.random.int(1...4) }
      produceAt = world.now + pace / 4 * Moment(world.random.int(3...6))
    }
    if let since = outstandingSince, world.now - since > patience { lose() }
    if connection == nil, world.now >= retryAt { connect() } else { send() }
    planTick()
  }

  /// When there is something to do next.
  private func planTick() {
    var next = produceAt
    if connection == nil { next = min(next, max(retryAt, world.now + millisecond)) }
    if let since = outstandingSince { next = min(next, since + patience + millisecond) }
    wake?.set(after: next - world.now)
  }

  private func connect() {
    retryAt = world.now + world.random.milliseconds(20...60)
    let answering = cluster.hosts.filter { $0.addressPresent && $0.runs }
    guard !answering.isEmpty else { return }
    let host = world.random.pick(answering)
    let new = ClientConnection(client: self, host: host)
    connection = new
    welcomedAlready = false
    outstandingSince = world.now
    let oldest = acknowledged + 1
    new.toNode { if !$0.ingest.hello(new, oldest: oldest) { new.reset(reachable: true) } }
  }

  private func send() {
    guard let connection, welcomedAlready, sent == acknowledged, produced > acknowledged else { return }
    let first = acknowledged + 1
    let last = min(produced, acknowledged + world.random.int(1...50))
    sent = last
    outstandingSince = world.now
    planTick()
    connection.toNode { $0.ingest.batch(connection, first: first, last: last) }
  }

  func welcomed(_ from: ClientConnection, _ committed: Int) {
    guard from === connection else { return }
    outstandingSince = nil
    welcomedAlready = true
    acknowledge(committed)
    sent = acknowledged
    send()
  }

  func acknowledged(_ from: ClientConnection, _ last: Int) {
    guard from === connection else { return }
    outstandingSince = nil
    acknowledge(last)
    sent = acknowledged
    send()
  }

  private func acknowledge(_ last: Int) {
    guard last > acknowledged else { return }
    if last > produced { world.fail("stream \(stream): record \(last) acknowledged that was never sent") }
    acknowledged = last
    world.trace("stream \(stream)", "acknowledged to \(last)")
    progressedAt = world.now
  }

  /// The run is over.
  func forget() { connection = nil }

  func lost(_ from: ClientConnection) { if from === connection { lose() } }

  private func lose() {
    connection?.open = false
    connection = nil
    outstandingSince = nil
    sent = acknowledged
    planTick()
  }
}
