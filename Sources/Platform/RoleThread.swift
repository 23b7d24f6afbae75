// One named pthread that runs one role.
internal import CLinux
internal import Glibc

/// The scheduling a thread asks for.
public enum Scheduling: Equatable, Sendable {
  case normal
  case nice(Int32)
  /// `SCHED_FIFO`; falls back to nice -10 where it is refused.
  case realtime(priority: Int32)
}

/// A thread handle; `join` consumes it, so that no thread can be joined twice.
public struct RoleThread: ~Copyable, Sendable {
  private let handle: pthread_t

  /// Starts the thread. `name` is cut to the kernel's 15 bytes.
  public init(
    name: String, scheduling: Scheduling = .normal, body: sending @escaping () -> Void
  ) throws(SystemError) {
    let start = unsafe Unmanaged.passRetained(Start(name: name, scheduling: scheduling, body: body))
    var handle = pthread_t()
    let code = unsafe pthread_create(&handle, nil, runStart, start.toOpaque())
    guard code == 0 else {
      unsafe start.release()
      throw SystemError(call: "pthread_create", code: code)
    }
    self.handle = handle
  }

  public consuming func join() { pthread_join(handle, nil) }
  /// Lets the thread run on by itself.
  public consuming func detach() { pthread_detach(handle) }
}

private final class Start {
  let name: String
  let scheduling: Scheduling
  let body: () -> Void
  init(name: String, scheduling: Scheduling, body: @escaping () -> Void) {
    self.name = name
    self.scheduling = scheduling
    self.body = body
  }
  func run() {
    _ = unsafe sw_set_thread_name(String(name.prefix(15)))
    apply(scheduling)
    body()
  }
  private func apply(_ scheduling: Scheduling) {
    switch scheduling {
    case .normal: break
    case .nice(let value):
      if sw_nice(sw_gettid(), value) != 0 {
        log(.warning, "priority refused", ["thread": name, "nice": "\(value)", "reason": errorText(errno)])
      }
    case .realtime(let priority):
      var parameters = sched_param()
      parameters.sched_priority = priority
      let code = unsafe pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters)
      if code != 0 {
        log(.info, "real-time priority refused", ["thread": name, "reason": errorText(code)])
        apply(.nice(-10))
      }
    }
  }
}

// Sound: the argument is the retained `Start` that `RoleThread.init` passed, taken exactly once.
private func runStart(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let argument = unsafe argument else { return nil }
  unsafe Unmanaged<Start>.fromOpaque(argument).takeRetainedValue().run()
  return nil
}
