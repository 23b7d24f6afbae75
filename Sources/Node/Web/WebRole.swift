// HTTP on every node, active or not: one thread that accepts, and runs the server.
internal import HTTPServer
public import Platform

/// Serves the node's health, readiness and metrics until `stop`. Holds no lock of the node while it writes.
public final class WebRole: Sendable {
  private enum Wish: Sendable { case closeConnections }
  private let wishes: Mailbox<Wish>
  private let thread: Guarded<RoleThread?>

  /// Listens on every address; an address that isn't on any interface yet is allowed (a service IP).
  /// `status` is called for each request, on the thread `web`.
  /// Records that are sent over HTTP go to `ingest`.
  public convenience init(
    addresses: [SocketAddress], ingest: Ingest, perAddress: Int = 512,
    patience: NodeConfiguration.Patience = NodeConfiguration.Patience(),
    status: @escaping @Sendable () -> NodeStatus
  ) throws(SystemError) {
    var limits = HTTPLimits()
    // Senders keep their connections.
    let share = connectionShare(openFileLimit(), IngestSettings().reservedDescriptors).http(2048)
    // One address never has all of them: somebody who looks after the node finds room.
    limits.connections = UInt32(clamping: share)
    limits.connectionsPerAddress = UInt32(clamping: max(1, min(512, perAddress, share / 2)))
    limits.requestMilliseconds = patience.messageMilliseconds / 2
    limits.bodyMilliseconds = patience.messageMilliseconds
    try self.init(addresses: addresses, limits: limits, ingest: ingest, status: status)
  }

  /// Without an intake no records are taken.
  init(
    addresses: [SocketAddress], limits: HTTPLimits, ingest: Ingest? = nil,
    ingestLimits: WebIngestLimits = WebIngestLimits(), status: @escaping @Sendable () -> NodeStatus
  ) throws(SystemError) {
    let wishes = try Mailbox<Wish>(capacity: 4)
    self.wishes = wishes
    let ready = Guarded<Listeners?>(try Listeners(addresses))
    let running = try RoleThread(name: "web") {
      guard let listeners = ready.withLock({ $0.take() }) else { return }
      enterEvidence(ingest?.evidence, .web)
      do { try Self.serve(listeners, limits, wishes, ingest, ingestLimits, status) } catch {
        log(.error, "HTTP stopped", ["reason": "\(error)"])
      }
    }
    thread = Guarded(running)
  }

  /// Ends all connections, so that clients of the service IP connect to whoever holds it now.
  public func closeConnections() { wishes.post(.closeConnections) }

  /// Closes listeners and connections and waits for the thread. Calling it twice is as good as once.
  public func stop() {
    wishes.close()
    guard let running = thread.withLock({ $0.take() }) else { return }
    running.join()
  }

  private static func serve(
    _ listeners: consuming Listeners, _ limits: HTTPLimits, _ wishes: Mailbox<Wish>, _ ingest: Ingest?,
    _ ingestLimits: WebIngestLimits, _ status: @escaping @Sendable () -> NodeStatus
  ) throws(SystemError) {
    let listenerTokens: UInt64 = 16
    var poller = try Poller(batch: 64)
    var intake: WebIngest? = nil
    if let ingest { intake = try WebIngest(ingest, limits: ingestLimits) }
    let counted = Guarded(HTTPCounts())
    var server = try HTTPServer(limits: limits) { request in
      ingest.flatMap { WebIngest.admit(request, $0) } ?? admitPage(request)
    } refuse: { request, refusal in
      WebIngest.refuse(request, refusal)
    } answer: { request in
      var told = status()
      told.http = httpStatus(counted.withLock { $0 })
      return answer(request, told)
    }
    try poller.add(wishes.descriptor, token: 0)
    try poller.add(server.descriptor, token: 1)
    if let replies = intake?.replies { try poller.add(replies.descriptor, token: 2) }
    for (index, listener) in listeners.raw.enumerated() {
      try poller.add(listener, token: listenerTokens + UInt64(index))
    }
    var acceptAgainAt: BootInstant?
    while !wishes.isClosed {
      let count = poller.wait(
        until: [server.nextDeadline(), acceptAgainAt, intake?.nextDeadline()].compactMap { $0 }.min())
      for index in 0..<count {
        let token = poller.event(index).token
        if token >= listenerTokens, acceptAgainAt == nil {
          do { try accept(listeners.raw[Int(token - listenerTokens)], into: &server) } catch {
            log(.warning, "HTTP: accept failed", ["reason": "\(error)"])
            acceptAgainAt = .after(milliseconds: 200)
          }
        }
      }
      for wish in wishes.takeAll() {
        switch wish {
        case .closeConnections: server.closeConnections()
        }
      }
      server.run()
      serveIntake(&intake, &server)
      let counts = server.counts
      counted.withLock { $0 = counts }
      // Out of descriptors: level-triggered readiness would spin.
      if let again = acceptAgainAt {
        if again <= .now() { acceptAgainAt = nil } else { sleep(until: .after(milliseconds: 20)) }
      }
    }
  }

  /// Bodies that are whole go to the intake, its answers to the clients; other requests have their turn in between.
  private static func serveIntake(_ intake: inout WebIngest?, _ server: inout HTTPServer) {
    repeat {
      intake?.answerAll(&server)
      if let (ticket, request) = server.takeRequest() { intake?.take(ticket, request, &server) }
      intake?.expire(&server)
      server.run()
      // That run may have made the next one whole: nothing else would wake us for it.
    } while server.hasRequest
  }

  /// A few at a time: requests of those already there come first.
  private static func accept(_ listener: Int32, into server: inout HTTPServer) throws(SystemError) {
    for _ in 0..<32 {
      guard let (descriptor, _) = try acceptStream(listener) else { return }
      server.add(Descriptor(owning: descriptor))
    }
  }
}

private func httpStatus(_ counts: HTTPCounts) -> NodeStatus.HTTP {
  var http = NodeStatus.HTTP()
  http.answers = counts.answers.mapValues { UInt64(clamping: $0) }
  http.refused = [
    "too many connections": UInt64(clamping: counts.connectionsRefused),
    "not whole in time": UInt64(clamping: counts.late),
    "no request": UInt64(clamping: counts.withoutRequest),
  ]
  return http
}

/// The listening sockets, closed together.
private struct Listeners: ~Copyable, Sendable {
  private(set) var raw: [Int32] = []

  init(_ addresses: [SocketAddress]) throws(SystemError) {
    do {
      for address in addresses { raw.append(try listenStream(address, backlog: 128, freeBind: true).release()) }
    } catch {
      closeAll(raw)
      throw error
    }
  }
  deinit { closeAll(raw) }
}

private func closeAll(_ descriptors: [Int32]) {
  for descriptor in descriptors { _ = Descriptor(owning: descriptor) }
}
