// Poison in the intake: what is in hand is said before it is decoded, and what killed a worker twice is refused.
internal import Platform
internal import Telemetry

/// Which slot of the crash evidence a thread has.
enum EvidenceSlot: Equatable {
  case ingest, web, scrape
  case lane(Int)

  /// Lanes are at most 16.
  var number: Int {
    switch self {
    case .ingest: 0
    case .web: 1
    case .scrape: 2
    case .lane(let number): 3 + number
    }
  }
  init?(number: Int) {
    switch number {
    case 0: self = .ingest
    case 1: self = .web
    case 2: self = .scrape
    case 3..<CrashEvidence.slots: self = .lane(number - 3)
    default: return nil
    }
  }
}

/// Without evidence (in tests, or when the guard has none) nothing is held and nothing quarantined.
func enterEvidence(_ evidence: CrashEvidence?, _ slot: EvidenceSlot) {
  do { try evidence?.enter(slot: slot.number) } catch {
    log(.warning, "a crash of this thread would leave no evidence", ["reason": "\(error)"])
  }
}
extension Intake {

  /// Who is to be held responsible for what the connection sends next.
  func sender(_ connection: ClientConnection) -> Sender {
    switch connection.wire {
    case .native: Sender(protocolName: "native", source: connection.source ?? connection.peer)
    case .syslogTCP: Sender(protocolName: "syslog", source: connection.peer)
    case .delivery(let wire): Sender(protocolName: wire.rawValue, source: connection.peer)
    }
  }
  /// A connection began, or said who it is, or what is known has changed: false when it was refused.
  func judge(_ connection: ClientConnection) -> Bool {
    let sender = sender(connection)
    connection.inHand = sender.inHand(address: connection.peer)
    switch quarantine.verdict(sender, address: connection.peer) {
    case .free: connection.isIsolated = false
    case .isolated: connection.isIsolated = true
    case .wait:
      refuse(connection, Quarantine.waitReason)
      return false
    case .refused(let id):
      refuse(connection, Quarantine.reason(id))
      return false
    }
    return true
  }
  func judgeAll() {
    for connection in Array(connections.values) where connection.closeAt == nil { _ = judge(connection) }
  }
  private func refuse(_ connection: ClientConnection, _ reason: String) {
    counters.quarantined += 1
    switch connection.wire {
    case .native: perform(connection, connection.native.refused(reason: reason))
    case .delivery: perform(connection, [DeliveryAction.close(reason: reason)])
    case .syslogTCP:
      count(reason, in: &counters.refusedByReason)
      close(connection, resetting: true)
    }
  }

  /// Decodes lines of the native protocol with the connection in hand; of a suspect, one line.
  func decodeInHand(
    _ connection: ClientConnection, _ front: LaneFront, rowLimit: Int, byteLimit: Int
  ) -> Decoded {
    // It may be a hello, with a token in it, and evidence is for more eyes than tokens are. Nor can it be set aside: a
    // record without hello can when the session knows that it is one.
    let isFresh = connection.native.state == .fresh
    let line =
      connection.isIsolated && !isFresh ? front.native.nextLine(&connection.lines, connection.native.cursor) : nil
    if let line, let id = quarantine.quarantine.item(sender(connection), line) {
      counters.quarantined += 1
      let isDone = front.native.setAside(
        &connection.lines, &connection.native.cursor, into: &front.filling.batch, reason: Quarantine.reason(id))
      return isDone ? .full : .windowFull
    }
    if isFresh {
      holdInHand(connection.inHand)
      trap?.trip(connection.lines.unread)
    } else if let line {
      holdInHand(connection.inHand, line.span, isExact: true)
      trap?.trip(line)
    } else {
      connection.lines.withUnread { bytes in holdInHand(connection.inHand, bytes, isExact: false) }
      if let trap { trap.trip(connection.lines.unread) }
    }
    front.native.decodesOneLine = connection.isIsolated
    let decoded = front.native.decode(
      &connection.lines, &connection.native.cursor, into: &front.filling.batch, rowLimit: rowLimit,
      byteLimit: byteLimit)
    letGo()
    withExtendedLifetime(line) {}
    return decoded
  }

  /// Whether a datagram of this address may be decoded; it is in hand then.
  func mayDecodeDatagram(from host: String, size: Int) -> Bool {
    let sender = Sender(protocolName: "syslog", source: host)
    switch quarantine.verdict(sender, address: host) {
    case .free, .isolated: break
    case .wait, .refused:
      counters.quarantined += 1
      shed.add("syslog", host, "quarantined", messages: 1, bytes: size)
      counters.shedMessages += 1
      counters.shedBytes += size
      return false
    }
    holdInHand(sender.inHand(address: host), scratch.span.extracting(0..<size), isExact: true)
    trap?.trip(Array(scratch[..<size]))
    return true
  }
}
