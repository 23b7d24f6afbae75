// The one worker process: started, listened to, judged, killed, started again with backoff.
internal import Platform

struct WorkerSupervisor: ~Copyable {
  enum Input: Equatable {
    case request(GuardRequest, sent: BootInstant)
    case nothing
    /// The worker is about to end, or has closed it by mistake.
    case closed
    /// The channel brought bytes that no worker of ours sends.
    case broken
  }
  private let configurationPath: String
  /// What the worker's threads have in hand; nil when the kernel gave us no memory for it.
  private let evidence: CrashEvidence?
  private var child: Child?
  private var channel: SequencedChannel?
  private var judge: SilenceJudge
  private var backoff = RestartBackoff()
  private var started = BootInstant(nanoseconds: 0)
  /// When the next worker starts; nil while there is one.
  private var restart: BootInstant?
  /// When a worker that closed its channel is killed.
  private var killing: BootInstant?
  private static let leavingMilliseconds: Int64 = 200
  /// Readable when the process ended; -1 without one.
  private(set) var processDescriptor: Int32 = -1
  /// Readable when it says something; -1 when it is not listened to any more.
  private(set) var channelDescriptor: Int32 = -1

  init(configurationPath: String, now: BootInstant) {
    self.configurationPath = configurationPath
    do { evidence = try CrashEvidence() } catch {
      evidence = nil
      log(.warning, "crashes of the worker will leave no evidence", ["reason": "\(error)"])
    }
    judge = SilenceJudge(started: now)
    restart = now
  }

  var isThere: Bool { processDescriptor >= 0 }
  /// It has spoken within the limit.
  func isHealthy(now: BootInstant) -> Bool { channelDescriptor >= 0 && judge.hasSpoken && !judge.isSilent(now: now) }
  /// True when a worker that is still listened to has said nothing for too long.
  func isSilent(now: BootInstant) -> Bool { channelDescriptor >= 0 && judge.isSilent(now: now) }
  func isRestartDue(now: BootInstant) -> Bool { restart.map { now >= $0 } ?? false }
  var next: BootInstant? { channelDescriptor >= 0 ? judge.deadline : killing ?? restart }

  /// Starts the same program again, as a worker. An error is tried again later like a crash.
  mutating func start(now: BootInstant) {
    restart = nil
    started = now
    judge = SilenceJudge(started: now)
    do {
      let (ours, theirs) = try SequencedChannel.pair()
      let own = Descriptor(owning: ours)
      // Closed here once the worker has it: the channel has to end when the worker does.
      let given = Descriptor(owning: theirs)
      let kept = processEnvironment().filter { entry in
        ![
          "NOTIFY_SOCKET=", "WATCHDOG_USEC=", "WATCHDOG_PID=", "SWIFT_BACKTRACE=",
          // A password has its file (passfile), which the worker alone reads.
          "PGPASSWORD=",
        ].contains { entry.hasPrefix($0) }
      }
      // A crash report would hold a dead worker with its sockets, and so the lock, for seconds.
      let process = try Child(
        "/proc/self/exe", ["--worker", "--config", configurationPath],
        environment: kept + ["SWIFT_BACKTRACE=enable=no"],
        descriptors: [0, 1, 2, given.raw] + (evidence.map { [$0.descriptor.raw] } ?? []),
        name: processArguments().first)
      log(.info, "worker started", ["process": "\(process.pid)"])
      processDescriptor = process.descriptor
      channelDescriptor = own.raw
      child = consume process
      channel = SequencedChannel(owning: own)
    } catch {
      log(.error, "worker not started", ["reason": "\(error)"])
      restart = backoff.next(started: started, now: now)
    }
  }

  mutating func heard(now: BootInstant) { judge.heard(now: now) }
  mutating func overslept(now: BootInstant) { judge.overslept(now: now) }

  mutating func receive() -> Input {
    guard channelDescriptor >= 0, let input = channel?.receive() else { return .nothing }
    switch input {
    case .nothing: return .nothing
    case .closed: return .closed
    case .message(let bytes): return GuardRequest.decoded(bytes).map { .request($0.request, sent: $0.sent) } ?? .broken
    }
  }

  /// False when the worker does not read: it is as good as silent.
  mutating func send(_ reply: GuardReply) -> Bool {
    guard channelDescriptor >= 0 else { return true }
    return channel?.send(reply.encoded()) != .full
  }

  /// Asks it to step down and exit.
  mutating func askToStop() { child?.signal(SignalNumber.terminate) }

  /// It ends by itself: listens to it no more, but leaves it a moment, so that its exit status is its own.
  mutating func letGo(now: BootInstant) {
    channel = nil
    channelDescriptor = -1
    killing = now.adding(milliseconds: Self.leavingMilliseconds)
  }
  mutating func killIfItStays(now: BootInstant) {
    if let killing, now >= killing { kill() }
  }
  /// Ends it now, without waiting, and listens to it no more.
  mutating func kill() {
    child?.killGroup()
    channel = nil
    channelDescriptor = -1
    killing = nil
  }

  /// The exit status (128 + signal) once when it has ended; the next start is planned then.
  mutating func ended(now: BootInstant) -> Int32? {
    guard isThere, let status = child?.pollEnd() else { return nil }
    child = nil
    channel = nil
    processDescriptor = -1
    channelDescriptor = -1
    killing = nil
    restart = backoff.next(started: started, now: now)
    if let crashes = evidence?.harvest(), crashes > 0 {
      log(.error, "the worker crashed with something of a sender in hand; the next one writes it down")
    }
    return status
  }
}
