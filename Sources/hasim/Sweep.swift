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

/// Hands out seeds and collects outcomes, under one lock.
@safe final class Sweep {
  private let plan: (UInt64) -> Plan
  private let end: UInt64
  private let enough: Int
  private var broken = 0
  private var next: UInt64
  private var outcomes: [Outcome] = []
  private let lock: UnsafeMutablePointer<pthread_mutex_t>

  /// Which seeds, and on how many threads (one for each processor).
  struct Bounds {
    var from: UInt64
    var count: UInt64
    var threads: Int?
  }

  private init(_ bounds: Bounds, enough: Int, plan: @escaping (UInt64) -> Plan) {
    self.plan = plan
    self.enough = enough
    next = bounds.from
    end = bounds.from + bounds.count
    // Sound: allocated and initialised once, destroyed in deinit, after the threads were joined.
    unsafe lock = .allocate(capacity: 1)
    unsafe pthread_mutex_init(lock, nil)
  }
  deinit {
    unsafe pthread_mutex_destroy(lock)
    unsafe lock.deallocate()
  }

  private func locked<T>(_ work: () -> T) -> T {
    unsafe pthread_mutex_lock(lock)
    defer { unsafe pthread_mutex_unlock(lock) }
    return work()
  }

  fileprivate func work() {
    while true {
      let seed: UInt64? = locked {
        guard next < end else { return nil }
        defer { next += 1 }
        return next
      }
      guard let seed else { return }
      let cluster = Cluster(plan: plan(seed))
      let violation = cluster.run()
      locked {
        outcomes.append(
          Outcome(
            seed: seed, violation: violation, promotions: cluster.checks.promotions, steps: cluster.world.steps,
            ended: cluster.world.now))
        if violation != nil { broken += 1 }
        if broken >= enough { next = end }
      }
    }
  }

  /// Outcomes by seed. No new seed is begun once `enough` have failed; of every seed below the last of them there is an
  /// outcome, for seeds are begun in their order: the first `enough` that failed are the same with any number of threads.
  static func run(_ bounds: Bounds, enough: Int = .max, plan: @escaping (UInt64) -> Plan) -> [Outcome] {
    let sweep = Sweep(bounds, enough: enough, plan: plan)
    let processors = bounds.threads ?? max(1, min(64, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
    var threads: [pthread_t] = []
    for _ in 0..<processors {
      var thread = pthread_t()
      // Sound: the retained reference is taken over by `sweepThread`.
      let box = unsafe Unmanaged.passRetained(sweep).toOpaque()
      if unsafe pthread_create(&thread, nil, sweepThread, box) == 0 {
        threads.append(thread)
      } else {
        unsafe Unmanaged<Sweep>.fromOpaque(box).release()
      }
    }
    if threads.isEmpty { sweep.work() }
    for thread in threads { pthread_join(thread, nil) }
    return sweep.outcomes.sorted { $0.seed < $1.seed }
  }
}

private func sweepThread(_ box: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  if let box = unsafe box { unsafe Unmanaged<Sweep>.fromOpaque(box).takeRetainedValue().work() }
  return nil
}
