// When the guard does what: the announcements, the worker's silence, its restarts. Values without a clock.
internal import Platform

/// When a held address is announced: a burst over a second, at 5 s, then every 30 s, for ever. Switches forget, and an
/// announcement that was lost once is said again.
struct AnnouncementSchedule: Equatable {
  private static let burst: [Int64] = [0, 50, 150, 300, 600, 1000, 5000]
  private static let period: Int64 = 30_000
  private let start: BootInstant
  private var said = 0

  init(start: BootInstant) { self.start = start }

  var next: BootInstant {
    if said < Self.burst.count { return start.adding(milliseconds: Self.burst[said]) }
    let later = Int64(said - Self.burst.count + 1)
    return start.adding(milliseconds: Self.burst[Self.burst.count - 1] + later * Self.period)
  }
  /// True once for every time that has come; times that were slept through are not made up for.
  mutating func isDue(now: BootInstant) -> Bool {
    guard now >= next else { return false }
    while now >= next { said += 1 }
    return true
  }
}

/// When a worker counts as dead though its process is there.
struct SilenceJudge: Equatable {
  static let limitMilliseconds: Int64 = 600
  /// A worker that reads its configuration and looks up its user says nothing yet, and holds nothing yet.
  static let startMilliseconds: Int64 = 10_000
  /// A guard that itself woke up later than planned by this much was stopped, and so may have been the worker.
  static let oversleptMilliseconds: Int64 = 200
  private(set) var hasSpoken = false
  private(set) var deadline: BootInstant

  init(started now: BootInstant) { deadline = now.adding(milliseconds: Self.startMilliseconds) }

  mutating func heard(now: BootInstant) {
    hasSpoken = true
    deadline = now.adding(milliseconds: Self.limitMilliseconds)
  }
  /// Nobody could speak or listen for a while: the window begins again.
  mutating func overslept(now: BootInstant) {
    deadline = max(deadline, now.adding(milliseconds: Self.limitMilliseconds))
  }
  func isSilent(now: BootInstant) -> Bool { now >= deadline }
}

/// How long to wait before the next worker: 100 ms doubling to 5 s, from the beginning after 30 s without a crash.
struct RestartBackoff: Equatable {
  private static let first: Int64 = 100
  private static let longest: Int64 = 5_000
  private static let stable: Int64 = 30_000
  private var milliseconds = first

  /// The worker that started at `started` has ended.
  mutating func next(started: BootInstant, now: BootInstant) -> BootInstant {
    if now.nanoseconds - started.nanoseconds >= Self.stable * 1_000_000 { milliseconds = Self.first }
    let due = now.adding(milliseconds: milliseconds)
    milliseconds = min(milliseconds * 2, Self.longest)
    return due
  }
}
