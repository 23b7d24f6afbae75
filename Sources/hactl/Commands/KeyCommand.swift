// `hactl key`: which keys the nodes' beats bear, and their rotation without a gap.
//
// Run on every node, it goes through three steps, each when all nodes have done the one before:
//   1. FILE.next   holds the new key, which is accepted, while the old one signs
//   2. FILE        is the new key, which signs; FILE.previous, the old one, is still accepted
//   3. FILE.previous is removed
// The files alone say what a node does, so it can be killed, and this command too, at any moment.
internal import Node
internal import Platform
internal import Postgres

let keySpec = CommandSpec(
  name: "key", usage: "[show | rotate [--by-hand] [--timeout SECONDS]] [--json]",
  summary: "keys of the nodes' beats: show and rotate them",
  details: """
    rotate makes a new key beside the old one and waits for the other nodes: run it on every node, at the same time or
    one after the other. Each goes on where the rotation stands, and ends when the old key is gone everywhere. The new
    key goes through PostgreSQL, encrypted under the present one: whoever has the present key can read it. When that
    was stolen use --by-hand on every node, and copy the new file from the first node to the others as it says.
    """,
  options: [
    OptionSpec(names: ["--by-hand"], value: nil, help: "the new key is copied by hand, and not through PostgreSQL"),
    OptionSpec(names: ["--timeout"], value: "SECONDS", help: "give up waiting after so long (600); 0: one look"),
    OptionSpec(names: ["--json", "-j"], value: nil, help: "show: one line of JSON a node"),
  ], maximumOperands: 1, operands: ["show", "rotate"])

func key(_ arguments: Arguments, _ tool: Tool) throws -> Int32 {
  let timeout = try arguments.integer("--timeout", in: 0...86_400) ?? 600
  switch arguments.operands.first ?? "show" {
  case "show":
    try show(arguments, tool)
    return ExitCode.done
  case "rotate": return try rotate(arguments, tool, timeout: timeout)
  default: throw UsageError(description: "key takes: show, or rotate")
  }
}

private struct ShownKeys: Codable {
  var node: String
  var signs: String?
  var accepts: [String]
  var reportedAgoMilliseconds: Int64?
}

private func show(_ arguments: Arguments, _ tool: Tool) throws {
  let configuration = try tool.configuration()
  let nodes = clusterNodes(configuration)
  let situation = try tool.withSession(configuration) { session, deadline in
    try readRotation(&session, deadline)
  }
  let known = Set(nodes).union(situation.nodes.keys).sorted()
  if arguments.has("--json") {
    for node in known {
      let seen = situation.nodes[node]
      tool.print(
        json(
          ShownKeys(
            node: node, signs: seen?.signs, accepts: seen?.accepts ?? [], reportedAgoMilliseconds: seen?.agoMilliseconds
          )))
    }
    return
  }
  let rows = known.map { node -> [String] in
    guard let seen = situation.nodes[node] else { return [node, "?", "never reported", ""] }
    let others = seen.accepts.filter { $0 != seen.signs }
    return [node, seen.signs, others.joined(separator: " "), "\(milliseconds(Double(seen.agoMilliseconds))) ago"]
  }
  tool.print(table([["NODE", "SIGNS", "ACCEPTS BESIDES", "REPORTED"]] + rows, indent: ""))
  if let rotation = situation.rotation {
    tool.print(
      "a rotation is under way since \(rotation.beganAt), begun by \(rotation.beganBy): "
        + "\(rotation.present) → \(rotation.next). Go on with hactl key rotate on every node")
  }
}

private func clusterNodes(_ configuration: NodeConfiguration) -> [String] {
  ([configuration.node] + configuration.peers.nodes.map(\.node)).sorted()
}

// MARK: the rotation

private func readRotation(
  _ session: inout Connection, _ deadline: BootInstant
) throws(PostgresError) -> KeySituation {
  var situation = KeySituation()
  let rotation = try session.run(
    """
    SELECT r.present, r.next, pg_catalog.encode(r.wrapped, 'hex'), \
    to_char(r.began_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'), r.began_by FROM ha.key_rotation AS r
    """, deadline: deadline
  ).rows.first.map(TextRow.init)
  situation.rotation = rotation.map { row in
    KeySituation.Rotation(
      present: row[0] ?? "", next: row[1] ?? "", wrapped: row[2].flatMap { bytes(hexadecimal: $0.utf8) },
      beganAt: row[3] ?? "", beganBy: row[4] ?? "")
  }
  let rows = try session.run(
    """
    SELECT k.node, k.signs, pg_catalog.array_to_string(k.accepts, ' '), \
    (extract(epoch FROM pg_catalog.clock_timestamp() - k.reported_at) * 1000)::bigint FROM ha.node_key AS k \
    JOIN ha.node AS n ON n.node = k.node AND n.incarnation = k.incarnation
    """, deadline: deadline
  ).rows.map(TextRow.init)
  for row in rows {
    situation.nodes[row[0] ?? ""] = KeySituation.Node(
      signs: row[1] ?? "", accepts: (row[2] ?? "").split(separator: " ").map(String.init),
      agoMilliseconds: row.integer(3) ?? .max)
  }
  return situation
}

private func rotate(_ arguments: Arguments, _ tool: Tool, timeout: Int) throws -> Int32 {
  let configuration = try tool.configuration()
  guard let file = configuration.peers.keyFiles.first, configuration.peers.keyFiles.count == 1 else {
    throw Failure(
      "peers.keyFiles names two files: keys are being changed by hand",
      mend: "end that first: one file on every node, then restart them one after the other")
  }
  let lock: Descriptor?
  do throws(SystemError) { lock = try lockFile(file + ".lock") } catch {
    throw Failure("\(file).lock: \(errorText(error.code))", mend: "run this as root", code: ExitCode.permission)
  }
  guard lock != nil else { throw Failure("another hactl key rotate runs on this host", mend: "let it end") }
  let end = BootInstant.after(milliseconds: Int64(timeout) * 1000)
  let nodes = clusterNodes(configuration)
  var told = ""
  var hasBegun = false
  while true {
    let step = try tool.withSession(configuration) { session, deadline -> KeyStep in
      let files = try KeyFileState.read(file)
      var situation = try readRotation(&session, deadline)
      situation.cluster = configuration.cluster
      let step = nextKeyStep(
        files, situation, nodes: nodes, own: configuration.node, file: file, isByHand: arguments.has("--by-hand"),
        hasBegun: hasBegun)
      try carryOut(step, files, file, configuration, arguments.has("--by-hand"), tool, &session, deadline)
      return step
    }
    hasBegun = true
    switch step {
    case .done:
      tool.print("the key is rotated: every node signs with the new one and accepts no other")
      return ExitCode.done
    case .fail(let problem, let mend): throw Failure(problem, mend: mend)
    case .wait(let why):
      if why != told { tool.print(why) }
      told = why
      if BootInstant.now() >= end {
        throw Failure("the rotation is not finished", mend: "go on with the same command, on every node")
      }
      sleep(until: .after(milliseconds: 500))
    case .begin, .join, .offer, .sign, .drop, .end: tool.print(step.description)
    }
  }
}

private func carryOut(
  _ step: KeyStep, _ files: KeyFileState, _ file: String, _ configuration: NodeConfiguration,
  _ isByHand: Bool, _ tool: Tool, _ session: inout Connection, _ deadline: BootInstant
) throws {
  do {
    switch step {
    case .wait, .fail, .done: break
    case .begin: try writeKey(randomBytes(32), BeatKeyFiles.next(file), like: file)
    case .join(let new): try writeKey(new, BeatKeyFiles.next(file), like: file)
    case .offer:
      guard let next = files.next else { return }
      let wrapped = isByHand ? nil : wrapBeatKey(next, under: files.key, cluster: configuration.cluster)
      // Where another node was first, the next look finds its key.
      _ = try session.query(
        "SELECT ha.offer_key($1, $2, $3, $4)",
        [beatKeyFingerprint(files.key), beatKeyFingerprint(next), wrapped.map(hexText), tool.operatorName],
        deadline: deadline)
    case .sign:
      try linkFile(file, to: BeatKeyFiles.previous(file))
      try moveFile(BeatKeyFiles.next(file), to: file)
    case .drop: try removeSecretFile(BeatKeyFiles.previous(file))
    case .end:
      _ = try session.query(
        "SELECT ha.end_key_rotation($1, $2)", [beatKeyFingerprint(files.key), tool.operatorName], deadline: deadline)
    }
  } catch let error as SystemError {
    throw Failure(
      "\(error.call): \(errorText(error.code))", mend: "run this as root, and look at the folder of \(file)")
  }
}

private func writeKey(_ key: [UInt8], _ path: String, like file: String) throws(SystemError) {
  try writeSecretFile(path, Array((hexText(key) + "\n").utf8), like: try fileStatus(file))
}
