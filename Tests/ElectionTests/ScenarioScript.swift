// The language of the scenario files: blocks of directives, a line of dashes, and what the node then did.
//
//   start node=a peers=b [failback=b]     a core, freshly started; the peers beat as sound standbys
//   run MS | sleep MS                     time passes; with `sleep` the node does not run meanwhile
//   show KIND                             show commands that are hidden otherwise: read, beat, renew
//   answer KIND=WORD[@MS] ...             how commands of a kind are answered from now on; `once-WORD` for the next
//   database KEY=VALUE ...                epoch, token, timeline, holder, leader, counter, paused, no-promote,
//                                         successor, clean
//   peer NODE KEY=VALUE ...               state, epoch, timeline, token, reachable, address, resigned, speaks,
//                                         incarnation; one beat is sent at once when it speaks
//   event NAME [VALUE]                    address-lost, session-lost, lane-fenced, fault, fault-over, stalled, ticking
//   switchover [NODE] | stop              commands of the operator

import Election

struct ScenarioScript {
  private var node: ScriptedNode?
  /// Answers that were scripted before the start.
  private var early: [(String, String)] = []

  /// Carries out one block and gives what the node did.
  mutating func play(_ block: [String]) throws -> [String] {
    for line in block { try play(line) }
    return node?.takeLines() ?? []
  }

  private mutating func play(_ line: String) throws {
    var words = line.split(separator: " ").map(String.init)[...]
    guard let verb = words.popFirst() else { return }
    if verb == "start" { return try start(pairs(words)) }
    if verb == "answer", node == nil { return early += try pairs(words) }
    guard var node else { throw ScenarioFault.badLine(line) }
    switch verb {
    case "run": node.run(try number(words.first, line))
    case "sleep": node.sleep(try number(words.first, line))
    case "show": node.show(words.first ?? "")
    case "answer":
      try answers(&node, pairs(words))
    case "database": try database(&node, pairs(words), line)
    case "peer":
      let name = try name(words.popFirst() ?? "")
      try peer(&node, name, pairs(words), line)
    case "event": try event(&node, words.first ?? "", words.dropFirst().first ?? "", line)
    case "switchover": node.command(.switchover(to: try words.first.map { try name($0) }))
    case "stop": node.command(.stop)
    default: throw ScenarioFault.badLine(line)
    }
    self.node = node
  }

  private mutating func start(_ pairs: [(String, String)]) throws {
    var me = "a"
    var peers: [ShortName] = []
    var settings = Settings()
    for (key, value) in pairs {
      switch key {
      case "node": me = value
      case "peers": peers = try value.split(separator: ",").map { try name(String($0)) }
      case "failback": settings.failbackTo = try name(value)
      default: throw ScenarioFault.badLine(key)
      }
    }
    var fresh = try ScriptedNode(node: name(me), peers: peers, settings: settings)
    try answers(&fresh, early)
    early = []
    fresh.deliver(.ticked)
    node = fresh
  }

  private func answers(_ node: inout ScriptedNode, _ pairs: [(String, String)]) throws {
    for (kind, text) in pairs {
      let parts = text.split(separator: "@").map(String.init)
      var script = ScriptedNode.Script(word: parts.first ?? "ok")
      if parts.count > 1 { script.delay = try number(parts[1], text) }
      node.script(kind, script)
    }
  }

  private func database(_ node: inout ScriptedNode, _ pairs: [(String, String)], _ line: String) throws {
    for (key, value) in pairs {
      switch key {
      case "epoch":
        let epoch = try number(value, line)
        node.reading.cluster.term = Term(epoch: epoch, token: epoch * 10)
      case "token": node.reading.cluster.term.token = try number(value, line)
      case "timeline": node.reading.cluster.timeline = UInt32(truncatingIfNeeded: try number(value, line))
      case "holder": node.reading.holder = try incarnation(value, node).map { LockHolder(node: $0, backend: 50) }
      case "backend": node.reading.holder?.backend = Int32(truncatingIfNeeded: try number(value, line))
      case "leader": node.reading.leader = try incarnation(value, node)
      case "counter": node.counterMoves = value == "moves"
      case "paused": node.reading.cluster.paused = value == "yes"
      case "no-promote": node.reading.cluster.noPromote = value == "yes"
      case "successor": node.reading.cluster.successor = value == "nobody" ? nil : try name(value)
      case "clean": node.reading.cluster.cleanRelease = value == "yes" ? node.reading.cluster.term : nil
      default: throw ScenarioFault.badLine(line)
      }
    }
  }

  private func incarnation(_ text: String, _ node: ScriptedNode) throws -> NodeIncarnation? {
    if text == "nobody" { return nil }
    let name = try name(text)
    return name == node.core.me.node ? node.core.me : NodeIncarnation(node: name, incarnation: 3)
  }

  private func peer(_ node: inout ScriptedNode, _ name: ShortName, _ pairs: [(String, String)], _ line: String) throws {
    var speaks = true
    for (key, value) in pairs {
      let yes = value == "yes"
      let count = Int64(value) ?? 0
      var known = true
      node.changePeer(name) { peer in
        switch key {
        case "state": peer.beat.state = NodeState.allCases.first { "\($0)" == value } ?? .standby
        case "epoch": peer.beat.term = TimelineTerm(timeline: 1, term: Term(epoch: count, token: count * 10))
        case "token": peer.beat.term?.term.token = count
        case "timeline": peer.beat.term?.timeline = UInt32(truncatingIfNeeded: count)
        case "reachable": peer.beat.databaseReachable = yes
        case "address": peer.beat.addressHeld = yes
        case "resigned": peer.beat.resigned = yes
        case "incarnation": peer.beat.from.incarnation = count
        case "speaks": (peer.speaks, speaks) = (yes, yes)
        default: known = false
        }
      }
      guard known else { throw ScenarioFault.badLine(line) }
    }
    if speaks { node.speak(name) }
  }

  private func event(_ node: inout ScriptedNode, _ what: String, _ value: String, _ line: String) throws {
    switch what {
    case "address-lost": node.deliver(.addressLost)
    case "session-lost": node.loseSession()
    case "lane-fenced": node.deliver(.laneFenced(node.reading.cluster.term))
    case "fault": node.deliver(.faultBegan(.carrierLost(interface: value)))
    case "fault-over": node.deliver(.faultEnded(.carrierLost(interface: value)))
    case "stalled": node.deliver(.criticalThreads(ticking: false))
    case "ticking": node.deliver(.criticalThreads(ticking: true))
    default: throw ScenarioFault.badLine(line)
    }
  }

  // MARK: Words

  private func pairs(_ words: ArraySlice<String>) throws -> [(String, String)] {
    try words.map { word in
      let parts = word.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2 else { throw ScenarioFault.badLine(word) }
      return (parts[0], parts[1])
    }
  }
  private func number(_ text: String?, _ line: String) throws -> Int64 {
    guard let text, let number = Int64(text) else { throw ScenarioFault.badLine(line) }
    return number
  }
  private func name(_ text: String) throws -> ShortName {
    guard let name = ShortName(text) else { throw ScenarioFault.badName(text) }
    return name
  }
}
