// A site's helper scripts: one at a time, in a group of its own that dies with the guard, killed at its deadline.
internal import Platform

/// What a helper runs for; `index` is the address.
enum HelperTask: Equatable {
  case claim(index: Int)
  case renew(index: Int)
  case release(index: Int)
}

enum HelperEnd: Equatable {
  case exited(Int32)
  case deadline
  case notStarted(Int32)

  /// Nil when the helper says that it succeeded: which is looked at, never believed.
  var failure: GuardFailure? {
    switch self {
    case .exited(0): nil
    case .exited(let status): GuardFailure(.helperFailed, detail: status)
    case .deadline: GuardFailure(.helperDeadline)
    case .notStarted(let code): GuardFailure(.helperMissing, detail: code)
    }
  }
}

struct HelperRunner: ~Copyable {
  private let cluster: String
  private let node: String
  private let helpers: NodeConfiguration.Helpers
  private let null: Descriptor
  private var child: Child?
  private var task: HelperTask?
  /// When the running helper is killed.
  private(set) var deadline: BootInstant?
  /// Killed, but not dead yet: it waits for a device. No other helper starts before it is gone.
  private var dying: Child?

  init(_ configuration: NodeConfiguration) throws(SystemError) {
    cluster = configuration.cluster
    node = configuration.node
    helpers = configuration.service.helpers
    null = try nullDevice()
  }

  /// Readable when a helper ended; -1 while there is none.
  private(set) var descriptor: Int32 = -1
  var isBusy: Bool { descriptor >= 0 }

  /// Starts a helper. Nil when it runs; otherwise how it ended before it began.
  mutating func start(_ new: HelperTask, _ entry: ServiceAddresses.Configured, seconds: UInt32) -> HelperEnd? {
    precondition(!isBusy, "helpers run one at a time")
    let (path, action) =
      switch new {
      case .claim: (helpers.claim, "claim")
      case .renew: (helpers.renew ?? helpers.claim, "renew")
      case .release: (helpers.release, "release")
      }
    let environment = [
      "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "SW_ACTION=\(action)", "SW_CLUSTER=\(cluster)",
      "SW_NODE=\(node)", "SW_ADDRESS=\(entry.address)", "SW_PREFIX=\(entry.address.fullPrefix)",
      "SW_FAMILY=\(entry.address.isIPv6 ? 6 : 4)", "SW_INTERFACE=\(entry.interface)", "SW_LIFETIME=\(seconds)",
      "SW_DEADLINE_MS=\(helpers.deadlineMilliseconds)",
    ]
    do {
      // Both of its outputs go where the guard's log goes. Spawned by the first thread, which lives as long as we do.
      let started = try Child(
        path, [], environment: environment, descriptors: [null.raw, 2, 2], parentDeathSignal: SignalNumber.kill)
      descriptor = started.descriptor
      child = consume started
    } catch {
      return .notStarted(error.code)
    }
    task = new
    deadline = .after(milliseconds: helpers.deadlineMilliseconds)
    return nil
  }

  /// The helper that ended since the last call, or was killed at its deadline just now.
  mutating func ended(now: BootInstant) -> (task: HelperTask, end: HelperEnd)? {
    if dying?.pollEnd() != nil {
      dying = nil
      descriptor = -1
    }
    guard let task, let deadline else { return nil }
    if let status = child?.pollEnd() {
      child = nil
      descriptor = -1
      forget()
      return (task, .exited(status))
    }
    guard now >= deadline else { return nil }
    stop()
    return (task, .deadline)
  }

  /// Kills the running helper with its group and reaps it: afterwards it can add no address any more.
  mutating func stop() {
    guard task != nil else { return }
    child?.killGroup()
    // A killed process is gone in less than a millisecond unless it waits for a device: then the removal must not
    // wait with it. Whatever it still does comes back as an address that nobody asked for, and is removed.
    if wait(descriptor, for: .read, until: .after(milliseconds: 20)).isEmpty {
      dying = child.take()
    } else {
      _ = child?.pollEnd()
      child = nil
      descriptor = -1
    }
    forget()
  }

  private mutating func forget() {
    task = nil
    deadline = nil
  }
}
