// The canary's token, where senders need one: made for one drill, known to this process alone, and revoked at its end.
internal import Node
internal import Postgres

func makeCanaryToken(_ source: String, _ configuration: NodeConfiguration, _ tool: Tool) throws -> SourceToken {
  try tool.withSession(configuration) { session, deadline in
    try makeToken(source, comment: "of one drill, revoked at its end", by: tool.operatorName, &session, deadline)
  }
}

/// What could not be done, for the report.
func revokeCanaryToken(_ id: Int64, _ configuration: NodeConfiguration, _ tool: Tool) -> [String] {
  do {
    try tool.withSession(configuration) { session, deadline in
      _ = try session.query(
        "SELECT source FROM auth.revoke_token($1, $2)", ["\(id)", tool.operatorName], deadline: deadline)
    }
    return []
  } catch {
    return ["the canary's token is still valid, though nobody has it; hactl token revoke \(id): \(error)"]
  }
}
