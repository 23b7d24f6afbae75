// How long acknowledgements take: when batches were sent, and a histogram of what came of it.
import Platform

/// When the records of one connection were handed to the kernel, in order.
struct Flights {
  private var waiting: [(through: Int64, at: BootInstant)] = []
  private var head = 0
  var isEmpty: Bool { head == waiting.count }

  mutating func add(through seq: Int64, at now: BootInstant) {
    // Bounded: what is sent while a thousand batches wait is not timed.
    if waiting.count - head < 1024 { waiting.append((seq, now)) }
  }
  mutating func clear() {
    waiting.removeAll(keepingCapacity: true)
    head = 0
  }
  /// Calls `each` with the milliseconds of every batch that ends at or before `seq`.
  mutating func land(through seq: Int64, at now: BootInstant, _ each: (Double) -> Void) {
    while head < waiting.count, waiting[head].through <= seq {
      each(now.milliseconds(since: waiting[head].at))
      head += 1
    }
    if head == waiting.count { clear() }
  }
}

/// Counts in buckets that grow by a twentieth, from 0.01 ms to some minutes.
struct Histogram {
  private var buckets = [Int](repeating: 0, count: 360)
  private var total = 0
  private(set) var largest = 0.0

  mutating func add(_ milliseconds: Double) {
    var bound = 0.01
    var index = 0
    while bound < milliseconds, index < buckets.count - 1 {
      bound *= 1.05
      index += 1
    }
    buckets[index] += 1
    total += 1
    largest = max(largest, milliseconds)
  }
  /// The value that `fraction` of the counted are below of; nil when nothing was counted.
  func quantile(_ fraction: Double) -> Double? {
    guard total > 0 else { return nil }
    var left = Int(fraction * Double(total))
    var bound = 0.01
    for count in buckets {
      if count > left { return min(bound, largest) }
      left -= count
      bound *= 1.05
    }
    return largest
  }
}
