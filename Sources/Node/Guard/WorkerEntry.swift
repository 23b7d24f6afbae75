// The worker's first steps: its channel to the guard, its parent, its privileges.
internal import Platform

/// Why a worker does not run: one sentence with the mend. The process exits with `workerRefuses`.
public struct WorkerEntryError: Error, Equatable, Sendable, CustomStringConvertible {
  public var description: String
}

/// The exit status (`EX_CONFIG`) of a worker that cannot run before somebody mends something: the guard does not
/// restart it but ends with the same status. Any other exit is a crash, and the guard starts the next worker.
public let workerRefuses: Int32 = 78

/// Where the guard leaves its end of the channel.
private let inheritedChannel: Int32 = 3

/// The first thing that `standwatchd --worker` does, before it starts a thread: takes the channel, becomes the
/// configured user for good, and asks the kernel for SIGTERM when the guard dies.
public func enterWorker(configuration: NodeConfiguration) throws(WorkerEntryError) -> GuardClient {
  let byGuard = "The worker is started by its guard alone: run `standwatchd --config FILE`."
  let channel: SequencedChannel
  do {
    channel = try SequencedChannel(inherited: inheritedChannel)
  } catch {
    throw WorkerEntryError(description: byGuard)
  }
  let parent = parentProcess()
  guard peerCredentials(channel.descriptor)?.process == parent else { throw WorkerEntryError(description: byGuard) }
  nameThisThread("standwatchd")
  do {
    try raiseFileLimit()
    if let name = configuration.user {
      guard isRoot() else {
        throw WorkerEntryError(description: "user: \"\(name)\" can only be taken on by root: start the guard as root.")
      }
      guard let identity = try findUser(name) else {
        throw WorkerEntryError(description: "user: there is no user \"\(name)\": create it, or name another.")
      }
      try becomeUser(identity, keepLowPorts: configuration.needsLowPort)
    } else if isRoot() {
      log(.warning, "the worker runs as root", ["mend": "name an unprivileged user in the configuration"])
    }
    try forbidNewPrivileges()
    try forbidCoreDumps()
  } catch let refusal as WorkerEntryError {
    throw refusal
  } catch {
    throw WorkerEntryError(description: "The worker cannot give up its privileges: \(error)")
  }
  // After the change of user: that clears the signal. Before the check: the guard may die in between.
  guard dieWithParent(signal: SignalNumber.terminate, parent: parent) else {
    throw WorkerEntryError(description: "The guard died while the worker started.")
  }
  return GuardClient(channel)
}

/// Where the guard leaves the memory in which the worker says what it has in hand. From here on a crash is told there.
/// Nil without it: the node works, and quarantines nothing.
func inheritedEvidence() -> CrashEvidence? {
  do {
    let evidence = try CrashEvidence(inherited: 4)
    try evidence.watch()
    return evidence
  } catch {
    log(.warning, "crashes will leave no evidence", ["reason": "\(error)"])
    return nil
  }
}

extension NodeConfiguration {
  /// Whether the worker has to bind a port that the kernel keeps for root.
  var needsLowPort: Bool {
    let deliveries = DeliveryWire.allCases.flatMap { $0.addresses(listen) }
    let all =
      listen.native + listen.syslogTCP + listen.syslogTLS + listen.syslogUDP + listen.http + peers.listen
      + deliveries
    return all.contains { $0.port < 1024 }
  }
}
