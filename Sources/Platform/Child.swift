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

  /// Starts `path`. `descriptors` become 0, 1, 2, ... in the child; everything else is closed there.
  /// Signals are unblocked and at their defaults.
  public init(
    _ path: String, _ arguments: [String], environment: [String], descriptors: [Int32]
  ) throws(SystemError) {
    var actions = unsafe posix_spawn_file_actions_t()
    var attributes = posix_spawnattr_t()
    unsafe posix_spawn_file_actions_init(&actions)
    unsafe posix_spawnattr_init(&attributes)
    defer {
      unsafe posix_spawn_file_actions_destroy(&actions)
      unsafe posix_spawnattr_destroy(&attributes)
    }
    // Sound: dup2 in this order needs every source at or above its target, which the caller's numbers satisfy
    // because 0, 1 and 2 are always open in our processes.
    for (target, source) in descriptors.enumerated() {
      unsafe posix_spawn_file_actions_adddup2(&actions, source, Int32(target))
    }
    _ = unsafe sw_addclosefrom(&actions, Int32(descriptors.count))
    var none = sigset_t()
    var all = sigset_t()
    unsafe sigemptyset(&none)
    unsafe sigfillset(&all)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setsigdefault(&attributes, &all)
    unsafe posix_spawnattr_setpgroup(&attributes, 0)
    unsafe posix_spawnattr_setflags(
      &attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
    var pid: Int32 = 0
    let code = unsafe withCStrings([path] + arguments) { argv in
      unsafe withCStrings(environment) { envp in unsafe posix_spawn(&pid, path, &actions, &attributes, argv, envp) }
    }
    guard code == 0 else { throw SystemError(call: "start \(path)", code: code) }
    let raw = sw_pidfd_open(pid)
    guard raw >= 0 else {
      let failure = SystemError.last("pidfd_open")
      kill(-pid, SIGKILL)
      throw failure
    }
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

func withCStrings<R>(_ strings: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> R) -> R {
  let pointers = unsafe strings.map { unsafe strdup($0) } + [nil]
  defer { for index in unsafe pointers.indices { unsafe free(pointers[index]) } }
  return unsafe body(pointers)
}
