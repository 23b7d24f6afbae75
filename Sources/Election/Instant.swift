// A point on the boot clock and a length of time, as the core sees them: given from outside, never read.

/// Nanoseconds on the boot clock (`CLOCK_BOOTTIME`) of one host; not comparable between hosts.
public struct Instant: Comparable, Hashable, Sendable {
  public var nanoseconds: Int64
  public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }
  public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }
  /// Saturates instead of overflowing.
  public static func + (a: Instant, b: Interval) -> Instant {
    Instant(nanoseconds: clampedSum(a.nanoseconds, b.nanoseconds))
  }
  public static func - (a: Instant, b: Interval) -> Instant {
    Instant(nanoseconds: clampedSum(a.nanoseconds, b.nanoseconds == .min ? .max : -b.nanoseconds))
  }
  /// The time from `b` to `a`; negative when `b` is later.
  public static func - (a: Instant, b: Instant) -> Interval {
    Interval(nanoseconds: clampedSum(a.nanoseconds, b.nanoseconds == .min ? .max : -b.nanoseconds))
  }
}

/// A length of time in nanoseconds.
public struct Interval: Comparable, Hashable, Sendable {
  public var nanoseconds: Int64
  public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }
  public static let zero = Interval(nanoseconds: 0)
  public static func microseconds(_ count: Int64) -> Interval { Interval(nanoseconds: clampedProduct(count, 1_000)) }
  public static func milliseconds(_ count: Int64) -> Interval {
    Interval(nanoseconds: clampedProduct(count, 1_000_000))
  }
  public static func seconds(_ count: Int64) -> Interval { Interval(nanoseconds: clampedProduct(count, 1_000_000_000)) }
  /// Whole milliseconds, rounded down.
  public var milliseconds: Int64 { nanoseconds / 1_000_000 }
  public static func < (a: Interval, b: Interval) -> Bool { a.nanoseconds < b.nanoseconds }
  public static func + (a: Interval, b: Interval) -> Interval {
    Interval(nanoseconds: clampedSum(a.nanoseconds, b.nanoseconds))
  }
  public static func / (a: Interval, b: Int64) -> Interval { Interval(nanoseconds: b == 0 ? 0 : a.nanoseconds / b) }
  public static func * (a: Interval, b: Int64) -> Interval { Interval(nanoseconds: clampedProduct(a.nanoseconds, b)) }
}

private func clampedSum(_ a: Int64, _ b: Int64) -> Int64 {
  let (sum, overflow) = a.addingReportingOverflow(b)
  return overflow ? (b > 0 ? .max : .min) : sum
}
private func clampedProduct(_ a: Int64, _ b: Int64) -> Int64 {
  let (product, overflow) = a.multipliedReportingOverflow(by: b)
  return overflow ? ((a > 0) == (b > 0) ? .max : .min) : product
}
