// What the control thread lets others see of the node, put together when somebody asks.
internal import Election
internal import Platform
internal import Postgres

/// Written by the control thread, read by the operator's socket, HTTP and the page.
final class StatusBoard: Sendable {
  private struct Published {
    var status: Status
    var traffic = PeerTraffic()
    var transition: Transition?
    var transitionAt = BootInstant.now()
    var takeover: NodeStatus.Takeover?
    var database = DatabaseContact()
  }
  /// What the lease and watch sessions last met.
  private struct DatabaseContact {
    var answeredAt: BootInstant?
    var beatMilliseconds: Double?
    var error: String?
  }
  private let published: Guarded<Published>
  let configuration: NodeConfiguration
  private let sessions: DatabaseSessions
  let ingest: Ingest
  private let pulses: Pulses
  private let started = BootInstant.now()

  init(
    status: Status, configuration: NodeConfiguration, sessions: DatabaseSessions, ingest: Ingest, pulses: Pulses
  ) {
    published = Guarded(Published(status: status))
    self.configuration = configuration
    self.sessions = sessions
    self.ingest = ingest
    self.pulses = pulses
  }

  func publish(_ status: Status, traffic: PeerTraffic) {
    published.withLock {
      $0.status = status
      $0.traffic = traffic
    }
  }
  func note(_ transition: Transition) {
    let takeover: NodeStatus.Takeover? =
      transition.to == .active
      ? NodeStatus.Takeover(
        epoch: transition.term?.term.epoch ?? 0, node: sessions.node, at: rfc3339(wallMicroseconds: wallMicroseconds()),
        reason: transition.reason.description, phases: phaseTable(transition.phases)) : nil
    published.withLock {
      $0.transition = transition
      $0.transitionAt = .now()
      if let takeover { $0.takeover = takeover }
    }
  }
  /// The first commit after a takeover is its last phase.
  func noteFirstCommit(epoch: Int64, at: BootInstant) {
    published.withLock {
      guard var takeover = $0.takeover, takeover.epoch == epoch, let began = $0.transition?.began else { return }
      takeover.phases["firstCommit"] = at.milliseconds(since: BootInstant(began))
      $0.takeover = takeover
    }
  }

  /// Notes how PostgreSQL answered; other events are passed over.
  func note(_ event: Event, at now: BootInstant) {
    switch event {
    case .leaseAnswered(_, .beatAnswered(let sent, _)):
      published.withLock {
        $0.database = DatabaseContact(
          answeredAt: now, beatMilliseconds: now.milliseconds(since: BootInstant(sent)), error: nil)
      }
    case .watchAnswered(_, .read):
      published.withLock {
        $0.database.answeredAt = now
        $0.database.error = nil
      }
    case .leaseAnswered(_, .failed(let why, _)), .watchAnswered(_, .failed(let why)):
      published.withLock { $0.database.error = why }
    default: break  // not an answer of PostgreSQL
    }
  }

  /// The status as of now.
  func status() -> NodeStatus {
    let now = BootInstant.now()
    let seen = published.withLock { state in
      (state.status, state.traffic, state.transition, state.transitionAt, state.takeover, state.database)
    }
    let (status, traffic, transition, transitionAt, takeover, database) = seen
    var told = NodeStatus(
      cluster: sessions.cluster, node: sessions.node, incarnation: sessions.incarnation, version: standwatchVersion,
      pid: processIdentifier())
    told.guardPid = parentProcess()
    told.state = status.state.name
    told.reason = transition?.reason.description ?? ""
    told.stateMilliseconds = Int64(now.milliseconds(since: transitionAt))
    told.epoch = status.term?.term.epoch
    told.timeline = status.term?.timeline
    told.leaseLeftMilliseconds = status.leaseUntil.map { max(0, BootInstant($0).milliseconds(since: now)) }
    told.leader = status.leader?.node.text
    told.clusterEpoch = status.clusterTerm?.epoch
    told.listening = status.listening
    told.serviceAddresses = configuration.service.addresses.map {
      NodeStatus.Address(address: $0.address, interface: $0.interface, held: status.addressHeld)
    }
    told.database.reachable = status.databaseReachable
    told.database.lastAnswerMilliseconds = database.answeredAt.map { now.milliseconds(since: $0) }
    told.database.beatMilliseconds = database.beatMilliseconds
    told.database.error = database.error
    told.database.server = sessions.connection.description
    told.paused = status.paused ? NodeStatus.Pause(by: "", why: "") : nil
    told.noPromote = status.noPromote ? [sessions.node] : []
    told.successor = status.successor?.text
    told.faults = status.faults.map(\.description)
    told.peers = status.peers.enumerated().map { index, other in
      // What was dropped on a link is told once, not once a peer.
      peer(other, traffic, now, dropped: index == 0 ? traffic.dropped : [])
    }
    told.ingest = ingestStatus()
    told.tokens = ingest.tokens.status()
    told.lastTakeover = takeover
    told.process.residentKilobytes = residentKilobytes()
    told.process.uptimeSeconds = now.milliseconds(since: started) / 1000
    told.threads = Pulses.Thread.allCases.map {
      NodeStatus.Thread(name: "\($0)", lastTickMilliseconds: pulses.lateness(of: $0, at: now))
    }
    return told
  }

  private func peer(
    _ peer: Status.Peer, _ traffic: PeerTraffic, _ now: BootInstant, dropped: [[String: UInt64]]
  ) -> NodeStatus.Peer {
    var told = NodeStatus.Peer(node: peer.node.text)
    told.silent = peer.silent
    if let beat = peer.lastBeat {
      told.state = beat.state.name
      told.incarnation = beat.from.incarnation
      told.epoch = beat.term?.term.epoch
      told.databaseReachable = beat.databaseReachable
      told.addressHeld = beat.addressHeld
    }
    let addresses = configuration.peers.nodes.first { $0.node == peer.node.text }?.addresses ?? []
    let links = traffic.links[peer.node.text] ?? []
    told.links = zip(addresses, links).enumerated().map { number, pair in
      let (address, link) = pair
      var line = NodeStatus.Link(link: address.description)
      line.lastHeardMilliseconds = link.lastHeard.map { now.milliseconds(since: $0) }
      line.roundTripMilliseconds = link.roundTripMilliseconds
      line.received = link.received
      if number < dropped.count { line.dropped = dropped[number] }
      return line
    }
    return told
  }
}
