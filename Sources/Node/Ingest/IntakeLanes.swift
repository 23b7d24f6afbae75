// Batches to the lanes and back: when one goes, what its commit means for the clients, and what a lost one costs.
internal import Platform
internal import Telemetry

extension Intake {
  /// Gives the lane what has been filled, if it is idle and the batch is due.
  func dispatch(_ front: LaneFront, _ now: BootInstant) {
    guard let activation, !front.isFenced, let spare = front.spare, !front.filling.isEmpty else { return }
    let rows = front.filling.batch.rowCount
    let isDue =
      !isServing || rows >= settings.eagerRows || !front.filling.requests.isEmpty
      || front.filling.batch.byteCount >= batchBytes
      || now >= (front.begunAt ?? now).adding(milliseconds: lingerMilliseconds)
    guard isDue else { return }
    front.spare = nil
    front.hand(over: spare, epoch: activation.epoch)
    resumeHeld(front)
  }

  /// A batch waits this long for more; not the first of an epoch.
  var lingerMilliseconds: Int64 { hasCommitted ? settings.lingerMilliseconds : 0 }

  /// Serves those that wait for room, first come first served, as long as there is some.
  func resumeHeld(_ front: LaneFront) {
    guard !front.isResuming else { return }
    front.isResuming = true
    defer { front.isResuming = false }
    fill(front)
    let waiting = front.held
    front.held = []
    front.contenders = waiting.count
    for index in waiting.indices {
      guard front.hasRoom(batchRows, batchBytes) else {
        front.held = waiting[index...] + front.held
        break
      }
      guard let connection = connections[waiting[index]] else { continue }
      connection.isHeld = false
      serve(connection)
    }
    fill(front)
    if front.hasRoom(batchRows, batchBytes) { resumeListeners() }
  }

  /// A work is back.
  func returned(_ front: LaneFront) {
    let taken = front.handle.slot.withLock { slot in
      let work = slot.fromLane
      slot.fromLane = nil
      return work
    }
    guard let work = taken else { return }
    let isCurrent = work.epoch == activation?.epoch
    switch work.end {
    case .committed:
      counters.committed += work.batch.rowCount - work.repeatedRows
      rate.count(work.batch.rowCount - work.repeatedRows)
      if isCurrent {
        committed(work)
        deliveriesCommitted(work)
      }
    case .aborted:
      countLost(front.underWayUnnumbered, "stopped")
      if isCurrent {
        front.isFenced = true
        deliveriesLost(work.batch.parts)
      }
    case .givenUp(let reason):
      countLost(front.underWayUnnumbered, "lane given up")
      if isCurrent {
        deliveriesLost(work.batch.parts + front.filling.batch.parts)
        givenUp(front, reason)
      }
    }
    front.take(back: work)
    dispatch(front, .now())
    resumeHeld(front)
    if case .halting = phase { return }
    publishSoon()
  }

  private func committed(_ work: LaneWork) {
    if work.batch.rowCount > 0, !hasCommitted, let activation, let committedAt = work.committedAt {
      hasCommitted = true
      counters.firstCommitMilliseconds = activatedAt.map { committedAt.milliseconds(since: $0) }
      report(.firstCommit(epoch: activation.epoch, at: committedAt))
    }
    var rejects: [Int64: [Reject]] = [:]
    for reject in work.batch.rejects + work.poison {
      rejects[reject.stream, default: []].append(reject)
      counters.rejected += 1
      count(reject.reason, in: &counters.rejectedByReason)
    }
    for claim in work.commits {
      guard let token = streams[claim.stream], let connection = connections[token] else { continue }
      let before = connection.native.acked
      let ofStream = (rejects[claim.stream] ?? []).sorted { $0.seq < $1.seq }
      perform(connection, connection.native.committed(through: claim.last, rejects: ofStream))
      if connection.isClosed { continue }
      counters.acknowledged += Int(connection.native.acked - before)
      // Its window may have been full.
      if connection.lines.count > 0 && !connection.isHeld { serve(connection) } else { finishIfEnded(connection) }
    }
    for (request, answer) in work.answers { answered(request, answer) }
  }

  private func answered(_ request: StreamRequest, _ answer: StreamAnswer) {
    guard let connection = connections[request.connection] else { return }
    switch (answer, request.wish) {
    case (.refused(let reason), _): perform(connection, connection.native.refused(reason: reason))
    case (.committed(let last), .register): perform(connection, connection.native.lookedUp(committed: last))
    case (.committed(let last), .recordGap): perform(connection, connection.native.gapRecorded(committed: last))
    }
    serve(connection)
  }

  /// The lane can't go on with what its clients sent: they start again from what is stored.
  private func givenUp(_ front: LaneFront, _ reason: String) {
    log(.error, "lane given up, its clients start again", ["lane": "\(front.handle.number)", "reason": reason])
    countLost(front.fillingUnnumbered, "lane given up")
    front.forget()
    front.held = []
    for connection in Array(connections.values) where connection.lane == front.handle.number {
      connection.isHeld = false
      guard connection.wire == .native else { continue }
      switch connection.native.state {
      case .lookingUp, .recordingGap, .streaming: perform(connection, connection.native.draining(reason: reason))
      case .fresh, .anonymous, .closed: break
      }
    }
  }

  // MARK: counting

  func count(_ reason: String, in counts: inout [String: Int]) {
    // Without the place in the line, which would make every reason a new one. By bytes: somebody may send nothing but
    // records to be refused.
    let place = reason.utf8.lastIndex(of: UInt8(ascii: "("))
    let hasPlace = place.map { reason.utf8[$0...].starts(with: "(byte ".utf8) } ?? false
    var kind = reason.utf8[..<(hasPlace ? place ?? reason.endIndex : reason.endIndex)].prefix(80)
    while kind.last == UInt8(ascii: " ") { kind.removeLast() }
    let text = String(decoding: kind, as: UTF8.self)
    counts[counts[text] != nil || counts.count < 64 ? text : "other", default: 0] += 1
  }
  func countLost(_ lost: (rows: Int, bytes: Int), _ reason: String) {
    guard lost.rows > 0 else { return }
    shed.add("lane", "*", reason, messages: lost.rows, bytes: lost.bytes)
    counters.shedMessages += lost.rows
    counters.shedBytes += lost.bytes
  }
  func countKernelDrops(_ listener: Listener) {
    let now = droppedDatagrams(listener.descriptor.raw)
    let more = Int(now &- listener.droppedByKernel)
    listener.droppedByKernel = now
    guard more > 0 else { return }
    shed.add("\(listener.address)", "*", "receive buffer full", messages: more, bytes: 0)
    counters.shedMessages += more
  }

  /// What has to be looked at now and then.
  func tick(_ now: BootInstant) {
    nextTick = now.adding(milliseconds: 250)
    for listener in listeners where listener.kind == .syslogUDP { countKernelDrops(listener) }
    for connection in Array(connections.values) {
      if let closeAt = connection.closeAt, now >= closeAt {
        close(connection, resetting: connection.hasOutgoing)
      } else if isOpeningTooLong(connection, now) {
        refuseOpening(connection, "TLS: no handshake in time")
      } else if connection.wire == .native, connection.native.state == .fresh, connection.closeAt == nil,
        now.milliseconds(since: connection.openedAt) > Double(settings.greetingMilliseconds)
      {
        perform(connection, connection.native.refused(reason: "no hello in time"))
      } else if connection.delivering?.isGreeting == true, connection.closeAt == nil,
        now.milliseconds(since: connection.openedAt) > Double(settings.greetingMilliseconds)
      {
        perform(connection, [DeliveryAction.close(reason: "no PING in time")])
      } else {
        closeIfSlow(connection, now)
      }
    }
    for front in fronts {
      front.native.names.allowPatterns(settings.patternsPerTick)
      front.syslog.names.allowPatterns(settings.patternsPerTick)
      front.encoder.names.allowPatterns(settings.patternsPerTick)
      resumeHeld(front)
    }
    expireUndecided(now)
    closeHogs()
    if activation != nil, now >= nextShedFlush, !shed.isEmpty, upkeep.post(.shed(shed.rows)) == .posted {
      nextShedFlush = now.adding(milliseconds: settings.shedFlushMilliseconds)
      shed = ShedCounts()
    }
    if now >= nextQuotas {
      nextQuotas = now.adding(milliseconds: 3_600_000)
      for front in fronts { front.renewQuotas() }
    }
    counters.committedPerSecond = rate.perSecond(now)
    publish()
  }
  func publishSoon() { if BootInstant.now() >= nextPublication { publish() } }
  func publish() {
    let now = BootInstant.now()
    nextPublication = now.adding(milliseconds: 50)
    var snapshot = counters
    snapshot.publishedAt = now
    snapshot.epoch = activation?.epoch
    snapshot.overQuota = fronts.reduce(0) { $0 + $1.overQuota }
    snapshot.listening = !listeners.isEmpty
    for connection in connections.values {
      switch connection.wire {
      case .native:
        snapshot.connections.native += 1
        if connection.native.state == .fresh { snapshot.connections.greeting += 1 }
      case .syslogTCP: snapshot.connections.syslogTCP += 1
      case .delivery(let wire): snapshot.connections.delivering[wire.rawValue, default: 0] += 1
      }
      if connection.tls != nil { snapshot.connections.encrypted += 1 }
      if connection.isHeld { snapshot.connections.held += 1 }
    }
    snapshot.bytesBuffered = bufferBytes + desk.bytes
    (snapshot.deliveries.underWay, snapshot.deliveries.bytes) = (desk.open.count, desk.bytes)
    snapshot.lanes = fronts.map { front in
      let status = front.handle.status.withLock { $0 }
      var lane = IngestSnapshot.Lane()
      (lane.state, lane.batches, lane.rows) = (status.state, status.batches, status.rows)
      (lane.retries, lane.sessions) = (status.retries, status.sessions)
      lane.lastCommitMilliseconds = status.lastCommitMilliseconds
      lane.queuedRows = front.filling.batch.rowCount + front.underWayRows
      lane.queuedBytes = front.filling.batch.byteCount + front.underWayBytes
      snapshot.bytesBuffered += lane.queuedBytes
      return lane
    }
    published.withLock { $0 = snapshot }
  }
}

/// Counts over the last seconds.
struct Rate {
  private var rows = 0
  private var since = BootInstant.now()
  private var last = 0.0
  mutating func count(_ more: Int) { rows += more }
  mutating func perSecond(_ now: BootInstant) -> Double {
    let seconds = now.milliseconds(since: since) / 1000
    if seconds >= 1 {
      last = Double(rows) / seconds
      (rows, since) = (0, now)
    }
    return last
  }
}
