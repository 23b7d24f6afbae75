// The thread of the control socket: accepts, reads lines, hands requests over, writes answers.
internal import Platform

/// Owned by the thread `operator`.
struct OperatorLoop: ~Copyable {
  struct Answered: Sendable {
    var client: UInt64
    var reply: OperatorReply
  }
  private struct Client {
    var descriptor: Int32
    var input: [UInt8] = []
    var output: [UInt8] = []
    var written = 0
    /// A request is in the node's hands; nothing is read meanwhile.
    var waiting = false
    /// Close when `output` is written.
    var closing = false
    var deadline: BootInstant
  }
  private enum Token {
    static let listener: UInt64 = 0, stop: UInt64 = 1, answers: UInt64 = 2, firstClient: UInt64 = 16
  }

  private let listener: Descriptor
  private var poller: Poller
  private let group: UInt32
  private let limits: OperatorServer.Limits
  private let stopping: Mailbox<Bool>
  private let answers: Mailbox<Answered>
  private let status: @Sendable () -> NodeStatus
  private let handle: @Sendable (OperatorRequest, @escaping OperatorServer.Answer) -> Void
  private var clients: [UInt64: Client] = [:]
  private var nextClient = Token.firstClient
  private var outstanding = 0
  /// Accepting is paused until then (out of descriptors).
  private var acceptAgainAt: BootInstant?

  init(
    listener: consuming Descriptor, poller: consuming Poller, group: UInt32, limits: OperatorServer.Limits,
    stopping: Mailbox<Bool>, answers: Mailbox<Answered>, status: @escaping @Sendable () -> NodeStatus,
    handle: @escaping @Sendable (OperatorRequest, @escaping OperatorServer.Answer) -> Void
  ) {
    self.listener = listener
    self.poller = poller
    self.group = group
    self.limits = limits
    self.stopping = stopping
    self.answers = answers
    self.status = status
    self.handle = handle
  }
  deinit { for client in clients.values { closeRaw(client.descriptor) } }

  /// Before the thread starts.
  mutating func watch() throws(SystemError) {
    try poller.add(listener.raw, token: Token.listener)
    try poller.add(stopping.descriptor, token: Token.stop)
    try poller.add(answers.descriptor, token: Token.answers)
  }

  mutating func run() {
    while !stopping.isClosed {
      let due = clients.values.filter { !$0.waiting }.map(\.deadline).min()
      let count = poller.wait(until: [due, acceptAgainAt].compactMap { $0 }.min())
      let now = BootInstant.now()
      for index in 0..<count {
        let event = poller.event(index)
        switch event.token {
        case Token.listener: accept(now)
        case Token.stop: break
        case Token.answers: deliver(now)
        case let id: serve(id, event, now)
        }
      }
      if let again = acceptAgainAt, again <= now {
        acceptAgainAt = nil
        // Was there a moment ago; if not, the node goes on without its control socket and says so.
        do { try poller.add(listener.raw, token: Token.listener) } catch {
          log(.error, "control socket closed", ["reason": "\(error)"])
        }
      }
      for (id, client) in clients where !client.waiting && client.deadline <= now { close(id) }
    }
  }

  private mutating func accept(_ now: BootInstant) {
    do {
      while let (descriptor, _) = try acceptStream(listener.raw) {
        guard let credentials = peerCredentials(descriptor), mayOperate(credentials, socketGroup: group) else {
          log(.warning, "control socket: refused", ["user": "\(peerCredentials(descriptor)?.user ?? -1)"])
          closeRaw(descriptor)
          continue
        }
        let id = nextClient
        nextClient += 1
        try poller.add(descriptor, token: id)
        clients[id] = Client(descriptor: descriptor, deadline: now.adding(milliseconds: limits.idleMilliseconds))
        if clients.count > limits.clients {
          clients[id]?.closing = true
          answer(id, .refused("too many clients at the control socket"), now)
        }
      }
    } catch {
      // Out of descriptors: level-triggered readiness would spin.
      log(.warning, "control socket: accept failed", ["reason": "\(error)"])
      poller.remove(listener.raw)
      acceptAgainAt = now.adding(milliseconds: 200)
    }
  }

  private mutating func serve(_ id: UInt64, _ event: Poller.Event, _ now: BootInstant) {
    guard let client = clients[id] else { return }
    if event.writable {
      write(id, now)
      return advance(id, now)
    }
    if event.failed && !event.readable { return close(id) }
    guard event.readable, !client.waiting, client.output.isEmpty else { return }
    var chunk = [UInt8](repeating: 0, count: 16 << 10)
    switch receive(client.descriptor, into: &chunk) {
    case .done(let count):
      clients[id]?.input.append(contentsOf: chunk[..<count])
      advance(id, now)
    case .wouldBlock: break
    case .closed, .failed: close(id)
    }
  }

  /// Takes whole lines while the client is free for them. A loop, never from `write`: thousands of short lines at once
  /// must not nest.
  private mutating func advance(_ id: UInt64, _ now: BootInstant) {
    while let client = clients[id], !client.waiting, client.output.isEmpty, !client.closing {
      guard let end = client.input.firstIndex(of: UInt8(ascii: "\n")) else {
        if client.input.count > limits.lineBytes {
          clients[id]?.closing = true
          answer(id, .refused("a line is longer than \(limits.lineBytes) bytes"), now)
        }
        return
      }
      let line = Array(client.input[..<end])
      clients[id]?.input.removeSubrange(...end)
      if line.isEmpty || line == [UInt8(ascii: "\r")] { continue }
      dispatch(id, line, now)
    }
  }

  private mutating func dispatch(_ id: UInt64, _ line: [UInt8], _ now: BootInstant) {
    let request: OperatorRequest
    do {
      guard line.count <= limits.lineBytes else {
        throw OperatorRequestError(description: "a line is longer than \(limits.lineBytes) bytes")
      }
      request = try OperatorRequest(decoding: line)
    } catch {
      return answer(id, .refused("\(error)"), now)
    }
    if request == .status { return answer(id, OperatorReply(ok: true, message: "", status: status()), now) }
    guard outstanding < limits.outstanding else {
      return answer(id, .refused("too many requests are under way; try again"), now)
    }
    outstanding += 1
    clients[id]?.waiting = true
    listen(id)
    let once = Guarded(false)
    let answers = answers
    handle(request) { reply in
      let first = once.withLock { answered in
        defer { answered = true }
        return !answered
      }
      // Never full: its capacity is the bound of outstanding requests, and each answers once.
      if first { answers.post(Answered(client: id, reply: reply)) }
    }
  }

  private mutating func deliver(_ now: BootInstant) {
    for answered in answers.takeAll() {
      outstanding -= 1
      guard clients[answered.client] != nil else { continue }
      clients[answered.client]?.waiting = false
      answer(answered.client, answered.reply, now)
      advance(answered.client, now)
    }
  }

  private mutating func answer(_ id: UInt64, _ reply: OperatorReply, _ now: BootInstant) {
    clients[id]?.output.append(contentsOf: reply.encoded() + [UInt8(ascii: "\n")])
    clients[id]?.deadline = now.adding(milliseconds: limits.idleMilliseconds)
    write(id, now)
  }

  private mutating func write(_ id: UInt64, _ now: BootInstant) {
    guard let client = clients[id] else { return }
    var written = client.written
    while written < client.output.count {
      switch send(client.descriptor, client.output, from: written) {
      case .done(let count): written += count
      case .wouldBlock:
        clients[id]?.written = written
        return listen(id)
      case .closed, .failed: return close(id)
      }
    }
    if client.closing { return close(id) }
    clients[id]?.output = []
    clients[id]?.written = 0
    listen(id)
  }

  /// Waits for what the client is waited for: room when something is to be written, else a request. While the node
  /// works on one, only for its hanging up.
  private mutating func listen(_ id: UInt64) {
    guard let client = clients[id] else { return }
    let wanted: Ready = !client.output.isEmpty ? .write : client.waiting ? [] : .read
    do { try poller.modify(client.descriptor, token: id, for: wanted) } catch { close(id) }
  }

  private mutating func close(_ id: UInt64) {
    guard let client = clients.removeValue(forKey: id) else { return }
    poller.remove(client.descriptor)
    closeRaw(client.descriptor)
  }
}

private func closeRaw(_ descriptor: Int32) { _ = Descriptor(owning: descriptor) }
