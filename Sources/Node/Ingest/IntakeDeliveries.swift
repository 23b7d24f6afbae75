// Deliveries: taken or refused, put into the batches of their source's lane, answered when all of it has committed.
internal import Platform
internal import Telemetry

extension Intake {
  /// Takes a delivery that came over `kind` (of listener or route); `origin` hears of its end, exactly once.
  func submit(_ delivery: Delivery, kind: String, from origin: DeliveryOrigin) {
    if let outcome = refusal(delivery) { return tell(origin, outcome) }
    switch quarantine.verdict(Sender(protocolName: kind, source: delivery.source), address: "") {
    case .free, .isolated: break
    case .wait, .refused:
      counters.quarantined += 1
      return tell(origin, .unavailable(retryAfterSeconds: 30))
    }
    let key = delivery.key.map { DeliveryDesk.key(kind: kind, source: delivery.source, $0) }
    if let key, let other = desk.find(key) { return join(other, delivery, origin) }
    let bytes = delivery.heldBytes
    switch room(for: delivery, bytes) {
    case .free: break
    case .sourceFull:
      counters.deliveries.turnedAway += 1
      return tell(origin, .overShare(retryAfterSeconds: 1))
    case .full:
      counters.deliveries.turnedAway += 1
      return tell(origin, .unavailable(retryAfterSeconds: 1))
    }
    let front = fronts[lane(of: delivery.source)]
    let taken = desk.take(
      delivery, kind: kind, key: key, lane: front.handle.number, bytes: bytes, from: origin)
    counters.deliveries.taken += 1
    front.deliveries.append(taken.number)
    fill(front)
    dispatch(front, .now())
  }
  func room(for delivery: Delivery, _ bytes: Int) -> DeliveryDesk.Room {
    desk.room(
      bytes, of: delivery.source, total: bufferLimit / 2, perSource: configuration.ingest.perSourceBytes,
      count: settings.deliveriesUnderWay)
  }

  /// What can be said at once; nil when it has to be stored.
  private func refusal(_ delivery: Delivery) -> DeliveryOutcome? {
    guard isServing else { return .unavailable(retryAfterSeconds: 1) }
    let limits = settings.deliveryLimits
    if let key = delivery.key, key.isEmpty || key.count > 200 {
      return .refused(reason: "the key has to have 1 to 200 bytes")
    }
    if !Delivery.isSource(delivery.source) { return .refused(reason: Delivery.badSource) }
    if delivery.count > limits.records { return .refused(reason: "more than \(limits.records) records at once") }
    return delivery.count == 0 ? .stored(isDuplicate: false, rejects: []) : nil
  }
  /// The same delivery is under way already, from an earlier attempt or another connection.
  private func join(_ other: OpenDelivery, _ delivery: Delivery, _ origin: DeliveryOrigin) {
    if other.digest != delivery.digest { return tell(origin, .refused(reason: Delivery.keyConflict)) }
    // Its source is part of the key: all of them are one sender's.
    guard other.origins.count < 64 else { return tell(origin, .overShare(retryAfterSeconds: 1)) }
    other.origins.append(origin)
  }
  // MARK: into batches

  /// Puts as much of the lane's deliveries into its batch as fits; half of it while connections wait for room, too.
  func fill(_ front: LaneFront) {
    guard window != nil else { return }
    let (rowLimit, byteLimit) =
      front.held.isEmpty ? (batchRows, batchBytes) : (max(1, batchRows / 2), batchBytes / 2)
    while let number = front.deliveries.first {
      guard let open = desk.open[number], let delivery = open.delivery else {
        front.deliveries.removeFirst()
        continue
      }
      guard front.hasRoom(rowLimit, byteLimit), front.filling.batch.mayContinue(number) else { return }
      let (rows, bytes) = (front.filling.batch.rowCount, front.filling.batch.byteCount)
      let first = open.encoded
      holdInHand(Sender(protocolName: open.kind, source: open.source).inHand(address: ""))
      open.encoded = front.encoder.add(
        delivery, from: first, into: &front.filling.batch, rowLimit: rowLimit, byteLimit: byteLimit,
        rejects: &open.rejects)
      letGo()
      var part = DeliveryPart(
        delivery: number, key: open.key, digest: open.digest, source: open.source, firstIndex: first,
        rows: rows..<front.filling.batch.rowCount)
      part.kind = open.kind
      front.filling.batch.note(part)
      account(front, nil, rows, bytes, isNumbered: true)
      if open.encoded == open.count {
        open.delivery = nil
        front.deliveries.removeFirst()
      }
    }
  }

  // MARK: their end

  /// A work of the current epoch has committed.
  func deliveriesCommitted(_ work: LaneWork) {
    for (delivery, reject) in work.deliveryPoison {
      desk.open[delivery]?.rejects.append(reject)
      count(reject.reason, in: &counters.rejectedByReason)
    }
    for delivery in work.duplicates { desk.open[delivery]?.isDuplicate = true }
    for delivery in work.conflicts { desk.open[delivery]?.isConflict = true }
    for part in work.batch.parts {
      guard let open = desk.open[part.delivery] else { continue }
      open.committed += part.rows.count
      if open.committed == open.count { finish(open) }
    }
    retryParked()
  }
  private func finish(_ open: OpenDelivery) {
    guard desk.close(open.number) != nil else { return }
    if open.isConflict { return tellAll(open, .refused(reason: Delivery.keyConflict)) }
    if open.isDuplicate { counters.deliveries.repeated += 1 } else { counters.deliveries.stored += 1 }
    counters.deliveries.repeated += open.origins.count - 1
    counters.acknowledged += open.count
    counters.rejected += open.rejects.count
    for reject in open.rejects { count(reject.reason, in: &counters.rejectedByReason) }
    let rejects = open.rejects.sorted { $0.index < $1.index }
    for (index, origin) in open.origins.enumerated() {
      tell(origin, .stored(isDuplicate: open.isDuplicate || index > 0, rejects: rejects))
    }
  }
  /// Rows of these deliveries are lost, or never will be written: their senders keep them.
  func deliveriesLost(_ parts: [DeliveryPart], retryAfterSeconds: Int = 1) {
    for part in parts {
      if let open = desk.close(part.delivery) { tellAll(open, .unavailable(retryAfterSeconds: retryAfterSeconds)) }
    }
  }
  /// The node stops serving: nothing on its way will be acknowledged.
  func abandonDeliveries() {
    // What waits for room is lost with its connection: the room that others leave must not bring it in now.
    for token in desk.parked {
      guard let connection = connections[token] else { continue }
      connection.underWay -= connection.parked.count
      connection.parked = []
      connection.isParked = false
    }
    desk.parked = []
    for number in Array(desk.open.keys) {
      if let open = desk.close(number) { tellAll(open, .unavailable(retryAfterSeconds: 1)) }
    }
    for front in fronts { front.deliveries = [] }
  }
  private func tellAll(_ open: OpenDelivery, _ outcome: DeliveryOutcome) {
    for origin in open.origins { tell(origin, outcome) }
  }

  private func tell(_ origin: DeliveryOrigin, _ outcome: DeliveryOutcome) {
    switch outcome {
    case .stored: break
    case .unavailable, .overShare: counters.deliveries.unavailable += 1
    case .refused(let reason):
      counters.deliveries.refused += 1
      count(reason, in: &counters.refusedByReason)
    }
    switch origin {
    case .connection(let token, let number):
      guard let connection = connections[token], var session = connection.delivering else { return }
      connection.delivering = nil
      connection.underWay -= 1
      // It may decode what waited for this.
      holdInHand(connection.inHand)
      let actions = session.delivered(number, outcome, now: now2000())
      letGo()
      connection.delivering = session
      perform(connection, actions)
      // What waited for the answer may be a part of a message, whose time begins now.
      connection.notePartial(before: 0, read: 0, .now())
      finishIfEnded(connection)
    case .web(let ticket):
      // Its capacity is the number of tickets: it is never full.
      ticket.reply.post(WebReply(number: ticket.number, outcome: outcome, epoch: activation?.epoch))
    }
  }

  // MARK: sessions over TCP

  /// Gives a session what came, or the end of it.
  func received(_ connection: ClientConnection, _ bytes: [UInt8]?) {
    guard var session = connection.delivering else { return }
    // Held once: a second holder would make each byte that comes a copy of all that has come.
    connection.delivering = nil
    let now = now2000()
    let held = bytes ?? []
    holdInHand(connection.inHand, held.span, isExact: false)
    trap?.trip(held)
    let actions = bytes.map { session.received($0, now: now) } ?? session.ended(now: now)
    letGo()
    withExtendedLifetime(held) {}
    connection.delivering = session
    perform(connection, actions)
  }

  /// Does what a session asks for. What finds no room waits with its connection, which is not read meanwhile.
  func perform(_ connection: ClientConnection, _ actions: [DeliveryAction]) {
    for action in actions where !connection.isClosed {
      switch action {
      case .send(let bytes): send(connection, bytes)
      case .deliver(let number, let delivery):
        connection.parked.append((number, delivery))
        connection.underWay += 1
      case .close(let reason):
        if connection.closeAt == nil { connection.closeAt = .after(milliseconds: settings.farewellMilliseconds) }
        if isServing, !reason.isEmpty { count(reason, in: &counters.refusedByReason) }
      }
    }
    if connection.isClosed { return }
    submitParked(connection)
    if !connection.isClosed {
      recount(connection)
      adjust(connection)
    }
  }
  /// Submits what waits, in order, as far as there is room.
  private func submitParked(_ connection: ClientConnection) {
    // What is answered at once leads back to here: that is the next turn of this loop, not one within it.
    guard let wire = connection.wire.delivering, !connection.isSubmitting else { return }
    connection.isSubmitting = true
    defer { connection.isSubmitting = false }
    while let (number, delivery) = connection.parked.first, !connection.isClosed {
      if isServing, room(for: delivery, delivery.heldBytes) != .free {
        if !connection.isParked { desk.parked.append(connection.token) }
        connection.isParked = true
        return
      }
      connection.parked.removeFirst()
      submit(delivery, kind: wire.rawValue, from: .connection(connection.token, number: number))
    }
  }
  func retryParked() {
    let waiting = desk.parked
    desk.parked = []
    for token in waiting {
      guard let connection = connections[token] else { continue }
      connection.isParked = false
      submitParked(connection)
      if !connection.isClosed, !connection.isParked { serve(connection) }
    }
  }
}
