// The two clocks: one for deadlines, one for people.
internal import Glibc

/// Nanoseconds on `CLOCK_BOOTTIME`: monotonic, counts through suspend, not comparable between hosts.
public struct BootInstant: Comparable, Sendable, Hashable {
  public var nanoseconds: Int64
  public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  public static func now() -> BootInstant {
    var time = timespec()
    unsafe clock_gettime(CLOCK_BOOTTIME, &time)
    return BootInstant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
  }
  public static func after(milliseconds: Int64) -> BootInstant { now().adding(milliseconds: milliseconds) }
  public func adding(milliseconds: Int64) -> BootInstant {
    BootInstant(nanoseconds: nanoseconds + milliseconds * 1_000_000)
  }
  /// Nanoseconds from now until this instant; 0 when it has passed.
  public func nanosecondsLeft() -> Int64 { max(0, nanoseconds - BootInstant.now().nanoseconds) }
  public func milliseconds(since earlier: BootInstant) -> Double {
    Double(nanoseconds - earlier.nanoseconds) / 1_000_000
  }
  public static func < (a: BootInstant, b: BootInstant) -> Bool { a.nanoseconds < b.nanoseconds }
}

/// Microseconds since 1970-01-01 UTC, for people and for records; never for a deadline.
public func wallMicroseconds() -> Int64 {
  var time = timespec()
  unsafe clock_gettime(CLOCK_REALTIME, &time)
  return Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1000
}

/// `wallMicroseconds` as RFC 3339 with milliseconds and `Z`.
public func rfc3339(wallMicroseconds: Int64) -> String {
  var seconds = time_t(wallMicroseconds / 1_000_000)
  var parts = unsafe tm()
  unsafe gmtime_r(&seconds, &parts)
  func two(_ value: Int32) -> String { value < 10 ? "0\(value)" : "\(value)" }
  let milliseconds = Int32((wallMicroseconds % 1_000_000) / 1000)
  let fraction = milliseconds < 10 ? "00\(milliseconds)" : milliseconds < 100 ? "0\(milliseconds)" : "\(milliseconds)"
  let date = unsafe "\(1900 + parts.tm_year)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))"
  return unsafe "\(date)T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec)).\(fraction)Z"
}
