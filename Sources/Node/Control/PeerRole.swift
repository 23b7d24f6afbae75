// The thread of the UDP beats: signs and sends ours on every link, verifies and judges those of the others.
internal import Election
internal import Platform
internal import TLS

/// What is known of the beats, for status and metrics.
struct PeerTraffic: Sendable {
  struct Link: Sendable {
    var lastHeard: BootInstant?
    var roundTripMilliseconds: Double?
    var received: UInt64 = 0
  }
  /// By peer, then by link.
  var links: [String: [Link]] = [:]
  /// Datagrams dropped, by link and reason. Most cannot be told a sender.
  var dropped: [[String: UInt64]] = []
}

/// Owns the sockets of all links. One datagram is one beat: its bytes and their HMAC-SHA256.
final class PeerRole: Sendable {
  private let orders: Mailbox<PeerBeat>
  private let sockets: DescriptorList
  private let peers: [NodeConfiguration.Peer]
  private let keys: BeatKeys
  private let gate: BeatGate
  private let pulses: Pulses
  private let report: @Sendable (Event) -> Void
  private let counted: Guarded<PeerTraffic>

  init(
    configuration: NodeConfiguration, cluster: ShortName, me: ShortName, keys: BeatKeys, pulses: Pulses,
    report: @escaping @Sendable (Event) -> Void
  ) throws(SystemError) {
    orders = try Mailbox(capacity: 64)
    sockets = DescriptorList()
    for address in configuration.peers.listen {
      sockets.append(try bindDatagram(address, receiveBuffer: 1 << 18, freeBind: true))
    }
    peers = configuration.peers.nodes
    self.keys = keys
    gate = BeatGate(
      cluster: cluster, me: me, peers: peers.compactMap { ShortName($0.node) }, links: configuration.peers.listen.count)
    self.pulses = pulses
    self.report = report
    var traffic = PeerTraffic()
    traffic.dropped = configuration.peers.listen.map { _ in [:] }
    for peer in peers {
      traffic.links[peer.node] = Array(repeating: PeerTraffic.Link(), count: configuration.peers.listen.count)
    }
    counted = Guarded(traffic)
  }

  var traffic: PeerTraffic { counted.withLock { $0 } }
  /// A beat that finds the thread behind is dropped: the next one is newer.
  func send(_ beat: PeerBeat) { orders.post(beat) }
  func shutDown() { orders.close() }

  func run() {
    var gate = gate
    var buffer = [UInt8](repeating: 0, count: 512)
    while !orders.isClosed {
      let deadline = BootInstant.after(milliseconds: 500)
      pulses.waits(.peers, until: deadline)
      let ready = wait([orders.descriptor] + sockets.raw, for: .read, until: deadline)
      pulses.ticked(.peers)
      // Read here, so that no beat is judged by keys that were given up before it came.
      let keys = keys.current
      // Own beats first: a flood on a link must not silence us.
      for beat in orders.takeAll() { transmit(beat, gate, keys) }
      for (link, socket) in sockets.raw.enumerated() where ready.count > link + 1 && !ready[link + 1].isEmpty {
        receiveSome(socket, UInt8(truncatingIfNeeded: link), keys, &gate, &buffer)
      }
    }
  }

  private func transmit(_ beat: PeerBeat, _ gate: BeatGate, _ keys: [[UInt8]]) {
    guard let key = keys.first else { return }
    for peer in peers {
      guard let name = ShortName(peer.node) else { continue }
      for (link, address) in peer.addresses.enumerated() {
        var stamped = beat
        stamped.stamp = gate.stamp(to: name, link: UInt8(truncatingIfNeeded: link), at: .bootNow())
        let bytes = stamped.encoded()
        sendDatagram(sockets.raw[link], bytes + authenticationCode(key: key, bytes), to: address)
      }
    }
  }

  /// At most 64 datagrams a link and round, so that no link starves the others or our own beats.
  private func receiveSome(
    _ socket: Int32, _ link: UInt8, _ keys: [[UInt8]], _ gate: inout BeatGate, _ buffer: inout [UInt8]
  ) {
    for _ in 0..<64 {
      guard let (size, _) = receiveDatagram(socket, into: &buffer) else { return }
      let now = Instant.bootNow()
      guard size == PeerBeat.encodedSize + authenticationCodeLength else {
        drop("wrong-size", link)
        continue
      }
      let bytes = Array(buffer[..<PeerBeat.encodedSize])
      guard verifies(Array(buffer[PeerBeat.encodedSize..<size]), keys: keys, bytes) else {
        drop("not-authentic", link)
        continue
      }
      do {
        try judge(PeerBeat(decoding: bytes), link, &gate, now)
      } catch {
        drop("malformed", link)
      }
    }
  }

  private func judge(_ beat: PeerBeat, _ link: UInt8, _ gate: inout BeatGate, _ now: Instant) {
    switch gate.admit(beat, at: now) {
    case .refused(let reason): drop(reason.rawValue, link)
    case .admitted(let roundTrip):
      counted.withLock { traffic in
        guard var known = traffic.links[beat.from.node.text]?[Int(beat.stamp.link)] else { return }
        known.lastHeard = BootInstant(now)
        known.received &+= 1
        if let roundTrip { known.roundTripMilliseconds = roundTrip.millisecondsValue }
        traffic.links[beat.from.node.text]?[Int(beat.stamp.link)] = known
      }
      report(.peerBeat(beat, roundTrip: roundTrip))
    }
  }
  private func drop(_ reason: String, _ link: UInt8) {
    counted.withLock { $0.dropped[Int(link)][reason, default: 0] &+= 1 }
  }
}
