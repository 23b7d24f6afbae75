// The hunt for planted bugs: how many seeds each takes, and which check finds it.

/// Looks for planted bugs within so many seeds each.
struct Hunt {
  let bounds: Sweep.Bounds
  let base: Plan
  /// How often each is to be found: the seeds that it takes are the median of so many hunts, one after the other.
  private let times = 3

  /// Seeds until it was found: the first time, and the median of all times. `nil`: not found at all.
  func find(_ plant: Plant) -> (first: UInt64, median: UInt64)? {
    var planted = base
    planted.plant = plant
    let outcomes = Sweep.run(bounds, enough: times, .seeds(planted))
    let found = outcomes.filter { $0.violation != nil }.prefix(times)
    guard let first = found.first, let violation = first.violation else {
      print("\(plant.rawValue): NOT FOUND in \(bounds.count) seeds")
      return nil
    }
    var last = bounds.from - 1
    var needed: [UInt64] = []
    for outcome in found {
      needed.append(outcome.seed - last)
      last = outcome.seed
    }
    let seeds = needed.map { String($0) }.joined(separator: ", ")
    print("\(plant.rawValue): found after \(seeds) seeds; seed \(first.seed): \(violation.what)")
    return (needed[0], median(needed))
  }

  /// Every one of them.
  func all() -> Int32 {
    let found = Plant.allCases.compactMap { find($0) }
    let count = Plant.allCases.count
    let most = found.map(\.first).max() ?? 0
    print(
      "\(found.count) of \(count) planted bugs found; seeds to detection: median \(median(found.map(\.median))), "
        + "at most \(most) the first time")
    return found.count == count ? 0 : 1
  }

  /// The lower one of two in the middle.
  private func median(_ values: [UInt64]) -> UInt64 { values.isEmpty ? 0 : values.sorted()[(values.count - 1) / 2] }
}
