// `hactl switchover`: the active node hands over, and the successor's own word says that it serves.
internal import Node
internal import Platform
internal import Postgres

let switchoverSpec = CommandSpec(
  name: "switchover", usage: "[--to NODE] [--timeout SECONDS] [--json]",
  summary: "hand over to another node, without losing a record",
  details: """
    Runs on the active node; elsewhere it says where to run. The active node stops reading, commits what is in
    flight, tells its clients, gives the address up and releases the lock. Ends with 0 when the successor serves.
    """,
  options: [
    OptionSpec(names: ["--to", "-t"], value: "NODE", help: "the successor (default: whoever is ready first)"),
    OptionSpec(names: ["--timeout"], value: "SECONDS", help: "how long to wait in all (default 15)"),
    OptionSpec(names: ["--json", "-j"], value: nil, help: "the result as one line of JSON"),
  ])

/// What a switchover came to.
struct SwitchoverResult: Codable, Equatable, Sendable {
  var from: String
  var to: String
  var epochBefore: Int64
  var epochAfter: Int64
  /// From the order to the successor's being seen to serve.
  var totalMilliseconds: Double
  /// Of the node that handed over.
  var handover: [String: Double]
  /// Of the node that took over, from its own beginning.
  var takeover: [String: Double]
}

func switchover(_ arguments: Arguments, _ tool: Tool) throws -> Int32 {
  let seconds = try arguments.integer("--timeout", in: 1...120) ?? 15
  let configuration = try tool.configuration()
  let result = try handOver(
    configuration, tool, to: arguments["--to"], timeoutMilliseconds: Int64(seconds) * 1000)
  if arguments.has("--json") {
    tool.print(json(result))
  } else {
    tool.print(
      tool.style.green("✓ ")
        + "\(result.from) handed over to \(result.to), epoch \(result.epochBefore) → \(result.epochAfter), in "
        + milliseconds(result.totalMilliseconds))
    if !result.handover.isEmpty { tool.print("  \(result.from): \(phaseText(result.handover))") }
    if !result.takeover.isEmpty { tool.print("  \(result.to): \(phaseText(result.takeover))") }
  }
  return ExitCode.done
}

/// The status of the node on this host, if that is the active one; otherwise the failure says where to go.
func requireActiveHere(_ configuration: NodeConfiguration, for what: String) throws -> NodeStatus {
  let own: NodeStatus
  do throws(ControlError) { own = try askStatus(configuration) } catch {
    throw Failure(
      "the node on this host does not answer: \(error)", mend: "run it on the active node; hactl status names it",
      code: error.reason == .noPermission ? ExitCode.permission : ExitCode.unreachable)
  }
  if own.isActive { return own }
  let last = own.leader == own.node ? nil : own.leader
  let active = own.peers.first { !$0.silent && $0.state == "active" }?.node ?? last
  throw Failure(
    "\(own.node), the node on this host, is \(own.state), not active",
    mend: active.map { "the active node is \($0): run hactl \(what) on it" }
      ?? "no node is active now; hactl status says why")
}

func handOver(
  _ configuration: NodeConfiguration, _ tool: Tool, to: String?, timeoutMilliseconds: Int64
) throws -> SwitchoverResult {
  let before = try requireActiveHere(configuration, for: "switchover")
  let epoch = before.epoch ?? 0
  if let to {
    let names = before.peers.map(\.node)
    guard to != before.node else { throw Failure("\(to) is the active node already") }
    guard names.contains(to) else {
      throw Failure("there is no node \"\(to)\"", mend: "the others are: \(names.joined(separator: ", "))")
    }
  }
  let began = BootInstant.now()
  let deadline = began.adding(milliseconds: timeoutMilliseconds)
  let reply: OperatorReply
  do throws(ControlError) {
    var client = try ControlClient(path: configuration.controlSocketPath)
    reply = try client.ask(
      .switchover(to: to, timeoutMilliseconds: timeoutMilliseconds), deadline: deadline.adding(milliseconds: 1000))
  } catch { throw Failure("\(error)", mend: "hactl status") }
  guard reply.ok else {
    let isPaused = before.paused != nil
    throw Failure(reply.message, mend: isPaused ? "hactl resume" : "hactl status says what is in the way")
  }
  guard let after = awaitSuccessor(configuration, epoch: epoch, deadline: deadline) else {
    throw Failure(
      "\(before.node) handed over, but no node serves yet after \(milliseconds(BootInstant.now().milliseconds(since: began)))",
      mend: "hactl status")
  }
  var result = SwitchoverResult(
    from: before.node, to: after.node, epochBefore: epoch, epochAfter: after.epoch,
    totalMilliseconds: after.at.milliseconds(since: began), handover: reply.phases ?? [:], takeover: [:])
  // The successor writes its history behind its work; without it the result stands all the same.
  result.takeover =
    (try? awaitTakeoverEvent(configuration, tool, epoch: after.epoch, milliseconds: 2000))?.phases ?? [:]
  return result
}

/// Who serves a later epoch, asked of the node on this host until the deadline.
func awaitSuccessor(
  _ configuration: NodeConfiguration, epoch: Int64, deadline: BootInstant
) -> (node: String, epoch: Int64, at: BootInstant)? {
  while BootInstant.now() < deadline {
    // Not answered in time is as good as not there yet: the deadline decides.
    if let status = try? askStatus(configuration, milliseconds: 1000) {
      let now = BootInstant.now()
      if status.isActive, let reached = status.epoch, reached > epoch { return (status.node, reached, now) }
      for peer in status.peers where peer.state == "active" && !peer.silent {
        if let reached = peer.epoch, reached > epoch { return (peer.node, reached, now) }
      }
    }
    sleep(until: .after(milliseconds: 5))
  }
  return nil
}

/// The event of a promotion, when its node has written it.
func awaitTakeoverEvent(
  _ configuration: NodeConfiguration, _ tool: Tool, epoch: Int64, milliseconds: Int64
) throws -> NodeStatus.Takeover? {
  try tool.withSession(configuration, milliseconds: milliseconds + 3000) { session, deadline in
    let until = BootInstant.after(milliseconds: milliseconds)
    while true {
      let found = try session.query(
        """
        SELECT e.epoch, e.node, to_char(e.at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), e.reason, e.phases
        FROM ha.event AS e WHERE e.kind = 'active' AND e.epoch = $1 ORDER BY e.id DESC LIMIT 1
        """, ["\(epoch)"], deadline: deadline)
      if let row = found.rows.first.map(TextRow.init) {
        return NodeStatus.Takeover(
          epoch: row.integer(0) ?? 0, node: row[1] ?? "", at: row[2] ?? "", reason: row[3] ?? "",
          phases: phases(json: row[4]))
      }
      if BootInstant.now() >= until { return nil }
      sleep(until: .after(milliseconds: 50))
    }
  }
}
