// How often a client may ask whether we live.
internal import Platform

/// So many a second, also of seconds in which nothing was read: who asked all along while PostgreSQL kept us waiting has
/// asked no more often for it, though all of it is read at once.
struct PingAllowance {
  /// Saved up at most.
  static let seconds = 60.0
  private var left: Double?
  private var countedAt = BootInstant(nanoseconds: 0)

  /// Counts one; true when it is one too many.
  mutating func isExceeded(_ perSecond: Int, _ now: BootInstant) -> Bool {
    let limit = Double(perSecond)
    // A new connection has saved up nothing.
    let saved = left.map { $0 + limit * now.milliseconds(since: countedAt) / 1000 } ?? limit
    let rest = min(saved, limit * Self.seconds) - 1
    (left, countedAt) = (rest, now)
    return rest < 0
  }
}
