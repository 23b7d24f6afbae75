// Whether every critical thread still ticks: while one does not, the node sends no beat.
internal import Platform

/// Each critical thread says by when it will be back; one that is late has stalled.
final class Pulses: Sendable {
  /// The threads whose stall makes the node unfit to lead.
  enum Thread: Int, CaseIterable, Sendable { case control, lease, watch, peers }

  private let expected: Guarded<[Thread: BootInstant]>
  /// How late a thread may be.
  private let grace: Int64 = 1000

  init() {
    let now = BootInstant.now()
    expected = Guarded(Dictionary(uniqueKeysWithValues: Thread.allCases.map { ($0, now) }))
  }
  /// `thread` is about to wait, at the longest until `deadline`.
  func waits(_ thread: Thread, until deadline: BootInstant) { expected.withLock { $0[thread] = deadline } }
  func ticked(_ thread: Thread) { waits(thread, until: .now()) }
  /// How many milliseconds a thread is behind what it said; 0 when it is in time.
  func lateness(of thread: Thread, at now: BootInstant) -> Double {
    expected.withLock { known in known[thread].map { max(0, now.milliseconds(since: $0)) } ?? 0 }
  }
  /// The threads that are more than a second late.
  func stalled(at now: BootInstant) -> [Thread] {
    expected.withLock { known in
      Thread.allCases.filter { known[$0].map { $0.adding(milliseconds: grace) < now } ?? false }
    }
  }
}
