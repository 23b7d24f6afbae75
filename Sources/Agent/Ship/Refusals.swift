// Which records the service refused, for the log: a line for each would be without bound, and where the agent follows the
// journal each such line would become a record itself.
internal import Platform

struct Refusals {
  struct Said: Equatable {
    /// Refused since the line before this one.
    var count: Int
    /// Of the last of them.
    var seq: Int64
    var reason: String
    /// For the log.
    var fields: [(String, String)] { [("count", "\(count)"), ("seq", "\(seq)"), ("reason", reason)] }
  }
  static let pauseMilliseconds: Int64 = 60_000

  private var untold: Said?
  private var again = BootInstant(nanoseconds: 0)

  mutating func refused(seq: Int64, reason: String) {
    untold = Said(count: (untold?.count ?? 0) + 1, seq: seq, reason: reason)
  }
  /// What is to be said now: the first at once, what follows together and once a minute.
  mutating func due(at now: BootInstant) -> Said? {
    guard let said = untold, now >= again else { return nil }
    (untold, again) = (nil, now.adding(milliseconds: Self.pauseMilliseconds))
    return said
  }
}
