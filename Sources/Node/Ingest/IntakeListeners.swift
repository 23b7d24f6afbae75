// Listening and accepting: listeners exist only while active, and every count of connections has its bound.
internal import Platform
internal import TLS
internal import Telemetry

/// An open listener or UDP socket of the intake.
final class Listener {
  enum Kind: Equatable {
    case native, syslogTCP, syslogUDP
    /// Clients of the Forward protocol may ask over UDP, on the port of the TCP listener, whether we live.
    case forwardHeartbeat
    case delivery(DeliveryWire)
  }
  let kind: Kind
  let descriptor: Descriptor
  let address: SocketAddress
  let tls: TLSMode
  /// Datagrams that the kernel dropped, as last counted.
  var droppedByKernel: UInt32 = 0
  /// Not read: the lanes have no room.
  var isPaused = false
  init(_ kind: Kind, _ address: SocketAddress, _ descriptor: consuming Descriptor, tls: TLSMode = .off) {
    (self.kind, self.address, self.tls) = (kind, address, tls)
    self.descriptor = descriptor
  }
}

extension Intake {
  func openListeners() throws(SystemError) {
    let tls = configuration.listen.tls
    connectionLimit = connectionShare(openFileLimit(), settings.reservedDescriptors).ingest(
      configuration.ingest.maxConnections)
    for address in configuration.listen.native {
      listeners.append(
        Listener(.native, address, try listenStream(address, freeBind: true), tls: tls?.native ?? .off))
    }
    for address in configuration.listen.syslogTCP {
      listeners.append(
        Listener(.syslogTCP, address, try listenStream(address, freeBind: true), tls: tls?.syslogTCP ?? .off))
    }
    for address in configuration.listen.syslogTLS {
      listeners.append(Listener(.syslogTCP, address, try listenStream(address, freeBind: true), tls: .required))
    }
    for address in configuration.listen.syslogUDP {
      let socket = try bindDatagram(
        address, receiveBuffer: settings.datagramBufferBytes, freeBind: true)
      listeners.append(Listener(.syslogUDP, address, socket))
    }
    for wire in DeliveryWire.allCases {
      for address in wire.addresses(configuration.listen) {
        listeners.append(
          Listener(
            .delivery(wire), address, try listenStream(address, freeBind: true),
            tls: tls.map { wire.mode($0) } ?? .off))
      }
    }
    for address in configuration.listen.forward {
      listeners.append(Listener(.forwardHeartbeat, address, try bindDatagram(address, freeBind: true)))
    }
    for (index, listener) in listeners.enumerated() {
      try poller.add(listener.descriptor.raw, token: UInt64(index) + 1)
    }
  }
  func closeListeners() {
    for listener in listeners where listener.kind == .syslogUDP { countKernelDrops(listener) }
    for listener in listeners { poller.remove(listener.descriptor.raw) }
    listeners = []
  }

  func listenerReady(_ index: Int) {
    guard index < listeners.count else { return }
    let listener = listeners[index]
    switch listener.kind {
    case .native: acceptAll(listener, .native)
    case .syslogTCP: acceptAll(listener, .syslogTCP)
    case .delivery(let wire): acceptAll(listener, .delivery(wire))
    case .syslogUDP: receiveDatagrams(listener)
    case .forwardHeartbeat: answerHeartbeats(listener)
    }
  }

  /// One byte for each datagram: never more than what came, so that nobody can be flooded through us.
  private func answerHeartbeats(_ listener: Listener) {
    for _ in 0..<settings.datagramsPerTurn {
      guard let (size, from) = receiveDatagram(listener.descriptor.raw, into: &scratch) else { return }
      // A heartbeat that the kernel doesn't take is one that is lost: the client asks again.
      if size > 0 { _ = sendDatagram(listener.descriptor.raw, [0], to: from) }
    }
  }

  private func acceptAll(_ listener: Listener, _ wire: WireProtocol) {
    if takesSyslog == nil, wire != .native || configuration.ingest.allowAnonymous { return pause(listener) }
    // A bound for each turn; the rest is there in the next one.
    for _ in 0..<64 {
      do {
        guard let accepted = try acceptStream(listener.descriptor.raw) else { return }
        admit(Descriptor(owning: accepted.descriptor), accepted.peer, wire, listener.tls)
      } catch {
        if error.meansNoDescriptors { turnAwayWithoutDescriptor(listener) }
        warnAboutAccept("\(error)")
        return
      }
    }
  }

  private func admit(
    _ descriptor: consuming Descriptor, _ peer: SocketAddress, _ wire: WireProtocol, _ tls: TLSMode
  ) {
    let host = peer.host
    let ofHost = perAddress[host] ?? 0
    guard let activation, connections.count < connectionLimit, ofHost < configuration.ingest.maxConnectionsPerAddress
    else {
      counters.connections.refused += 1
      if ofHost >= configuration.ingest.maxConnectionsPerAddress {
        count("too many connections of one address", in: &counters.refusedByReason)
      } else {
        count("too many connections", in: &counters.refusedByReason)
      }
      resetOnClose(descriptor.raw)
      warnAboutAccept("too many connections (\(connections.count), of \(host) \(ofHost))")
      return
    }
    guard takes(wire, host) else { return resetOnClose(descriptor.raw) }
    setKeepalive(descriptor.raw, idle: 15, interval: 5, count: 3)
    setUserTimeout(descriptor.raw, milliseconds: 30_000)
    let token = nextToken
    nextToken += 1
    let raw = descriptor.raw
    let connection = ClientConnection(
      token: token, descriptor: descriptor, wire: wire, peer: host, lane: lane(of: host),
      limits: limits(activation), deliveryLimits: settings.deliveryLimits,
      security: wire == .delivery(.forward) ? forwardSecurity() : nil)
    do {
      try poller.add(raw, token: token)
    } catch {
      warnAboutAccept("\(error)")
      return
    }
    connections[token] = connection
    perAddress[host] = ofHost + 1
    guard judge(connection) else { return }
    switch tls {
    case .off: beginTalking(connection)
    case .optional, .required: connection.opening = .undecided(isRequired: tls == .required)
    }
  }
  private func forwardSecurity() -> ForwardSecurity? {
    configuration.listen.forwardSharedKey.map { key in
      var generator = SystemRandomNumberGenerator()
      let random = (0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) }
      return ForwardSecurity(key: key, server: "standwatch-\(node)", random: random, sha512: sha512)
    }
  }

  /// No descriptor is left: with the reserved one the client is at least told at once.
  private func turnAwayWithoutDescriptor(_ listener: Listener) {
    reserve = nil
    // The client may be gone, or others may have taken the descriptor meanwhile: then the next turn tries again.
    if let accepted = try? acceptStream(listener.descriptor.raw) {
      resetOnClose(accepted.descriptor)
      _ = Descriptor(owning: accepted.descriptor)
      counters.connections.refused += 1
    }
    reserve = spareDescriptor(like: mailbox.descriptor)
  }
  private func warnAboutAccept(_ reason: String) {
    let now = BootInstant.now()
    guard now.milliseconds(since: lastAcceptWarning) > 10_000 else { return }
    lastAcceptWarning = now
    log(.warning, "connection refused", ["reason": reason])
  }

  func close(_ connection: ClientConnection, resetting: Bool) {
    guard connections.removeValue(forKey: connection.token) != nil else { return }
    connection.native.ended()
    connection.isClosed = true
    poller.remove(connection.descriptor.raw)
    forgetOpening(connection)
    if resetting { resetOnClose(connection.descriptor.raw) } else { connection.tls?.sayGoodbye() }
    recount(connection)
    let left = (perAddress[connection.peer] ?? 1) - 1
    perAddress[connection.peer] = left > 0 ? left : nil
    if let stream = connection.registered, streams[stream] == connection.token { streams[stream] = nil }
    if let source = connection.source, let budget = connection.budget {
      budget.connections -= 1
      if budget.connections == 0 { sources[source] = nil }
    }
  }
}
