// `hactl token`: who may send under which name. The token itself is shown once, by `add`; PostgreSQL has its hash.
internal import Node
internal import Platform
internal import Postgres

let tokenSpec = CommandSpec(
  name: "token", usage: "[list | add SOURCE [--comment TEXT] | revoke ID] [--json]",
  summary: "tokens of sources: make, list and revoke them",
  details: """
    add prints the token, once, to standard output: put it into a file of the sender. SOURCE is the name that the sender
    sends under; with * at the end ("mes-07/*") every name that begins so. revoke closes the connections of a token on
    all nodes at once. Whether senders need a token is a setting: hactl config set require_tokens on.
    """,
  options: [
    OptionSpec(names: ["--comment"], value: "TEXT", help: "what the token is for, shown by list"),
    OptionSpec(names: ["--json", "-j"], value: nil, help: "one line of JSON a token"),
  ], maximumOperands: 2, operands: ["list", "add", "revoke"])

private struct ListedToken: Codable {
  var id: Int64
  var source: String
  var comment: String
  var createdAt: String
  var createdBy: String
  var changedAt: String
  var revokedAt: String?
  var revokedBy: String?
}
private struct MadeToken: Codable {
  var id: Int64
  var source: String
  var token: String
}
private struct RevokedToken: Codable {
  var id: Int64
  var source: String
  var wasRevoked: Bool
}

func token(_ arguments: Arguments, _ tool: Tool) throws -> Int32 {
  let words = arguments.operands
  if arguments.has("--comment"), words.first != "add" { throw UsageError(description: "--comment goes with add") }
  switch (words.first ?? "list", words.count) {
  case ("list", 0...1): try list(arguments, tool)
  case ("add", 2): try add(words[1], arguments, tool)
  case ("revoke", 2): try revoke(words[1], arguments, tool)
  default: throw UsageError(description: "token takes: list, add SOURCE, or revoke ID")
  }
  return ExitCode.done
}

/// Nil when it can be the source of a token; otherwise what is wrong with it.
func flaw(ofTokenSource source: String) -> String? {
  if source.isEmpty || source.utf8.count > 200 { return "a source has 1 to 200 bytes" }
  if source.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f }) { return "a source has no control characters" }
  if source.dropLast().contains("*") { return "a * stands at the end, for all names that begin so" }
  return nil
}

/// Makes a token and stores its hash; what is answered is shown to nobody else.
func makeToken(_ source: String, comment: String, by: String, _ session: inout Connection, _ deadline: BootInstant)
  throws(PostgresError) -> SourceToken
{
  let secret = SourceToken.newSecret()
  let outcome = try session.query(
    "SELECT auth.add_token($1, $2, $3, $4)", [source, hexText(SourceToken.hash(secret)), by, comment],
    deadline: deadline)
  guard let id = outcome.scalar.flatMap({ Int64($0) }) else { throw PostgresError(.misuse, "add_token gave no id") }
  return SourceToken(id: id, secret: secret)
}

private func add(_ source: String, _ arguments: Arguments, _ tool: Tool) throws {
  if let flaw = flaw(ofTokenSource: source) { throw UsageError(description: "\"\(source)\": \(flaw)") }
  let made = try tool.withSession { session, deadline in
    try makeToken(
      source, comment: arguments["--comment"] ?? "", by: tool.operatorName, &session, deadline)
  }
  if arguments.has("--json") { return tool.print(json(MadeToken(id: made.id, source: source, token: made.text))) }
  tool.print(made.text)
  writeText("token \(made.id) for \(source); it is not shown again\n", to: 2)
}

private func revoke(_ word: String, _ arguments: Arguments, _ tool: Tool) throws {
  guard let id = Int64(word) else {
    throw UsageError(description: "revoke takes the number of a token, as hactl token list shows it, not \"\(word)\"")
  }
  let row = try tool.withSession { session, deadline in
    try session.query(
      "SELECT source, was_revoked FROM auth.revoke_token($1, $2)", ["\(id)", tool.operatorName], deadline: deadline
    ).rows.first.map(TextRow.init)
  }
  guard let row else { throw Failure("there is no token \(id)", mend: "hactl token list shows them") }
  let revoked = RevokedToken(id: id, source: row[0] ?? "", wasRevoked: row.boolean(1))
  if arguments.has("--json") { return tool.print(json(revoked)) }
  tool.print("token \(id) of \(revoked.source) \(revoked.wasRevoked ? "was revoked before" : "is revoked")")
}

private func list(_ arguments: Arguments, _ tool: Tool) throws {
  let all = try tool.withSession { session, deadline in
    try session.run(
      """
      SELECT t.id, t.source, t.comment, to_char(t.created_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), t.created_by, \
      to_char(t.changed_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), to_char(t.revoked_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), \
      t.revoked_by FROM auth.token AS t ORDER BY t.revoked_at IS NOT NULL, t.source, t.id
      """, deadline: deadline
    ).rows.map(TextRow.init).map { row in
      ListedToken(
        id: row.integer(0) ?? 0, source: row[1] ?? "", comment: row[2] ?? "", createdAt: row[3] ?? "",
        createdBy: row[4] ?? "", changedAt: row[5] ?? "", revokedAt: row[6], revokedBy: row[7])
    }
  }
  if arguments.has("--json") { return tool.print(all.map { json($0) + "\n" }.joined()) }
  if all.isEmpty { return tool.print("there are no tokens; hactl token add SOURCE makes one") }
  let rows = all.map { token in
    [
      "\(token.id)", token.source, "\(token.createdAt) by \(token.createdBy)",
      token.revokedAt.map { "revoked \($0) by \(token.revokedBy ?? "?")" } ?? "valid", token.comment,
    ]
  }
  tool.print(table([["ID", "SOURCE", "MADE", "STATE", "COMMENT"]] + rows, indent: ""))
}
