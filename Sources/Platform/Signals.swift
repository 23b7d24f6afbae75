// Signals as a readable descriptor, and the supervisor's notification socket.
internal import CLinux
internal import Glibc

/// Blocks the given signals in this thread and those it starts later, and delivers them through a descriptor.
public struct SignalDescriptor: ~Copyable {
  private let owned: Descriptor
  public var descriptor: Int32 { owned.raw }

  public init(_ signals: [Int32]) throws(SystemError) {
    var set = sigset_t()
    unsafe sigemptyset(&set)
    for signal in signals { unsafe sigaddset(&set, signal) }
    guard unsafe pthread_sigmask(SIG_BLOCK, &set, nil) == 0 else { throw .last("pthread_sigmask") }
    let raw = unsafe signalfd(-1, &set, Int32(SFD_NONBLOCK) | Int32(SFD_CLOEXEC))
    guard raw >= 0 else { throw .last("signalfd") }
    owned = Descriptor(owning: raw)
  }
  /// The next signal's number; nil when none waits.
  public func next() -> Int32? {
    var info = signalfd_siginfo()
    let count = unsafe read(descriptor, &info, MemoryLayout<signalfd_siginfo>.size)
    return count == MemoryLayout<signalfd_siginfo>.size ? Int32(info.ssi_signo) : nil
  }
}

/// The signals that the node uses, by name.
public enum SignalNumber {
  public static let hangUp = SIGHUP
  public static let interrupt = SIGINT
  public static let kill = SIGKILL
  public static let terminate = SIGTERM
  public static let proceed = SIGCONT
  public static let stop = SIGSTOP
}

/// A write into a closed socket is an error value, not a signal.
public func ignoreBrokenPipe() { _ = signal(SIGPIPE, SIG_IGN) }

/// When the parent dies this process gets `signal`. Says whether the parent is still `parent`.
public func dieWithParent(signal: Int32, parent: Int32) -> Bool {
  _ = sw_parent_death_signal(signal)
  return getppid() == parent
}

/// Tells the supervisor (`sd_notify(3)`): `READY=1`, `STATUS=...`, `WATCHDOG=1`, `STOPPING=1`.
/// Without `NOTIFY_SOCKET` nothing happens.
public func notifySupervisor(_ message: String) {
  guard let raw = unsafe getenv("NOTIFY_SOCKET") else { return }
  let path = unsafe String(cString: raw)
  var address = sw_address()
  guard unsafe sw_unix_address(path, &address) == 0 else { return }
  if path.hasPrefix("@") {
    address.bytes.2 = 0  // abstract namespace: the path begins with a NUL
    address.length = UInt32(2 + path.utf8.count)
  }
  let socket = sw_socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue))
  guard socket >= 0 else { return }
  defer { close(socket) }
  let bytes = Array(message.utf8)
  _ = unsafe sw_send_to(socket, bytes, bytes.count, &address)
}
/// The supervisor's watchdog interval in milliseconds (`WATCHDOG_USEC`); nil when there is none.
public func watchdogMilliseconds() -> Int64? {
  guard let raw = unsafe getenv("WATCHDOG_USEC"), let value = unsafe Int64(String(cString: raw)) else { return nil }
  return value / 1000
}

public func processIdentifier() -> Int32 { getpid() }
/// Ends the process at once, what was printed written out: no destructors.
public func exitNow(_ status: Int32) -> Never {
  fflush(nil)
  _exit(status)
}
