// What may be sent over HTTP: a table of method, path and decoder. Pure: the thread that serves HTTP
// decodes with it, and hands what it decides to the intake.
public import HTTPServer
internal import TLS
public import Telemetry

/// A request with its body, unpacked.
public struct HTTPBody: Equatable, Sendable {
  public var method: String
  /// Decoded, without the query.
  public var path: String
  /// Decoded; of a name that comes twice, the last.
  public var query: [String: String]
  /// By name in lower case; of one that comes twice, the last.
  public var headers: [String: String]
  /// The client's address.
  public var peer: String
  /// Without `Content-Encoding`.
  public var bytes: [UInt8]
  public var limits: DeliveryLimits
  /// When it had arrived, µs since 2000-01-01 UTC.
  public var now: Int64
  /// Whom its token lets it send as when it does not say itself; nil without a token.
  public var tokenSource: String?
  public init(
    method: String, path: String, query: [String: String], headers: [String: String], peer: String, bytes: [UInt8],
    limits: DeliveryLimits, now: Int64, tokenSource: String? = nil
  ) {
    (self.method, self.path, self.query, self.headers) = (method, path, query, headers)
    (self.peer, self.bytes, self.limits, self.now) = (peer, bytes, limits, now)
    self.tokenSource = tokenSource
  }

  /// Who sends: what it calls itself in `Standwatch-Source`, or its address.
  public var source: String { namedSource(headers) ?? tokenSource ?? peer }
  /// SHA-256 of the bytes: the key where a repeated body is a repetition.
  public var digest: [UInt8] { sha256(bytes) }
  /// Without parameters, in lower case; empty when there is none.
  public var contentType: String { mediaType(headers) }
}

/// What a sender calls itself.
public func namedSource(_ headers: [String: String]) -> String? {
  headers["standwatch-source"].flatMap { $0.isEmpty ? nil : $0 }
}

/// Of `Content-Type`: without parameters, in lower case; empty when there is none.
public func mediaType(_ headers: [String: String]) -> String {
  let value = (headers["content-type"] ?? "").split(separator: ";", omittingEmptySubsequences: false).first ?? ""
  return value.lowercased().filter { $0 != " " && $0 != "\t" }
}

/// What a route makes of a body.
public enum RouteDecision: Sendable {
  /// Store it, and answer when that is committed or has failed.
  case deliver(Delivery, answer: @Sendable (DeliveryOutcome) -> HTTPAnswer)
  case answer(HTTPAnswer)
}

/// One of them.
public struct IngestRoute: Sendable {
  public var method: String
  public var path: String
  /// Tells the keys of one route's senders from another's; never changes.
  public var kind: String
  /// False for what stores nothing: there nobody has to show who they are.
  public var needsToken = true
  /// How this protocol says what no decoder has a part in; `type` is the request's media type.
  public var failed: @Sendable (_ fault: RouteFault, _ type: String) -> HTTPAnswer = { fault, _ in fault.plain }
  public var decode: @Sendable (HTTPBody) -> RouteDecision
}

/// All routes that take records.
public enum IngestRoutes {
  public static let all: [IngestRoute] = [jsonLinesRoute] + otlpRoutes + InfluxRoutes.all

  /// The route of a request, if it has one.
  public static func find(_ method: String, _ path: String) -> IngestRoute? {
    all.first { $0.method == method && $0.path == path }
  }
  /// Methods that a path takes; empty where it is none of ours.
  public static func methods(_ path: String) -> [String] { all.filter { $0.path == path }.map(\.method) }
}

/// Why a request is refused that no decoder has seen, or that was no fault of its body.
public enum RouteFault: Error, Equatable {
  /// A standby, or full: nobody's records are taken.
  case unavailable(retryAfterSeconds: Int)
  /// This source has its share of what may be under way.
  case overShare(retryAfterSeconds: Int)
  case tooLarge(String)
  case malformed(String)
  case unknownEncoding
  case token(TokenRefusal)
  /// A worker crashed twice with this sender's bodies in hand: it keeps them until an operator has released it.
  case quarantined(String)

  /// Of the answer, as HTTP says it.
  public var status: Int {
    switch self {
    case .unavailable, .quarantined: 503
    case .overShare: 429
    case .tooLarge: 413
    case .malformed: 400
    case .unknownEncoding: 415
    case .token(.otherSource): 403
    case .token(.unreadable): 503
    case .token: 401
    }
  }
  /// `things` is what the protocol calls its records.
  public func text(_ things: String = "records") -> String {
    switch self {
    case .unavailable: "can't take \(things) now, try again"
    case .overShare: "too many \(things) of this source are under way, try again"
    case .tooLarge(let text), .malformed(let text), .quarantined(let text): text
    case .unknownEncoding: "Content-Encoding: gzip or deflate"
    case .token(let refusal): refusal.rawValue
    }
  }
  /// What goes with it: when to come again, what would have been taken.
  public var headers: [HTTPHeader] {
    switch self {
    case .unavailable(let seconds), .overShare(let seconds): [HTTPHeader("Retry-After", String(max(1, seconds)))]
    case .quarantined: [HTTPHeader("Retry-After", "30")]
    case .tooLarge, .malformed: []
    case .unknownEncoding: [HTTPHeader("Accept-Encoding", "gzip, deflate")]
    case .token(.otherSource): []
    case .token(.unreadable): [HTTPHeader("Retry-After", "1")]
    // RFC 6750, 3.
    case .token: [HTTPHeader("WWW-Authenticate", "Bearer realm=\"standwatch\"")]
    }
  }
  /// The answer of a protocol that has no form of its own for it.
  public var plain: HTTPAnswer { HTTPAnswer(status: status, text: text() + "\n", headers: headers) }
}
