// The command line: which seeds, which planted bugs, and the verdict in text and exit code.

import Glibc

struct Program {
  let arguments: [String]

  private static let help = """
    usage: hasim [--seeds N] [--from SEED] [--seconds S] [--nodes N] [--plant BUG]
           hasim --seed SEED [--trace] [--seconds S] [--nodes N] [--plant BUG]
           hasim --plants [--seeds N]
           hasim --orders N
           hasim --order FAULTS [--trace]

    Runs unmodified election cores in virtual time, with a simulated PostgreSQL, network and hosts under seeded faults,
    and checks all the while that nothing acknowledged is lost or doubled, that no commit of an old epoch becomes
    visible, that the service IP has one holder, and that somebody leads whenever somebody sound could. A seed gives the
    same run on every machine and on any number of processors.

      --seeds N       run N seeds (200), on as many threads as there are processors
      --from SEED     the first of them (1)
      --seconds S     simulated seconds of each seed (65): 45 in which faults come thick, then few, at last none for 20
      --seed SEED     run one seed
      --trace         with --seed or --order: print what happens
      --nodes N       so many nodes instead of 2 to 4 by seed
      --plant BUG     plant a bug: success means that it is found within the seeds
      --plants        plant each bug in turn, and say how many seeds each took (at most --seeds, 1500)
      --orders N      two nodes, every order of 1 to N (at most 6) faults, close together and apart
      --order FAULTS  one of them, as --orders prints it
      --threads N     instead of one for each processor
      --help          this text

    exit code: 0 all promises kept (every planted bug found), 1 a promise broken (a planted bug not found), 2 usage

    bugs:
    """

  private struct Usage: Error { var what: String }

  /// What the command line asked for.
  private struct Options {
    var seeds: UInt64?
    var from: UInt64 = 1
    var single: UInt64?
    var plants = false
    var orders: Int?
    var order: Order?
    var threads: Int?
    var help = false
    var plan = Plan(seed: 0)
  }

  func run() -> Int32 {
    do throws(Usage) {
      let options = try read()
      return carryOut(options)
    } catch {
      print("hasim: \(error.what); see hasim --help")
      return 2
    }
  }

  private func carryOut(_ options: Options) -> Int32 {
    if options.help {
      print(Program.help)
      for plant in Plant.allCases { print("  \(plant.rawValue): \(plant.sentence)") }
      return 0
    }
    let sweep = Sweep.Bounds(from: options.from, count: options.seeds ?? 200, threads: options.threads)
    if let seed = options.single {
      var plan = options.plan
      plan.seed = seed
      return runOne(plan, name: "seed \(seed)")
    }
    if let order = options.order { return runOne(order.plan(options.plan), name: "order \(order.name)") }
    if let most = options.orders { return Orders(most: most, base: options.plan, threads: options.threads).run() }
    var hunt = sweep
    hunt.count = options.seeds ?? 1500
    if options.plants { return Hunt(bounds: hunt, base: options.plan).all() }
    if let plant = options.plan.plant { return Hunt(bounds: hunt, base: options.plan).find(plant) == nil ? 1 : 0 }
    return runMany(sweep, options.plan)
  }

  // MARK: Reading

  private func read() throws(Usage) -> Options {
    var options = Options()
    var rest = arguments[...]
    while let option = rest.popFirst() {
      switch option {
      case "--help", "-h": options.help = true
      case "--plants": options.plants = true
      case "--trace": options.plan.trace = true
      case "--seeds", "--from", "--seed", "--nodes", "--seconds", "--orders", "--threads":
        guard let text = rest.popFirst(), let number = UInt64(text), number > 0 else {
          throw Usage(what: "\(option) needs a whole number above zero")
        }
        try take(option, number, into: &options)
      case "--plant":
        guard let name = rest.popFirst(), let known = Plant(rawValue: name) else {
          throw Usage(what: "--plant needs one of: \(Plant.allCases.map(\.rawValue).joined(separator: " "))")
        }
        options.plan.plant = known
      case "--order":
        guard let text = rest.popFirst(), let order = Order(text) else {
          throw Usage(what: "--order needs faults and a spacing, like \(Order.example)")
        }
        options.order = order
      default: throw Usage(what: "unknown option \(option)")
      }
    }
    if options.plan.trace && options.single == nil && options.order == nil {
      throw Usage(what: "--trace needs --seed or --order")
    }
    return options
  }

  private func take(_ option: String, _ number: UInt64, into options: inout Options) throws(Usage) {
    switch option {
    case "--seeds": options.seeds = number
    case "--from": options.from = number
    case "--seed": options.single = number
    case "--seconds":
      guard (30...86_400).contains(number) else { throw Usage(what: "--seconds needs 30 to 86400") }
      options.plan.faultPhase = Moment(number) * second - options.plan.calmPhase
    case "--orders":
      guard number <= 6 else { throw Usage(what: "--orders needs 1 to 6") }
      options.orders = Int(number)
    case "--threads":
      guard number <= 64 else { throw Usage(what: "--threads needs 1 to 64") }
      options.threads = Int(number)
    default:
      guard (2...9).contains(number) else { throw Usage(what: "--nodes needs 2 to 9") }
      options.plan.nodes = Int(number)
    }
  }

  // MARK: Runs

  private func runOne(_ plan: Plan, name: String) -> Int32 {
    let cluster = Cluster(plan: plan)
    cluster.world.write = { print($0) }
    let violation = cluster.run()
    if let violation { print("\(name): \(violation.sentence)") }
    print("\(name): \(cluster.world.steps) steps, \(cluster.checks.promotions) promotions")
    return violation == nil ? 0 : 1
  }

  private func runMany(_ bounds: Sweep.Bounds, _ base: Plan) -> Int32 {
    let started = monotonicSeconds()
    let outcomes = Sweep.run(bounds, .seeds(base))
    let failed = outcomes.filter { $0.violation != nil }
    for outcome in failed {
      if let violation = outcome.violation { print("seed \(outcome.seed): \(violation.sentence)") }
    }
    print("\(outcomes.count) seeds, \(failed.count) broken, \(told(outcomes, since: started))")
    if let first = failed.first { print("replay: hasim --seed \(first.seed)\(replayOptions(base)) --trace") }
    return failed.isEmpty ? 0 : 1
  }

  /// The options beside the seed that a replay needs.
  private func replayOptions(_ plan: Plan) -> String {
    let seconds = (plan.faultPhase + plan.calmPhase) / second
    let standard = Plan(seed: 0)
    let same = plan.faultPhase == standard.faultPhase
    return (same ? "" : " --seconds \(seconds)") + (plan.nodes.map { " --nodes \($0)" } ?? "")
  }
}

extension Violation {
  var sentence: String { "at \(at / millisecond) ms: \(what)" }
}

/// Promotions, simulated time and speed.
func told(_ outcomes: [Outcome], since started: Double) -> String {
  let wall = max(0.001, monotonicSeconds() - started)
  let simulated = Double(outcomes.reduce(0) { $0 + $1.ended }) / 1e9
  let promotions = outcomes.reduce(0) { $0 + $1.promotions }
  let steps = outcomes.reduce(0) { $0 + $1.steps }
  return "\(promotions) promotions, \(steps) steps, \(tenths(simulated / 3_600)) cluster-hours, \(tenths(wall)) s, "
    + "\(tenths(Double(outcomes.count) / wall)) runs/s, \(Int(simulated / wall)) times real time"
}

private func tenths(_ value: Double) -> String {
  let whole = Int((value * 10).rounded())
  return "\(whole / 10).\(whole % 10)"
}
