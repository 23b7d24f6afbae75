// A point on the boot clock, as the core sees it: given from outside, never read.

/// Nanoseconds on the boot clock (`CLOCK_BOOTTIME`) of one host; not comparable between hosts.
public struct Instant: Comparable, Hashable, Sendable {
  public var nanoseconds: Int64
  public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }
  public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }
}
