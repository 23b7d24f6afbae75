// Between the nodes, and between nodes and PostgreSQL: delay, loss, duplicates, partitions in either direction.

final class Network {
  enum Direction { case request, answer }

  private let world: World
  /// UDP from a to b, and the LAN that carries it.
  private(set) var peerCut: [[Bool]]
  private var requestsCut: [Bool]
  private var answersCut: [Bool]
  private var cutGeneration: [Int]
  private var held: [[() -> Void]]
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

  func datagram(from a: Int, to b: Int, _ deliver: @escaping () -> Void) {
    let copies = world.random.chance(duplication) ? 2 : 1
    for _ in 0..<copies where !peerCut[a][b] && !world.random.chance(loss) {
      var delay = world.random.microseconds(100...400)
      if jitter > 0 { delay += Int64(world.random.int(0...Int(jitter))) }
      world.after(delay) { [self] in if !peerCut[a][b] { deliver() } }
    }
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
      for deliver in waiting { world.after(world.random.milliseconds(1...400), deliver) }
      return
    }
    // User timeout and keepalives, on either side.
    for (serverSide, range) in [(false, 1_900...2_600), (true, 2_000...4_000)] {
      world.after(world.random.milliseconds(range)) { [self] in
        if cutGeneration[host] == generation { breakConnections(host, serverSide) }
      }
    }
  }

  /// One message over an open connection: late when segments are lost, held while the way is cut.
  func message(_ direction: Direction, host: Int, _ deliver: @escaping () -> Void) {
    if direction == .request ? requestsCut[host] : answersCut[host] {
      if held[host].count < 10_000 { held[host].append(deliver) }
      return
    }
    var delay = world.random.microseconds(60...250)
    let extra = direction == .request ? requestDelay : answerDelay
    if extra > 0 { delay += Int64(world.random.int(0...Int(extra))) }
    var backoff = 200 * millisecond
    while world.random.chance(loss), backoff < second {
      delay += backoff
      backoff *= 2
    }
    world.after(delay) { [self] in
      let cut = direction == .request ? requestsCut[host] : answersCut[host]
      if cut { held[host].append(deliver) } else { deliver() }
    }
  }
}
