// `hactl watch HOST`: what a host's agent sends, each second, while somebody looks.
internal import Node
internal import Platform
internal import Postgres

let watchSpec = CommandSpec(
  name: "watch", usage: "HOST [-n COUNT]",
  summary: "show a host's figures each second; its agent sends them so often meanwhile",
  details: """
    Asks the service to let the agent of HOST send samples each second, and prints the newest figures until Ctrl-C.
    Ten seconds after that the agent goes back to its own interval.
    """,
  options: [OptionSpec(names: ["-n", "--count"], value: "COUNT", help: "how many times (default: until Ctrl-C)")],
  maximumOperands: 1)

private let watchSeconds = 10

func watch(_ arguments: Arguments, _ tool: Tool) throws -> Int32 {
  guard let host = arguments.operands.first else { throw UsageError(description: "watch: which host?") }
  let count = try arguments.integer("-n", in: 1...1_000_000)
  guard (1...200).contains(host.utf8.count) else {
    throw UsageError(description: "\"\(host)\" is not the name of a host")
  }
  var page = ""
  var shown = 0
  while count.map({ shown < $0 }) ?? true {
    // One session for as long as it lasts; a database that fails over is asked again.
    do {
      let deadline = BootInstant.after(milliseconds: 5000)
      var session = try tool.openSession(nil, deadline: deadline)
      while count.map({ shown < $0 }) ?? true {
        let next = BootInstant.after(milliseconds: 1000)
        page = try look(at: host, &session, tool.style)
        tool.print(tool.style.colour ? "\u{1b}[H\u{1b}[2J" + page : page)
        shown += 1
        sleep(until: next)
      }
    } catch let error as PostgresError {
      // The first look has to succeed; after that an outage is watched through.
      if shown == 0 { throw failure(error) }
      tool.print(tool.style.red("PostgreSQL: \(error)"))
      shown += 1
      sleep(until: .after(milliseconds: 1000))
    }
  }
  return ExitCode.done
}

private func look(at host: String, _ session: inout Connection, _ style: Style) throws -> String {
  let deadline = BootInstant.after(milliseconds: 5000)
  _ = try session.query(
    "SELECT ingest.watch_host($1, $2::integer)", [host, "\(watchSeconds)"], deadline: deadline)
  let metrics = try session.query(
    """
    SELECT DISTINCT ON (m.name, f.labels::text) m.name, coalesce(f.labels::text, ''), f.value,
      extract(epoch FROM now() - f.ts)
    FROM telemetry.metric AS f
    JOIN telemetry.metric_name AS m ON m.id = f.metric_id
    WHERE f.host_id = (SELECT h.id FROM telemetry.host AS h WHERE h.name = $1)
      AND f.ts > now() - interval '30 s' AND f.ts < now() + interval '5 s'
    ORDER BY m.name, f.labels::text, f.ts DESC
    LIMIT 500
    """, [host], deadline: deadline
  ).rows.map(TextRow.init)
  let processes = try session.query(
    """
    SELECT DISTINCT ON (n.name) n.name, s.name, f.cpu, f.memory_bytes, f.threads, f.restarts
    FROM telemetry.process AS f
    JOIN telemetry.process_name AS n ON n.id = f.process_id
    JOIN telemetry.status AS s ON s.id = f.state_id
    WHERE f.host_id = (SELECT h.id FROM telemetry.host AS h WHERE h.name = $1)
      AND f.ts > now() - interval '30 s' AND f.ts < now() + interval '5 s'
    ORDER BY n.name, f.ts DESC
    LIMIT 100
    """, [host], deadline: deadline
  ).rows.map(TextRow.init)
  var lines = [style.bold("\(host)  \(rfc3339(wallMicroseconds: wallMicroseconds()))")]
  guard let age = metrics.compactMap({ $0.number(3) }).min() else {
    return lines[0]
      + "\nno sample in 30 s: is standwatch-agent running there, and is \"\(host)\" its name in records?\n"
  }
  lines[0] += "  newest sample \(hundredths(age)) s old"
  if !processes.isEmpty {
    let rows = processes.map { row in
      [
        singleLine(row[0] ?? ""), singleLine(row[1] ?? ""), row.number(2).map { hundredths($0) } ?? "-", row[3] ?? "-",
        row[4] ?? "-", row[5] ?? "-",
      ]
    }
    lines.append(table([["PROCESS", "STATE", "CPU %", "MEMORY", "THREADS", "RESTARTS"]] + rows, indent: ""))
  }
  lines.append(
    table(
      metrics.map { row in
        [singleLine(row[0] ?? ""), singleLine(row[1] ?? ""), row.number(2).map { hundredths($0) } ?? ""]
      }, indent: ""))
  return lines.joined(separator: "\n")
}

private func hundredths(_ value: Double) -> String {
  abs(value) < 1e15 ? "\((value * 100).rounded() / 100)" : "\(value)"
}
