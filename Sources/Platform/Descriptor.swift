// An owned file descriptor, and waiting on a few of them with a deadline.
internal import CLinux
internal import Glibc

/// Owns a file descriptor; closed exactly once, when it goes out of scope.
public struct Descriptor: ~Copyable, Sendable {
  public let raw: Int32
  /// Takes ownership of `raw`, which has to be open.
  public init(owning raw: Int32) {
    precondition(raw >= 0)
    self.raw = raw
  }
  deinit { close(raw) }
  /// Gives the descriptor away; the caller closes it.
  public consuming func release() -> Int32 {
    let raw = raw
    discard self
    return raw
  }
}

/// A descriptor kept for the moment when there is no other, to turn a client away instead of spinning on it. Nil when
/// there is none left even now.
public func spareDescriptor(like other: Int32) -> Descriptor? {
  let raw = fcntl(other, F_DUPFD_CLOEXEC, 0)
  return raw >= 0 ? Descriptor(owning: raw) : nil
}

/// Owns several descriptors; all are closed when the list goes away.
public final class DescriptorList: Sendable {
  private let owned = Guarded<[Int32]>([])
  public init() {}
  deinit { for raw in raw { close(raw) } }
  public func append(_ descriptor: consuming Descriptor) {
    let raw = descriptor.release()
    owned.withLock { $0.append(raw) }
  }
  /// In the order in which they were appended; borrowed, not to be closed.
  public var raw: [Int32] { owned.withLock { $0 } }
}

/// What a descriptor is waited for, and what it is ready for.
public struct Ready: OptionSet, Sendable, Hashable {
  public let rawValue: Int16
  public init(rawValue: Int16) { self.rawValue = rawValue }
  public static let read = Ready(rawValue: Int16(POLLIN))
  public static let write = Ready(rawValue: Int16(POLLOUT))
}

/// Waits for one descriptor; empty when the deadline passed. Errors and hang-ups count as what was wanted.
/// A nil deadline waits for ever.
public func wait(_ descriptor: Int32, for wanted: Ready, until deadline: BootInstant?) -> Ready {
  wait([descriptor], for: wanted, until: deadline).first ?? []
}

/// Waits until any of `descriptors` is ready; one answer each, none when the deadline passed.
/// A negative descriptor is passed over.
public func wait(_ descriptors: [Int32], for wanted: Ready, until deadline: BootInstant?) -> [Ready] {
  waitAny(descriptors.map { ($0, wanted) }, until: deadline)
}

/// As `wait`, with a wish for each descriptor of its own.
public func waitAny(_ wishes: [(descriptor: Int32, wanted: Ready)], until deadline: BootInstant?) -> [Ready] {
  var polled = wishes.map { pollfd(fd: $0.descriptor, events: $0.wanted.rawValue, revents: 0) }
  while true {
    let left = deadline.map { $0.nanosecondsLeft() } ?? -1
    // Sound: `polled` is a live array of the count given.
    let count = unsafe sw_ppoll(&polled, UInt(polled.count), left)
    if count < 0 && errno == EINTR { continue }
    if count <= 0 { return [] }
    let failed = Int16(POLLERR | POLLHUP | POLLNVAL)
    return zip(polled, wishes).map { entry, wish in
      entry.revents & failed != 0 ? wish.wanted : Ready(rawValue: entry.revents).intersection(wish.wanted)
    }
  }
}

/// Sleeps until the deadline.
public func sleep(until deadline: BootInstant) {
  while true {
    let left = deadline.nanosecondsLeft()
    if left == 0 { return }
    _ = sw_ppoll(nil, 0, left)
  }
}
