// Properties of the core and of its settings that no scenario shows.

import Election
import Testing

@testable import hasim

struct CoreTests {
  private func core(at now: Instant = Instant(nanoseconds: 0)) throws -> LeadershipCore {
    let names = try ["c", "a", "b"].map { try #require(ShortName($0)) }
    return LeadershipCore(
      settings: Settings(), cluster: names[0], node: names[1], incarnation: 1, peers: [names[2]], at: now)
  }

  @Test func `the default settings are sound`() {
    #expect(Settings().faults().isEmpty)
  }

  @Test func `a lease shorter than three beats is refused`() {
    var settings = Settings()
    settings.leaseBeatInterval = .milliseconds(700)
    #expect(settings.faults().contains { $0.contains("leaseLifetime") })
  }

  @Test func `the same events give the same effects`() throws {
    var first = try core()
    var second = try core()
    for step in 0..<50 {
      let now = Instant(nanoseconds: Int64(step) * 30_000_000)
      #expect(first.handle(.ticked, at: now) == second.handle(.ticked, at: now))
      #expect(first.nextDeadline == second.nextDeadline)
    }
  }

  @Test func `time that goes backwards counts as standing still`() throws {
    var core = try core(at: Instant(nanoseconds: 1_000_000_000))
    _ = core.handle(.ticked, at: Instant(nanoseconds: 2_000_000_000))
    _ = core.handle(.ticked, at: Instant(nanoseconds: 5))
    #expect(core.nextDeadline > Instant(nanoseconds: 2_000_000_000))
  }

  @Test func `the next deadline is always in the future`() throws {
    var core = try core()
    var now = Instant(nanoseconds: 0)
    for _ in 0..<1_000 {
      _ = core.handle(.ticked, at: now)
      #expect(core.nextDeadline > now)
      now = core.nextDeadline
    }
  }

  @Test func `results with an unknown id change nothing`() throws {
    var core = try core()
    _ = core.handle(.ticked, at: Instant(nanoseconds: 0))
    let before = core.status
    let stray = OperationID(number: 9_999)
    let now = Instant(nanoseconds: 1_000)
    let strays: [Event] = [
      .leaseAnswered(stray, .granted), .watchAnswered(stray, .fenced), .addressAnswered(stray, .claimed),
      .ingestAnswered(stray, .opened), .leaseSessionLost(session: stray, reason: "stray"),
      .laneFenced(Term(epoch: 1, token: 1)), .addressLost,
    ]
    for event in strays { #expect(core.handle(event, at: now).isEmpty) }
    #expect(core.status == before)
  }

  @Test func `extreme instants overflow nowhere`() throws {
    var core = try core(at: Instant(nanoseconds: .max - 5))
    #expect(!core.handle(.ticked, at: Instant(nanoseconds: .max)).isEmpty)
    #expect(Instant(nanoseconds: .max) + .seconds(.max) == Instant(nanoseconds: .max))
    #expect(Instant(nanoseconds: .min) - Instant(nanoseconds: .max) == Interval(nanoseconds: .min))
  }
}

struct SimulatorTests {
  // 6675: a holder that got its lock late and did not bump in time is fenced by right, whatever its beats say.
  @Test(arguments: Array(UInt64(1)...16) + [6_675]) func `a seed keeps every promise`(_ seed: UInt64) {
    let violation = Cluster(plan: Plan(seed: seed)).run()
    #expect(violation == nil, "hasim --seed \(seed) --trace: \(violation?.what ?? "")")
  }

  @Test func `a seed replays exactly`() {
    var traces: [[String]] = [[], []]
    for run in 0...1 {
      let cluster = Cluster(plan: Plan(seed: 7, trace: true, faultPhase: 8 * second, calmPhase: 0))
      var lines: [String] = []
      cluster.world.write = { lines.append($0) }
      cluster.world.run(until: 8 * second)
      cluster.world.clear()
      traces[run] = lines
    }
    #expect(traces[0].count > 50)
    #expect(traces[0] == traces[1])
  }

  @Test(arguments: [Plant.noFence, .ackBeforeCommit, .noProbe, .judgeWithoutCompare, .claimNotChecked])
  func `an easy planted bug is found`(_ plant: Plant) {
    let found = (UInt64(1)...30).contains { Cluster(plan: Plan(seed: $0, plant: plant)).run() != nil }
    #expect(found)
  }
}
