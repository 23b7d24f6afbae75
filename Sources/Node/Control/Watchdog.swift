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

/// Finds a thread that computes on one piece of a sender's without end. It is processor time that counts: on a machine
/// that has none to give nobody hangs.
struct HandWatch {
  /// Of a thread on one piece; the longest that there may be takes a small part of it.
  let patienceMilliseconds: Double
  private struct Piece: Equatable {
    var turn: UInt64
    var begunAt: Int64
  }
  private var pieces: [Int: Piece] = [:]

  init(patienceMilliseconds: Double) { self.patienceMilliseconds = patienceMilliseconds }

  /// Of the thread of a slot, what it has in hand now (nil: nothing) and its processor time. True when it hangs.
  mutating func look(_ slot: Int, _ inHand: (turn: UInt64, processorNanoseconds: Int64)?) -> Bool {
    guard let inHand, let piece = pieces[slot], piece.turn == inHand.turn else {
      pieces[slot] = inHand.map { Piece(turn: $0.turn, begunAt: $0.processorNanoseconds) }
      return false
    }
    return Double(inHand.processorNanoseconds - piece.begunAt) / 1_000_000 > patienceMilliseconds
  }
}
