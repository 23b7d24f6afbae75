// Bodies with records, on the thread "web": admitted, unpacked, decoded, handed to the intake, answered when it has.
internal import Compression
internal import HTTPRoutes
internal import HTTPServer
internal import Platform
internal import Telemetry

/// Bounds of what waits for the intake.
struct WebIngestLimits: Equatable, Sendable {
  var deliveries = DeliveryLimits()
  /// Requests that wait for their commit.
  var waiting = 1024
  /// Of their records, as they are held.
  var waitingBytes = 16 << 20
  /// A client that waits longer is told to try again: its delivery may be stored meanwhile.
  var answerMilliseconds: Int64 = 30_000
  init() {}
}

struct WebIngest: ~Copyable {
  /// A request whose delivery is on its way. It stays until the intake has answered, even when the client was told.
  private struct Waiting {
    var ticket: HTTPTicket
    var route: IngestRoute
    var type: String
    var answer: @Sendable (DeliveryOutcome) -> HTTPAnswer
    var bytes: Int
    var until: BootInstant
    var isTold = false
    var unavailable: HTTPAnswer { route.failed(.unavailable(retryAfterSeconds: 1), type) }
  }
  private let ingest: Ingest
  private let limits: WebIngestLimits
  let replies: Mailbox<WebReply>
  private var waiting: [UInt64: Waiting] = [:]
  private var waitingBytes = 0
  private var next: UInt64 = 1

  init(_ ingest: Ingest, limits: WebIngestLimits) throws(SystemError) {
    (self.ingest, self.limits) = (ingest, limits)
    replies = try Mailbox(capacity: limits.waiting)
  }

  /// What is to be done with a request by its headers; nil when its path takes no records.
  static func admit(_ request: HTTPRequest, _ ingest: Ingest) -> HTTPAdmission? {
    guard let route = IngestRoutes.find(request.method, request.path) else {
      let methods = IngestRoutes.methods(request.path)
      if methods.isEmpty { return nil }
      let allowed = methods.joined(separator: ", ")
      return .refuse(HTTPAnswer(status: 405, text: "only \(allowed)\n", headers: [HTTPHeader("Allow", allowed)]))
    }
    let type = mediaType(request.headers)
    guard ingest.isServing else { return .refuse(route.failed(.unavailable(retryAfterSeconds: 1), type)) }
    guard encoding(of: request) != nil else { return .refuse(route.failed(.unknownEncoding, type)) }
    if case .failure(let fault) = judge(request, route, ingest.tokens) { return .refuse(route.failed(fault, type)) }
    return .body
  }
  /// Whom a request sends as, when its token says so: asked by its headers, and again when it is whole.
  private static func judge(
    _ request: HTTPRequest, _ route: IngestRoute, _ tokens: TokenDesk
  ) -> Result<String?, RouteFault> {
    // Before anything is decoded: the evidence of a crash has no room for a longer name, and would tell of nobody.
    guard Delivery.isSource(request.sender) else { return .failure(.malformed(Delivery.badSource)) }
    guard route.needsToken else { return .success(nil) }
    let text = HTTPToken.text(request.headers, isInflux: route.kind.hasPrefix("influx"))
    let named = namedSource(request.headers)
    switch tokens.judge(text, source: named, peer: request.peer) {
    case .admitted(let source, let token)?: return .success(token == nil ? nil : source)
    case .refused(let refusal)?:
      tokens.note(refusal, source: named ?? request.peer, peer: request.peer, wire: "HTTP \(request.path)")
      return .failure(.token(refusal))
    case nil: return .failure(.token(.unreadable))
    }
  }
  /// What the server refuses, in the words of the request's protocol.
  static func refuse(_ request: HTTPRequest, _ refusal: HTTPRefusal) -> HTTPAnswer {
    guard let route = IngestRoutes.find(request.method, request.path) else { return refusal.plain }
    let fault: RouteFault
    switch refusal {
    case .malformed(let text): fault = .malformed(text)
    case .tooLarge(let limit): fault = .tooLarge("the body has more than \(limit) bytes: send it in parts")
    case .overShare: fault = .overShare(retryAfterSeconds: 1)
    case .full, .stopping: fault = .unavailable(retryAfterSeconds: 1)
    }
    return route.failed(fault, mediaType(request.headers))
  }

  private enum Encoding { case plain, packed(CompressionFormat) }
  private static func encoding(of request: HTTPRequest) -> Encoding? {
    switch (request.headers["content-encoding"] ?? "").lowercased() {
    case "", "identity": .plain
    case "gzip", "x-gzip": .packed(.gzip)
    case "deflate": .packed(.deflate)
    default: nil
    }
  }

  /// A whole request: answered, or handed to the intake.
  mutating func take(_ ticket: HTTPTicket, _ request: HTTPRequest, _ server: inout HTTPServer) {
    guard let route = IngestRoutes.find(request.method, request.path), let encoding = WebIngest.encoding(of: request)
    else { return server.finish(ticket, HTTPAnswer(status: 404, text: "not found\n")) }
    let tokenSource: String?
    switch WebIngest.judge(request, route, ingest.tokens) {
    case .success(let source): tokenSource = source
    case .failure(let fault): return server.finish(ticket, route.failed(fault, mediaType(request.headers)))
    }
    let sender = Sender(protocolName: route.kind, source: request.sender)
    if let answer = judge(sender, request, route) { return server.finish(ticket, answer) }
    // Until it is decoded, this very body is what a crash would be blamed on.
    holdInHand(sender.inHand(address: request.peer), request.body.span, isExact: true)
    defer {
      letGo()
      withExtendedLifetime(request) {}
    }
    ingest.trap?.trip(request.body)
    var body = HTTPBody(
      method: request.method, path: request.path, query: request.query, headers: request.headers, peer: request.peer,
      bytes: request.body, limits: limits.deliveries, now: wallMicroseconds() - Intake.epoch2000Microseconds)
    body.tokenSource = tokenSource
    if case .packed(let format) = encoding {
      do throws(CompressionError) {
        body.bytes = try inflate(
          request.body, limit: limits.deliveries.inflatedBytes(ofPacked: request.body.count), format: format)
      } catch {
        let fault: RouteFault
        switch error {
        case .tooLarge: fault = .tooLarge("\(error)")
        case .damaged: fault = .malformed("the body \(error)")
        }
        return server.finish(ticket, route.failed(fault, body.contentType))
      }
      ingest.trap?.trip(body.bytes)
    }
    switch route.decode(body) {
    case .answer(let answer): server.finish(ticket, answer)
    case .deliver(let delivery, let answer): submit(ticket, route, body.contentType, delivery, answer, &server)
    }
  }
  /// The refusal of what is quarantined; nil when it may be decoded.
  private func judge(_ sender: Sender, _ request: HTTPRequest, _ route: IngestRoute) -> HTTPAnswer? {
    let type = mediaType(request.headers)
    switch ingest.quarantine.verdict(sender, address: request.peer) {
    case .free: return nil
    case .wait: return route.failed(.quarantined(Quarantine.waitReason), type)
    case .refused(let id): return route.failed(.quarantined(Quarantine.reason(id)), type)
    case .isolated:
      // This body alone: what else its sender has is taken.
      return ingest.quarantine.quarantine.item(sender, request.body).map {
        route.failed(.malformed(Quarantine.reason($0)), type)
      }
    }
  }
  private mutating func submit(
    _ ticket: HTTPTicket, _ route: IngestRoute, _ type: String, _ delivery: Delivery,
    _ answer: @escaping @Sendable (DeliveryOutcome) -> HTTPAnswer, _ server: inout HTTPServer
  ) {
    let bytes = delivery.heldBytes
    let isFull =
      waiting.count >= limits.waiting || waitingBytes > 0 && waitingBytes + bytes > limits.waitingBytes
    let number = next
    guard !isFull,
      ingest.deliver(delivery, kind: route.kind, WebTicket(number: number, reply: replies))
    else { return server.finish(ticket, route.failed(.unavailable(retryAfterSeconds: 1), type)) }
    next += 1
    waiting[number] = Waiting(
      ticket: ticket, route: route, type: type, answer: answer, bytes: bytes,
      until: .after(milliseconds: limits.answerMilliseconds))
    waitingBytes += bytes
  }

  /// Tells clients what became of their deliveries, nothing of an epoch that is over.
  mutating func answerAll(_ server: inout HTTPServer) {
    for reply in replies.takeAll() {
      guard let done = waiting.removeValue(forKey: reply.number) else { continue }
      waitingBytes -= done.bytes
      if done.isTold { continue }
      guard case .stored = reply.outcome else {
        server.finish(done.ticket, done.answer(reply.outcome))
        continue
      }
      let answer = done.answer(reply.outcome)
      // Sent inside: once the intake was stopped, nothing is acknowledged any more.
      let told: Void? = reply.epoch.flatMap { epoch in
        ingest.whileServing(epoch) {
          server.finish(done.ticket, answer)
          server.run()
          server.run()
        }
      }
      if told == nil { server.finish(done.ticket, done.unavailable) }
    }
  }
  /// Tells those who wait too long to try again.
  mutating func expire(_ server: inout HTTPServer) {
    let now = BootInstant.now()
    for (number, one) in waiting where !one.isTold && one.until <= now {
      waiting[number]?.isTold = true
      server.finish(one.ticket, one.unavailable)
    }
  }
  func nextDeadline() -> BootInstant? { waiting.values.lazy.filter { !$0.isTold }.map(\.until).min() }
}

extension HTTPRequest {
  /// Who sends, as `HTTPBody.source` says.
  fileprivate var sender: String { headers["standwatch-source"].flatMap { $0.isEmpty ? nil : $0 } ?? peer }
}
