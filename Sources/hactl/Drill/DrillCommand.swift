// `hactl drill`: what is asked before, and what is said after.
internal import Node
internal import Platform
internal import Postgres

let drillSpec = CommandSpec(
  name: "drill", usage: "KIND [--yes] [--json]", summary: "rehearse a failure on the active node, and measure it",
  details: """
    KIND is one of:
    \(DrillKind.allCases.map { "  \(padded($0.rawValue, 14))\($0.does)" }.joined(separator: "\n"))

    Runs on the active node, as root. A canary of its own sends numbered records through the service IP all the while;
    afterwards PostgreSQL is asked whether every acknowledged record is stored exactly once. Everything is restored,
    also after Ctrl-C, and even when hactl itself is killed. The verdict is kept: hactl history --drills.
    Ends with 0 when the drill passed, 1 when it failed or was aborted, 2 when a record was lost or stored twice.
    """,
  options: [
    OptionSpec(names: ["--yes", "-y"], value: nil, help: "do not ask"),
    OptionSpec(names: ["--limit"], value: "MS", help: "longest gap that passes (default: by KIND)"),
    OptionSpec(names: ["--timeout"], value: "SECONDS", help: "how long to wait for the takeover (default 30)"),
    OptionSpec(names: ["--json", "-j"], value: nil, help: "the verdict as one line of JSON, nothing else"),
  ], maximumOperands: 1, operands: DrillKind.allCases.map(\.rawValue))

func drill(_ arguments: Arguments, _ tool: Tool) throws -> Int32 {
  guard let word = arguments.operands.first else {
    throw UsageError(
      description: "drill needs a KIND: \(DrillKind.allCases.map(\.rawValue).joined(separator: ", "))")
  }
  guard let kind = DrillKind(rawValue: word) else {
    let hint = nearest(to: word, of: drillSpec.operands).map { "; did you mean \"\($0)\"?" } ?? ""
    throw UsageError(description: "there is no drill \"\(word)\"\(hint)")
  }
  var limits = DrillLimits(gapMilliseconds: kind.gapLimitMilliseconds)
  if let limit = try arguments.integer("--limit", in: 1...600_000) { limits.gapMilliseconds = Double(limit) }
  if let seconds = try arguments.integer("--timeout", in: 1...300) {
    limits.takeoverMilliseconds = Int64(seconds) * 1000
  }
  let configuration = try tool.configuration()
  let before = try requireActiveHere(configuration, for: "drill \(word)")
  try requireSafety(kind, configuration, before, tool)
  if !arguments.has("--yes") { try ask(kind, configuration, before) }

  let quiet = arguments.has("--json")
  var run = try DrillRun(kind, configuration, tool, before, limits) { sentence in
    if !quiet { writeText(sentence + "\n") }
  }
  let report = run.perform()
  if quiet { tool.print(json(report)) } else { tool.print("\n" + report.rendered(tool.style)) }
  return report.exitCode
}

/// A drill that could not end well is refused: it would be an outage.
private func requireSafety(
  _ kind: DrillKind, _ configuration: NodeConfiguration, _ before: NodeStatus, _ tool: Tool
) throws {
  if kind.needsRoot, effectiveUser() != 0 {
    throw Failure(
      "drill \(kind.rawValue) needs root", mend: "sudo hactl drill \(kind.rawValue)", code: ExitCode.permission)
  }
  if kind.needsPacketFilter {
    if findProgram("nft") == nil { throw Failure("nft is not installed", mend: "apt install nftables") }
    if packetFilterIsThere() {
      throw Failure(
        "another drill is under way, or left its rules behind", mend: "nft delete table inet \(Restoration.table)")
    }
  }
  if kind == .cutDatabase { _ = try databasePlaces(try tool.connectionString(configuration)) }
  guard before.database.reachable else {
    throw Failure("the active node can't reach PostgreSQL at this moment", mend: "hactl doctor")
  }
  let view = try tool.withSession(configuration) { session, deadline in
    try readCluster(&session, deadline: deadline)
  }
  if let pause = view.pause {
    throw Failure("promotions are paused by \(pause.by): a drill would be an outage", mend: "hactl resume")
  }
  let excluded = Set(view.excluded.map(\.node))
  guard
    before.peers.contains(where: {
      $0.state == "standby" && !$0.silent && $0.databaseReachable && !excluded.contains($0.node)
    })
  else {
    throw Failure(
      "no other node is ready to take over: a drill would be an outage",
      mend: "hactl status says why; "
        + before.peers.map { "\($0.node) is \($0.silent ? "silent" : $0.state)" }.joined(separator: ", "))
  }
}

private func ask(_ kind: DrillKind, _ configuration: NodeConfiguration, _ before: NodeStatus) throws {
  guard isTerminal(0) else {
    throw UsageError(description: "a drill does harm: add --yes where nobody can be asked")
  }
  let addresses = configuration.service.addresses.map(\.address).joined(separator: ", ")
  writeText(
    """
    This drill \(kind.does).
    Node \(before.node) of cluster \(before.cluster) serves \(addresses), epoch \(before.epoch ?? 0); its clients \
    will \(kind.movesTheService ? "be moved to another node" : "notice nothing, if all is well").
    Go on? Type "yes":
    """ + " ")
  guard readLine()?.trimmingPrefix(" ") == "yes" else { throw Failure("nothing was done") }
}
