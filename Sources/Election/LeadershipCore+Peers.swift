// Beats between peers: what is heard, when a peer is silent, and what we say of ourselves.

extension LeadershipCore {
  func view(of node: ShortName) -> PeerView? { views.first { $0.node == node } }

  /// No beat on any link for `peerSilence`; time that we slept through does not count.
  func isSilent(_ view: PeerView, at now: Instant) -> Bool {
    now - max(view.lastHeard ?? awakeSince, awakeSince) >= settings.peerSilence
  }

  /// Whether that run of the node shows no life. A newer one proves that it is over.
  func isSilent(incarnation node: NodeIncarnation, at now: Instant) -> Bool {
    guard let view = view(of: node.node) else { return now - awakeSince >= settings.peerSilence }
    guard let beat = view.lastBeat, beat.from.incarnation > node.incarnation else { return isSilent(view, at: now) }
    return true
  }

  mutating func peerBeatHeard(_ beat: PeerBeat, roundTrip: Interval?, at now: Instant) {
    guard let index = views.firstIndex(where: { $0.node == beat.from.node }), beat.cluster == cluster else { return }
    var view = views[index]
    if let known = view.lastBeat, known.from.incarnation > beat.from.incarnation { return }
    view.lastHeard = now
    let link = Status.Link(link: beat.stamp.link, lastHeard: now, roundTrip: roundTrip)
    if let place = view.links.firstIndex(where: { $0.link == link.link }) {
      view.links[place] = link
    } else {
      view.links.append(link)
      view.links.sort { $0.link < $1.link }
    }
    let newer = view.lastBeat.map { ($0.from.incarnation, $0.counter) < (beat.from.incarnation, beat.counter) } ?? true
    if newer {
      view.lastBeat = beat
      if beat.state.leads { view.lastLeading = now }
      if beat.state == .degraded && beat.addressHeld { view.lastDegraded = now }
      let sound = beat.state == .standby && beat.databaseReachable
      view.soundSince = sound ? view.soundSince ?? now : nil
    }
    if view.linkWarned {
      view.linkWarned = false
      out.append(.warn(.peerLinkMended(view.node)))
    }
    views[index] = view
    if newer { obey(beat, at: now) }
  }

  /// A beat never makes a node adopt an epoch; but one that leads a higher term deposes.
  private mutating func obey(_ beat: PeerBeat, at now: Instant) {
    guard beat.state.leads, let theirs = beat.term, let mine = ledTerm, theirs.outranks(mine) else { return }
    switch role {
    case .reigning(let reign) where reign.step != .ruling: break
    case .reigning, .handingOver, .degraded:
      stepDown(.outranked(by: beat.from.node, theirs), keepSession: false, at: now)
    case .standby, .steppingDown, .stopped: break
    }
  }

  /// Warns of peers that beat in the database only.
  private mutating func warnOfBrokenLinks(at now: Instant) {
    for index in views.indices where !views[index].linkWarned && isSilent(views[index], at: now) {
      guard let window, window.holder.node.node == views[index].node, window.reads == 1,
        window.holderReads >= settings.judgeReads
      else { continue }
      views[index].linkWarned = true
      out.append(.warn(.peerLinkBroken(views[index].node)))
    }
  }

  // MARK: What we say

  func state(at now: Instant) -> NodeState {
    switch role {
    case .stopped: return .stopped
    case .standby:
      if isFaulty(at: now) { return .faulty }
      if address == .unknown || address == .releasing || reading == nil { return .starting }
      return excuse == nil ? .standby : .excused
    case .reigning: return ingest == .open && address == .held && isRuling ? .active : .promoting
    case .handingOver: return .draining
    case .steppingDown: return .steppingDown
    case .degraded: return .degraded
    }
  }

  private var isRuling: Bool {
    if case .reigning(let reign) = role { return reign.step == .ruling }
    return false
  }

  /// Records a change of state, and sends a beat when it is time or when what it says has changed.
  mutating func tell(at now: Instant) {
    warnOfBrokenLinks(at: now)
    let state = state(at: now)
    if state != published { record(state, at: now) }
    guard threadsTicking || state == .stopped else {
      if now >= nextPeerBeatAt { nextPeerBeatAt = now + settings.peerBeatInterval }
      return
    }
    var beat = PeerBeat(
      cluster: cluster, from: me, counter: lastSent?.counter ?? 0, term: ledTerm, state: state,
      databaseReachable: databaseReachable(at: now), addressHeld: address == .held, resigned: resigned)
    guard now >= nextPeerBeatAt || beat != lastSent else { return }
    peerCounter += 1
    beat.counter = peerCounter
    lastSent = beat
    nextPeerBeatAt = now + settings.peerBeatInterval
    out.append(.sendBeat(beat))
  }

  private mutating func record(_ state: NodeState, at now: Instant) {
    var transition = Transition(from: published, to: state, term: ledTerm, reason: why, began: now, at: now)
    switch state {
    case .active:
      if let takeover = lastTakeover, takeover.at == now { transition = takeover }
    case .standby:
      if published == .starting || published == .excused { transition.reason = .ready }
      if published == .faulty { transition.reason = .faultsOver }
    case .excused: if let excuse { transition.reason = .notAllowed(excuse) }
    case .faulty: if let fault = faults.first { transition.reason = .localFault(fault) }
    case .starting, .promoting, .draining, .steppingDown, .degraded, .stopped: break
    }
    published = state
    lastTransition = transition
    out.append(.record(transition))
  }
}
