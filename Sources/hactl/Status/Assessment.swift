// What is wrong with the cluster, worst first, each with what to do about it: pure, so that every case has a test.
internal import Node

/// All that was found out for one `hactl status`.
struct Situation: Codable, Equatable, Sendable {
  /// Of the configuration; nil when there is none.
  var cluster: String?
  var host: String?
  var own: NodeStatus?
  /// Why the node on this host did not answer.
  var ownError: String?
  var view: ClusterView?
  /// Why PostgreSQL did not answer this tool.
  var databaseError: String?
}

/// One thing that is wrong. `bad`: nobody serves, or data is at risk; otherwise service goes on without a net.
struct Trouble: Codable, Equatable, Sendable {
  var bad: Bool
  var problem: String
  var mend: String
}

/// One node, from the best source there is.
struct NodeLine: Codable, Equatable, Sendable {
  var node: String
  var isOwn = false
  var state: String
  var epoch: Int64?
  var databaseReachable: Bool?
  var addressHeld: Bool?
  /// Since it was heard of: by beat, or in the database.
  var heardMilliseconds: Double?
  /// `socket`, `beat` or `database`.
  var source: String
  var noPromote = false
  /// Whether what is shown can be believed to be so still.
  var isFresh = true
}

extension Situation {
  /// The node on this host first.
  func nodeLines() -> [NodeLine] {
    var lines: [NodeLine] = []
    let excluded = Set((view?.excluded.map(\.node) ?? []) + (own?.noPromote ?? []))
    if let own {
      var line = NodeLine(node: own.node, isOwn: true, state: own.state, epoch: own.epoch, source: "socket")
      line.databaseReachable = own.database.reachable
      line.addressHeld = own.serviceAddresses.isEmpty ? nil : own.serviceAddresses.allSatisfy(\.held)
      lines.append(line)
      for peer in own.peers where !peer.silent {
        var line = NodeLine(node: peer.node, state: peer.state, epoch: peer.epoch, source: "beat")
        line.databaseReachable = peer.databaseReachable
        line.addressHeld = peer.addressHeld
        line.heardMilliseconds = peer.links.compactMap(\.lastHeardMilliseconds).min()
        lines.append(line)
      }
    }
    for row in view?.nodes ?? [] where !lines.contains(where: { $0.node == row.node }) {
      var line = NodeLine(node: row.node, state: row.presentState, source: "database")
      line.heardMilliseconds = Double(row.beatAgeMilliseconds)
      line.isFresh = row.isAlive
      lines.append(line)
    }
    for peer in own?.peers ?? [] where !lines.contains(where: { $0.node == peer.node }) {
      var line = NodeLine(node: peer.node, state: "unknown", source: "beat")
      line.heardMilliseconds = peer.links.compactMap(\.lastHeardMilliseconds).min()
      line.isFresh = false
      lines.append(line)
    }
    for index in lines.indices { lines[index].noPromote = excluded.contains(lines[index].node) }
    return lines.sorted { ($0.isOwn ? 0 : 1, $0.node) < ($1.isOwn ? 0 : 1, $1.node) }
  }

  /// The node that serves, as far as can be told.
  var active: NodeLine? { nodeLines().first { $0.isFresh && $0.state == "active" } }

  /// Worst first.
  func troubles() -> [Trouble] {
    var found: [Trouble] = []
    func bad(_ problem: String, _ mend: String) { found.append(Trouble(bad: true, problem: problem, mend: mend)) }
    func warn(_ problem: String, _ mend: String) { found.append(Trouble(bad: false, problem: problem, mend: mend)) }
    let lines = nodeLines()

    if let ownError {
      warn(
        "the node on this host does not answer: \(ownError)", "systemctl status standwatchd; journalctl -u standwatchd")
    }
    addDatabase(bad, warn)
    if active == nil, let reason = reasonForNoActive(lines) { bad(reason.problem, reason.mend) }
    let fresh = lines.filter { $0.isFresh && $0.state == "active" }
    if fresh.count > 1 {
      warn(
        "\(fresh.map(\.node).joined(separator: " and ")) both say that they are active",
        "only one of them can write; look again in two seconds, then at hactl history")
    }
    let isPaused = view?.pause != nil || own?.paused != nil
    if let active, !isPaused { addStandbys(lines, active, warn) }
    if let pause = view?.pause ?? own?.paused.map({ ClusterView.Pause(by: $0.by, why: $0.why, at: "") }), active != nil
    {
      let why = pause.why.isEmpty ? "" : " (\(pause.why))"
      warn(
        "promotions are paused\(pause.by.isEmpty ? "" : " by \(pause.by)")\(why): nobody would take over",
        "hactl resume")
    }
    if let own { addOwn(own, bad, warn) }
    if let count = view?.quarantined, count > 0 {
      warn(
        "\(count) in quarantine: a worker crashed twice with it in hand, its sender is refused",
        "hactl quarantine; report the bug, upgrade, then hactl quarantine release ID")
    }
    return found.filter(\.bad) + found.filter { !$0.bad }
  }

  private func addDatabase(_ bad: (String, String) -> Void, _ warn: (String, String) -> Void) {
    let nodeHasIt = own?.database.reachable
    if let databaseError, nodeHasIt != true {
      bad(
        "PostgreSQL is not reachable: \(databaseError)",
        "nothing can be written or elected, senders keep their records; bring PostgreSQL back first")
    } else if let databaseError {
      warn(
        "this tool can't reach PostgreSQL, though the node can: \(databaseError)",
        "run hactl as root or as the node's user, or give --connection")
    } else if nodeHasIt == false {
      bad(
        "the node on this host can't reach PostgreSQL, though this tool can",
        "hactl doctor; look at the node's log for the reason")
    }
  }

  private func reasonForNoActive(_ lines: [NodeLine]) -> (problem: String, mend: String)? {
    if own == nil, view == nil { return ("nothing is known of the cluster", "run hactl where a node runs") }
    if let busy = lines.first(where: { $0.isFresh && ["promoting", "draining"].contains($0.state) }) {
      return ("nobody serves at this moment: \(busy.node) is \(busy.state)", "look again in two seconds")
    }
    if let degraded = lines.first(where: { $0.isFresh && $0.state == "degraded" }) {
      return (
        "nobody serves: \(degraded.node) holds the address, but PostgreSQL is away",
        "bring PostgreSQL back; the node goes on by itself"
      )
    }
    // Said already, and the cause of this.
    if databaseError != nil, own?.database.reachable != true { return nil }
    if let pause = view?.pause {
      return ("nobody serves, and promotions are paused by \(pause.by)", "hactl resume")
    }
    let able = lines.filter { $0.isFresh && $0.state == "standby" && !$0.noPromote }
    if able.isEmpty {
      return (
        "nobody serves, and no node is able to: "
          + (lines.isEmpty
            ? "none is running"
            : lines.map { "\($0.node) is \($0.isFresh ? $0.state : "silent")" }.joined(separator: ", ")),
        "start the nodes (systemctl start standwatchd), then hactl doctor on each"
      )
    }
    if let holder = view?.lockHolder, holder == "?" {
      return ("nobody serves: a session that is no node's holds the leader's lock", "hactl doctor names it")
    }
    return ("nobody serves, though \(able.map(\.node).joined(separator: ", ")) could", "hactl history; hactl doctor")
  }

  private func addStandbys(_ lines: [NodeLine], _ active: NodeLine, _ warn: (String, String) -> Void) {
    let others = lines.filter { $0.node != active.node }
    if others.contains(where: { $0.isFresh && $0.state == "standby" && !$0.noPromote }) { return }
    let why =
      others.isEmpty
      ? "no other node is known"
      : others.map { line in
        line.noPromote ? "\(line.node) is set to no-promote" : "\(line.node) is \(line.isFresh ? line.state : "silent")"
      }.joined(separator: ", ")
    let excluded = others.first { $0.noPromote && $0.isFresh }
    warn(
      "nobody could take over from \(active.node): \(why)",
      excluded.map { "hactl no-promote \($0.node) --off" } ?? "start the other node, or look at its log")
  }

  private func addOwn(_ own: NodeStatus, _ bad: (String, String) -> Void, _ warn: (String, String) -> Void) {
    for address in own.serviceAddresses where own.isActive && !address.held {
      bad("the active node does not hold \(address.address)", "hactl switchover, then hactl doctor here")
    }
    for fault in own.faults {
      warn("\(own.node) is unfit to lead: \(fault)", "mend that; the node comes back by itself")
    }
    for thread in own.threads where thread.lastTickMilliseconds > thread.limitMilliseconds {
      bad(
        "thread \(thread.name) of \(own.node) has shown no life for \(milliseconds(thread.lastTickMilliseconds))",
        "the guard restarts a worker that hangs; if not: systemctl restart standwatchd")
    }
    for peer in own.peers {
      let dead = peer.links.filter { ($0.lastHeardMilliseconds ?? .infinity) > 1000 }
      if dead.isEmpty { continue }
      let names = dead.map(\.link).joined(separator: ", ")
      if dead.count < peer.links.count {
        warn("no beats from \(peer.node) by \(names)", "look at that link; the others still carry")
      } else if let row = view?.nodes.first(where: { $0.node == peer.node }), row.isAlive,
        row.state != "stopped"
      {
        warn(
          "\(peer.node) lives, but no beat of it arrives (\(names))",
          "a broken link, a firewall on UDP, or different keys: hactl doctor")
      }
    }
    if own.isActive || own.tokens.readMilliseconds.map({ $0 > 5000 }) ?? false, own.database.reachable {
      for trouble in own.tokens.troubles {
        trouble.bad ? bad(trouble.problem, trouble.mend) : warn(trouble.problem, trouble.mend)
      }
    }
    if let down = own.scrapesDown { warn(down.problem, down.mend) }
    if own.ingest.bufferLimitBytes > 0, own.ingest.bufferedBytes > own.ingest.bufferLimitBytes / 5 * 4 {
      warn("the intake is full: PostgreSQL is slower than the senders", "look at PostgreSQL's disk and locks")
    }
  }
}

extension NodeStatus {
  /// Targets that the active node can't scrape; nil where all answer, and on a node that does not scrape.
  var scrapesDown: Trouble? {
    let down = isActive ? ingest.scrape.filter { $0.isUp == false }.map(\.url) : []
    guard let first = down.first else { return nil }
    let names = down.prefix(3).joined(separator: ", ") + (down.count > 3 ? " and \(down.count - 3) more" : "")
    return Trouble(
      bad: false,
      problem:
        "\(down.count) of \(ingest.scrape.count) scrape target\(ingest.scrape.count == 1 ? "" : "s") down: \(names)",
      mend: "curl -sS '\(first)' on \(node); journalctl -u standwatchd -g 'scrape target' has each reason")
  }
}
