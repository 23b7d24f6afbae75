// `hactl history`: what happened, newest last, so that the end is what one sees.
internal import Node
internal import Platform
internal import Postgres

let historySpec = CommandSpec(
  name: "history", usage: "[-n COUNT] [--drills] [--json]",
  summary: "show promotions, demotions, operators' acts and drills",
  options: [
    OptionSpec(names: ["-n", "--count"], value: "COUNT", help: "how many of the newest (default 20)"),
    OptionSpec(names: ["--drills"], value: nil, help: "the drills instead, with their verdicts"),
    OptionSpec(names: ["--json", "-j"], value: nil, help: "one line of JSON an entry"),
  ])

private struct Event: Codable {
  var at: String
  var kind: String
  var node: String?
  var epoch: Int64?
  var reason: String
  var phases: [String: Double]
}

func history(_ arguments: Arguments, _ tool: Tool) throws -> Int32 {
  let count = try arguments.integer("-n", in: 1...10_000) ?? 20
  if arguments.has("--drills") { return try drillHistory(count, arguments.has("--json"), tool) }
  let events = try tool.withSession { session, deadline in
    try session.query(
      """
      SELECT to_char(e.at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), e.kind, e.node, e.epoch, e.reason, e.phases
      FROM (SELECT * FROM ha.event ORDER BY at DESC, id DESC LIMIT $1::bigint) AS e ORDER BY e.at, e.id
      """, ["\(count)"], deadline: deadline
    ).rows.map(TextRow.init).map { row in
      Event(
        at: row[0] ?? "", kind: row[1] ?? "", node: row[2], epoch: row.integer(3), reason: row[4] ?? "",
        phases: phases(json: row[5]))
    }
  }
  if arguments.has("--json") {
    tool.print(events.map { json($0) + "\n" }.joined())
  } else if events.isEmpty {
    tool.print("nothing has happened yet")
  } else {
    let rows = events.map { event in
      [
        event.at, event.node ?? "-", event.epoch.map { "epoch \($0)" } ?? "-", event.kind,
        event.reason + (event.phases.isEmpty ? "" : "  [\(phaseText(event.phases))]"),
      ]
    }
    tool.print(table(rows, indent: ""))
  }
  return ExitCode.done
}

private func drillHistory(_ count: Int, _ asJSON: Bool, _ tool: Tool) throws -> Int32 {
  let rows = try tool.withSession { session, deadline in
    try session.query(
      """
      SELECT to_char(d.started_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), d.kind, d.verdict, d.node_before, d.node_after,
        d.gap_ms, d.acked, d.lost, d.doubled, d.operator, to_jsonb(d)
      FROM (SELECT * FROM ha.drill ORDER BY id DESC LIMIT $1::bigint) AS d ORDER BY d.id
      """, ["\(count)"], deadline: deadline
    ).rows.map(TextRow.init)
  }
  if asJSON {
    tool.print(rows.map { ($0[10] ?? "{}") + "\n" }.joined())
  } else if rows.isEmpty {
    tool.print("no drill was run yet; hactl drill --help")
  } else {
    let lines = rows.map { row in
      [
        row[0] ?? "", row[1] ?? "", row[2] ?? "", "\(row[3] ?? "?") → \(row[4] ?? "?")",
        row.number(5).map(milliseconds) ?? "-", row[6] ?? "-", row[7] ?? "-", row[8] ?? "-", row[9] ?? "",
      ]
    }
    tool.print(
      table(
        [["STARTED", "DRILL", "VERDICT", "NODES", "GAP", "ACKED", "LOST", "DOUBLED", "OPERATOR"]] + lines, indent: ""))
  }
  return ExitCode.done
}
