// The thread "ship": sends what the spool holds to the service and tells the spool what was acknowledged.
//
// One connection at a time. Attempts are abandoned early, a silent peer is given up, a lost connection is tried again at
// once, with jitter when that fails: a takeover costs the agent about as long as it costs the service.
internal import Platform
internal import TLS
internal import Telemetry

/// What `--status` tells of the connection.
struct ShipStatus: Equatable, Sendable {
  var server = ""
  var node = ""
  var epoch: Int64 = 0
  var isConnected = false
  /// µs since 1970 of the last acknowledgement; 0 before the first.
  var lastAck: Int64 = 0
  var connects = 0
  var rejected: Int64 = 0
  var lastReject = ""
  /// Why there is no connection, or why the last one ended.
  var lastError = ""
  /// µs since 1970 until when somebody watches.
  var liveUntil: Int64 = 0
}

final class Shipper {
  private enum Phase: Equatable {
    case idle(retry: BootInstant)
    case connecting(abandon: BootInstant)
    /// The TLS handshake goes on.
    case securing(abandon: BootInstant)
    case greeting
    case streaming
  }
  private static let outgoingLimit = 256 << 10

  private let servers: [SocketAddress]
  private let source: String
  private let host: String
  private let tokenFile: String?
  private let spool: Spool
  private let inbox: Mailbox<Spool.Note>
  private let board: Guarded<ShipStatus>
  /// Told for how many seconds somebody watches this host.
  private let live: (Int64) -> Void

  private var phase: Phase
  private var link: ClientLink?
  private var credentials: RenewedCredentials?
  private let serverName: String?
  private var server = 0
  private var failures = 0
  private var cursor = SpoolCursor(generation: 0, next: 1)
  private var stream = ""
  /// Last record that may be on its way, as the window says.
  private var lastAllowed: Int64 = 0
  private var window: Int64 = 1024
  private var acked: Int64 = 0
  private var outgoing: [UInt8] = []
  private var sent = 0
  private var input = [UInt8](repeating: 0, count: 16_384)
  private var filled = 0
  private var lastHeard: BootInstant
  /// When a ping was sent that nothing came after yet.
  private var pinged: BootInstant?
  private var lastPing: BootInstant
  private var pings: Int64 = 0
  /// Behind this hole the service has to be told what is missing, when all before is acknowledged.
  private var hole: Int64?
  private var isStopping = false
  private var logged = BootInstant(nanoseconds: 0)
  private var refusals = Refusals()

  init(
    _ settings: AgentSettings, spool: Spool, inbox: Mailbox<Spool.Note>, board: Guarded<ShipStatus>,
    live: @escaping (Int64) -> Void
  ) {
    (servers, source, host) = (settings.servers, settings.source, settings.host)
    (self.spool, self.inbox, self.board, self.live) = (spool, inbox, board, live)
    credentials = settings.tls.map { RenewedCredentials($0.files) }
    serverName = settings.tls?.serverName
    tokenFile = settings.tokenFile
    let now = BootInstant.now()
    phase = .idle(retry: now)
    (lastHeard, lastPing) = (now, now)
  }

  /// Until a note says stop.
  func run() {
    while !isStopping {
      var wishes: [(descriptor: Int32, wanted: Ready)] = [(inbox.descriptor, .read)]
      if let socket = rawSocket { wishes.append((socket, wanted)) }
      let ready = waitAny(wishes, until: deadline)
      let now = BootInstant.now()
      for note in inbox.takeAll() { if case .stop = note { isStopping = true } }
      if ready.count > 1, !ready[1].isEmpty { handle(ready[1], now) }
      tick(now)
      fill(now)
      flush(now)
    }
    link = nil
  }

  // MARK: time

  private var rawSocket: Int32? { link?.raw }
  private var isStreaming: Bool { phase == .streaming }
  private var wanted: Ready {
    switch phase {
    case .connecting: .write
    case .securing: link?.wantsWrite == true ? .write : .read
    case .idle, .greeting, .streaming:
      sent < outgoing.count || link?.wantsWrite == true ? [.read, .write] : .read
    }
  }
  private var deadline: BootInstant {
    switch phase {
    case .idle(let retry): retry
    case .connecting(let abandon), .securing(let abandon): abandon
    case .greeting where pinged != nil: lastPing.adding(milliseconds: ShipTimes.greetingPingMilliseconds)
    case .greeting, .streaming: pinged.map { $0.adding(milliseconds: ShipTimes.silentMilliseconds) } ?? nextPing
    }
  }
  /// Soon while something is not answered, otherwise seldom: an idle agent sleeps.
  private var nextPing: BootInstant {
    let isWaiting = phase == .greeting || cursor.next - 1 > acked
    return lastHeard.adding(milliseconds: isWaiting ? ShipTimes.pingMilliseconds : 5000)
  }

  private func tick(_ now: BootInstant) {
    if let said = refusals.due(at: now) { log(.warning, "records refused by the service", said.fields) }
    switch phase {
    case .idle(let retry): if now >= retry { connect(now) }
    case .connecting(let abandon):
      if now >= abandon {
        lose("no answer to connect", now)
        // The time has been spent already.
        if failures <= 2 * servers.count { connect(now) }
      }
    case .securing(let abandon): if now >= abandon { lose("TLS: no handshake in time", now) }
    case .greeting, .streaming:
      guard let pinged else {
        if now >= nextPing { ping(now) }
        return
      }
      let isGreeting = phase == .greeting
      if now.milliseconds(since: pinged)
        >= Double(isGreeting ? ShipTimes.welcomeMilliseconds : ShipTimes.silentMilliseconds)
      {
        lose(isGreeting ? "no welcome" : "no answer to a ping", now)
      } else if isGreeting, now.milliseconds(since: lastPing) >= Double(ShipTimes.greetingPingMilliseconds) {
        ping(now)
      }
    }
  }
  private func ping(_ now: BootInstant) {
    if pinged == nil { pinged = now }
    lastPing = now
    pings += 1
    if sent == outgoing.count { (outgoing, sent) = ([], 0) }
    outgoing += pingLine(pings)
  }

  // MARK: the connection

  private func connect(_ now: BootInstant) {
    let trusted: TLSCredentials?
    do throws(TLSFileError) {
      trusted = try credentials?.current(now)
    } catch {
      return lose("TLS: \(error)", now)
    }
    do throws(SystemError) {
      let opened = try startConnect(servers[server])
      setUserTimeout(opened.raw, milliseconds: 500)
      link = ClientLink(opened, credentials: trusted, serverName: serverName ?? servers[server].host)
      // A packet that met no address is not sent again for a second: the first attempts are short. A service that is
      // far away is reached by the later ones.
      let patience = failures < 20 ? jittered(40) : failures < 60 ? ShipTimes.connectMilliseconds : 1500
      phase = .connecting(abandon: now.adding(milliseconds: patience))
    } catch {
      lose(error.description, now)
    }
  }

  private func handle(_ ready: Ready, _ now: BootInstant) {
    if case .connecting = phase, let descriptor = rawSocket {
      let code = socketError(descriptor)
      if code != 0 { return lose(errorText(code), now) }
      phase = .securing(abandon: now.adding(milliseconds: ShipTimes.handshakeMilliseconds * (failures < 20 ? 1 : 4)))
    }
    if case .securing = phase {
      switch link?.handshake() {
      case .done: greet(now)
      case .wouldBlock, nil: return
      case .failed(let failure): return lose("TLS: \(failure.sentence(about: "the service"))", now)
      }
    }
    if ready.contains(.read) { receive(now) }
  }

  private func greet(_ now: BootInstant) {
    var token = ""
    do throws(TokenFileFlaw) { if let tokenFile { token = try readTokenFile(tokenFile) } } catch {
      return lose("tokenFile: \(error.problem)", now, isRefused: true)
    }
    phase = .greeting
    let start = spool.with { core in core.oldest }
    stream = "\(start.stream)"
    cursor = SpoolCursor(generation: start.generation, next: start.first)
    (acked, hole) = (start.first - 1, nil)
    if let pending = pendingOldest, pending.generation == start.generation {
      cursor.next = max(cursor.next, pending.seq + 1)
      acked = cursor.next - 1
    }
    (outgoing, sent, filled, pings) = ([], 0, 0, 0)
    (lastHeard, pinged, lastPing) = (now, nil, now)
    outgoing = Hello(source: source, stream: stream, oldest: cursor.next, token: token, live: host).line
  }
  /// Everything up to here is acknowledged or missing, although the segment it is in is still there.
  private var pendingOldest: SpoolMark?

  private func lose(_ reason: String, _ now: BootInstant, isOurs: Bool = false, isRefused: Bool = false) {
    let wasStreaming = isStreaming
    link = nil
    (outgoing, sent) = ([], 0)
    if isRefused {
      phase = .idle(retry: now.adding(milliseconds: jittered(ShipTimes.refusedMilliseconds)))
    } else {
      phase = .idle(retry: wasStreaming || isOurs ? now : now.adding(milliseconds: pause()))
    }
    if !isOurs {
      failures += 1
      server = (server + 1) % servers.count
      // The first of a row, then one in ten seconds.
      if failures == 1 || now.milliseconds(since: logged) >= 10_000 {
        logged = now
        log(.warning, "not connected", ["server": "\(servers[server])", "reason": reason, "attempts": "\(failures)"])
      }
    }
    board.withLock {
      $0.isConnected = false
      if !isOurs { $0.lastError = reason }
    }
  }
  /// From 20 ms on, growing by half to a second, each between half and one and a half of it.
  private func pause() -> Int64 {
    var bound = 20.0
    for _ in 0..<min(failures, 20) { bound = min(bound * 1.5, failures < 50 ? 100 : 1000) }
    return jittered(Int64(bound))
  }
  private func jittered(_ milliseconds: Int64) -> Int64 {
    Int64.random(in: (milliseconds / 2)...(milliseconds * 3 / 2))
  }

  // MARK: sending

  /// Puts records behind each other until enough is ready, or a hole or the stream's end comes.
  private func fill(_ now: BootInstant) {
    guard isStreaming, hole == nil else { return }
    while outgoing.count - sent < Self.outgoingLimit / 2 {
      let wall = wallMicroseconds()
      var lines: [UInt8] = []
      let piece: Result<SpoolPiece, SystemError> = spool.with { core in
        do throws(SystemError) {
          return .success(try core.read(&cursor, upTo: lastAllowed, into: &lines, now: wall))
        } catch {
          return .failure(error)
        }
      }
      if sent == outgoing.count { (outgoing, sent) = ([], 0) }
      outgoing += lines
      switch piece {
      case .success(.lines): continue
      case .success(.nothing): return
      case .success(.hole(let before)):
        hole = before
        return settleHole(now)
      case .success(.end):
        if acked >= cursor.next - 1 { finishStream(now) }
        return
      case .failure(let error):
        return lose("the spool can't be read: \(error.description)", now)
      }
    }
  }
  /// Where records are missing the service learns it by a hello whose oldest record is the one behind them.
  private func settleHole(_ now: BootInstant) {
    guard let before = hole, acked >= cursor.next - 1 else { return }
    log(.error, "records are missing from the spool", ["from": "\(cursor.next)", "before": "\(before)"])
    pendingOldest = SpoolMark(generation: cursor.generation, seq: before - 1)
    lose("hole", now, isOurs: true)
  }
  /// All of an older stream is acknowledged: the next one begins with a connection of its own.
  private func finishStream(_ now: BootInstant) {
    let generation = cursor.generation
    spool.with { core in
      if let next = core.segments.first(where: { $0.generation > generation }) {
        acknowledge(&core, generation: next.generation, through: next.first - 1)
      }
    }
    lose("end of stream", now, isOurs: true)
  }
  private func acknowledge(_ core: inout SpoolCore, generation: Int, through seq: Int64) {
    do throws(SystemError) {
      try core.acknowledge(generation: generation, through: seq)
    } catch {
      // What can't be removed now goes with the next acknowledgement.
      core.failure = error.description
    }
  }

  private func flush(_ now: BootInstant) {
    guard phase == .greeting || isStreaming else { return }
    while sent < outgoing.count {
      switch link?.send(outgoing, from: sent) {
      case .done(let count): sent += count
      case .wouldBlock, nil: return
      case .closed: return lose("closed", now)
      case .failed(let reason): return lose(reason, now)
      }
      if sent == outgoing.count {
        (outgoing, sent) = ([], 0)
        fill(now)
        if rawSocket == nil { return }
      }
    }
  }

  // MARK: answers

  private func receive(_ now: BootInstant) {
    while let transfer = link?.receive(into: &input, from: filled) {
      switch transfer {
      case .done(let count):
        (lastHeard, pinged) = (now, nil)
        filled += count
        var start = 0
        while let end = input[start..<filled].firstIndex(of: 0x0a) {
          take(input[start..<end], now)
          if rawSocket == nil { return }
          start = end + 1
        }
        if start > 0 {
          input.replaceSubrange(0..<(filled - start), with: input[start..<filled])
          input += [UInt8](repeating: 0, count: 16_384 - input.count)
          filled -= start
        }
        if filled == input.count { return lose("an answer of more than \(filled) bytes", now) }
      case .wouldBlock: return
      case .closed: return lose("closed by the service", now)
      case .failed(let reason): return lose(reason, now)
      }
    }
  }

  private func take(_ line: ArraySlice<UInt8>, _ now: BootInstant) {
    guard let reply = NativeReply(line: line) else {
      return lose("not an answer: \(String(decoding: line.prefix(100), as: UTF8.self))", now)
    }
    switch reply {
    case .welcome(let node, let epoch, let committed, let window, _):
      guard phase == .greeting else { return lose("a second welcome", now) }
      guard (0..<1 << 62).contains(committed) else { return lose("a welcome with committed \(committed)", now) }
      self.window = min(max(1, window), 1 << 20)
      welcomed(node, epoch, committed, now)
    case .ack(let seq): settle(seq, now)
    case .reject(let seq, let reason):
      refusals.refused(seq: seq, reason: reason)
      board.withLock {
        $0.rejected += 1
        $0.lastReject = reason
      }
    case .bye(let reason): lose("bye: \(reason)", now, isRefused: NativeReply.isAboutToken(reason))
    case .pong: break
    case .live(let seconds):
      let seconds = min(max(0, seconds), 600)
      board.withLock { $0.liveUntil = wallMicroseconds() + seconds * 1_000_000 }
      live(seconds)
    }
  }

  private func welcomed(_ node: String, _ epoch: Int64, _ committed: Int64, _ now: BootInstant) {
    let generation = cursor.generation
    let (isBehind, isMended): (Bool, Bool) = spool.with { core in
      guard core.unsentFrom.generation == generation, committed >= core.unsentFrom.seq else { return (false, true) }
      do throws(SystemError) {
        try core.renumber(now: wallMicroseconds())
        return (true, true)
      } catch {
        core.failure = error.description
        return (true, false)
      }
    }
    // On a full disk, say, not at once.
    if isBehind { return lose("the spool is older than what the service has", now, isOurs: isMended) }
    phase = .streaming
    failures = 0
    if committed >= cursor.next { cursor.next = committed + 1 }
    acked = min(acked, committed)
    board.withLock {
      ($0.node, $0.epoch, $0.isConnected, $0.server) = (node, epoch, true, "\(servers[server])")
      $0.connects += 1
    }
    log(.info, "connected", ["server": "\(servers[server])", "node": node, "committed": "\(committed)"])
    settle(committed, now)
  }

  private func settle(_ seq: Int64, _ now: BootInstant) {
    guard seq < cursor.next else { return lose("acknowledges \(seq), which was not sent", now) }
    acked = max(acked, seq)
    lastAllowed = acked + window
    spool.with { acknowledge(&$0, generation: cursor.generation, through: acked) }
    board.withLock { $0.lastAck = wallMicroseconds() }
    if hole != nil { settleHole(now) }
  }
}
