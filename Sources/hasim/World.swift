// Virtual time: what happens when, and the verdict.

/// Nanoseconds of true time since the start of the run.
typealias Moment = Int64
let millisecond: Moment = 1_000_000
let second: Moment = 1_000_000_000

/// What one run is made of.
struct Plan {
  var seed: UInt64
  var nodes: Int?
  var plant: Plant?
  var trace = false
  /// These faults instead of those of the seed, in the smallest world.
  var order: Order?
  /// Faults happen until then; what follows must be quiet and sound.
  var faultPhase = 45 * second
  var calmPhase = 20 * second
  /// Clients have much to tell and faults come thick until then; in a longer fault phase both thin out afterwards.
  var busyPhase = 45 * second
}

/// A broken promise.
struct Violation: Error {
  var at: Moment
  var what: String
}

/// Time, chance and the verdict of one run; knows nothing of what happens in it.
final class World {
  let plan: Plan
  var random: Random
  private(set) var now: Moment = 0
  private var agenda = Agenda()
  private(set) var violation: Violation?
  private(set) var steps = 0
  /// What the trace hands its lines to.
  var write: (String) -> Void = { _ in }

  init(plan: Plan) {
    self.plan = plan
    random = Random(seed: plan.seed)
  }

  func has(_ plant: Plant) -> Bool { plan.plant == plant }

  func after(_ delay: Moment, _ work: @escaping () -> Void) { agenda.add(at: now + max(0, delay), .run(work)) }
  func after(_ delay: Moment, _ step: Step) { agenda.add(at: now + max(0, delay), .step(step)) }

  /// Again and again, first after one `period`, until the work says that it is over or the run ends.
  func every(_ period: Moment, _ work: @escaping () -> Bool) {
    after(period, Recurrence(world: self, period: period, work: work))
  }

  func fail(_ what: String) {
    trace("VIOLATION", what)
    if violation == nil { violation = Violation(at: now, what: what) }
  }

  func trace(_ who: @autoclosure () -> String, _ what: @autoclosure () -> String) {
    guard plan.trace else { return }
    let rest = String(now % millisecond / 1_000 + 1_000).dropFirst()
    write("\(now / millisecond).\(rest) \(who()) \(what())")
  }

  func clear() { agenda = Agenda() }

  /// Runs until then or to the first violation.
  func run(until end: Moment) {
    while violation == nil, let (at, work) = agenda.next(until: end) {
      now = at
      steps += 1
      switch work {
      case .run(let work): work()
      case .step(let step): step.happen()
      }
    }
  }
}
