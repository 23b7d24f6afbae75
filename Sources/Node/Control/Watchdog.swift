// Whether a thread that control does not depend on still lives: what hangs for good must not lead for good.
internal import Platform

/// Fed with the latest sign of life that is known; counts for how long there was no newer one.
///
/// Only time in which the watcher itself ran counts, in small steps: after a pause of the whole process everybody is
/// late, and nobody hangs.
struct Watchdog {
  let patienceMilliseconds: Double
  /// The most that one look adds.
  private let longestStep = 500.0
  private var lastSign = BootInstant(nanoseconds: 0)
  private var lastLook: BootInstant?
  private(set) var missedMilliseconds = 0.0

  init(patienceMilliseconds: Double) { self.patienceMilliseconds = patienceMilliseconds }

  /// True when the thread has shown no life for longer than the patience.
  mutating func look(_ sign: BootInstant, at now: BootInstant) -> Bool {
    defer { lastLook = now }
    if sign != lastSign {
      lastSign = sign
      missedMilliseconds = 0
    } else if let lastLook {
      missedMilliseconds += min(longestStep, max(0, now.milliseconds(since: lastLook)))
    }
    return missedMilliseconds > patienceMilliseconds
  }
}
