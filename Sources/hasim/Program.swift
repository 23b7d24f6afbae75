// The command line: which seeds, which planted bugs, and the verdict in text and exit code.

import Glibc

struct Program {
  let arguments: [String]

  private static let help = """
    usage: hasim [--seeds N] [--from SEED] [--nodes N] [--plant BUG] [--json]
           hasim --seed S [--trace] [--nodes N] [--plant BUG]
           hasim --plants [--seeds N]

    Runs unmodified election cores in virtual time, with a simulated PostgreSQL, network and hosts under seeded faults,
    and checks after every step that nothing acknowledged is lost or doubled, that no commit of an old epoch becomes
    visible, that the service IP has one holder, and that somebody leads whenever somebody sound could.

      --seeds N     run N seeds (200), on as many threads as there are processors
      --from SEED   the first of them (1)
      --seed S      run one seed; the same seed gives the same run
      --trace       with --seed: print what happens
      --nodes N     so many nodes instead of 2 to 4 by seed
      --plant BUG   plant a bug: success means that it is found within the seeds
      --plants      plant each bug in turn, and say how many seeds each took (at most --seeds, 400)
      --help        this text

    exit code: 0 all promises kept (every planted bug found), 1 a promise broken (a planted bug not found), 2 usage

    bugs:
    """

  func run() -> Int32 {
    var seeds: UInt64?
    var from: UInt64 = 1
    var single: UInt64?
    var nodes: Int?
    var plant: Plant?
    var plants = false
    var trace = false
    var rest = arguments[...]
    while let option = rest.popFirst() {
      switch option {
      case "--help", "-h":
        print(Program.help)
        for plant in Plant.allCases { print("  \(plant.rawValue): \(plant.sentence)") }
        return 0
      case "--plants": plants = true
      case "--trace": trace = true
      case "--seeds", "--from", "--seed", "--nodes":
        guard let text = rest.popFirst(), let number = UInt64(text), number > 0 else {
          return usage("\(option) needs a whole number above zero")
        }
        switch option {
        case "--seeds": seeds = number
        case "--from": from = number
        case "--seed": single = number
        default:
          guard (2...9).contains(number) else { return usage("--nodes needs 2 to 9") }
          nodes = Int(number)
        }
      case "--plant":
        guard let name = rest.popFirst(), let known = Plant(rawValue: name) else {
          return usage("--plant needs one of: \(Plant.allCases.map(\.rawValue).joined(separator: " "))")
        }
        plant = known
      default: return usage("unknown option \(option)")
      }
    }
    if trace && single == nil { return usage("--trace needs --seed") }
    if let single { return runOne(Plan(seed: single, nodes: nodes, plant: plant, trace: trace)) }
    if plants { return runPlants(from: from, atMost: seeds ?? 400, nodes: nodes) }
    if let plant { return find(plant, from: from, atMost: seeds ?? 400, nodes: nodes) ? 0 : 1 }
    return runMany(from: from, count: seeds ?? 200, nodes: nodes)
  }

  private func usage(_ what: String) -> Int32 {
    print("hasim: \(what); see hasim --help")
    return 2
  }

  private func runOne(_ plan: Plan) -> Int32 {
    let cluster = Cluster(plan: plan)
    cluster.world.write = { print($0) }
    let violation = cluster.run()
    report(plan.seed, violation)
    print("seed \(plan.seed): \(cluster.world.steps) steps, \(cluster.checks.promotions) promotions")
    return violation == nil ? 0 : 1
  }

  private func report(_ seed: UInt64, _ violation: Violation?) {
    guard let violation else { return }
    print("seed \(seed): at \(violation.at / millisecond) ms: \(violation.what)")
  }

  private func runMany(from: UInt64, count: UInt64, nodes: Int?) -> Int32 {
    let started = monotonicSeconds()
    let outcomes = Sweep.run(from: from, count: count, stopAtFirst: false) { Plan(seed: $0, nodes: nodes, plant: nil) }
    let failed = outcomes.filter { $0.violation != nil }
    for outcome in failed { report(outcome.seed, outcome.violation) }
    let promotions = outcomes.reduce(0) { $0 + $1.promotions }
    let seconds = Int(monotonicSeconds() - started)
    print("\(outcomes.count) seeds, \(failed.count) broken, \(promotions) promotions, \(seconds) s")
    if let first = failed.first { print("replay: hasim --seed \(first.seed) --trace") }
    return failed.isEmpty ? 0 : 1
  }

  private func find(_ plant: Plant, from: UInt64, atMost: UInt64, nodes: Int?) -> Bool {
    let outcomes = Sweep.run(from: from, count: atMost, stopAtFirst: true) {
      Plan(seed: $0, nodes: nodes, plant: plant)
    }
    guard let first = outcomes.first(where: { $0.violation != nil }), let violation = first.violation else {
      print("\(plant.rawValue): NOT FOUND in \(atMost) seeds")
      return false
    }
    print("\(plant.rawValue): found after \(first.seed - from + 1) seeds (seed \(first.seed)): \(violation.what)")
    return true
  }

  private func runPlants(from: UInt64, atMost: UInt64, nodes: Int?) -> Int32 {
    var missed = 0
    for plant in Plant.allCases where !find(plant, from: from, atMost: atMost, nodes: nodes) { missed += 1 }
    print("\(Plant.allCases.count - missed) of \(Plant.allCases.count) planted bugs found")
    return missed == 0 ? 0 : 1
  }
}
