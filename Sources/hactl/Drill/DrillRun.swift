// One drill from the canary's first record to the stored verdict. Whatever happens in between, it is restored.
internal import Node
internal import Platform
internal import Postgres

/// How long what may take.
struct DrillLimits: Sendable {
  var gapMilliseconds: Double
  var takeoverMilliseconds: Int64 = 30_000
  /// The service has to stay: how long the fault lasts.
  var holdMilliseconds: Int64 = 3000
  /// After the takeover: how long the new active is watched with the fault still there.
  var watchMilliseconds: Int64 = 1000
  var warmUpMilliseconds: Int64 = 1000
  var settleMilliseconds: Int64 = 15_000
  var recoveryMilliseconds: Int64 = 20_000
}

/// Ended early: by the operator, or because a step failed.
private struct Aborted: Error { var reason: String }

struct DrillRun: ~Copyable {
  private let kind: DrillKind
  private let configuration: NodeConfiguration
  private let tool: Tool
  private let before: NodeStatus
  private let limits: DrillLimits
  private let say: (String) -> Void
  private let signals: SignalDescriptor
  private let canary: Canary
  /// Of the token that the canary has for this drill, where tokens are required.
  private let canaryToken: Int64?
  private var report: DrillReport
  private var restoration = Restoration()

  init(
    _ kind: DrillKind, _ configuration: NodeConfiguration, _ tool: Tool, _ before: NodeStatus, _ limits: DrillLimits,
    say: @escaping (String) -> Void
  ) throws {
    guard let service = configuration.service.addresses.first, let port = configuration.listen.native.first?.port,
      let address = SocketAddress(host: service.address, port: port)
    else {
      throw Failure("the canary needs the native protocol", mend: "add an address to listen.native")
    }
    let source = "hactl-drill/\(before.node)"
    let token = try before.tokens.required ? makeCanaryToken(source, configuration, tool) : nil
    // Before the canary's thread begins, so that no other thread takes them.
    let signals = try SignalDescriptor([SignalNumber.interrupt, SignalNumber.terminate, SignalNumber.hangUp])
    canary = try Canary(source: source, address: address, token: token?.text ?? "")
    canaryToken = token?.id
    self.kind = kind
    self.configuration = configuration
    self.tool = tool
    self.before = before
    self.limits = limits
    self.say = say
    self.signals = signals
    report = DrillReport(
      kind: kind.rawValue, startedAt: rfc3339(wallMicroseconds: wallMicroseconds()), operator: tool.operatorName,
      nodeBefore: before.node, epochBefore: before.epoch ?? 0, gapLimitMilliseconds: limits.gapMilliseconds)
  }

  mutating func perform() -> DrillReport {
    var aborted: String?
    do {
      try warmUp()
      try rehearse()
    } catch let error as Aborted {
      aborted = error.reason
    } catch {
      aborted = "\(error)"
    }
    report.remarks += restoration.restore()
    canary.finishProducing()
    if aborted == nil { recover() }
    settle()
    canary.stop()
    if let canaryToken { report.remarks += revokeCanaryToken(canaryToken, configuration, tool) }
    conclude(aborted)
    return report
  }

  // MARK: Steps

  private mutating func warmUp() throws {
    say(
      "\(before.node) is active, epoch \(report.epochBefore); a canary sends \(1000 / Canary.recordInterval) records/s")
    try wait(5000, "the canary got no acknowledgement") { ledger in ledger.tenures.last?.firstAck != nil }
    guard canary.ledger.tenures.last?.epoch == report.epochBefore else {
      throw Aborted(reason: "another epoch answers the canary: the service moved meanwhile")
    }
    try pause(limits.warmUpMilliseconds)
    canary.forgetGaps()
  }

  private mutating func rehearse() throws {
    let restorer: Restorer? = try prepare()
    let began = BootInstant.now()
    do {
      try inject()
      try watch(from: began)
    } catch {
      report.remarks += restoration.restore()
      dismiss(restorer)
      throw error
    }
    report.remarks += restoration.restore()
    dismiss(restorer)
  }

  private func dismiss(_ restorer: consuming Restorer?) {
    guard var restorer else { return }
    restorer.dismiss()
  }

  /// Who will undo the fault, should this process end.
  private mutating func prepare() throws -> Restorer? {
    switch kind {
    case .switchover: return nil
    case .kill: break
    case .stop:
      guard let process = ProcessIdentity(pid: before.pid) else {
        throw Aborted(reason: "the worker (pid \(before.pid)) is not there any more")
      }
      restoration.process = process
    case .cutPeer, .cutDatabase: restoration.filter = true
    }
    return restoration == Restoration() ? nil : try Restorer(restoration)
  }

  private mutating func inject() throws {
    switch kind {
    case .kill:
      say("killing the worker, pid \(before.pid)")
      try sendSignal(SignalNumber.kill, to: before.pid)
    case .stop:
      say("stopping the worker, pid \(before.pid)")
      try sendSignal(SignalNumber.stop, to: before.pid)
    case .switchover:
      say("handing over")
      let result = try handOver(configuration, tool, to: nil, timeoutMilliseconds: limits.takeoverMilliseconds)
      for (phase, time) in result.handover { report.phases["handover \(phase)"] = time }
    case .cutPeer:
      say("dropping all beats for \(milliseconds(Double(limits.holdMilliseconds)))")
      let peers = configuration.peers.nodes.flatMap { $0.addresses.map { (address: $0, datagram: true) } }
      try dropPackets(peers, ownPorts: Array(Set(configuration.peers.listen.map(\.port))))
    case .cutDatabase:
      let places = try databasePlaces(try tool.connectionString(configuration))
      say("dropping all packets to and from \(places.map { "\($0.address)" }.joined(separator: ", "))")
      try dropPackets(places, ownPorts: [])
    }
  }

  private mutating func watch(from began: BootInstant) throws {
    let epoch = report.epochBefore
    if kind.movesTheService {
      try wait(limits.takeoverMilliseconds, "nobody took over") { $0.handoverGap(after: epoch) != nil }
      let ledger = canary.ledger
      if let gap = ledger.handoverGap(after: epoch) {
        report.gapMilliseconds = gap.milliseconds
        report.firstAckMilliseconds = max(0, gap.until.milliseconds(since: began))
        say("epoch \(ledger.tenures.last?.epoch ?? 0) acknowledges, \(milliseconds(gap.milliseconds)) after the last")
      }
      try pause(limits.watchMilliseconds)
    } else {
      try pause(limits.holdMilliseconds)
    }
  }

  /// Waits until the node that had the fault can take over again, and another drill would not be refused.
  private mutating func recover() {
    let began = BootInstant.now()
    let until = began.adding(milliseconds: limits.recoveryMilliseconds)
    while BootInstant.now() < until, signals.next() == nil {
      // A node that does not answer is not ready.
      if let status = try? askStatus(configuration, milliseconds: 500), hasRecovered(status) {
        // Ready before anybody asked: then there is no time to tell.
        let took = BootInstant.now().milliseconds(since: began)
        if took > 100 { report.recoveredMilliseconds = took }
        say(kind == .cutPeer ? "the beats are heard again" : "\(before.node) is \(status.state) again")
        return
      }
      sleep(until: .after(milliseconds: 20))
    }
    report.remarks.append(
      "\(before.node) was not ready again within \(milliseconds(Double(limits.recoveryMilliseconds)))")
  }

  private func hasRecovered(_ status: NodeStatus) -> Bool {
    guard status.database.reachable, status.state == "standby" || status.isActive else { return false }
    let heard = Set(before.peers.filter { !$0.silent }.map(\.node))
    return kind != .cutPeer || !status.peers.contains { $0.silent && heard.contains($0.node) }
  }

  /// Lets the canary bring its last records home.
  private func settle() {
    let until = BootInstant.after(milliseconds: limits.settleMilliseconds)
    while BootInstant.now() < until, canary.ledger.pendingCount > 0, signals.next() == nil {
      sleep(until: .after(milliseconds: 10))
    }
  }

  private mutating func conclude(_ aborted: String?) {
    let ledger = canary.ledger
    report.made = ledger.made
    report.acknowledged = ledger.acknowledged
    if let last = ledger.tenures.last {
      report.nodeAfter = last.node
      report.epochAfter = last.epoch
    }
    if !kind.movesTheService { report.gapMilliseconds = ledger.longestGap?.milliseconds }
    if ledger.pendingCount > 0 {
      report.remarks.append("\(ledger.pendingCount) records were never acknowledged (\(ledger.lastTrouble))")
    }
    let deadline = BootInstant.after(milliseconds: 30_000)
    do {
      var session = try tool.openSession(configuration, deadline: deadline)
      try verify(ledger, &session, deadline)
      try readPhases(&session, deadline)
      report.judge(movesTheService: kind.movesTheService, aborted: aborted)
      try report.store(&session, deadline: deadline)
    } catch {
      report.remarks.append("PostgreSQL: \(error)")
      report.judge(movesTheService: kind.movesTheService, aborted: aborted)
      report.remarks.append("the verdict could not be kept in ha.drill")
    }
  }

  // MARK: What PostgreSQL has

  private mutating func verify(
    _ ledger: CanaryLedger, _ session: inout Connection, _ deadline: BootInstant
  ) throws(PostgresError) {
    let parameters = [canary.source, canary.stream]
    let stored = try session.query(
      """
      SELECT m.seq, count(*) FROM telemetry.metric AS m
      JOIN ingest.stream AS s ON s.id = m.stream_id
      WHERE s.source = $1 AND s.stream = $2 AND m.ts > now() - interval '1 hour' GROUP BY m.seq
      """, parameters, deadline: deadline)
    let rejected = try session.query(
      """
      SELECT r.seq FROM ingest.rejected AS r JOIN ingest.stream AS s ON s.id = r.stream
      WHERE s.source = $1 AND s.stream = $2
      """, parameters, deadline: deadline)
    let rows = stored.rows.map(TextRow.init).compactMap { row in
      row.integer(0).flatMap { seq in row.integer(1).map { (seq: seq, count: $0) } }
    }
    let verdict = CanaryVerdict(
      acknowledged: ledger.acknowledged, made: ledger.made, stored: rows,
      rejected: Set(rejected.rows.map(TextRow.init).compactMap { $0.integer(0) }))
    report.lost = Int64(verdict.lost.count)
    report.doubled = Int64(verdict.doubled.count)
    if !ledger.rejected.isEmpty {
      report.remarks.append("\(ledger.rejected.count) records of the canary were rejected")
    }
    if !verdict.foreign.isEmpty { report.remarks.append("records were stored that the canary never made") }
    if !verdict.lost.isEmpty {
      report.remarks.append("lost: \(verdict.lost.prefix(10).map { "\($0)" }.joined(separator: ", "))")
    }
  }

  /// The successor's own account of its promotion; it writes it behind its work.
  private mutating func readPhases(_ session: inout Connection, _ deadline: BootInstant) throws(PostgresError) {
    guard let epoch = report.epochAfter, epoch > report.epochBefore else { return }
    let until = BootInstant.after(milliseconds: 3000)
    while true {
      let found = try session.query(
        "SELECT e.phases FROM ha.event AS e WHERE e.kind = 'active' AND e.epoch = $1 ORDER BY e.id DESC LIMIT 1",
        ["\(epoch)"], deadline: deadline)
      if let text = found.scalar {
        let times = phases(json: text)
        report.phases.merge(times) { old, _ in old }
        report.detectMilliseconds = times["fenced"] ?? times["detected"] ?? times["lockWon"]
        report.promoteMilliseconds = times["bumped"]
        report.addressMilliseconds = times["claimed"]
        return
      }
      if BootInstant.now() >= until { return }
      sleep(until: .after(milliseconds: 100))
    }
  }

  // MARK: Waiting, while the operator may change their mind

  private func wait(
    _ milliseconds: Int64, _ otherwise: String, until holds: (CanaryLedger) -> Bool
  ) throws(Aborted) {
    let deadline = BootInstant.after(milliseconds: milliseconds)
    while !holds(canary.ledger) {
      if BootInstant.now() >= deadline {
        let trouble = canary.ledger.lastTrouble
        throw Aborted(reason: otherwise + (trouble.isEmpty ? "" : " (\(trouble))"))
      }
      try look(5)
    }
  }
  private func pause(_ milliseconds: Int64) throws(Aborted) {
    let deadline = BootInstant.after(milliseconds: milliseconds)
    while BootInstant.now() < deadline { try look(20) }
  }
  private func look(_ milliseconds: Int64) throws(Aborted) {
    _ = Platform.wait(signals.descriptor, for: .read, until: .after(milliseconds: milliseconds))
    if signals.next() != nil { throw Aborted(reason: "interrupted") }
  }
}
