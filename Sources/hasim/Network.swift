// Between the nodes, and between nodes and PostgreSQL: delay, loss, duplicates, partitions in either direction.

final class Network {
  enum Direction { case request, answer }

  private let world: World
  /// UDP from a to b, and the LAN that carries it.
  private(set) var peerCut: [[Bool]]
  private var requestsCut: [Bool]
  private var answersCut: [Bool]
  private var cutGeneration: [Int]
  private var held: [[Work]]
  var loss = 0.0
  var duplication = 0.0
  /// Added to every datagram at random, so that they overtake each other.
  var jitter: Moment = 0
  /// At most so much is added to a request, and to an answer of PostgreSQL.
  var requestDelay: Moment = 0
  var answerDelay: Moment = 0
  /// Breaks the connections of a node: client side, then server side.
  var breakConnections: (_ host: Int, _ serverSide: Bool) -> Void = { _, _ in }

  init(world: World, nodes: Int) {
    self.world = world
    peerCut = Array(repeating: Array(repeating: false, count: nodes), count: nodes)
    requestsCut = Array(repeating: false, count: nodes)
    answersCut = requestsCut
    cutGeneration = Array(repeating: 0, count: nodes)
    held = Array(repeating: [], count: nodes)
  }

  // MARK: Datagrams

  /// When the way of beats and ARP was last changed.
  private(set) var lanDisturbedAt: Moment = 0
  func lanDisturbed() { lanDisturbedAt = world.now }

  func cutPeers(from a: Int, to b: Int, _ cut: Bool) {
    if peerCut[a][b] || cut { lanDisturbed() }
    peerCut[a][b] = cut
  }

  var lanIsCut: Bool { peerCut.contains { $0.contains(true) } }

  /// Whether an answer to an ARP question of `a` comes back from `b` (one try).
  func answers(_ a: Int, _ b: Int) -> Bool { !peerCut[a][b] && !peerCut[b][a] && !world.random.chance(loss) }

  /// How many copies of a datagram leave: 0 when it is lost at once.
  func copies(from a: Int, to b: Int) -> Int {
    if duplication == 0, loss == 0 { return peerCut[a][b] ? 0 : 1 }
    let copies = world.random.chance(duplication) ? 2 : 1
    return (0..<copies).count { _ in !peerCut[a][b] && !world.random.chance(loss) }
  }

  /// How long a datagram is under way.
  func datagramDelay() -> Moment {
    let delay = world.random.microseconds(100...400)
    return jitter > 0 ? delay + Int64(world.random.int(0...Int(jitter))) : delay
  }

  // MARK: The way to PostgreSQL

  func reaches(_ host: Int) -> Bool { !requestsCut[host] && !answersCut[host] }

  func cutDatabase(_ host: Int, requests: Bool, answers: Bool) {
    requestsCut[host] = requests
    answersCut[host] = answers
    cutGeneration[host] += 1
    let generation = cutGeneration[host]
    guard requests || answers else {
      let waiting = held[host]
      held[host] = []
      for work in waiting {
        let delay = world.random.milliseconds(1...400)
        switch work {
        case .run(let deliver): world.after(delay, deliver)
        case .step(let step): world.after(delay, step)
        }
      }
      return
    }
    // User timeout and keepalives, on either side.
    for (serverSide, range) in [(false, 1_900...2_600), (true, 2_000...4_000)] {
      world.after(world.random.milliseconds(range)) { [self] in
        if cutGeneration[host] == generation { breakConnections(host, serverSide) }
      }
    }
  }

  func isCut(_ direction: Direction, host: Int) -> Bool {
    direction == .request ? requestsCut[host] : answersCut[host]
  }

  /// The run is over.
  func forget() { for host in held.indices { held[host] = [] } }

  func hold(_ work: Work, host: Int) { if held[host].count < 10_000 { held[host].append(work) } }

  /// One message over an open connection: late when segments are lost, held while the way is cut.
  func message(_ direction: Direction, host: Int, _ deliver: @escaping () -> Void) {
    if isCut(direction, host: host) { return hold(.run(deliver), host: host) }
    world.after(messageDelay(direction)) { [self] in
      if isCut(direction, host: host) { hold(.run(deliver), host: host) } else { deliver() }
    }
  }

  /// The same for a step, which has to ask `isCut` when it happens.
  func message(_ direction: Direction, host: Int, _ step: Step) {
    if isCut(direction, host: host) { return hold(.step(step), host: host) }
    world.after(messageDelay(direction), step)
  }

  private func messageDelay(_ direction: Direction) -> Moment {
    var delay = world.random.microseconds(60...250)
    let extra = direction == .request ? requestDelay : answerDelay
    if extra > 0 { delay += Int64(world.random.int(0...Int(extra))) }
    var backoff = 200 * millisecond
    while loss > 0, world.random.chance(loss), backoff < second {
      delay += backoff
      backoff *= 2
    }
    return delay
  }
}
