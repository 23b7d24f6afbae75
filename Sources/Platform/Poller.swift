// Many descriptors waited for by one thread: epoll, level-triggered.
internal import CLinux
internal import Glibc

/// The tokens of a round are read with `event(_:)`; nothing is borrowed while the caller acts on them.
@safe public struct Poller: ~Copyable {
  private let descriptor: Descriptor
  // The C union inside is what is unsafe; only `event(_:)` reads it.
  private var events: [epoll_event]

  /// What happened on one descriptor. `failed` means error or hang-up.
  public struct Event: Sendable {
    public var token: UInt64
    public var readable: Bool
    public var writable: Bool
    public var failed: Bool
  }

  public init(batch: Int = 256) throws(SystemError) {
    let raw = epoll_create1(Int32(EPOLL_CLOEXEC))
    guard raw >= 0 else { throw .last("epoll_create1") }
    descriptor = Descriptor(owning: raw)
    unsafe events = [epoll_event](repeating: epoll_event(), count: batch)
  }

  public func add(_ other: Int32, token: UInt64, for wanted: Ready = .read) throws(SystemError) {
    try control(Int32(EPOLL_CTL_ADD), other, token, wanted)
  }
  public func modify(_ other: Int32, token: UInt64, for wanted: Ready) throws(SystemError) {
    try control(Int32(EPOLL_CTL_MOD), other, token, wanted)
  }
  /// Forgets a descriptor; one that is not there is passed over.
  public func remove(_ other: Int32) {
    var event = unsafe epoll_event()
    _ = unsafe epoll_ctl(descriptor.raw, EPOLL_CTL_DEL, other, &event)
  }

  /// Waits; the number of events of this round. A nil deadline waits for ever.
  public mutating func wait(until deadline: BootInstant?) -> Int {
    // Rounded up: a wake-up before the deadline would spin.
    let milliseconds = deadline.map { Int32(min(($0.nanosecondsLeft() + 999_999) / 1_000_000, 1_000_000)) } ?? -1
    let count = unsafe epoll_wait(descriptor.raw, &events, Int32(events.count), milliseconds)
    return max(0, Int(count))
  }
  public func event(_ index: Int) -> Event {
    // Sound: the kernel filled the entries below the count that `wait` returned; the array bounds are checked.
    let flags = unsafe events[index].events
    func has(_ flag: EPOLL_EVENTS) -> Bool { flags & UInt32(flag.rawValue) != 0 }
    return Event(
      token: unsafe events[index].data.u64, readable: has(EPOLLIN), writable: has(EPOLLOUT),
      failed: has(EPOLLERR) || has(EPOLLHUP))
  }

  private func control(_ operation: Int32, _ other: Int32, _ token: UInt64, _ wanted: Ready) throws(SystemError) {
    var event = unsafe epoll_event()
    var flags: UInt32 = 0
    if wanted.contains(.read) { flags |= UInt32(EPOLLIN.rawValue) }
    if wanted.contains(.write) { flags |= UInt32(EPOLLOUT.rawValue) }
    unsafe event.events = flags
    unsafe event.data.u64 = token
    guard unsafe epoll_ctl(descriptor.raw, operation, other, &event) == 0 else { throw .last("epoll_ctl") }
  }
}
