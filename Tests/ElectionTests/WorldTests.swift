// The simulator's own world: what it must not do to the cores that live in it.

import Election
import Testing

@testable import hasim

struct WorldTests {
  @Test func `a run leaves nothing behind`() {
    for seed: UInt64 in 1...12 {
      weak var cluster: Cluster?
      do {
        let run = Cluster(plan: Plan(seed: seed, faultPhase: 30 * second, calmPhase: 0))
        cluster = run
        _ = run.run()
      }
      #expect(cluster == nil, "seed \(seed) is still there when it is over")
    }
  }

  /// Once a frozen worker heard of the end of a fault before its beginning, and was faulty ever after.
  @Test(arguments: 1...8) func `what a frozen worker hears of its machine keeps its order`(_ seed: Int) throws {
    let cluster = Cluster(plan: Plan(seed: UInt64(seed), nodes: 2, order: Order(faults: [.heal], spacing: 4_000)))
    cluster.world.run(until: 3 * second)
    let worker = try #require(cluster.hosts[0].worker)
    let fault = LocalFault.carrierLost(interface: "eth0")
    worker.freeze()
    for _ in 0..<5 {
      worker.report(.criticalThreads(ticking: false))
      worker.report(.faultBegan(fault))
      worker.report(.faultEnded(fault))
      worker.report(.criticalThreads(ticking: true))
    }
    worker.thaw()
    cluster.world.run(until: 12 * second)
    #expect(worker.core.status.faults.isEmpty)
    #expect(worker.state == .standby || worker.state == .active)
    #expect(cluster.hosts.count { $0.worker?.state == .active } == 1)
    _ = cluster.run()
  }

  /// Once a stopped guard started a worker, whose sweep it could not answer, and the node counted as sound.
  @Test(arguments: 1...4) func `a guard that is stopped starts no worker until it runs again`(_ seed: Int) throws {
    let cluster = Cluster(plan: Plan(seed: UInt64(seed), nodes: 2, order: Order(faults: [.heal], spacing: 4_000)))
    cluster.world.run(until: 2 * second)
    let host = cluster.hosts[0]
    let first = try #require(host.worker)
    host.stop(guardToo: true)
    host.killWorker("by the test")
    cluster.world.run(until: 3 * second)
    #expect(host.worker == nil)
    host.resume()
    cluster.world.run(until: 3_500 * millisecond)
    let second = try #require(host.worker)
    #expect(second.me.incarnation > first.me.incarnation)
    _ = cluster.run()
  }

  /// Once the opening that was under way opened after the abort, and the lanes of that term hindered the next one.
  @Test(arguments: 1...4) func `what is aborted while it opens stays closed`(_ seed: Int) throws {
    let cluster = Cluster(plan: Plan(seed: UInt64(seed), nodes: 2, order: Order(faults: [.heal], spacing: 4_000)))
    cluster.world.run(until: 2 * second)
    let standby = try #require(cluster.hosts.first { $0.worker?.state == .standby }?.worker)
    let term = TimelineTerm(timeline: 1, term: Term(epoch: 1, token: 1))
    standby.ingest.carryOut(OperationID(number: 900_001), .open(term), deadline: standby.host.clock)
    standby.ingest.carryOut(OperationID(number: 900_002), .abort, deadline: standby.host.clock)
    cluster.world.run(until: 2_010 * millisecond)
    #expect(!standby.ingest.listening)
    standby.ingest.carryOut(OperationID(number: 900_003), .open(term), deadline: standby.host.clock)
    cluster.world.run(until: 2_020 * millisecond)
    #expect(standby.ingest.listening)
    _ = cluster.run()
  }

  @Test func `things happen by time, and at one time in the order of adding`() {
    var agenda = Agenda()
    var random = Random(seed: 7)
    var happened: [Int] = []
    var planned: [(at: Moment, number: Int)] = []
    var now: Moment = 0
    func plan(_ number: Int) {
      // At once, soon, within the calendar's turn and beyond it; often at the same time as another.
      let steps = [0...3, 0...20, 0...4_000, 4_000...20_000]
      let at = now + Moment(random.int(random.pick(steps))) * millisecond
      planned.append((at, number))
      agenda.add(at: at, .run { happened.append(number) })
    }
    for number in 0..<200 { plan(number) }
    while let (at, work) = agenda.next(until: .max) {
      #expect(at >= now)
      now = at
      if case .run(let work) = work { work() }
      if planned.count < 2_000 { plan(planned.count) }
    }
    #expect(happened == planned.sorted { ($0.at, $0.number) < ($1.at, $1.number) }.map(\.number))
    #expect(happened.count == 2_000)
    agenda.add(at: now + second, .run {})
    #expect(agenda.next(until: now) == nil)
    #expect(agenda.next(until: now + second) != nil)
  }
}
