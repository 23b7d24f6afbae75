// What `hactl status` and `hactl doctor` say about tokens: who was refused lately, and whether anybody may send.
internal import Node

extension NodeStatus.Tokens {
  /// A refusal that is older is history.
  static let recentMilliseconds: Double = 600_000

  /// One trouble for each reason, with the sender that was refused last; nil ones are old.
  var troubles: [Trouble] {
    var found: [Trouble] = []
    let recent = lately.filter { $0.agoMilliseconds < Self.recentMilliseconds }
    for reason in Set(recent.map(\.reason)).sorted() {
      let ofReason = recent.filter { $0.reason == reason }.sorted { $0.agoMilliseconds < $1.agoMilliseconds }
      guard let last = ofReason.first else { continue }
      let others = ofReason.count > 1 ? " and \(ofReason.count - 1) more" : ""
      found.append(
        Trouble(
          bad: false,
          problem: "\(singleLine(last.source)) (\(last.wire), from \(last.address), "
            + "\(milliseconds(last.agoMilliseconds)) ago)\(others) refused: \(reason)",
          mend: last.mend))
    }
    if readMilliseconds.map({ $0 > 5000 }) ?? true {
      found.append(
        Trouble(
          bad: required,
          problem: "the node can't read the tokens from PostgreSQL"
            + (required ? ", and admits nobody" : ""),
          mend: "journalctl -u standwatchd has the reason; hactl migrate, if the schema is older than this release"))
    }
    return found
  }
}

func checkTokens(_ status: NodeStatus, _ checkup: inout Checkup) {
  let tokens = status.tokens
  for trouble in tokens.troubles { checkup.warn(trouble.problem, trouble.mend) }
  let count = "\(tokens.valid) valid token\(tokens.valid == 1 ? "" : "s")"
  if tokens.required {
    let open = tokens.open.isEmpty ? "" : "; without one by \(tokens.open.joined(separator: ", "))"
    checkup.fine("senders need a token (\(count))\(open)")
  } else {
    checkup.note(
      "whoever reaches the ports may send: no token is required (\(count))",
      "hactl token add SOURCE for each sender, then hactl config set require_tokens on")
  }
}
