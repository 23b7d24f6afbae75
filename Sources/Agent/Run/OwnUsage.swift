// What the agent uses of the processor, in percent of one core, between two looks at it.
internal import Platform

/// A value: time and use are given to it.
struct OwnUsage: Sendable {
  let began: BootInstant
  /// Of the last interval; nil before there was a whole one.
  private(set) var percent: Double?
  private var last: (microseconds: Int64, at: BootInstant)?
  /// A look that comes sooner after the last one is no interval: the first moments, and a sample that somebody asks for
  /// just after another one, would measure their own work.
  private let leastMilliseconds: Double

  /// `intervalMilliseconds`: of the samples, at their most frequent.
  init(began: BootInstant, intervalMilliseconds: Int64) {
    self.began = began
    leastMilliseconds = Double(intervalMilliseconds) / 2
  }

  /// `microseconds`: used since the process began.
  mutating func look(_ microseconds: Int64, at now: BootInstant) {
    guard let before = last else {
      last = (microseconds, now)
      return
    }
    let passed = now.milliseconds(since: before.at)
    guard passed >= leastMilliseconds, passed > 0 else { return }
    percent = Double(microseconds - before.microseconds) / passed / 10
    last = (microseconds, now)
  }
}
