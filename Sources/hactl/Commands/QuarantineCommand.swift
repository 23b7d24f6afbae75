// `hactl quarantine`: what is refused because a worker crashed twice with it in hand; rows in PostgreSQL.
internal import Node
internal import Platform
internal import Postgres

let quarantineSpec = CommandSpec(
  name: "quarantine", usage: "[list | release ID] [--json]",
  summary: "show what crashed a worker twice and is refused, or take it again",
  details: """
    A record, a body or a whole source that was in hand at two crashes of a worker within an hour is refused by all
    nodes; what was in hand stands in ingest.quarantine (column bytes). release takes it again: a source then has its
    records handled one by one for an hour after its last crash, so that another crash sets aside only the one record
    that caused it. Upgrade first where the reason is known to be mended.
    """,
  options: [OptionSpec(names: ["--json", "-j"], value: nil, help: "one line of JSON an item")],
  maximumOperands: 2, operands: ["list", "release"])

private struct QuarantineItem: Codable {
  var id: Int64
  var at: String
  var scope: String
  var protocolName: String
  var source: String
  var address: String
  var crashes: Int64
  var bytes: Int64
}

func quarantine(_ arguments: Arguments, _ tool: Tool) throws -> Int32 {
  let words = arguments.operands
  switch (words.first ?? "list", words.count) {
  case ("list", 0...1):
    let items = try tool.withSession { session, deadline in try quarantineItems(&session, deadline) }
    if items.isEmpty, !arguments.has("--json") { tool.print("nothing is in quarantine") }
    for item in items {
      tool.print(
        arguments.has("--json")
          ? json(item)
          : "\(item.id)  \(item.at)  \(item.scope)  \(item.protocolName)  \(singleLine(item.source))"
            + (item.address.isEmpty || item.address == item.source ? "" : " (\(singleLine(item.address)))")
            + "  in hand at \(item.crashes) crashes, \(item.bytes) bytes kept")
    }
  case ("release", 2):
    guard let id = Int64(words[1]) else { throw UsageError(description: "release takes the number of an item") }
    let released = try tool.withSession { session, deadline in
      try session.query(
        "SELECT ingest.release_quarantine($1::bigint, $2)", [String(id), tool.operatorName], deadline: deadline
      ).scalar == "t"
    }
    guard released else {
      throw Failure("nothing in quarantine has the number \(id)", mend: "hactl quarantine lists what there is")
    }
    tool.print("\(id) is released: all nodes take it again within a second")
  default: throw UsageError(description: "quarantine takes: list, or release ID")
  }
  return ExitCode.done
}

private func quarantineItems(
  _ session: inout Connection, _ deadline: BootInstant
) throws(PostgresError) -> [QuarantineItem] {
  try session.run(
    """
    SELECT q.id, to_char(q.at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), q.scope, q.protocol, q.source, q.address, q.crashes, \
    octet_length(q.bytes) FROM ingest.quarantine AS q WHERE q.released_at IS NULL ORDER BY q.id LIMIT 1000
    """, deadline: deadline
  ).rows.map(TextRow.init).map { row in
    QuarantineItem(
      id: row.integer(0) ?? 0, at: row[1] ?? "", scope: row[2] ?? "", protocolName: row[3] ?? "", source: row[4] ?? "",
      address: row[5] ?? "", crashes: row.integer(6) ?? 0, bytes: row.integer(7) ?? 0)
  }
}

/// For `hactl doctor`.
func checkQuarantine(_ session: inout Connection, _ deadline: BootInstant, _ checkup: inout Checkup) throws {
  let rows = try session.run(
    """
    SELECT q.id, q.scope, q.protocol, q.source, count(*) OVER () FROM ingest.quarantine AS q \
    WHERE q.released_at IS NULL ORDER BY q.id DESC LIMIT 3
    """, deadline: deadline
  ).rows.map(TextRow.init)
  let crashes =
    try session.run(
      "SELECT count(*) FROM ingest.crash AS c WHERE c.at > now() - interval '1 day'", deadline: deadline
    ).scalar.flatMap { Int64($0) } ?? 0
  guard let total = rows.first?.integer(4) else {
    if crashes == 0 { return checkup.fine("no worker crashed of what a sender sent, nothing is in quarantine") }
    return checkup.note(
      "workers crashed \(crashes) time\(crashes == 1 ? "" : "s") in the last day with something of a sender in hand",
      "SELECT at, node, protocol, source, signal FROM ingest.crash ORDER BY at DESC; report it as a bug")
  }
  let names = rows.map { "\($0[0] ?? "?"): \($0[1] ?? "?") of \(singleLine($0[3] ?? "?")) over \($0[2] ?? "?")" }
  checkup.warn(
    "\(total) in quarantine, because a worker crashed twice with it in hand (\(names.joined(separator: "; ")))",
    "report the bug (ingest.quarantine has the bytes), upgrade, then: hactl quarantine release ID")
}
