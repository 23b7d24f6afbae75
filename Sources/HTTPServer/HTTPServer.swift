// A libmicrohttpd daemon without threads or sockets of its own: the thread that owns it accepts, waits and runs it.
internal import CMicroHTTPD
public import Platform

/// A request without a body: others are refused before they get here.
public struct HTTPRequest: Equatable, Sendable {
  /// `GET` or `HEAD`.
  public var method: String
  /// Decoded, without the query.
  public var path: String
  public init(method: String, path: String) {
    self.method = method
    self.path = path
  }
}

/// A header of an answer, beside those that every answer has.
public struct HTTPHeader: Equatable, Sendable {
  public var name: String
  public var value: String
  public init(_ name: String, _ value: String) { (self.name, self.value) = (name, value) }
}

/// A whole answer.
public struct HTTPAnswer: Equatable, Sendable {
  public var status: Int
  public var type: String
  public var headers: [HTTPHeader]
  public var body: [UInt8]
  public init(
    status: Int, type: String = "text/plain; charset=utf-8", headers: [HTTPHeader] = [], body: [UInt8]
  ) {
    (self.status, self.type, self.headers, self.body) = (status, type, headers, body)
  }
  public init(status: Int, text: String, headers: [HTTPHeader] = []) {
    self.init(status: status, headers: headers, body: Array(text.utf8))
  }
}

/// Bounds of a server; the address of a client that reaches one is closed, others don't notice.
public struct HTTPLimits: Equatable, Sendable {
  public var connections: UInt32 = 256
  public var connectionsPerAddress: UInt32 = 64
  /// A request has to be whole, and the next one on a kept connection begun, within this time.
  public var requestMilliseconds: Int64 = 15_000
  /// Request line and headers: 414 or 431 beyond it.
  public var headerBytes: UInt32 = 16 << 10
  public init() {}
}

/// One server; used by one thread at a time.
@safe public struct HTTPServer: ~Copyable {
  // Sound: started in init, stopped exactly once, in deinit; `exchange` outlives it because it is released after.
  private let daemon: OpaquePointer
  private let exchange: Exchange

  /// `answer` is called on the thread that calls `run`, and must not block.
  public init(limits: HTTPLimits = HTTPLimits(), answer: @escaping (HTTPRequest) -> HTTPAnswer) throws(SystemError) {
    exchange = Exchange(limits: limits, answer: answer)
    let bounds = sw_http_limits(
      connections: limits.connections, connections_per_address: limits.connectionsPerAddress,
      idle_seconds: UInt32(clamping: limits.requestMilliseconds / 1000 + 1),
      memory_per_connection: limits.headerBytes)
    let context = unsafe Unmanaged.passUnretained(exchange).toOpaque()
    guard let started = unsafe sw_http_start(bounds, answerRequest, noteConnection, context) else {
      throw .last("MHD_start_daemon")
    }
    unsafe daemon = started
  }
  deinit { unsafe MHD_stop_daemon(daemon) }

  /// Readable when `run` has work.
  public var descriptor: Int32 { unsafe sw_http_epoll_descriptor(daemon) }
  public var connections: Int { exchange.clients.count }

  /// Serves an accepted connection; the descriptor is the server's from now on. False when a bound is reached: then it
  /// is closed already.
  @discardableResult public mutating func add(_ connection: consuming Descriptor) -> Bool {
    unsafe sw_http_add(daemon, connection.release()) == 1
  }

  /// Does what can be done without waiting.
  public mutating func run() {
    _ = unsafe sw_http_run(daemon)
    let late = BootInstant.now().adding(milliseconds: -exchange.limits.requestMilliseconds)
    for client in exchange.clients.values where client.since <= late { sw_http_shut_down(client.descriptor) }
  }
  /// When `run` has to be called although nothing was readable; nil is never.
  public func nextDeadline() -> BootInstant? {
    let own = unsafe sw_http_timeout(daemon)
    let first = exchange.clients.values.map(\.since).min()
    let times = [
      own < 0 ? nil : BootInstant.after(milliseconds: own),
      first?.adding(milliseconds: exchange.limits.requestMilliseconds + 1),
    ]
    return times.compactMap { $0 }.min()
  }
  /// Ends every connection, so that its client connects anew, wherever the address leads then.
  public mutating func closeConnections() {
    for client in exchange.clients.values { sw_http_shut_down(client.descriptor) }
  }
}

/// What the C callbacks reach.
private final class Exchange {
  struct Client {
    var descriptor: Int32
    /// When the connection began or its last request was whole.
    var since: BootInstant
  }
  let limits: HTTPLimits
  let answer: (HTTPRequest) -> HTTPAnswer
  /// By the address of libmicrohttpd's connection, which is one connection's until it was told to be closed.
  var clients: [UInt: Client] = [:]
  init(limits: HTTPLimits, answer: @escaping (HTTPRequest) -> HTTPAnswer) {
    self.limits = limits
    self.answer = answer
  }
}

// Sound: the context is the server's `Exchange`, alive until after MHD_stop_daemon.
private func noteConnection(
  _ context: UnsafeMutableRawPointer?, _ connection: OpaquePointer?, _: UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
  _ code: MHD_ConnectionNotificationCode
) {
  guard let context = unsafe context, let connection = unsafe connection else { return }
  let exchange = unsafe Unmanaged<Exchange>.fromOpaque(context).takeUnretainedValue()
  let key = UInt(bitPattern: connection)
  if code == .CONNECTION_NOTIFY_CLOSED {
    exchange.clients[key] = nil
  } else {
    let descriptor = unsafe sw_http_connection_descriptor(connection)
    exchange.clients[key] = Exchange.Client(descriptor: descriptor, since: .now())
  }
}

// Called first with the headers (`slot` empty), then, when that said yes, with the whole request.
private func answerRequest(
  _ context: UnsafeMutableRawPointer?, _ connection: OpaquePointer?, _ url: UnsafePointer<CChar>?,
  _ method: UnsafePointer<CChar>?, _: UnsafePointer<CChar>?, _: UnsafePointer<CChar>?,
  _ uploaded: UnsafeMutablePointer<Int>?, _ slot: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> MHD_Result {
  guard let context = unsafe context, let connection = unsafe connection, let url = unsafe url,
    let method = unsafe method, let slot = unsafe slot
  else { return .NO }
  let exchange = unsafe Unmanaged<Exchange>.fromOpaque(context).takeUnretainedValue()
  let verb = unsafe String(cString: method)
  if unsafe slot.pointee == nil {
    // Any pointer will do: it only says that the headers were seen.
    unsafe slot.pointee = context
    if verb != "GET" && verb != "HEAD" {
      let text = "only GET and HEAD are served here\n"
      return unsafe reply(connection, HTTPAnswer(status: 405, text: text), header: ("Allow", "GET, HEAD"), close: true)
    }
    let length = unsafe sw_http_header(connection, "Content-Length").map { unsafe String(cString: $0) }
    let chunked = unsafe sw_http_header(connection, "Transfer-Encoding") != nil
    if chunked || (length ?? "0") != "0" {
      return unsafe reply(connection, HTTPAnswer(status: 413, text: "a body is not taken here\n"), close: true)
    }
    return .YES
  }
  if let uploaded = unsafe uploaded, unsafe uploaded.pointee != 0 { return .NO }
  exchange.clients[UInt(bitPattern: connection)]?.since = .now()
  let answer = exchange.answer(unsafe HTTPRequest(method: verb, path: String(cString: url)))
  return unsafe reply(connection, answer, close: false)
}

private func reply(
  _ connection: OpaquePointer, _ answer: HTTPAnswer, header: (name: String, value: String)? = nil, close: Bool
) -> MHD_Result {
  // Sound: everything is copied before the call returns.
  let queued = unsafe answer.body.withUnsafeBytes { body in
    unsafe sw_http_reply(
      connection, UInt32(clamping: answer.status), answer.type, body.baseAddress, body.count, header?.name,
      header?.value, close ? 1 : 0)
  }
  return queued == 1 ? .YES : .NO
}
