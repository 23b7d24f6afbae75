// Many seeds on all processors: each thread owns the runs it makes, and only their outcomes are shared.

import Glibc

struct Outcome {
  var seed: UInt64
  var violation: Violation?
  var promotions: Int
  var steps: Int
  /// Simulated time when it was over.
  var ended: Moment
}

func monotonicSeconds() -> Double {
  var time = timespec()
  // Sound: the pointer is to a local that outlives the call.
  unsafe clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Which runs a sweep makes; by value, so that every thread has its own.
enum Series {
  /// The base with each seed.
  case seeds(Plan)
  /// The orders of up to so many faults, by their place in the list.
  case orders(most: Int, base: Plan)

  fileprivate func plans() -> (UInt64) -> Plan {
    switch self {
    case .seeds(let base):
      return {
        var plan = base
        plan.seed = $0
        return plan
      }
    case .orders(let most, let base):
      let orders = Order.all(most)
      return { orders[Int($0)].plan(base) }
    }
  }
}

/// Hands out seeds under one lock and collects outcomes.
///
/// The release build counts references without atomic operations: nothing that is counted is looked at by two threads at a
/// time. They share plain numbers; each makes its plans itself, and its outcomes are its own until it was joined.
enum Sweep {
  /// Which seeds, and on how many threads (one for each processor).
  struct Bounds {
    var from: UInt64
    var count: UInt64
    var threads: Int?
  }

  /// Plain numbers, and a series without an order in its base.
  @safe fileprivate struct Shared {
    var lock = unsafe pthread_mutex_t()
    let series: Series
    let enough: Int
    var next: UInt64
    var end: UInt64
    var broken = 0
  }
  /// One for each thread.
  @safe fileprivate struct Seat {
    let shared: UnsafeMutablePointer<Shared>
    var thread = pthread_t()
    var outcomes: [Outcome] = []

    /// Gives the next seed; `nil` when there is none left.
    func seed() -> UInt64? {
      // Sound, here and below: `shared` outlives the threads, and what changes is changed under the lock.
      unsafe pthread_mutex_lock(&shared.pointee.lock)
      defer { unsafe pthread_mutex_unlock(&shared.pointee.lock) }
      guard unsafe shared.pointee.next < shared.pointee.end else { return nil }
      defer { unsafe shared.pointee.next += 1 }
      return unsafe shared.pointee.next
    }
    func noteBroken() {
      unsafe pthread_mutex_lock(&shared.pointee.lock)
      defer { unsafe pthread_mutex_unlock(&shared.pointee.lock) }
      unsafe shared.pointee.broken += 1
      if unsafe shared.pointee.broken >= shared.pointee.enough { unsafe shared.pointee.next = shared.pointee.end }
    }
    mutating func work() {
      let plan = unsafe shared.pointee.series.plans()
      while let seed = seed() {
        let cluster = Cluster(plan: plan(seed))
        let violation = cluster.run()
        outcomes.append(
          Outcome(
            seed: seed, violation: violation, promotions: cluster.checks.promotions, steps: cluster.world.steps,
            ended: cluster.world.now))
        if violation != nil { noteBroken() }
      }
    }
  }

  /// Outcomes by seed. No new seed is begun once `enough` have failed; of every seed below the last of them there is an
  /// outcome, for seeds are begun in their order: the first `enough` that failed are the same with any number of threads.
  static func run(_ bounds: Bounds, enough: Int = .max, _ series: Series) -> [Outcome] {
    let processors = bounds.threads ?? max(1, min(64, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
    let shared = UnsafeMutablePointer<Shared>.allocate(capacity: 1)
    unsafe shared.initialize(
      to: Shared(series: series, enough: enough, next: bounds.from, end: bounds.from + bounds.count))
    unsafe pthread_mutex_init(&shared.pointee.lock, nil)
    let seats = UnsafeMutablePointer<Seat>.allocate(capacity: processors)
    unsafe seats.initialize(repeating: Seat(shared: shared), count: processors)
    defer {
      // Sound: allocated and initialised above, and the threads are joined.
      unsafe seats.deinitialize(count: processors)
      unsafe seats.deallocate()
      unsafe pthread_mutex_destroy(&shared.pointee.lock)
      unsafe shared.deinitialize(count: 1)
      unsafe shared.deallocate()
    }
    var started = 0
    for place in 0..<processors {
      // Sound: the seat outlives its thread.
      let failed = unsafe pthread_create(&seats[started].thread, nil, sweepThread, seats + started)
      if failed == 0 { started += 1 } else if place == processors - 1, started == 0 { unsafe seats[0].work() }
    }
    for place in 0..<started { unsafe pthread_join(seats[place].thread, nil) }
    var outcomes: [Outcome] = []
    for place in 0..<processors { unsafe outcomes += seats[place].outcomes }
    return outcomes.sorted { $0.seed < $1.seed }
  }
}

private func sweepThread(_ seat: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  if let seat = unsafe seat { unsafe seat.assumingMemoryBound(to: Sweep.Seat.self).pointee.work() }
  return nil
}
