// A timer on the boot clock that a poll can wait for: it also fires at once after a suspend.
internal import CLinux
internal import Glibc

/// One absolute deadline on `CLOCK_BOOTTIME` as a readable descriptor.
public struct BootTimer: ~Copyable {
  private let owned: Descriptor
  public var descriptor: Int32 { owned.raw }

  public init() throws(SystemError) {
    let raw = timerfd_create(CLOCK_BOOTTIME, Int32(TFD_NONBLOCK) | Int32(TFD_CLOEXEC))
    guard raw >= 0 else { throw .last("timerfd_create") }
    owned = Descriptor(owning: raw)
  }
  /// Sets the deadline, in place of the one before; a passed one fires at once.
  public func set(_ deadline: BootInstant) {
    let at = max(1, deadline.nanoseconds)
    var value = itimerspec()
    value.it_value = timespec(tv_sec: Int(at / 1_000_000_000), tv_nsec: Int(at % 1_000_000_000))
    // Sound: `value` lives through the call.
    _ = unsafe timerfd_settime(descriptor, Int32(TFD_TIMER_ABSTIME), &value, nil)
  }
  /// Takes the firing, so that the descriptor is no longer readable.
  public func acknowledge() {
    var count: UInt64 = 0
    _ = unsafe read(descriptor, &count, 8)
  }
}
