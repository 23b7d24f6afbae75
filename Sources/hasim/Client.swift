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
  private unowned let cluster: Cluster
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

  init(world: World, stream: Int, cluster: Cluster) {
    self.world = world
    self.stream = stream
    self.cluster = cluster
    patience = world.random.pick([600, 1_500, 4_000]) * millisecond
  }

  func start() {
    world.every(world.random.milliseconds(15...30)) { [unowned self] in
      if produced - acknowledged < 2_000 { produced += world.random.int(1...4) }
      tick()
    }
  }

  private func tick() {
    if let since = outstandingSince, world.now - since > patience { lose() }
    if connection == nil, world.now >= retryAt { connect() } else { send() }
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

  func lost(_ from: ClientConnection) { if from === connection { lose() } }

  private func lose() {
    connection?.open = false
    connection = nil
    outstandingSince = nil
    sent = acknowledged
  }
}
