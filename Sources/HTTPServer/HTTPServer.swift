// A libmicrohttpd daemon without threads or sockets of its own: the thread that owns it accepts, waits and runs it.
internal import CMicroHTTPD
public import Platform

/// One server; used by one thread at a time.
@safe public struct HTTPServer: ~Copyable {
  // Sound: started in init, stopped exactly once, in deinit; `exchange` outlives it because it is released after.
  private let daemon: OpaquePointer
  private let exchange: Exchange

  /// `admit` is called with the headers of each request, `answer` with those admitted as plain; both on the thread that
  /// calls `run`, and must not block. `refuse` words the refusal of a request that has a body.
  public init(
    limits: HTTPLimits = HTTPLimits(), admit: @escaping (HTTPRequest) -> HTTPAdmission,
    refuse: @escaping (HTTPRequest, HTTPRefusal) -> HTTPAnswer, answer: @escaping (HTTPRequest) -> HTTPAnswer
  ) throws(SystemError) {
    exchange = Exchange(limits: limits, admit: admit, refuse: refuse, answer: answer)
    let bounds = sw_http_limits(
      connections: limits.connections, connections_per_address: limits.connectionsPerAddress,
      idle_seconds: UInt32(clamping: max(limits.requestMilliseconds, limits.bodyMilliseconds) / 1000 + 1),
      memory_per_connection: limits.headerBytes)
    let context = unsafe Unmanaged.passUnretained(exchange).toOpaque()
    guard let started = unsafe sw_http_start(bounds, answerRequest, noteConnection, noteCompleted, context) else {
      throw .last("MHD_start_daemon")
    }
    unsafe daemon = started
  }
  deinit {
    // A suspended connection must not meet the daemon's end.
    exchange.resumeAll()
    _ = unsafe sw_http_run(daemon)
    unsafe MHD_stop_daemon(daemon)
  }

  /// Readable when `run` has work.
  public var descriptor: Int32 { unsafe sw_http_epoll_descriptor(daemon) }
  public var connections: Int { exchange.clients.count }
  public var counts: HTTPCounts { exchange.counts }

  /// Serves an accepted connection; the descriptor is the server's from now on. False when a bound is reached: then it
  /// is closed already.
  @discardableResult public mutating func add(_ connection: consuming Descriptor) -> Bool {
    let isTaken = unsafe sw_http_add(daemon, connection.release()) == 1
    if !isTaken { exchange.counts.connectionsRefused += 1 }
    return isTaken
  }

  /// Does what can be done without waiting.
  public mutating func run() {
    // Each run reads one buffer of each connection; a bound, so that others have their turn.
    for _ in 0..<64 {
      exchange.hasProgressed = false
      _ = unsafe sw_http_run(daemon)
      if !exchange.hasProgressed { break }
    }
    let now = BootInstant.now()
    exchange.closeLate(now)
    if exchange.rouse(now) { _ = unsafe sw_http_run(daemon) }
  }
  /// When `run` has to be called although nothing was readable; nil is never.
  public func nextDeadline() -> BootInstant? {
    let own = unsafe sw_http_timeout(daemon)
    let first = exchange.clients.values.compactMap(\.deadline).min()
    let times = [
      own < 0 ? nil : BootInstant.after(milliseconds: own), first?.adding(milliseconds: 1),
      first == nil ? nil : exchange.rouseAt, exchange.hasProgressed ? BootInstant.now() : nil,
    ]
    return times.compactMap { $0 }.min()
  }

  /// Whether `takeRequest` may have one.
  public var hasRequest: Bool { !exchange.ready.isEmpty }
  /// The next request whose body is whole; its connection waits until `finish`.
  public mutating func takeRequest() -> (ticket: HTTPTicket, request: HTTPRequest)? {
    while let number = exchange.ready.first {
      exchange.ready.removeFirst()
      guard let upload = exchange.uploads[number] else { continue }
      let request = upload.request
      upload.request.body = []
      return (HTTPTicket(number: number), request)
    }
    return nil
  }
  /// Answers a request that waits; it leaves with the next `run`. A client that is gone is passed over.
  public mutating func finish(_ ticket: HTTPTicket, _ answer: HTTPAnswer) {
    guard let upload = exchange.uploads[ticket.number], upload.isSuspended else { return }
    upload.answer = answer
    exchange.resume(upload)
  }
  /// Ends every connection, so that its client connects anew, wherever the address leads then.
  public mutating func closeConnections() {
    for client in exchange.clients.values { sw_http_shut_down(client.descriptor) }
  }
}
