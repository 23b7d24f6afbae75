// The guard from its start to its loop: one guard a node, no address left over from an earlier one.
internal import Platform

/// Real-time priority of the guard's one thread, and the highest that its worker may ask for.
private let guardPriority: Int32 = 20
private let workerPriority: Int32 = 10

/// Runs the guard until it is told to stop (SIGTERM, SIGINT): starts and watches the worker and owns the service
/// addresses. Returns the process's exit status: 0 stopped, 78 (`EX_CONFIG`) for what only a person can mend, 1 for
/// anything else. Called by the first thread, before there are others.
public func runGuard(configuration: NodeConfiguration, configurationPath: String) -> Int32 {
  openStandardDescriptors()
  forbidCores()
  ignoreBrokenPipe()
  nameThisThread("standwatchd")
  configureLog(
    threshold: configuration.logLevel,
    identity: "cluster=\(configuration.cluster) node=\(configuration.node) role=guard")
  do {
    // Blocked before anything else is done: a stop that comes early waits for the loop.
    let signals = try SignalDescriptor([SignalNumber.terminate, SignalNumber.interrupt, SignalNumber.hangUp])
    try prepareRuntimeFolder(configuration)
    let lockPath = "\(configuration.runtimeFolder)/\(configuration.cluster)-\(configuration.node).lock"
    guard let lock = try lockFile(lockPath) else {
      throw GuardRefusal(reason: "Another guard of this cluster and node runs (it holds \(lockPath)): stop it first.")
    }
    var loop = try start(configuration, configurationPath, signals)
    let code = loop.run()
    log(.info, "stopped", ["status": "\(code)"])
    _ = lock.raw
    return code
  } catch let refusal as GuardRefusal {
    log(.error, refusal.reason)
    return workerRefuses
  } catch {
    log(.error, "the guard cannot start", ["reason": "\(error)"])
    return 1
  }
}

private struct GuardRefusal: Error { var reason: String }

private func prepareRuntimeFolder(_ configuration: NodeConfiguration) throws {
  var owner: UserIdentity?
  if let name = configuration.user {
    owner = try findUser(name)
    guard owner != nil else {
      throw GuardRefusal(reason: "user: there is no user \"\(name)\": create it, or name another.")
    }
  }
  // Sticky: the worker makes its socket here, and cannot touch the guard's lock.
  try makeFolder(configuration.runtimeFolder, user: 0, group: owner?.group ?? 0, mode: owner == nil ? 0o755 : 0o1775)
}

private func start(
  _ configuration: NodeConfiguration, _ configurationPath: String, _ signals: consuming SignalDescriptor
) throws -> GuardLoop {
  var addresses = try ServiceAddresses(configuration.service)
  // Listens before it sweeps: nothing that comes in between is missed.
  let monitor = try LinkMonitor()
  try sweep(&addresses)
  askForPriority()
  let lan = LanSide(addresses.configured)
  let now = BootInstant.now()
  // Three pings in the supervisor's interval: one lost to a busy moment is no alarm.
  let interval = watchdogMilliseconds().map { max(100, $0 / 3) }
  return GuardLoop(
    configuration: configuration, addresses: consume addresses, lan: lan,
    helper: try HelperRunner(configuration),
    worker: WorkerSupervisor(configurationPath: configurationPath, now: now), monitor: monitor, signals: signals,
    nextPing: interval == nil ? nil : now, pingMilliseconds: interval)
}

/// Refused without CAP_SYS_RESOURCE where the unit does not grant it: said, and lived with.
private func askForPriority() {
  let mend = "LimitRTPRIO=\(guardPriority) and LimitNICE=-10 in the unit"
  do {
    try allowRealtime(priority: workerPriority)
  } catch {
    log(.info, "the worker may not ask for real-time priority", ["reason": "\(error)", "mend": mend])
  }
  do {
    try preferThisThread(priority: guardPriority)
  } catch {
    log(.warning, "the guard runs at normal priority", ["reason": "\(error)", "mend": mend])
  }
}

/// A crash of guard and worker leaves an address behind until the kernel removes it: that one goes now. One without a
/// lifetime was put there by somebody else, who has to take it away.
private func sweep(_ addresses: inout ServiceAddresses) throws {
  let found = try addresses.found()
  let links = try addresses.links()
  for entry in found where entry.validSeconds == nil {
    let interface = links.first { $0.index == entry.interface }?.name ?? "?"
    throw GuardRefusal(
      reason: "The service address \(entry.address) is configured statically: remove it "
        + "(ip addr del \(entry.address)/\(entry.prefix) dev \(interface)) wherever it is set at boot.")
  }
  if let failure = addresses.remove(held: false) {
    throw GuardRefusal(reason: "A service address left over from before cannot be removed: \(failure).")
  }
  for entry in found {
    log(.warning, "swept a service address left over from before", ["address": "\(entry.address)"])
  }
}
