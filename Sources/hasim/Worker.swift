// One run of a node's worker: an unmodified core, its executors, and what freezes or ends them.

import Election

final class Worker {
  let host: Host
  let me: NodeIncarnation
  let world: World
  private(set) var core: LeadershipCore
  private(set) var dead = false
  private var stopped = false
  private var machinePaused = false
  /// What the threads would have done while frozen, in order.
  private var frozenWork: [(Worker) -> Void] = []
  private(set) var silentSince: Moment?
  private(set) var thawedAt: Moment = 0
  /// The control thread gets no processor; the other threads run on.
  private(set) var controlStalled = false
  private var stalledEvents: [Event] = []
  /// Who tells the worker something of its own accord, each in an order of its own.
  enum Teller: Int, CaseIterable { case machineThread, guardProcess }
  /// What each has told and the core has not heard.
  private var reports = Array(repeating: [Event](), count: Teller.allCases.count)
  private var tick: Alarm?
  private var gate: BeatGate
  /// What the core shows after its last event.
  private(set) var state = NodeState.starting
  private(set) var holdsAddress = false
  private(set) var term: TimelineTerm?
  /// The last beat that went through its coding.
  private var coded: PeerBeat?
  /// Boot clock at the sending of the last answered beat that the core was told of.
  private(set) var provenBoot: Int64?
  private(set) var lease: SQLThread
  private(set) var watch: SQLThread
  private(set) var ingest: Ingest

  init(host: Host, incarnation: Int64) {
    self.host = host
    world = host.world
    me = NodeIncarnation(node: host.name, incarnation: incarnation)
    let shared = host.cluster
    let peers = shared.hosts.map(\.name)
    core = LeadershipCore(
      settings: shared.settings, cluster: shared.name, node: host.name, incarnation: incarnation, peers: peers,
      at: host.clock)
    gate = BeatGate(cluster: shared.name, me: host.name, peers: peers, links: 1)
    lease = SQLThread(host: host, me: me, role: .lease)
    watch = SQLThread(host: host, me: me, role: .watch)
    ingest = Ingest(host: host, me: me)
    tick = Alarm(world: world) { [self] in if !frozen { deliver(.ticked) } }
  }

  func start() {
    world.trace(host.name.text, "worker \(me.incarnation) starts")
    lease.worker = self
    watch.worker = self
    ingest.worker = self
    if let fault = host.localFault { deliver(.faultBegan(fault)) } else { deliver(.ticked) }
  }

  var frozen: Bool { stopped || machinePaused }
  /// Whether its threads do now what is theirs to do.
  var runs: Bool { !dead && !stopped && !machinePaused }

  // MARK: Running, stopped, paused, dead

  /// A thread of this process does something now; later when it is frozen, never when it is dead.
  func perform(_ work: @escaping (Worker) -> Void) {
    if dead { return }
    if frozen {
      if frozenWork.count < 20_000 { frozenWork.append(work) }
    } else {
      work(self)
    }
  }

  func after(_ delay: Moment, _ work: @escaping (Worker) -> Void) {
    world.after(delay) { [self] in perform(work) }
  }

  /// One of them says what it noticed. Among the others it is early or late, but what it said last is heard last: a
  /// fault that was over before a frozen worker ran again is over for the core, too.
  func report(_ event: Event, by teller: Teller = .machineThread) {
    reports[teller.rawValue].append(event)
    perform { worker in
      let told = worker.reports[teller.rawValue]
      worker.reports[teller.rawValue] = []
      for event in told { worker.deliver(event) }
    }
  }

  func stop() {
    stopped = true
    fallSilent()
  }
  func freeze() {
    machinePaused = true
    fallSilent()
  }
  private func fallSilent() {
    if silentSince == nil { silentSince = world.now }
    host.guardProcess?.watchSilence()
  }
  func resume() {
    stopped = false
    run()
  }
  func thaw() {
    machinePaused = false
    run()
  }

  private func run() {
    guard !frozen, !dead else { return }
    if !controlStalled { silentSince = nil }
    thawedAt = world.now
    let work = frozenWork
    frozenWork = []
    // The threads race for the processor: what they do keeps its order only roughly.
    for item in work { after(world.random.microseconds(0...300), item) }
    schedule()
  }

  func stallControl(_ stalled: Bool) {
    guard controlStalled != stalled else { return }
    world.trace(host.name.text, stalled ? "control thread stalls" : "control thread runs")
    controlStalled = stalled
    if stalled {
      fallSilent()
    } else {
      let events = stalledEvents
      stalledEvents = []
      if !frozen { silentSince = nil }
      thawedAt = world.now
      perform { worker in for event in events { worker.deliver(event) } }
    }
  }

  func die(sayGoodbye: Bool) {
    dead = true
    lease.drop(sayGoodbye: sayGoodbye)
    watch.drop(sayGoodbye: sayGoodbye)
    ingest.die(sayGoodbye: sayGoodbye)
    forget()
  }

  /// Lets go of what refers back to it.
  func forget() {
    lease.forget()
    watch.forget()
    ingest.forget()
    tick?.clear()
    tick = nil
    frozenWork = []
  }

  // MARK: The core

  func deliver(_ event: Event) {
    guard !dead else { return }
    if controlStalled {
      if stalledEvents.count < 20_000 { stalledEvents.append(event) }
      return
    }
    if case .leaseAnswered(let id, .beatAnswered) = event, let sent = lease.sentBoot(of: id) { provenBoot = sent }
    if state == .active { host.cluster.checks.lease(of: self) }
    let effects = core.handle(event, at: host.clock)
    (state, holdsAddress, term) = (core.published, core.address == .held, core.ledTerm)
    for effect in effects {
      if dead { return }
      carryOut(effect)
    }
    schedule()
  }

  private func schedule() {
    tick?.set(after: host.wait(until: core.deadlineAsked) + 20_000 + Int64(world.random.next() & 0x3_FFFF))
  }

  private func carryOut(_ effect: Effect) {
    host.cluster.atStep(effect, host)
    switch effect {
    case .lease(let id, let command, let deadline):
      world.trace(host.name.text, "-> lease \(id.number) \(command)")
      lease.ask(id, .lease(command), deadline: deadline)
    case .watch(let id, let command, let deadline):
      if command != .read { world.trace(host.name.text, "-> watch \(id.number) \(command)") }
      watch.ask(id, .watch(command), deadline: deadline)
    case .address(let id, let command, let deadline):
      world.trace(host.name.text, "-> address \(id.number) \(command)")
      after(world.random.microseconds(20...100)) {
        $0.host.guardProcess?.request(id, command, deadline: deadline, from: $0)
      }
    case .ingest(let id, let command, let deadline):
      world.trace(host.name.text, "-> ingest \(id.number) \(command)")
      ingest.carryOut(id, command, deadline: deadline)
    case .sendBeat(let beat): send(beat)
    case .reply(_, let reply): world.trace(host.name.text, "reply \(reply)")
    case .record(let transition):
      world.trace(host.name.text, "\(transition.from) -> \(transition.to): \(transition.reason)")
      host.cluster.checks.changed(self, to: transition.to)
    case .warn(let warning): world.trace(host.name.text, "warning \(warning)")
    case .exitWorker(let reason): host.killWorker("exits: \(reason)")
    }
  }

  private func send(_ beat: PeerBeat) {
    checkCoding(beat)
    let network = host.cluster.network
    for other in host.cluster.hosts where other !== host {
      var stamped = beat
      stamped.stamp = gate.stamp(to: other.name, link: 0, at: host.clock)
      for _ in 0..<network.copies(from: host.index, to: other.index) {
        world.after(network.datagramDelay(), Datagram(beat: stamped, from: host.index, to: other))
      }
    }
  }

  /// Every beat that says something new, and now and then one that does not, has to survive its coding.
  private func checkCoding(_ beat: PeerBeat) {
    if var same = coded, beat.counter % 64 != 0 {
      same.counter = beat.counter
      if same == beat { return }
    }
    coded = beat
    var stamped = beat
    let echo = BeatEcho(sent: host.clock, held: .milliseconds(Int64(beat.counter % 200)))
    stamped.stamp = BeatStamp(link: 1, sent: host.clock, echo: beat.counter % 2 == 0 ? echo : nil)
    let decoded: PeerBeat
    do { decoded = try PeerBeat(decoding: stamped.encoded()) } catch {
      return world.fail("a beat does not survive its own coding: \(error)")
    }
    if decoded != stamped { world.fail("a beat is not what its coding says: \(stamped)") }
  }

  fileprivate func receive(_ beat: PeerBeat) {
    if case .admitted(let roundTrip) = gate.admit(beat, at: host.clock) {
      deliver(.peerBeat(beat, roundTrip: roundTrip))
    }
  }
}

/// A beat between two hosts.
private final class Datagram: Step {
  private let beat: PeerBeat
  private let from: Int
  private let to: Host

  init(beat: PeerBeat, from: Int, to: Host) {
    self.beat = beat
    self.from = from
    self.to = to
  }
  override func happen() {
    guard to.powered, let worker = to.worker, !to.cluster.network.peerCut[from][to.index] else { return }
    if worker.runs {
      worker.receive(beat)
    } else {
      let beat = beat
      worker.perform { $0.receive(beat) }
    }
  }
}
