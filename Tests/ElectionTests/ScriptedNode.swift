// A core with a scripted world around it: executors that answer as the script says, in virtual time.

import Election

/// One node of a scenario. Times are milliseconds since the start; the boot clock starts at zero.
struct ScriptedNode {
  struct Peer {
    var beat: PeerBeat
    var speaks: Bool
  }
  /// What becomes of the commands of one kind: the happy answer unless the script says otherwise.
  struct Script {
    var word = "ok"
    var delay: Int64 = 1
  }

  private(set) var core: LeadershipCore
  private let name: ShortName
  private let cluster: ShortName
  private(set) var now: Int64 = 0
  /// How often time alone woke the node.
  private(set) var ticks = 0
  private var due: [(at: Int64, order: Int, event: Event)] = []
  private var order = 0
  private var lines: [String] = []
  private var scripts: [String: Script] = [:]
  private var commands: UInt64 = 0
  private var session: OperationID?
  /// The wait for the lock that PostgreSQL has not answered yet, and when it must.
  private var waiting: (id: OperationID, until: Int64)?
  private var hidden: Set<String> = ["read", "beat", "renew"]

  // The database and the peers, as the script sets them.
  var reading = WatchReading(
    cluster: ClusterReading(term: Term(epoch: 4, token: 40), timeline: 1), leader: nil, holder: nil, rows: [])
  var counterMoves = true
  private var counters: Int64 = 0
  private var peers: [Peer] = []

  init(node: ShortName, peers names: [ShortName], settings: Settings) throws {
    guard let cluster = ShortName("c") else { throw ScenarioFault.badName("c") }
    self.cluster = cluster
    name = node
    core = LeadershipCore(
      settings: settings, cluster: cluster, node: node, incarnation: 7, peers: names, at: Instant(nanoseconds: 0))
    peers = names.map { peer in
      let from = NodeIncarnation(node: peer, incarnation: 3)
      let beat = PeerBeat(
        cluster: cluster, from: from, counter: 0, term: nil, state: .standby, databaseReachable: true,
        addressHeld: false, resigned: false)
      return Peer(beat: beat, speaks: true)
    }
  }

  mutating func takeLines() -> [String] {
    defer { lines = [] }
    return lines
  }

  mutating func show(_ kind: String) { hidden.remove(kind) }
  mutating func script(_ kind: String, _ script: Script) { scripts[kind] = script }
  mutating func changePeer(_ node: ShortName, _ change: (inout Peer) -> Void) {
    for index in peers.indices where peers[index].beat.from.node == node { change(&peers[index]) }
  }

  // MARK: Time

  /// Runs for so long, answering and ticking; peers beat every 100 ms.
  mutating func run(_ length: Int64) {
    let end = now + length * 1_000_000
    while true {
      serveWait()
      let beatAt = (now / 100_000_000 + 1) * 100_000_000
      let event = due.min { ($0.at, $0.order) < ($1.at, $1.order) }
      let tick = max(core.nextDeadline.nanoseconds, now + 1)
      let next = min(beatAt, event?.at ?? .max, tick, waiting?.until ?? .max)
      guard next <= end else { break }
      now = next
      if let event, event.at == next {
        due.removeAll { $0.order == event.order }
        deliver(event.event)
      } else if beatAt == next {
        peersBeat()
      } else {
        ticks += 1
        deliver(.ticked)
      }
    }
    now = end
  }

  /// The lock goes to who waits as soon as nobody holds it.
  private mutating func serveWait() {
    guard let wait = waiting else { return }
    if reading.holder == nil, scripts["wait"]?.word != "held" {
      waiting = nil
      reading.holder = LockHolder(node: core.me, backend: 100 + Int32(truncatingIfNeeded: wait.id.number))
      schedule(.leaseAnswered(wait.id, .granted), after: 2)
    } else if now >= wait.until {
      waiting = nil
      schedule(.leaseAnswered(wait.id, .notGranted), after: 1)
    }
  }

  /// Time passes and nothing runs; what was due meanwhile comes right after.
  mutating func sleep(_ length: Int64) {
    now += length * 1_000_000
    deliver(.ticked)
  }

  private mutating func peersBeat() {
    for index in peers.indices where peers[index].speaks {
      peers[index].beat.counter += 1
      deliver(.peerBeat(peers[index].beat, roundTrip: nil))
    }
  }

  /// One beat of that peer at once, besides its regular ones.
  mutating func speak(_ node: ShortName) {
    for index in peers.indices where peers[index].beat.from.node == node {
      peers[index].beat.counter += 1
      deliver(.peerBeat(peers[index].beat, roundTrip: nil))
    }
  }

  mutating func command(_ command: Command) {
    commands += 1
    deliver(.commanded(CommandID(number: commands), command))
  }

  mutating func loseSession() {
    if let session { deliver(.leaseSessionLost(session: session, reason: "terminated")) }
  }

  mutating func deliver(_ event: Event) {
    for effect in core.handle(event, at: Instant(nanoseconds: now)) { take(effect) }
  }

  private mutating func note(_ line: String) { lines.append("\(now / 1_000_000) \(line)") }

  private mutating func schedule(_ event: Event, after milliseconds: Int64) {
    order += 1
    due.append((now + milliseconds * 1_000_000, order, event))
  }

  // MARK: Effects

  private mutating func take(_ effect: Effect) {
    switch effect {
    case .lease(let id, let command, _): lease(id, command)
    case .watch(let id, let command, _): watch(id, command)
    case .address(let id, let command, _): address(id, command)
    case .ingest(let id, let command, _): ingest(id, command)
    case .sendBeat: break
    case .reply(_, let reply): note("reply \(text(reply))")
    case .record(let transition): note("state \(transition.from) -> \(transition.to): \(transition.reason)")
    case .warn(let warning): note("warning \(text(warning))")
    case .exitWorker(let reason): note("exit \(reason)")
    }
  }

  private mutating func answer(_ kind: String, _ label: String, happy: Int64 = 1) -> Script? {
    if !hidden.contains(kind) { note(label) }
    var script = scripts[kind] ?? Script(delay: happy)
    // "name:word" is said once, then the happy answer again.
    if script.word.hasPrefix("once-") {
      script.word = String(script.word.dropFirst(5))
      scripts[kind] = nil
    }
    return script.word == "never" ? nil : script
  }

  private mutating func lease(_ id: OperationID, _ command: LeaseCommand) {
    let kind: String
    var label: String
    switch command {
    case .connect: (kind, label) = ("connect", "lease connect")
    case .waitLeader: (kind, label) = ("wait", "lease waitLeader")
    case .beat: (kind, label) = ("beat", "lease beat")
    case .endOldSessions: (kind, label) = ("end", "lease endOldSessions")
    case .bump(let expecting, _): (kind, label) = ("bump", "lease bump expecting \(expecting.epoch)")
    case .markCleanRelease(let term, let successor):
      (kind, label) = ("mark", "lease markCleanRelease \(term.epoch) to \(successor?.text ?? "anybody")")
    case .unlock: (kind, label) = ("unlock", "lease unlock")
    case .close: (kind, label) = ("close", "lease close")
    }
    if command == .close || command == .unlock || scripts[kind]?.word == "once-unknown", reading.holder?.node == core.me
    {
      reading.holder = nil
    }
    if command == .close { waiting = nil }
    guard let script = answer(kind, label) else { return }
    if script.word == "fail" || script.word == "lost" {
      return schedule(.leaseAnswered(id, .failed("scripted", sessionLost: script.word == "lost")), after: script.delay)
    }
    if case .waitLeader = command { return waiting = (id, now + 2_000_000_000) }
    schedule(.leaseAnswered(id, leaseResult(id, command, script)), after: script.delay)
  }

  private mutating func leaseResult(_ id: OperationID, _ command: LeaseCommand, _ script: Script) -> LeaseResult {
    switch command {
    case .connect:
      session = id
      return .connected
    case .waitLeader: return .notGranted
    case .beat:
      let held = script.word != "unlocked"
      let read = BeatReading(cluster: reading.cluster, lockHeld: held, inRecovery: script.word == "recovery")
      return .beatAnswered(sent: Instant(nanoseconds: now), read)
    case .endOldSessions: return .oldSessionsEnded(remaining: script.word == "remaining" ? 2 : 0)
    case .bump:
      if script.word == "unknown" { return .outcomeUnknown("scripted") }
      if let refusal = BumpRefusal(rawValue: script.word) { return .bumpRefused(refusal) }
      let epoch = reading.cluster.term.epoch + 1
      reading.cluster.term = Term(epoch: epoch, token: epoch * 10)
      reading.cluster.cleanRelease = nil
      reading.leader = core.me
      return .bumped(TimelineTerm(timeline: reading.cluster.timeline, term: reading.cluster.term))
    case .markCleanRelease: return .marked
    case .unlock: return .unlocked
    case .close: return .closed
    }
  }

  private mutating func watch(_ id: OperationID, _ command: WatchCommand) {
    switch command {
    case .read:
      guard let script = answer("read", "watch read") else { return }
      if script.word == "fail" { return schedule(.watchAnswered(id, .failed("scripted")), after: script.delay) }
      if counterMoves { counters += 1 }
      var read = reading
      read.rows = peers.map { BeatRow(node: $0.beat.from, counter: counters, state: $0.beat.state) }
      schedule(.watchAnswered(id, .read(read)), after: script.delay)
    case .fence(let term, let node, _):
      guard let script = answer("fence", "watch fence \(node.node)/\(node.incarnation) epoch \(term.epoch)") else {
        return
      }
      if script.word == "fail" { return schedule(.watchAnswered(id, .failed("scripted")), after: script.delay) }
      if script.word == "mismatch" { return schedule(.watchAnswered(id, .mismatch), after: script.delay) }
      reading.holder = nil
      schedule(.watchAnswered(id, .fenced), after: script.delay)
    }
  }

  private mutating func address(_ id: OperationID, _ command: AddressCommand) {
    let (kind, result, happy): (String, AddressResult, Int64) =
      switch command {
      case .probe: ("probe", .silent, 80)
      case .claim: ("claim", .claimed, 5)
      case .renew: ("renew", .renewed, 1)
      case .release: ("release", .released, 1)
      }
    guard let script = answer(kind, "address \(kind)", happy: happy) else { return }
    let scripted: AddressResult =
      switch script.word {
      case "fail": .failed("scripted")
      case "answered": .answered("b")
      case "present": .stillPresent
      default: result
      }
    schedule(.addressAnswered(id, scripted), after: script.delay)
  }

  private mutating func ingest(_ id: OperationID, _ command: IngestCommand) {
    let (kind, label, result): (String, String, IngestResult) =
      switch command {
      case .open(let term): ("open", "ingest open epoch \(term.term.epoch)", .opened)
      case .drain: ("drain", "ingest drain", .drained)
      case .abort: ("abort", "ingest abort", .aborted)
      }
    guard let script = answer(kind, label) else { return }
    let scripted: IngestResult =
      switch script.word {
      case "fail": .failed("scripted")
      case "late": .drainTimedOut
      default: result
      }
    schedule(.ingestAnswered(id, scripted), after: script.delay)
  }

  // MARK: Words

  private func text(_ reply: CommandReply) -> String {
    switch reply {
    case .refused(let why): "refused: \(why)"
    case .started: "started"
    case .done(let phases): "done" + phases.map { " \($0.phase)=\($0.after.milliseconds)" }.joined()
    case .failed(let why): "failed: \(why)"
    }
  }

  private func text(_ warning: Warning) -> String {
    switch warning {
    case .peerLinkBroken(let node): "no beats from \(node), yet its counter moves"
    case .peerLinkMended(let node): "beats from \(node) again"
    case .fencing(let node, let reason): "fencing \(node.node)/\(node.incarnation): \(reason)"
    case .fenceRefused(let node): "fence refused: \(node.node)/\(node.incarnation) shows life"
    case .sessionsNotEnded(let count): "\(count) sessions could not be ended"
    case .foreignAddressHolder(let who): "\(who) answers for the address for too long"
    case .duplicateAddress(let who): "\(who) answers for our address"
    case .addressReclaimed: "address lost, claimed again"
    case .overslept(let length): "overslept \(length.milliseconds) ms"
    case .sweepFailed(let why): "sweep failed: \(why)"
    }
  }
}

enum ScenarioFault: Error {
  case badName(String)
  case badLine(String)
}
