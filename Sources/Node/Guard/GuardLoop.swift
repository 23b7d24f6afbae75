// The guard's one loop: it waits in one place and does what is due, the removal of the addresses first.
internal import Platform

struct GuardLoop: ~Copyable {
  /// A claim on its way: the address whose helper runs, or waits to run.
  struct Claim {
    var operation: UInt64
    var seconds: UInt32
    var index = 0
  }
  /// A renewal by a site's script on its way.
  struct Renewal {
    var operation: UInt64
    var seconds: UInt32
    var index = 0
  }
  enum Holding {
    case absent
    case claiming(Claim)
    case held
  }
  static let messagesAtOnce = 64
  static let stopMilliseconds: Int64 = 5_000

  let configuration: NodeConfiguration
  var addresses: ServiceAddresses
  var lan: LanSide
  var helper: HelperRunner
  var worker: WorkerSupervisor
  var monitor: LinkMonitor
  let signals: SignalDescriptor

  var holding = Holding.absent
  /// Waits for the release scripts that run before it.
  var waitingClaim: Claim?
  var renewal: Renewal?
  /// Addresses whose release script has still to run, in order.
  var pendingReleases: [Int] = []
  /// A removal that failed is tried again. `held`: the addresses were ours.
  var unfinishedRemoval: (held: Bool, next: BootInstant)?
  var carriers: [Bool] = []
  var lost: Set<Int> = []
  var toldCarriers = false
  var workerWords = "starting"
  var status = ""
  var stopDeadline: BootInstant?
  /// The guard's exit status once it is to end.
  var ending: Int32?
  var nextPing: BootInstant?
  let pingMilliseconds: Int64?

  mutating func run() -> Int32 {
    pollLinks()
    while true {
      let planned = nextDeadline()
      let descriptors =
        [worker.processDescriptor, worker.channelDescriptor, helper.descriptor, monitor.descriptor, signals.descriptor]
        + lan.descriptors
      _ = wait(descriptors, for: .read, until: planned)
      let now = BootInstant.now()
      if now.nanoseconds - planned.nanoseconds > SilenceJudge.oversleptMilliseconds * 1_000_000 {
        worker.overslept(now: now)
      }
      superviseWorker(now)
      if let end = helper.ended(now: now) { helperEnded(end.task, end.end) }
      let events = monitor.events()
      if !events.isEmpty { linksChanged(events) }
      if let removal = unfinishedRemoval, now >= removal.next { removeAgain(held: removal.held) }
      onLAN(now)
      takeSignals(now)
      startWhatWaits(now)
      report(now)
      if let code = ending, isFinished(now) { return code }
    }
  }

  private func nextDeadline() -> BootInstant {
    // A deadline that has passed and changes nothing any more would make the loop spin.
    let workerNext = ending == nil || worker.isThere ? worker.next : nil
    let stop = worker.channelDescriptor >= 0 || !worker.isThere ? stopDeadline : nil
    let candidates = [workerNext, helper.deadline, lan.next, unfinishedRemoval?.next, stop, nextPing]
    return candidates.compactMap { $0 }.min() ?? .after(milliseconds: 1_000)
  }
  private func isFinished(_ now: BootInstant) -> Bool {
    if worker.isThere { return false }
    if let deadline = stopDeadline, now >= deadline { return true }
    return !helper.isBusy && pendingReleases.isEmpty && unfinishedRemoval == nil
  }

  // MARK: The worker

  private mutating func superviseWorker(_ now: BootInstant) {
    if let status = worker.ended(now: now) {
      workerGone("exited with status \(status)")
      workerWords = "restarting"
      if status == workerRefuses, ending == nil {
        // Only a person can mend it; a restart would say the same again.
        ending = status
        stopDeadline = now.adding(milliseconds: Self.stopMilliseconds)
      }
      return
    }
    worker.killIfItStays(now: now)
    for _ in 0..<Self.messagesAtOnce {
      switch worker.receive() {
      case .nothing:
        if worker.isSilent(now: now) { abandonWorker("silent") }
        return
      case .closed:
        worker.letGo(now: now)
        workerGone("closed its channel")
        return
      case .broken:
        abandonWorker("sent what no worker sends")
        return
      case .request(let request, let sent):
        worker.heard(now: now)
        obey(request, sent: sent, now: now)
      }
    }
  }

  private mutating func obey(_ request: GuardRequest, sent: BootInstant, now: BootInstant) {
    if !toldCarriers { tellCarriers() }
    // A request that lay unread while one of the two was stopped says nothing about now.
    let isStale = Self.isStale(sent, now)
    switch request {
    case .alive: break
    case .ready:
      notifySupervisor("READY=1")
      log(.info, "worker ready")
    case .state(let state, let epoch):
      workerWords = epoch > 0 ? "\(state), epoch \(epoch)" : "\(state)"
    case .probe(let operation):
      if let old = lan.startProbe(operation, now: now) { probeEnded(old) }
    case .claim(let operation, let lifetime):
      claim(operation, lifetimeMilliseconds: lifetime, isStale: isStale)
    case .renew(let operation, let lifetime):
      renew(operation, lifetimeMilliseconds: lifetime, isStale: isStale)
    case .release(let operation): release(operation)
    case .status(let operation): tellStatus(operation)
    }
  }

  /// `sent` may be any number that a broken worker wrote.
  static func isStale(_ sent: BootInstant, _ now: BootInstant) -> Bool {
    let (age, overflow) = now.nanoseconds.subtractingReportingOverflow(sent.nanoseconds)
    return overflow || age > 250_000_000 || age < -1_000_000
  }

  /// The worker does not deserve to live: its connections end with it, then its addresses.
  mutating func abandonWorker(_ reason: String) {
    worker.kill()
    workerGone(reason)
  }

  private mutating func workerGone(_ reason: String) {
    let held = dropAddresses()
    toldCarriers = false
    var fields: KeyValuePairs = ["reason": reason]
    if held { fields = ["reason": reason, "address": unfinishedRemoval == nil ? "removed" : "still there"] }
    log(ending == nil ? .error : .info, "worker gone", fields)
  }

  mutating func tell(_ reply: GuardReply) {
    if !worker.send(reply) { abandonWorker("does not read its channel") }
  }

  // MARK: The LAN, signals, the supervisor

  private mutating func onLAN(_ now: BootInstant) {
    var held = false
    if case .held = holding { held = true }
    let (end, duplicates) = lan.listen(held: held, now: now)
    if let end { probeEnded(end) }
    for duplicate in duplicates {
      log(
        .error, "another host claims a held address",
        [
          "address": "\(addresses.configured[Int(duplicate.index)].address)", "hardware": "\(duplicate.hardware)",
        ])
      tell(.duplicateSeen(index: duplicate.index, hardware: duplicate.hardware))
    }
    if let end = lan.tick(now: now) { probeEnded(end) }
  }
  private mutating func probeEnded(_ end: LanSide.ProbeEnd) {
    switch end {
    case .silent(let operation): tell(.probeSilent(operation: operation))
    case .answered(let operation, let index, let hardware):
      tell(.probeAnswered(operation: operation, index: index, hardware: hardware))
    case .failed(let operation, let failure): tell(.probeFailed(operation: operation, failure: failure))
    }
  }

  private mutating func takeSignals(_ now: BootInstant) {
    while let signal = signals.next() {
      switch signal {
      case SignalNumber.terminate, SignalNumber.interrupt:
        if let deadline = stopDeadline {
          // Asked again by somebody impatient: at once. Within a second it is the same wish, sent to a group as well.
          if now >= deadline.adding(milliseconds: 1_000 - Self.stopMilliseconds) { worker.kill() }
          continue
        }
        log(.info, "stopping", ["signal": "\(signal)"])
        notifySupervisor("STOPPING=1")
        ending = 0
        stopDeadline = now.adding(milliseconds: Self.stopMilliseconds)
        worker.askToStop()
      case _: log(.info, "signal ignored", ["signal": "\(signal)"])
      }
    }
    if let deadline = stopDeadline, now >= deadline, worker.isThere { abandonWorker("did not stop in time") }
  }

  private mutating func startWhatWaits(_ now: BootInstant) {
    if !helper.isBusy {
      if let index = pendingReleases.first {
        pendingReleases.removeFirst()
        if let end = helper.start(.release(index: index), addresses.configured[index], seconds: 0) {
          helperEnded(.release(index: index), end)
        }
      } else if let claim = waitingClaim {
        waitingClaim = nil
        begin(claim)
      }
    }
    if ending == nil, worker.isRestartDue(now: now) { worker.start(now: now) }
  }

  private mutating func report(_ now: BootInstant) {
    if let ping = nextPing, let interval = pingMilliseconds, now >= ping {
      nextPing = now.adding(milliseconds: interval)
      if worker.isHealthy(now: now) { notifySupervisor("WATCHDOG=1") }
    }
    let words: String
    switch holding {
    case .absent: words = "no service address"
    case .claiming: words = "claiming"
    case .held: words = "holding " + addresses.configured.map { "\($0.address)" }.joined(separator: " ")
    }
    let text = "\(workerWords); \(words)"
    if text != status {
      status = text
      notifySupervisor("STATUS=\(text)")
    }
  }
}
