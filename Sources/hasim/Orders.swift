// Every order of a few faults in the smallest world: two nodes, one client, each fault at its time.

import Election

/// What can go wrong in an order. `victim`: the active node, or the first one while nobody is active.
enum OrderedFault: String, CaseIterable {
  /// The victim's worker dies; its guard starts another.
  case kill
  /// The victim's worker is stopped (SIGSTOP) until `heal`.
  case stop
  /// No beat and no ARP between the two nodes until `heal`.
  case cutPeers = "cut-peers"
  /// The victim does not reach PostgreSQL until `heal`.
  case cutDatabase = "cut-database"
  /// PostgreSQL restarts and is away for half a second.
  case restart
  /// An operator asks the victim to hand over.
  case switchover
  /// What stands or is cut so far is mended.
  case heal
}

/// Some faults in their order, one every so many milliseconds.
struct Order {
  static let spacings = [400, 4_000]
  static let example = "kill,cut-peers@400"
  var faults: [OrderedFault]
  var spacing: Int

  init(faults: [OrderedFault], spacing: Int) {
    self.faults = faults
    self.spacing = spacing
  }
  /// `nil` when the text is not what `name` makes.
  init?(_ text: String) {
    let parts = text.split(separator: "@", omittingEmptySubsequences: false)
    guard parts.count == 2, let spacing = Int(parts[1]), (1...60_000).contains(spacing) else { return nil }
    let names = parts[0].split(separator: ",", omittingEmptySubsequences: false)
    let faults = names.compactMap { OrderedFault(rawValue: String($0)) }
    guard !faults.isEmpty, faults.count == names.count, faults.count <= 6 else { return nil }
    self.init(faults: faults, spacing: spacing)
  }

  /// Whether each of the faults changes something: what is cut can't be cut, and what is whole can't be mended.
  var isReduced: Bool {
    var (peersCut, whole) = (false, true)
    for fault in faults {
      switch fault {
      case .cutPeers:
        if peersCut { return false }
        (peersCut, whole) = (true, false)
      case .stop, .cutDatabase: whole = false
      case .heal:
        if whole { return false }
        (peersCut, whole) = (false, true)
      case .kill, .restart, .switchover: break
      }
    }
    return true
  }

  /// Every order of 1 to `most` faults, a fault as often as it likes, that is reduced; each with every spacing. Shorter
  /// ones first.
  static func all(_ most: Int) -> [Order] {
    var found: [Order] = []
    var last: [[OrderedFault]] = [[]]
    for _ in 0..<most {
      // What is not reduced stays so, whatever follows.
      last = last.flatMap { start in OrderedFault.allCases.map { start + [$0] } }
        .filter { Order(faults: $0, spacing: 1).isReduced }
      for faults in last { for spacing in Order.spacings { found.append(Order(faults: faults, spacing: spacing)) } }
    }
    return found
  }

  var name: String { faults.map(\.rawValue).joined(separator: ",") + "@\(spacing)" }

  /// The run of this order. Its seed follows from its name: a replay needs nothing else.
  func plan(_ base: Plan) -> Plan {
    var plan = base
    // FNV-1a.
    plan.seed = name.utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    plan.nodes = 2
    plan.order = self
    plan.faultPhase = Order.start + Moment(faults.count) * Moment(spacing) * millisecond
    plan.calmPhase = 12 * second
    return plan
  }
  /// By then somebody is active.
  static let start = 4 * second
}

extension Faults {
  /// One fault after the other.
  func follow(_ order: Order) {
    for (place, fault) in order.faults.enumerated() {
      world.after(Order.start + Moment(place * order.spacing) * millisecond) { [unowned self] in strike(fault) }
    }
  }

  private func strike(_ fault: OrderedFault) {
    let hosts = cluster.hosts
    guard let victim = hosts.first(where: { $0.worker?.state == .active }) ?? hosts.first else { return }
    world.trace("faults", "\(fault) \(victim.name)")
    switch fault {
    case .kill: victim.killWorker("killed")
    case .stop: victim.stop(guardToo: false)
    case .cutPeers:
      for a in hosts { for b in hosts where a !== b { cluster.network.cutPeers(from: a.index, to: b.index, true) } }
    case .cutDatabase:
      victim.disturbed()
      cluster.network.cutDatabase(victim.index, requests: true, answers: true)
    case .restart: cluster.database.restart(downtime: 500 * millisecond, clean: true)
    case .switchover: command(.switchover(to: nil), victim)
    case .heal: heal()
    }
  }
}

/// All orders up to a length.
struct Orders {
  let most: Int
  let base: Plan
  let threads: Int?

  func run() -> Int32 {
    let started = monotonicSeconds()
    let orders = Order.all(most)
    let bounds = Sweep.Bounds(from: 0, count: UInt64(orders.count), threads: threads)
    let outcomes = Sweep.run(bounds, .orders(most: most, base: base))
    let failed = outcomes.filter { $0.violation != nil }
    let planted = base.plant.map { " --plant \($0.rawValue)" } ?? ""
    for outcome in failed.prefix(20) {
      guard let violation = outcome.violation else { continue }
      print("hasim --order \(orders[Int(outcome.seed)].name)\(planted) --trace: \(violation.sentence)")
    }
    let spacings = Order.spacings.map { "\($0)" }.joined(separator: " and ")
    print(
      "\(outcomes.count) orders of 1 to \(most) out of \(OrderedFault.allCases.count) faults, \(spacings) ms apart, "
        + "\(failed.count) broken, \(told(outcomes, since: started))")
    return failed.isEmpty == (base.plant == nil) ? 0 : 1
  }
}
