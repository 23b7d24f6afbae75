// The beginning of a connection: which of TLS and plain text is spoken, and the handshake, before anything is decoded.
//
// After it everything goes the same way as in plain text. Handshakes are bounded in number, in time and in what one
// turn spends on them: somebody who begins them and never ends them costs others nothing but a short wait.
internal import Platform
internal import TLS
internal import Telemetry

enum Opening: Equatable {
  /// Nothing has come yet.
  case undecided(isRequired: Bool)
  /// TLS, and as many handshakes are under way as may be.
  case queued
  case handshaking(since: BootInstant)
  case done
}

/// What the intake keeps for TLS.
struct HandshakeDesk {
  /// Nil when no listener speaks it.
  var credentials: RenewedCredentials?
  var underWay = 0
  /// Connections that wait for their handshake, in order.
  var queue: [UInt64] = []
  /// Connections with decrypted bytes that nobody has decoded.
  var noted: [UInt64] = []
  /// Left in this turn.
  var steps = 0
  var lastTrouble: TLSFileError?

  init(_ tls: NodeConfiguration.TLS?) {
    credentials = tls.map { RenewedCredentials($0.files, credentials: $0.credentials) }
  }
}

extension Intake {
  /// Goes on with a connection that is not open yet.
  func open(_ connection: ClientConnection) {
    if case .undecided(let isRequired) = connection.opening {
      let (transfer, byte) = peekByte(connection.descriptor.raw)
      switch transfer {
      case .wouldBlock: return
      case .closed, .failed: return close(connection, resetting: false)
      case .done where byte == firstByteOfTLS: beginHandshake(connection)
      case .done where isRequired: return refusePlain(connection)
      case .done:
        beginTalking(connection)
        if !connection.isClosed { serve(connection) }
      }
    }
    if case .handshaking = connection.opening { handshake(connection) }
  }

  private func beginHandshake(_ connection: ClientConnection) {
    guard handshakes.underWay < settings.handshakes else {
      connection.opening = .queued
      handshakes.queue.append(connection.token)
      return adjust(connection)
    }
    let now = BootInstant.now()
    do {
      guard let credentials = try handshakes.credentials?.current(now) else {
        return refuseOpening(connection, "TLS: not configured")
      }
      tellOfTrouble()
      connection.tls = .server(connection.descriptor.raw, credentials)
      connection.opening = .handshaking(since: now)
      handshakes.underWay += 1
    } catch {
      refuseOpening(connection, "TLS: \(error)")
    }
  }
  /// Files that were renewed and can't be used, once.
  private func tellOfTrouble() {
    let trouble = handshakes.credentials?.trouble
    guard trouble != handshakes.lastTrouble else { return }
    handshakes.lastTrouble = trouble
    if let trouble {
      log(
        .warning, "renewed TLS files are not used, the old ones stay",
        [
          "reason": "\(trouble)",
          "mend": "certificate and key have to fit; the node's user has to be able to read them",
        ])
    } else {
      log(.notice, "renewed TLS files are used")
    }
  }

  private func handshake(_ connection: ClientConnection) {
    // The others of this turn are told of again in the next.
    guard handshakes.steps > 0, let progress = connection.tls?.handshake() else { return }
    handshakes.steps -= 1
    switch progress {
    case .wouldBlock: adjust(connection)
    case .failed(let failure):
      countTLS(failure)
      leave(connection)
    case .done:
      if let name = connection.tls?.peerCertificate?.name {
        log(.debug, "client shows a certificate", ["peer": connection.peer, "name": name])
      }
      beginTalking(connection)
      if !connection.isClosed { serve(connection) }
    }
  }
  /// What is spoken is settled: the server's first words, where it has some.
  func beginTalking(_ connection: ClientConnection) {
    forgetOpening(connection)
    if let actions = connection.delivering?.opened(), !actions.isEmpty { perform(connection, actions) }
    if !connection.isClosed { adjust(connection) }
  }

  // MARK: its end

  /// Not a beginning any more, however it went; whoever waits has its turn.
  func forgetOpening(_ connection: ClientConnection) {
    if case .handshaking = connection.opening { handshakes.underWay -= 1 }
    connection.opening = .done
  }
  /// Begins handshakes that wait, as far as there is room.
  private func admitQueued() {
    while handshakes.underWay < settings.handshakes, !handshakes.queue.isEmpty {
      guard let connection = connections[handshakes.queue.removeFirst()], connection.opening == .queued else {
        continue
      }
      beginHandshake(connection)
      if case .handshaking = connection.opening { handshake(connection) }
      if !connection.isClosed { adjust(connection) }
    }
  }

  private func refusePlain(_ connection: ClientConnection) {
    let reason = "TLS is required here"
    forgetOpening(connection)
    if connection.wire == .native { return perform(connection, connection.native.refused(reason: reason)) }
    refuseOpening(connection, reason)
  }
  /// Closes it without a word.
  func refuseOpening(_ connection: ClientConnection, _ reason: String) {
    if isServing { count(reason, in: &counters.refusedByReason) }
    leave(connection)
  }
  /// Our last words, if there are any, reach the client before the end does.
  private func leave(_ connection: ClientConnection) {
    forgetOpening(connection)
    connection.closeAt = .after(milliseconds: settings.farewellMilliseconds)
    adjust(connection)
  }
  /// Not who only went away: many do so without the session's end.
  func countTLS(_ failure: TLSFailure) {
    guard isServing, failure != .cutOff else { return }
    count("TLS: \(failure.sentence(about: "the client"))", in: &counters.refusedByReason)
  }

  func isOpeningTooLong(_ connection: ClientConnection, _ now: BootInstant) -> Bool {
    let (since, limit): (BootInstant, Int64)
    switch connection.opening {
    case .done, .undecided(isRequired: false): return false
    case .undecided(isRequired: true), .queued:
      (since, limit) = (connection.openedAt, settings.handshakeMilliseconds)
    case .handshaking(let began):
      // While others wait: whose next bytes have not come. Who waits for us, among all agents after a takeover, stays.
      let isInTheWay =
        !handshakes.queue.isEmpty && now.milliseconds(since: began) > Double(settings.handshakePatienceMilliseconds)
        && peekByte(connection.descriptor.raw).transfer == .wouldBlock
      if isInTheWay { return true }
      (since, limit) = (began, settings.handshakeMilliseconds)
    }
    return now.milliseconds(since: since) > Double(limit)
  }
  /// The node stops: who is not heard yet comes again elsewhere.
  func closeOpening() {
    for connection in Array(connections.values) where connection.opening != .done {
      close(connection, resetting: true)
    }
    handshakes.queue = []
  }

  // MARK: what epoll does not know

  /// What a connection waits for that is not open yet, or that is encrypted.
  func wantedByTLS(_ connection: ClientConnection, _ wanted: Ready) -> Ready {
    switch connection.opening {
    case .undecided: return .read
    case .queued: return []
    case .handshaking: return connection.tls?.wantsWrite == true ? .write : .read
    case .done: break
    }
    guard wanted.contains(.read), connection.closeAt == nil else { return wanted }
    if let pending = connection.tls?.pending, pending > 0, !connection.isNoted {
      connection.isNoted = true
      handshakes.noted.append(connection.token)
    }
    return connection.tls?.wantsWrite == true ? [.read, .write] : wanted
  }
  /// Serves those who have decrypted bytes left from their last turn, and begins a new turn of handshakes.
  func serveNoted() {
    handshakes.steps = settings.handshakesPerTurn
    let noted = handshakes.noted
    handshakes.noted = []
    for token in noted {
      guard let connection = connections[token] else { continue }
      connection.isNoted = false
      serve(connection)
    }
    admitQueued()
  }
}
