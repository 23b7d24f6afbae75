// `hactl config`: what the cluster shares, kept and checked in PostgreSQL.
internal import Node
internal import Platform
internal import Postgres

let configSpec = CommandSpec(
  name: "config", usage: "[list | get KEY | set KEY VALUE | reset KEY] [--json]",
  summary: "show or change what all nodes share",
  details: "Values are checked by PostgreSQL against their kind and range. A star marks what is not the default.",
  options: [OptionSpec(names: ["--json", "-j"], value: nil, help: "one line of JSON a setting")],
  maximumOperands: 3, operands: ["list", "get", "set", "reset"])

private struct Setting: Codable {
  var key: String
  var value: String
  var isDefault: Bool
  var kind: String
  var range: String
  var description: String
  var changedBy: String?
}

func config(_ arguments: Arguments, _ tool: Tool) throws -> Int32 {
  let words = arguments.operands
  switch (words.first ?? "list", words.count) {
  case ("list", 0...1): try list(arguments, tool)
  case ("get", 2):
    let all = try settings(tool)
    guard let setting = all.first(where: { $0.key == words[1] }) else { throw unknown(words[1], all) }
    tool.print(arguments.has("--json") ? json(setting) : setting.value)
  case ("set", 3): try set(words[1], to: words[2], tool)
  case ("reset", 2): try set(words[1], to: nil, tool)
  default: throw UsageError(description: "config takes: list, get KEY, set KEY VALUE, or reset KEY")
  }
  return ExitCode.done
}

private func settings(_ tool: Tool) throws -> [Setting] {
  try tool.withSession { session, deadline in
    try session.run(
      """
      SELECT s.key, coalesce(s.value, s.default_value), s.value IS NULL, s.kind, \
      CASE s.kind WHEN 'integer' THEN s.least || ' to ' || s.most WHEN 'boolean' THEN 'true or false' \
      ELSE coalesce(s.pattern, '') END, s.description, s.changed_by FROM ha.setting AS s ORDER BY s.key
      """, deadline: deadline
    ).rows.map(TextRow.init).map { row in
      Setting(
        key: row[0] ?? "", value: row[1] ?? "", isDefault: row.boolean(2), kind: row[3] ?? "", range: row[4] ?? "",
        description: row[5] ?? "", changedBy: row[6])
    }
  }
}

private func unknown(_ key: String, _ known: [Setting]) -> Failure {
  let hint = nearest(to: key, of: known.map(\.key)).map { "did you mean \($0)? " } ?? ""
  return Failure("there is no setting \"\(key)\"", mend: "\(hint)hactl config list shows them all")
}

private func list(_ arguments: Arguments, _ tool: Tool) throws {
  let all = try settings(tool)
  if arguments.has("--json") { return tool.print(all.map { json($0) + "\n" }.joined()) }
  let rows = all.map { setting in
    let value = setting.value.isEmpty ? "\"\"" : setting.value
    let by = setting.changedBy.map { " (set by \($0))" } ?? ""
    return [setting.key, value + (setting.isDefault ? "" : " *"), setting.range, setting.description + by]
  }
  tool.print(table([["KEY", "VALUE", "ALLOWED", "WHAT IT IS"]] + rows, indent: ""))
}

private func set(_ key: String, to value: String?, _ tool: Tool) throws {
  let all = try settings(tool)
  guard let old = all.first(where: { $0.key == key }) else { throw unknown(key, all) }
  try tool.withSession { session, deadline in
    _ = try session.query("SELECT ha.set_setting($1, $2, $3)", [key, value, tool.operatorName], deadline: deadline)
  }
  let now = try settings(tool)
  tool.print("\(key): \(old.value) → \(now.first { $0.key == key }?.value ?? "")")
  var warnings = shortKeeps(Dictionary(uniqueKeysWithValues: now.map { ($0.key, $0.value) }), changed: key)
  if key == "accept_past_days" || key.hasPrefix("keep_megabytes_") {
    warnings += try tool.withSession { session, deadline in
      try unmetBounds(of: key == "accept_past_days" ? nil : key, &session, deadline).map { "\($0.finding); \($0.mend)" }
    }
  }
  for warning in warnings { writeText("\(tool.style.yellow("hactl:")) \(warning)\n", to: 2) }
}

/// What `changed` has made ineffective: telemetry that is to be kept for less time than it is accepted for. Refusals and
/// history are not telemetry: they have no days that are still accepted.
func shortKeeps(_ values: [String: String], changed: String) -> [String] {
  guard let accepted = values["accept_past_days"].flatMap({ Int64($0) }) else { return [] }
  return values.keys.sorted().compactMap { key in
    guard key == changed || changed == "accept_past_days", key.hasPrefix("keep_days_"),
      key != "keep_days_refusals", key != "keep_days_history", let days = values[key].flatMap({ Int64($0) }),
      days < accepted
    else { return nil }
    return
      "\(key) = \(days) is less than accept_past_days = \(accepted): days that records are still accepted for stay, "
      + "so \(accepted) days are kept; to keep \(days), lower accept_past_days too"
  }
}
