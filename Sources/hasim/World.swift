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
  /// Faults happen until then; what follows must be quiet and sound.
  var faultPhase = 45 * second
  var calmPhase = 20 * second
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

  func after(_ delay: Moment, _ work: @escaping () -> Void) { agenda.add(at: now + max(0, delay), work) }

  /// Again and again until the end of the run, first after one `period`.
  func every(_ period: Moment, _ work: @escaping () -> Void) {
    after(period) { [weak self] in
      work()
      self?.every(period, work)
    }
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
    while violation == nil, let item = agenda.next() {
      guard item.at <= end else { break }
      now = item.at
      steps += 1
      item.work()
    }
  }
}

/// A binary heap by time, then by order of adding.
private struct Agenda {
  struct Item {
    var at: Moment
    var order: UInt64
    var work: () -> Void
  }
  private var items: [Item] = []
  private var added: UInt64 = 0

  mutating func add(at: Moment, _ work: @escaping () -> Void) {
    added += 1
    items.append(Item(at: at, order: added, work: work))
    var child = items.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard before(child, parent) else { break }
      items.swapAt(child, parent)
      child = parent
    }
  }

  mutating func next() -> Item? {
    guard let last = items.indices.last else { return nil }
    items.swapAt(0, last)
    let item = items.removeLast()
    var parent = 0
    while true {
      var first = parent
      for child in [2 * parent + 1, 2 * parent + 2] where child < items.count && before(child, first) { first = child }
      guard first != parent else { return item }
      items.swapAt(parent, first)
      parent = first
    }
  }

  private func before(_ a: Int, _ b: Int) -> Bool {
    (items[a].at, items[a].order) < (items[b].at, items[b].order)
  }
}
