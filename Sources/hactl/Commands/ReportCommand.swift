// `hactl report`: the analysts' views and functions, for those who are at a shell.
internal import Node
internal import Platform
internal import Postgres

let reportSpec = CommandSpec(
  name: "report", usage: "[NAME [PARAMETER=VALUE...]] [-n COUNT] [--json]",
  summary: "show the reports there are, or one of them",
  details: """
    Without NAME every report with what it answers. A report's own parameters are named without their p_:
    hactl report jobs app=EQP-12. Reads from database.reports of the configuration, where that is
    set, and changes nothing.
    """,
  options: [
    OptionSpec(names: ["-n", "--count"], value: "COUNT", help: "rows at most (default 40)"),
    OptionSpec(names: ["--json", "-j"], value: nil, help: "one line of JSON a row"),
  ],
  maximumOperands: 17)

/// A view or function of the schema `report`.
struct ReportEntry: Equatable {
  struct Parameter: Equatable {
    /// Without `p_`.
    var name: String
    var type: String
  }
  var name: String
  var isFunction: Bool
  var parameters: [Parameter]
  var comment: String

  /// The first sentence.
  var summary: String {
    let line = comment.split(separator: "\n").first.map(String.init) ?? ""
    var sentence = ""
    for (character, next) in zip(line, line.dropFirst() + " ") {
      if character == ".", next == " " { break }
      sentence.append(character)
    }
    return sentence
  }
}

func report(_ arguments: Arguments, _ tool: Tool) throws -> Int32 {
  let count = try arguments.integer("-n", in: 1...1_000_000) ?? 40
  let isJSON = arguments.has("--json")
  return try tool.withReports { session, deadline in
    let entries = try reportEntries(&session, deadline)
    guard let name = arguments.operands.first else {
      let rows = entries.map { [$0.name, $0.parameters.map(\.name).joined(separator: " "), $0.summary] }
      tool.print(table([["REPORT", "PARAMETERS", "WHAT IT ANSWERS"]] + rows, indent: ""))
      return ExitCode.done
    }
    guard let entry = entries.first(where: { $0.name == name }) else {
      let hint = nearest(to: name, of: entries.map(\.name)).map { "did you mean \($0)? " } ?? ""
      throw Failure("there is no report \"\(name)\"", mend: "\(hint)hactl report lists them all")
    }
    let (call, values) = try reportCall(entry, Array(arguments.operands.dropFirst()))
    // In JSON a row's types and names are PostgreSQL's own.
    let columns = isJSON ? "row_to_json(r)" : "r.*"
    let answer = try session.query(
      "SELECT \(columns) FROM \(call) AS r LIMIT \(count)", values.map { $0 }, deadline: deadline
    ).results.first
    let rows = answer?.rows ?? []
    if isJSON {
      tool.print(rows.map { ($0.first ?? nil) ?? "" }.map { $0 + "\n" }.joined())
    } else {
      let cells = rows.map { row in row.map { $0.map(singleLine) ?? "-" } }
      tool.print(table([answer?.columns.map { $0.uppercased() } ?? []] + cells, indent: ""))
      if rows.isEmpty { tool.print("no rows") }
      if rows.count == count { tool.print("the first \(count); more with -n") }
    }
    return ExitCode.done
  }
}

private func reportEntries(_ session: inout Connection, _ deadline: BootInstant) throws -> [ReportEntry] {
  try session.run(
    """
    SELECT c.relname, 'v', '', coalesce(obj_description(c.oid, 'pg_class'), '') FROM pg_class AS c
    WHERE c.relnamespace = 'report'::regnamespace AND c.relkind = 'v' AND has_table_privilege(c.oid, 'SELECT')
    UNION ALL
    SELECT p.proname, 'f',
      coalesce((SELECT string_agg(a.name || ' ' || format_type(a.type, NULL), ',' ORDER BY a.number)
        FROM unnest(p.proargnames[:p.pronargs], p.proargtypes::oid[]) WITH ORDINALITY AS a(name, type, number)), ''),
      coalesce(obj_description(p.oid, 'pg_proc'), '')
    FROM pg_proc AS p
    WHERE p.pronamespace = 'report'::regnamespace AND p.proretset AND has_function_privilege(p.oid, 'EXECUTE')
    ORDER BY 1
    """, deadline: deadline
  ).rows.compactMap { row in
    guard row.count == 4, let name = row[0], let parameters = row[2], let comment = row[3] else { return nil }
    let parsed = parameters.split(separator: ",").compactMap { text -> ReportEntry.Parameter? in
      let words = text.split(separator: " ", maxSplits: 1).map(String.init)
      guard words.count == 2 else { return nil }
      return ReportEntry.Parameter(
        name: words[0].hasPrefix("p_") ? String(words[0].dropFirst(2)) : words[0], type: words[1])
    }
    return ReportEntry(name: name, isFunction: row[1] == "f", parameters: parsed, comment: comment)
  }
}

/// What to select from, and the values of its parameters. The names come from PostgreSQL's catalogue, never from the
/// line.
func reportCall(_ entry: ReportEntry, _ words: [String]) throws -> (call: String, values: [String]) {
  var values: [String] = []
  var parts: [String] = []
  for word in words {
    let pair = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    let known = entry.parameters.map(\.name).joined(separator: ", ")
    guard pair.count == 2 else { throw UsageError(description: "\"\(word)\" is not PARAMETER=VALUE") }
    guard let parameter = entry.parameters.first(where: { $0.name == pair[0] }) else {
      let takes = known.isEmpty ? "takes no parameters" : "takes: \(known)"
      throw UsageError(description: "\(entry.name) has no parameter \"\(pair[0])\"; it \(takes)")
    }
    values.append(pair[1])
    parts.append("\(identifier("p_" + parameter.name)) => $\(values.count)::\(parameter.type)")
  }
  let name = "report.\(identifier(entry.name))"
  return (entry.isFunction ? "\(name)(\(parts.joined(separator: ", ")))" : name, values)
}

private func identifier(_ name: String) -> String {
  "\"" + name.map { $0 == "\"" ? "\"\"" : String($0) }.joined() + "\""
}
/// One line without control characters: messages come from anybody, and a terminal obeys what it reads.
func singleLine(_ text: String) -> String {
  let isPlain = { (scalar: Unicode.Scalar) in scalar.value >= 0x20 && !(0x7f...0x9f).contains(scalar.value) }
  let shown = String(String.UnicodeScalarView(text.unicodeScalars.map { isPlain($0) ? $0 : "·" }))
  return shown.count > 160 ? shown.prefix(159) + "…" : shown
}
