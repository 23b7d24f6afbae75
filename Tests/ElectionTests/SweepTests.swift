// The simulator as a tool: many runs at once, orders of faults, and the hunt for planted bugs.

import Testing

@testable import hasim

private struct Told: Equatable {
  var seed: UInt64
  var what: String?
  var steps: Int
  init(_ outcome: Outcome) {
    seed = outcome.seed
    what = outcome.violation?.sentence
    steps = outcome.steps
  }
}

private func brief(plant: Plant? = nil) -> Series {
  .seeds(Plan(seed: 0, plant: plant, faultPhase: 12 * second, calmPhase: 0))
}

struct SweepTests {
  @Test func `a seed does not depend on how many threads there are`() {
    let sweeps = [1, 2, 3].map { threads in
      Sweep.run(Sweep.Bounds(from: 5, count: 9, threads: threads), brief()).map(Told.init)
    }
    #expect(sweeps[0].map(\.seed) == Array(5...13))
    #expect(sweeps[0] == sweeps[1])
    #expect(sweeps[0] == sweeps[2])
  }

  @Test func `the seeds that find a bug are the same on any number of threads`() {
    let hunts = [1, 3].map { threads in
      let bounds = Sweep.Bounds(from: 1, count: 60, threads: threads)
      let outcomes = Sweep.run(bounds, enough: 2, brief(plant: .unknownOutcomeAcked))
      return outcomes.filter { $0.violation != nil }.prefix(2).map(Told.init)
    }
    #expect(hunts[0].count == 2)
    #expect(hunts[0] == hunts[1])
  }

  @Test func `a longer life thins its faults out and is simulated to its end`() {
    let plan = Plan(seed: 3, nodes: 2, faultPhase: 70 * second, calmPhase: 20 * second)
    let cluster = Cluster(plan: plan)
    #expect(cluster.run() == nil)
    #expect(cluster.world.now > 89 * second)
  }

  @Test func `there are at least 25 planted bugs`() { #expect(Plant.allCases.count >= 25) }
}

struct OrderTests {
  @Test func `every order is there once, with both spacings, and its name reads back`() throws {
    let names = Order.all(3).map(\.name)
    // 6, 38 and 244: of the 7, 49 and 343 those in which every fault changes something.
    #expect(names.count == (6 + 38 + 244) * 2)
    #expect(Set(names).count == names.count)
    for name in names { #expect(try #require(Order(name)).name == name) }
  }

  @Test func `a fault that changes nothing makes no order of its own`() throws {
    for name in ["heal@400", "cut-peers,cut-peers@400", "stop,heal,heal@400"] {
      #expect(try !#require(Order(name)).isReduced, "\(name)")
    }
    for name in ["stop,heal@400", "cut-peers,heal,cut-peers@400", "kill,kill@400"] {
      #expect(try #require(Order(name)).isReduced, "\(name)")
    }
  }

  @Test(arguments: ["", "kill", "kill@", "@400", "kill@0", "fire@400", "kill,,stop@400", "kill,@4x"])
  func `what is no order is refused`(_ text: String) { #expect(Order(text) == nil) }

  @Test func `every single fault keeps every promise`() {
    for order in Order.all(1) {
      let violation = Cluster(plan: order.plan(Plan(seed: 0))).run()
      #expect(violation == nil, "hasim --order \(order.name) --trace: \(violation?.what ?? "")")
    }
  }

  @Test func `an order finds a planted bug`() throws {
    let order = try #require(Order("stop,cut-peers@4000"))
    #expect(Cluster(plan: order.plan(Plan(seed: 0, plant: .noProbe))).run() != nil)
    #expect(Cluster(plan: order.plan(Plan(seed: 0))).run() == nil)
  }
}
