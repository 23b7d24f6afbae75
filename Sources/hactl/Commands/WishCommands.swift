// `hactl pause`, `resume` and `no-promote`: rows in PostgreSQL, so that they hold for every node and work without one.
internal import Node
internal import Platform
internal import Postgres

let pauseSpec = CommandSpec(
  name: "pause", usage: "[REASON...]", summary: "allow no promotion anywhere, until resume",
  details: """
    For maintenance of the network or of PostgreSQL. An active node goes on serving; if it dies, nobody takes over.
    """,
  maximumOperands: 64)
let resumeSpec = CommandSpec(name: "resume", usage: "", summary: "allow promotions again")
let noPromoteSpec = CommandSpec(
  name: "no-promote", usage: "[NODE] [--off] [--why TEXT]", summary: "keep one node from taking over",
  details: "NODE is the node on this host when it is left out. --off lets the node take part again.",
  options: [
    OptionSpec(names: ["--off"], value: nil, help: "let the node take part again"),
    OptionSpec(names: ["--why"], value: "TEXT", help: "the reason, for the others"),
  ], maximumOperands: 1)

func pause(_ arguments: Arguments, _ tool: Tool) throws -> Int32 {
  let reason = arguments.operands.joined(separator: " ")
  try tool.withSession { session, deadline in
    _ = try session.query("SELECT ha.pause($1, $2)", [tool.operatorName, reason], deadline: deadline)
  }
  tool.print("promotions are paused; the active node goes on serving. End it with: hactl resume")
  return ExitCode.done
}

func resume(_ arguments: Arguments, _ tool: Tool) throws -> Int32 {
  let was = try tool.withSession { session, deadline in
    let paused = try session.run("SELECT c.paused FROM ha.control AS c", deadline: deadline).scalar == "t"
    if paused { _ = try session.query("SELECT ha.resume($1)", [tool.operatorName], deadline: deadline) }
    return paused
  }
  tool.print(was ? "promotions are allowed again" : "promotions were not paused")
  return ExitCode.done
}

func noPromote(_ arguments: Arguments, _ tool: Tool) throws -> Int32 {
  // With --connection and a name no configuration is needed.
  let configuration: NodeConfiguration? =
    if tool.connectionOption != nil, !arguments.operands.isEmpty { nil } else { try tool.configuration() }
  let node = arguments.operands.first ?? configuration?.node ?? ""
  let off = arguments.has("--off")
  try tool.withSession(configuration) { session, deadline in
    let rows = try session.run("SELECT n.node FROM ha.node AS n ORDER BY n.node", deadline: deadline).rows
    let known =
      rows.compactMap { $0.first ?? nil } + (configuration.map { [$0.node] + $0.peers.nodes.map(\.node) } ?? [])
    guard known.contains(node) || off else {
      throw Failure(
        "there is no node \"\(node)\" in this cluster",
        mend: "known are: \(Array(Set(known)).sorted().joined(separator: ", "))")
    }
    _ = try session.query(
      "SELECT ha.set_no_promote($1, $2::boolean, $3, $4)",
      [node, off ? "false" : "true", tool.operatorName, arguments["--why"] ?? ""], deadline: deadline)
  }
  tool.print(
    off
      ? "\(node) may take over again"
      : "\(node) will not take over (if it is active it goes on). End it with: hactl no-promote \(node) --off")
  return ExitCode.done
}
