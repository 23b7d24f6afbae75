// Beats between peers: what is heard, when a peer is silent, and what we say of ourselves.

extension LeadershipCore {
  func view(of node: ShortName) -> PeerView? { place(of: node).map { views[$0] } }
  /// For who needs a part of the view only: a copy of all of it costs, and this is asked with every event.
  @inline(__always)
  func place(of node: ShortName) -> Int? { views.firstIndex { $0.node == node } }

  /// No beat on any link for `peerSilence`; time that we slept through does not count.
  func isSilent(_ view: PeerView, at now: Instant) -> Bool { isSilent(lastHeard: view.lastHeard, at: now) }
  @inline(__always)
  private func isSilent(lastHeard: Instant?, at now: Instant) -> Bool {
    now - max(lastHeard ?? awakeSince, awakeSince) >= settings.peerSilence
  }

  /// Whether that run of the node shows no life. A newer one proves that it is over.
  @inline(__always)
  func isSilent(incarnation node: NodeIncarnation, at now: Instant) -> Bool {
    guard let place = place(of: node.node) else { return now - awakeSince >= settings.peerSilence }
    if let known = views[place].lastBeat?.from.incarnation, known > node.incarnation { return true }
    return isSilent(lastHeard: views[place].lastHeard, at: now)
  }

  mutating func peerBeatHeard(_ beat: PeerBeat, roundTrip: Interval?, at now: Instant) {
    guard let index = place(of: beat.from.node), beat.cluster == cluster else { return }
    let known = views[index].lastBeat
    if let known, known.from.incarnation > beat.from.incarnation { return }
    views[index].lastHeard = now
    views[index].heard(on: Status.Link(link: beat.stamp.link, lastHeard: now, roundTrip: roundTrip))
    let newer = known.map { ($0.from.incarnation, $0.counter) < (beat.from.incarnation, beat.counter) } ?? true
    if newer { views[index].take(beat, at: now) }
    if views[index].linkWarned {
      views[index].linkWarned = false
      out.append(.warn(.peerLinkMended(beat.from.node)))
    }
    if newer { obey(beat, at: now) }
  }

  /// A beat never makes a node adopt an epoch; but one that leads a higher term deposes.
  private mutating func obey(_ beat: PeerBeat, at now: Instant) {
    guard beat.state.leads, let theirs = beat.term, let mine = ledTerm, theirs.outranks(mine) else { return }
    switch role {
    case .reigning(let reign) where reign.step != .ruling: break
    case .reigning, .handingOver, .degraded:
      if settings.flaws.contains(.epochFromBeat) {
        ledTerm = theirs
        return
      }
      stepDown(.outranked(by: beat.from.node, theirs), keepSession: false, at: now)
    case .standby, .steppingDown, .stopped: break
    }
  }

  /// Warns of peers that beat in the database only.
  private mutating func warnOfBrokenLinks(at now: Instant) {
    for index in views.indices where !views[index].linkWarned && isSilent(lastHeard: views[index].lastHeard, at: now) {
      guard let window, window.holder.node.node == views[index].node, window.reads == 1,
        window.holderReads >= settings.judgeReads
      else { continue }
      views[index].linkWarned = true
      out.append(.warn(.peerLinkBroken(views[index].node)))
    }
  }

  // MARK: What we say

  @inline(__always)
  func state(at now: Instant) -> NodeState {
    switch role {
    case .stopped: return .stopped
    case .standby:
      if isFaulty(at: now) { return .faulty }
      if address == .unknown || address == .releasing || !hasRead { return .starting }
      return isExcused ? .excused : .standby
    case .reigning: return ingest == .open && address == .held && reignStep == .ruling ? .active : .promoting
    case .handingOver: return .draining
    case .steppingDown: return .steppingDown
    case .degraded: return .degraded
    }
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

// In place: a copy of a view would copy its links with every beat.
extension PeerView {
  fileprivate mutating func heard(on link: Status.Link) {
    if let place = links.firstIndex(where: { $0.link == link.link }) {
      links[place] = link
    } else {
      links.append(link)
      links.sort { $0.link < $1.link }
    }
  }

  fileprivate mutating func take(_ beat: PeerBeat, at now: Instant) {
    lastBeat = beat
    if beat.state.leads { lastLeading = now }
    if beat.state == .degraded && beat.addressHeld { lastDegraded = now }
    let sound = beat.state == .standby && beat.databaseReachable
    soundSince = sound ? soundSince ?? now : nil
  }
}
