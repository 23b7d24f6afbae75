// Many seeds on all processors: each thread owns the runs it makes, and only their outcomes are shared.

import Glibc

struct Outcome {
  var seed: UInt64
  var violation: Violation?
  var promotions: Int
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
  private let stopAtFirst: Bool
  private var next: UInt64
  private var outcomes: [Outcome] = []
  private let lock: UnsafeMutablePointer<pthread_mutex_t>

  private init(from: UInt64, count: UInt64, stopAtFirst: Bool, plan: @escaping (UInt64) -> Plan) {
    self.plan = plan
    self.stopAtFirst = stopAtFirst
    next = from
    end = from + count
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
        outcomes.append(Outcome(seed: seed, violation: violation, promotions: cluster.checks.promotions))
        if violation != nil, stopAtFirst { next = end }
      }
    }
  }

  /// Outcomes by seed. With `stopAtFirst` no new seed is begun once one has failed.
  static func run(from: UInt64, count: UInt64, stopAtFirst: Bool, plan: @escaping (UInt64) -> Plan) -> [Outcome] {
    let sweep = Sweep(from: from, count: count, stopAtFirst: stopAtFirst, plan: plan)
    let processors = max(1, min(64, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))))
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
