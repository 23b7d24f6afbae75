// The thread "local": applications of this host write here, and `--status` asks here.
//
// Bounded: connections, bytes of a line, answers that a client does not read. While the spool takes nothing, nothing is
// read either: writers wait in their sockets, and nothing that was read is lost.
internal import Platform
internal import Telemetry

/// What `--status` tells of applications.
struct LocalStatus: Equatable, Sendable {
  var connections = 0
  var taken: Int64 = 0
  var refused: Int64 = 0
  var lastRefusal = ""
  /// Connections that wait for room in the spool.
  var waiting = 0
}

final class LocalRole {
  private final class Client {
    let descriptor: Descriptor
    var lines: LocalLines
    /// Lines that the spool took, and where: answered when that is on disk.
    var pending: (mark: SpoolMark, lines: Int64)?
    var answered: Int64 = 0
    var hasEnded = false
    var wanted: Ready = .read
    /// Refusals that are counted already.
    var counted: Int64 = 0
    init(_ descriptor: consuming Descriptor, _ lines: consuming LocalLines) {
      self.descriptor = descriptor
      self.lines = lines
    }
  }
  private static let answerLimit = 65_536
  private static let retryMilliseconds: Int64 = 100

  private let settings: AgentSettings.ListenSettings
  private let host: String
  private let spool: Spool
  private let inbox: Mailbox<Spool.Note>
  private let board: Guarded<LocalStatus>
  private let status: () -> String
  private var poller: Poller
  private let listeners = DescriptorList()
  private var statusListener = 0
  private var clients: [UInt64: Client] = [:]
  private var nextToken: UInt64 = 1 << 16
  private var completer: LineCompleter
  private var scratch = [UInt8](repeating: 0, count: 32_768)
  /// Tokens of clients whose lines found no room.
  private var blocked: Set<UInt64> = []
  private var isStopping = false
  private var logged = BootInstant(nanoseconds: 0)

  /// Opens the sockets; a unix socket that another run left is replaced.
  init(
    _ settings: AgentSettings, spool: Spool, inbox: Mailbox<Spool.Note>, board: Guarded<LocalStatus>,
    status: @escaping () -> String
  ) throws(SystemError) {
    (self.settings, host) = (settings.listen, settings.host)
    (self.spool, self.inbox, self.board, self.status) = (spool, inbox, board, status)
    completer = LineCompleter(maxLine: settings.listen.maxLine)
    poller = try Poller(batch: 64)
    try poller.add(inbox.descriptor, token: 0)
    if let path = settings.listen.unix { try listen(unix: path, mode: 0o666) }
    for address in settings.listen.tcp { try add(try listenStream(address)) }
    try listen(unix: settings.listen.status, mode: 0o666)
    statusListener = listeners.raw.count - 1
  }
  private func listen(unix path: String, mode: UInt32) throws(SystemError) {
    guard let address = SocketAddress(unixPath: path) else { throw SystemError.damagedDisk }
    try removeFile(path)
    let listener = try listenStream(address)
    try setFileMode(path, mode)
    try add(listener)
  }
  private func add(_ listener: consuming Descriptor) throws(SystemError) {
    try poller.add(listener.raw, token: UInt64(listeners.raw.count + 1))
    listeners.append(consume listener)
  }

  func run() {
    while !isStopping {
      let count = poller.wait(until: blocked.isEmpty ? nil : .after(milliseconds: Self.retryMilliseconds))
      for index in 0..<count {
        let event = poller.event(index)
        switch event.token {
        case 0: break
        case 1..<(1 << 16): accept(Int(event.token) - 1)
        default: ready(event)
        }
      }
      for note in inbox.takeAll() { if case .stop = note { isStopping = true } }
      for token in blocked { if let client = clients[token] { handOver(token, client) } }
      for (token, client) in clients where client.pending != nil { answer(token, client) }
      publish()
    }
    clients = [:]
    // The sockets of a stopped agent refuse at once instead of seeming to be there.
    for path in [settings.unix, settings.status] {
      // Gone already, or not ours to remove: the next start replaces it.
      if let path { try? removeFile(path) }
    }
  }

  // MARK: clients

  private func accept(_ index: Int) {
    let listener = listeners.raw[index]
    while true {
      let accepted: (descriptor: Int32, peer: SocketAddress)?
      do throws(SystemError) {
        accepted = try acceptStream(listener)
      } catch {
        return complain("no connection can be accepted", error.description)
      }
      guard let accepted else { return }
      let descriptor = Descriptor(owning: accepted.descriptor)
      if index == statusListener {
        // A few hundred bytes go into the socket at once; who does not read them asked for nothing.
        _ = send(descriptor.raw, Array(status().utf8))
        continue
      }
      guard clients.count < settings.maxConnections else {
        complain("too many connections of applications", "\(settings.maxConnections) at most (listen.maxConnections)")
        continue
      }
      let token = nextToken
      nextToken += 1
      do throws(SystemError) {
        try poller.add(descriptor.raw, token: token)
        clients[token] = Client(descriptor, LocalLines(host: host, app: settings.app, maxLine: settings.maxLine))
      } catch {
        complain("no connection can be accepted", error.description)
      }
    }
  }

  private func ready(_ event: Poller.Event) {
    guard let client = clients[event.token] else { return }
    if event.writable, !flush(client) { return close(event.token) }
    guard event.readable || event.failed else { return }
    let now = wallMicroseconds() - microsecondsFrom1970To2000
    switch receive(client.descriptor.raw, into: &scratch) {
    case .done(let count): client.lines.received(scratch[0..<count], &completer, at: now)
    case .wouldBlock: return
    case .closed, .failed:
      client.lines.ended(&completer, at: now)
      client.hasEnded = true
      poller.remove(client.descriptor.raw)
    }
    if client.lines.refused > client.counted {
      let (more, reason) = (client.lines.refused - client.counted, client.lines.lastRefusal)
      client.counted = client.lines.refused
      board.withLock {
        $0.refused += more
        $0.lastRefusal = reason
      }
      complain("line of an application refused", reason)
    }
    handOver(event.token, client)
  }

  /// Gives the spool what was read; without room the client waits, and is not read meanwhile.
  private func handOver(_ token: UInt64, _ client: Client) {
    let count = client.lines.takenCount
    if count > 0 {
      switch spool.append(lines: client.lines.taken, count: count, worth: .kept) {
      case .taken(let mark):
        client.pending = (mark, client.lines.lines)
        client.lines.handedOver()
        board.withLock { $0.taken += Int64(count) }
        if blocked.remove(token) != nil, !client.hasEnded, !resume(token, client) { return }
      case .full(let reason):
        if blocked.insert(token).inserted, !client.hasEnded {
          complain("applications wait for room in the spool", reason)
          poller.remove(client.descriptor.raw)
        }
        return
      }
    } else if client.pending == nil, client.lines.lines > client.answered {
      client.answered = client.lines.lines
      client.lines.stored(client.answered)
    }
    answer(token, client)
  }
  private func resume(_ token: UInt64, _ client: Client) -> Bool {
    do throws(SystemError) {
      try poller.add(client.descriptor.raw, token: token)
      client.wanted = .read
      return true
    } catch {
      close(token)
      return false
    }
  }

  /// Tells what is on disk, and closes what has ended.
  private func answer(_ token: UInt64, _ client: Client) {
    if let (mark, lines) = client.pending, !client.lines.wantsAnswers || spool.isDurable(mark) {
      client.pending = nil
      client.answered = lines
      client.lines.stored(lines)
    }
    guard flush(client) else { return close(token) }
    if client.hasEnded { return client.pending == nil ? close(token) : () }
    let wanted: Ready = client.lines.answers.isEmpty ? .read : [.read, .write]
    guard wanted != client.wanted, !blocked.contains(token) else { return }
    do throws(SystemError) {
      try poller.modify(client.descriptor.raw, token: token, for: wanted)
      client.wanted = wanted
    } catch {
      close(token)
    }
  }
  /// False when the connection is over: broken, or the client reads none of its answers.
  private func flush(_ client: Client) -> Bool {
    while !client.lines.answers.isEmpty {
      switch send(client.descriptor.raw, client.lines.answers) {
      case .done(let count): client.lines.answers.removeFirst(count)
      case .wouldBlock: return client.lines.answers.count <= Self.answerLimit
      // A client that only writes may be gone already; what it wrote was taken.
      case .closed, .failed: return false
      }
    }
    return true
  }
  private func close(_ token: UInt64) {
    guard let client = clients[token] else { return }
    // What was read and found no room is still to be taken.
    if blocked.contains(token) {
      client.hasEnded = true
      client.lines.answers = []
      return
    }
    poller.remove(client.descriptor.raw)
    clients[token] = nil
  }

  private func publish() {
    let (connections, waiting) = (clients.count, blocked.count)
    board.withLock { ($0.connections, $0.waiting) = (connections, waiting) }
  }
  /// At most one line in five seconds.
  private func complain(_ message: String, _ reason: String) {
    let now = BootInstant.now()
    guard now.milliseconds(since: logged) >= 5000 else { return }
    logged = now
    log(.warning, message, ["reason": reason])
  }
}
