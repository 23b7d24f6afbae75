// What a server is asked and what it answers, as values.

/// A request, as far as it has come.
public struct HTTPRequest: Equatable, Sendable {
  /// As sent: `GET`, `POST`, ...
  public var method: String
  /// Decoded, without the query.
  public var path: String
  /// Decoded; of a name that comes twice, the last.
  public var query: [String: String] = [:]
  /// By name in lower case; of a name that comes twice, the last.
  public var headers: [String: String] = [:]
  /// The client's numeric address.
  public var peer = ""
  /// As sent; empty as long as only the headers have come.
  public var body: [UInt8] = []
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

/// What is done with a request whose headers have come.
public enum HTTPAdmission: Equatable, Sendable {
  /// It is answered at once; a body is refused.
  case plain
  /// Its body is taken; `takeRequest` gives it out when it is whole.
  case body
  /// Its body is not taken, and the connection closed.
  case refuse(HTTPAnswer)
}

/// Why the server itself answers a request whose body would have been taken.
public enum HTTPRefusal: Equatable, Sendable {
  /// The headers leave in doubt where the body ends.
  case malformed(String)
  /// The body has more than this many bytes.
  case tooLarge(limit: Int)
  /// Too many bodies are on their way.
  case full
  /// Too many of them are of this client's address.
  case overShare
  /// The server ends.
  case stopping

  /// The answer where the protocol of a path asks for no other.
  public var plain: HTTPAnswer {
    switch self {
    case .malformed(let fault): HTTPAnswer(status: 400, text: "\(fault)\n")
    case .tooLarge(let limit):
      HTTPAnswer(status: 413, text: "the body has more than \(limit) bytes: send it in parts\n")
    case .full:
      HTTPAnswer(
        status: 503, text: "too many bodies are on their way, try again\n", headers: [HTTPHeader("Retry-After", "1")])
    case .overShare:
      HTTPAnswer(
        status: 429, text: "too many bodies are on their way from your address, try again\n",
        headers: [HTTPHeader("Retry-After", "1")])
    case .stopping:
      HTTPAnswer(status: 503, text: "stopping, try again\n", headers: [HTTPHeader("Retry-After", "1")])
    }
  }
}

/// Names a request that waits for its answer.
public struct HTTPTicket: Hashable, Sendable {
  let number: UInt64
}

/// Bounds of a server; the address of a client that reaches one is closed, others don't notice.
public struct HTTPLimits: Equatable, Sendable {
  public var connections: UInt32 = 256
  public var connectionsPerAddress: UInt32 = 64
  /// A request has to be whole, and the next one on a kept connection begun, within this time.
  public var requestMilliseconds: Int64 = 15_000
  /// The same for one with a body, from its headers on.
  public var bodyMilliseconds: Int64 = 30_000
  /// Request line and headers: 414 or 431 beyond it.
  public var headerBytes: UInt32 = 16 << 10
  /// Of one body, as sent: 413 beyond it.
  public var bodyBytes = 4 << 20
  /// Of all bodies that are here or on their way, as sent: 503 beyond it.
  public var allBodiesBytes = 32 << 20
  /// Of those from one address: 429 beyond it, so that one that sends slowly does not shut the others out.
  public var addressBodiesBytes = 8 << 20
  public init() {}
}

/// What a server did since it started.
public struct HTTPCounts: Equatable, Sendable {
  /// Answers by status.
  public var answers: [Int: Int] = [:]
  /// Turned away because there are too many connections, in all or from one address.
  public var connectionsRefused = 0
  /// Closed because a request, or the next one, was not whole in time.
  public var late = 0
  /// Closed without a request that could be understood.
  public var withoutRequest = 0
  public init() {}
}
