// Reading, decoding and answering one connection; where it stops when something is full.
internal import Platform
internal import Telemetry

extension Intake {
  func connectionReady(_ event: Poller.Event) {
    guard let connection = connections[event.token] else { return }
    if event.writable && connection.hasOutgoing { flush(connection) }
    if connection.isClosed { return }
    if connection.closeAt != nil {
      discard(connection, broken: event.failed)
    } else if connection.opening != .done {
      open(connection)
    } else if event.readable || event.writable {
      serve(connection)
    } else if event.failed {
      close(connection, resetting: false)
    }
  }

  /// Decodes what is there, then reads on, until nothing comes, something is full, or others have to have their turn.
  func serve(_ connection: ClientConnection) {
    guard !connection.isClosed, connection.closeAt == nil, connection.opening == .done else { return }
    var turn = settings.turnBytes
    let before = connection.partialBytes
    var read = 0
    while decode(connection), turn > 0, !connection.hasEnded, isServing {
      let room = min(scratch.count, connection.lines.maximumCapacity - connection.lines.count)
      // No decoder leaves a full buffer and asks for more (the fuzzer holds them to it): one that did would never end.
      guard room > 0 else {
        count("a line that fills the buffer", in: &counters.refusedByReason)
        return close(connection, resetting: true)
      }
      let start = scratch.count - room
      switch connection.receive(into: &scratch, from: start) {
      case .done(let count):
        read += count
        if connection.delivering != nil {
          let began = BootInstant.now()
          received(connection, Array(scratch[start..<start + count]))
          if connection.isClosed { return }
          // A few bytes may be much when they are unpacked.
          if BootInstant.now().milliseconds(since: began) > settings.turnMilliseconds { turn = 0 }
        } else {
          _ = connection.lines.append(scratch.span.extracting(start..<start + count))
        }
        recount(connection)
        // Less than was asked for: nothing more is there. A TLS session gives no more than a record at once.
        turn = count < room && connection.tls == nil ? 0 : turn - count
      case .wouldBlock: turn = 0
      case .closed: ended(connection)
      case .failed:
        if let failure = connection.tlsFailure { countTLS(failure) }
        close(connection, resetting: false)
        return
      }
    }
    if connection.isClosed { return }
    connection.notePartial(before: before, read: read, .now())
    recount(connection)
    if connection.lines.count == 0 || connections.count > 64 || bufferBytes > bufferLimit / 2 {
      connection.lines.releaseMemory()
      recount(connection)
    }
    if holdsTooMuch { closeHogs() }
    finishIfEnded(connection)
    adjust(connection)
  }

  /// False when nothing more can be decoded now, however much is read.
  private func decode(_ connection: ClientConnection) -> Bool {
    if connection.isClosed || connection.closeAt != nil { return false }
    if connection.outgoingCount > settings.outgoingBytes / 2 { return false }
    if let session = connection.delivering { return session.mayReceive && connection.parked.isEmpty }
    guard window != nil else {
      hold(connection)
      return false
    }
    switch connection.wire {
    case .delivery: return false
    case .native:
      let more = decodeNative(connection)
      if !connection.isClosed, connection.hasOutgoing { flush(connection) }
      return more && !connection.isClosed
    case .syslogTCP: return decodeSyslog(connection)
    }
  }

  private func decodeNative(_ connection: ClientConnection) -> Bool {
    while connection.native.mayDecode {
      let front = fronts[connection.lane]
      guard hasRoom(front, connection) else {
        hold(connection)
        return false
      }
      let (rows, bytes) = (front.filling.batch.rowCount, front.filling.batch.byteCount)
      let share = front.share(batchRows, batchBytes)
      let decoded = decodeInHand(
        connection, front, rowLimit: rows + share.rows, byteLimit: bytes + share.bytes)
      account(front, connection, rows, bytes, isNumbered: connection.native.cursor.stream != Batch.noStream)
      switch decoded {
      case .incomplete: return true
      // One line at a time.
      case .full where connection.isIsolated && front.hasRoom(batchRows, batchBytes): continue
      case .full: if !nextBatch(front, connection) { return false }
      case .windowFull: return false
      case .ping where connection.pings.isExceeded(settings.pingsPerSecond, .now()):
        perform(connection, connection.native.refused(reason: "too many pings"))
      case .ping:
        // Answered together at the end: a call of the kernel for each of many would make everybody else wait.
        for case .send(let pong) in connection.native.decoded(decoded) { connection.queue(pong) }
        if connection.outgoingCount > settings.outgoingBytes / 2 {
          flush(connection)
          if connection.isClosed || connection.outgoingCount > settings.outgoingBytes / 2 { return false }
        }
      case .firstAnonymous, .hello, .failed: perform(connection, connection.native.decoded(decoded))
      }
      if connection.closeAt != nil || connection.isClosed { return false }
    }
    return false
  }
  private func decodeSyslog(_ connection: ClientConnection) -> Bool {
    while true {
      let front = fronts[connection.lane]
      guard hasRoom(front, connection) else {
        hold(connection)
        return false
      }
      let (rows, bytes) = (front.filling.batch.rowCount, front.filling.batch.byteCount)
      let share = front.share(batchRows, batchBytes)
      connection.lines.withUnread { bytes in holdInHand(connection.inHand, bytes, isExact: false) }
      if let trap { trap.trip(connection.lines.unread) }
      let stop = front.syslog.decode(
        &connection.lines, &connection.syslog, now: now2000(), into: &front.filling.batch, rowLimit: rows + share.rows,
        byteLimit: bytes + share.bytes)
      letGo()
      account(front, connection, rows, bytes, isNumbered: false)
      switch stop {
      case .incomplete: return true
      case .full: if !nextBatch(front, connection) { return false }
      }
    }
  }

  /// The batch is full, and the next one may be filled; or the connection had its share, and waits for its turn.
  private func nextBatch(_ front: LaneFront, _ connection: ClientConnection) -> Bool {
    if front.hasRoom(batchRows, batchBytes) {
      hold(connection)
      return false
    }
    dispatch(front, .now())
    return true
  }

  func account(
    _ front: LaneFront, _ connection: ClientConnection?, _ rows: Int, _ bytes: Int, isNumbered: Bool
  ) {
    let (moreRows, moreBytes) = (front.filling.batch.rowCount - rows, front.filling.batch.byteCount - bytes)
    guard moreRows > 0 else { return }
    if front.begunAt == nil { front.begunAt = .now() }
    counters.received += moreRows
    front.charge(connection?.budget, bytes: moreBytes)
    if !isNumbered {
      front.fillingUnnumbered.rows += moreRows
      front.fillingUnnumbered.bytes += moreBytes
    }
  }

  private func hasRoom(_ front: LaneFront, _ connection: ClientConnection) -> Bool {
    if !front.hasRoom(batchRows, batchBytes) {
      dispatch(front, .now())
      if !front.hasRoom(batchRows, batchBytes) { return false }
    }
    // Hellos that nobody answers yet (PostgreSQL is slow or away) take memory, and time of the lane when it is back.
    // Records go on: only those who come wait.
    let mayGreet = connection.wire == .native && connection.native.state == .fresh
    if mayGreet && front.filling.requests.count >= settings.requestsPerWork { return false }
    guard let budget = connection.budget else { return true }
    return budget.filling + budget.underWay < configuration.ingest.perSourceBytes
  }
  func hold(_ connection: ClientConnection) {
    guard !connection.isHeld else { return }
    connection.isHeld = true
    fronts[connection.lane].held.append(connection.token)
  }

  // MARK: the end of a connection

  private func ended(_ connection: ClientConnection) {
    connection.hasEnded = true
    if connection.wire == .syslogTCP, connection.lines.count > 0 {
      // The last message may lack its line end.
      let newline: [UInt8] = [0x0a]
      _ = connection.lines.append(newline.span)
    }
    if connection.delivering != nil { received(connection, nil) }
    _ = decode(connection)
  }
  /// A client may close its side first and still wait for its acknowledgements.
  func finishIfEnded(_ connection: ClientConnection) {
    guard connection.hasEnded, !connection.isHeld, !connection.isClosed else { return }
    if connection.underWay > 0 { return }
    if connection.wire == .native {
      switch connection.native.state {
      case .lookingUp, .recordingGap: return
      case .streaming where connection.native.underWay > 0: return
      case .fresh, .streaming, .anonymous, .closed: break
      }
    }
    if !connection.hasOutgoing { close(connection, resetting: false) }
  }
  /// Reads on from a client that was told to go, so that our last lines reach it; closes when it is gone.
  private func discard(_ connection: ClientConnection, broken: Bool) {
    var turn = settings.turnBytes
    while turn > 0 {
      switch receive(connection.descriptor.raw, into: &scratch) {
      case .done(let count): turn -= count
      case .wouldBlock:
        if broken { close(connection, resetting: false) }
        return
      case .closed, .failed:
        close(connection, resetting: false)
        return
      }
    }
  }

  // MARK: answers

  func perform(_ connection: ClientConnection, _ actions: [NativeSession.Action]) {
    for action in actions where !connection.isClosed {
      switch action {
      case .lookUp(let hello): judge(connection, hello)
      case .recordGap(let stream, let last):
        guard case .recordingGap(let hello, _) = connection.native.state else { break }
        counters.gaps += 1
        request(connection, stream, hello, .recordGap(last: last))
      case .send(let bytes): send(connection, bytes)
      case .close(let reason):
        connection.closeAt = .after(milliseconds: settings.farewellMilliseconds)
        if isServing { count(reason, in: &counters.refusedByReason) }
      }
    }
    if !connection.isClosed { adjust(connection) }
  }

  func lookUp(_ connection: ClientConnection, _ hello: Hello) {
    let stream = hello.streamID
    if let token = streams[stream], let older = connections[token] {
      perform(older, older.native.superseded())
    }
    streams[stream] = connection.token
    connection.registered = stream
    connection.lane = lane(of: hello.source)
    let budget = sources[hello.source] ?? SourceBudget(lane: connection.lane)
    sources[hello.source] = budget
    budget.connections += 1
    connection.source = hello.source
    connection.budget = budget
    guard judge(connection) else { return }
    request(connection, stream, hello, .register)
  }
  /// Asked behind the rows that fill now: an older connection's are settled before the answer.
  private func request(
    _ connection: ClientConnection, _ stream: Int64, _ hello: Hello, _ wish: StreamRequest.Wish
  ) {
    fronts[connection.lane].filling.requests.append(
      StreamRequest(
        connection: connection.token, stream: stream, source: hello.source, name: hello.stream, wish: wish))
  }

  func send(_ connection: ClientConnection, _ bytes: [UInt8]) {
    guard connection.canBeTold else { return }
    connection.queue(bytes)
    flush(connection)
  }
  private func flush(_ connection: ClientConnection) {
    guard let activation, let whole = gate.whileOpen(activation.epoch, { connection.flush() }) else { return }
    if !whole || connection.outgoingCount > settings.outgoingBytes { return close(connection, resetting: true) }
    recount(connection)
  }

  // MARK: memory

  /// Of clients' lines and of deliveries; these take at most half of it.
  var bufferLimit: Int { configuration.ingest.memoryBytes / 2 }
  private var holdsTooMuch: Bool { bufferBytes > max(bufferLimit - desk.bytes, bufferLimit / 2) }
  /// Keeps the sum of what all connections hold.
  func recount(_ connection: ClientConnection) {
    let now = connection.isClosed ? 0 : connection.heldBytes
    bufferBytes += now - connection.counted
    connection.counted = now
  }
  /// While too much is held, those that hold most have to go: long lines that never end, answers that nobody reads.
  func closeHogs() {
    guard holdsTooMuch else { return }
    for connection in connections.values.sorted(by: { $0.heldBytes > $1.heldBytes }) where holdsTooMuch {
      count("memory", in: &counters.refusedByReason)
      close(connection, resetting: true)
    }
  }

  /// Waits for what can be used now and for nothing else.
  func adjust(_ connection: ClientConnection) {
    guard !connection.isClosed else { return }
    var wanted: Ready = connection.hasOutgoing ? .write : []
    let mayRead =
      connection.closeAt != nil
      || (isServing && !connection.isHeld && !connection.hasEnded
        && connection.outgoingCount <= settings.outgoingBytes / 2
        && (connection.wire != .native || connection.native.mayDecode) && connection.parked.isEmpty
        && (connection.delivering?.mayReceive ?? true))
    if mayRead { wanted.insert(.read) }
    if connection.opening != .done || connection.tls != nil { wanted = wantedByTLS(connection, wanted) }
    guard wanted != connection.wanted else { return }
    connection.wanted = wanted
    do {
      try poller.modify(connection.descriptor.raw, token: connection.token, for: wanted)
    } catch {
      close(connection, resetting: true)
    }
  }

  // MARK: UDP

  func receiveDatagrams(_ listener: Listener) {
    for _ in 0..<settings.datagramsPerTurn {
      guard window != nil, let takesSyslog, let front = fronts.first(where: { hasRoomForDatagram($0) }) else {
        pause(listener)
        return
      }
      guard let (size, from) = receiveDatagram(listener.descriptor.raw, into: &scratch) else { return }
      guard takesSyslog else {
        countRefused(listener, from.host, bytes: size)
        continue
      }
      let host = from.host
      guard mayDecodeDatagram(from: host, size: min(size, scratch.count)) else { continue }
      let (rows, bytes) = (front.filling.batch.rowCount, front.filling.batch.byteCount)
      front.syslog.decodeDatagram(
        scratch.span.extracting(0..<min(size, scratch.count)), peer: host, now: now2000(),
        into: &front.filling.batch)
      letGo()
      account(front, nil, rows, bytes, isNumbered: false)
    }
  }
  private func hasRoomForDatagram(_ front: LaneFront) -> Bool {
    if front.hasRoom(batchRows, batchBytes) { return true }
    dispatch(front, .now())
    return front.hasRoom(batchRows, batchBytes)
  }
  /// Not read for a while: the kernel's buffer is the queue, and what it drops is counted.
  func pause(_ listener: Listener) {
    guard !listener.isPaused, let index = listeners.firstIndex(where: { $0 === listener }) else { return }
    listener.isPaused = true
    try? poller.modify(listener.descriptor.raw, token: UInt64(index) + 1, for: [])  // at worst it stays readable
  }
  func resumeListeners() {
    for (index, listener) in listeners.enumerated() where listener.isPaused {
      listener.isPaused = false
      try? poller.modify(listener.descriptor.raw, token: UInt64(index) + 1, for: .read)  // the next turn tries again
    }
  }
  /// Before a drain: what the kernel still holds of those who won't send it again.
  func readLastOfSyslog() {
    for listener in listeners where listener.kind == .syslogUDP { receiveDatagrams(listener) }
    for connection in Array(connections.values) where connection.wire == .syslogTCP {
      if connection.opening == .done { serve(connection) } else { open(connection) }
    }
  }

  // MARK: small things

  var batchRows: Int { settings.batchRows }
  /// Both works of all lanes use at most half of the node's bound, the lines of clients the other half.
  var batchBytes: Int { max(65_536, min(settings.batchBytes, configuration.ingest.memoryBytes / (fronts.count * 4))) }
  func lane(of text: String) -> Int { Int(NameHash.id(of: text.utf8) % Int64(fronts.count)) }
  func limits(_ activation: Activation) -> NativeLimits {
    NativeLimits(
      node: node, epoch: activation.epoch, window: Int64(configuration.ingest.window),
      maxLine: configuration.ingest.maxLine,
      allowsAnonymous: configuration.ingest.allowAnonymous && tokens.takes(.anonymous))
  }
  func now2000() -> Int64 { wallMicroseconds() - Intake.epoch2000Microseconds }
}
