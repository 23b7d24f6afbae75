// A child process in its own process group, waited for with a deadline.
internal import CLinux
internal import Glibc

/// How a child ended: exit status (128 + signal when a signal ended it), or killed at its deadline.
public enum ChildEnd: Equatable, Sendable { case exited(Int32), deadline }

/// Owns the process: dropping it kills the whole group and reaps the leader.
public struct Child: ~Copyable {
  public let pid: Int32
  private let pidfd: Descriptor
  private var reaped = false

  /// Readable when the process has ended.
  public var descriptor: Int32 { pidfd.raw }

  /// Starts `path`. `descriptors` become 0, 1, 2, ... in the child (each at or above its place); everything else is
  /// closed there. Signals are unblocked and at their defaults. With `parentDeathSignal` the child gets that signal
  /// when the calling *thread* ends, so only a thread that lives as long as the process may ask for it. `name` stands
  /// in place of the path as the child's first argument.
  public init(
    _ path: String, _ arguments: [String], environment: [String], descriptors: [Int32],
    parentDeathSignal: Int32 = 0, name: String? = nil
  ) throws(SystemError) {
    for (target, source) in descriptors.enumerated() { precondition(source >= target) }
    var pid: Int32 = 0
    var raw: Int32 = -1
    // Sound: both arrays of strings end with nil and live until the child has called exec.
    let code = unsafe withCStrings([name ?? path] + arguments) { argv in
      unsafe withCStrings(environment) { envp in
        unsafe sw_spawn(path, argv, envp, descriptors, Int32(descriptors.count), parentDeathSignal, &pid, &raw)
      }
    }
    guard code == 0 else { throw SystemError(call: "start \(path)", code: code) }
    self.pid = pid
    pidfd = Descriptor(owning: raw)
  }
  deinit {
    if !reaped {
      kill(-pid, SIGKILL)
      var status: Int32 = 0
      unsafe waitpid(pid, &status, 0)
    }
  }

  /// Waits for the end; at the deadline the whole group is killed and reaped first.
  public mutating func wait(until deadline: BootInstant) -> ChildEnd {
    if let status = pollEnd() { return .exited(status) }
    guard !Platform.wait(descriptor, for: .read, until: deadline).isEmpty else {
      kill(-pid, SIGKILL)
      _ = reap()
      return .deadline
    }
    return .exited(reap())
  }
  /// The exit status if it has ended; never blocks.
  public mutating func pollEnd() -> Int32? {
    if Platform.wait(descriptor, for: .read, until: BootInstant(nanoseconds: 0)).isEmpty { return nil }
    return reap()
  }
  /// Sends a signal to the process alone.
  public func signal(_ number: Int32) { _ = sw_pidfd_send_signal(descriptor, number) }
  /// Kills the whole group.
  public func killGroup() { kill(-pid, SIGKILL) }

  /// Waits for the end without a bound and kills what the leader left behind in its group.
  public mutating func reap() -> Int32 {
    var status: Int32 = 0
    _ = Platform.wait(descriptor, for: .read, until: nil)
    if unsafe sw_wait_pidfd(descriptor, &status) == 1 { reaped = true }
    kill(-pid, SIGKILL)
    return status
  }
}

/// What reads as empty and swallows what is written.
public func nullDevice() throws(SystemError) -> Descriptor {
  let raw = unsafe open("/dev/null", O_RDWR | O_CLOEXEC)
  guard raw >= 0 else { throw .last("open /dev/null") }
  return Descriptor(owning: raw)
}

/// Makes sure that 0, 1 and 2 are open: whatever took their places would be written to by every message.
public func openStandardDescriptors() {
  while true {
    let raw = unsafe open("/dev/null", O_RDWR)
    guard raw >= 0 && raw <= 2 else {
      if raw > 2 { close(raw) }
      return
    }
  }
}

func withCStrings<R>(_ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> R) -> R {
  let pointers = unsafe strings.map { unsafe strdup($0) } + [nil]
  defer { for index in unsafe pointers.indices { unsafe free(pointers[index]) } }
  return unsafe body(pointers)
}
