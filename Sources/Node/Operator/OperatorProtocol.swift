// What is said over a node's control socket: one JSON object a line in each direction.
internal import FoundationEssentials

/// A wish of an operator that only the running node can fulfil; what the cluster shares, `hactl` writes to PostgreSQL. On the wire: `{"request":"switchover","to":"b","timeoutMilliseconds":10000}`.
public enum OperatorRequest: Equatable, Sendable {
  case status
  /// Hand over, to the named node or to whoever wins. The reply comes when it is done, failed or timed out.
  case switchover(to: String?, timeoutMilliseconds: Int64)
}

/// The answer to one request. `message` is a sentence for the operator.
public struct OperatorReply: Codable, Equatable, Sendable {
  public var ok: Bool
  public var message: String
  /// When each phase of a switchover ended, milliseconds from its beginning.
  public var phases: [String: Double]?
  public var status: NodeStatus?
  public init(
    ok: Bool, message: String, phases: [String: Double]? = nil, status: NodeStatus? = nil
  ) {
    self.ok = ok
    self.message = message
    self.phases = phases
    self.status = status
  }
  public static func done(_ message: String) -> OperatorReply { OperatorReply(ok: true, message: message) }
  public static func refused(_ message: String) -> OperatorReply { OperatorReply(ok: false, message: message) }
}

/// A line that is no request; the sentence goes back to the client.
public struct OperatorRequestError: Error, Equatable, Sendable, CustomStringConvertible {
  public var description: String
}

/// Field names of a request; absent ones are nil.
private struct RequestLine: Codable {
  var request: String
  var to: String?
  var timeoutMilliseconds: Int64?
}

extension OperatorRequest {
  /// Longest line in either direction, bytes without the newline.
  public static let longestLine = 64 << 10

  /// One line, without its newline.
  public func encoded() -> [UInt8] {
    var line = RequestLine(request: "")
    switch self {
    case .status: line.request = "status"
    case .switchover(let to, let timeout):
      line.request = "switchover"
      line.to = to
      line.timeoutMilliseconds = timeout
    }
    return jsonLine(line)
  }

  /// Reads what `encoded()` wrote; says in a sentence what is wrong with anything else.
  public init(decoding bytes: [UInt8]) throws(OperatorRequestError) {
    let line: RequestLine
    do {
      line = try JSONDecoder().decode(RequestLine.self, from: Data(bytes))
    } catch {
      throw OperatorRequestError(description: "not a request: a JSON object with the key \"request\" is expected")
    }
    func name(_ text: String) throws(OperatorRequestError) -> String {
      let allowed = text.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == 45 }
      guard allowed, (1...16).contains(text.utf8.count) else {
        throw OperatorRequestError(description: "a node's name is 1 to 16 of a-z, 0-9 and -")
      }
      return text
    }
    switch line.request {
    case "status": self = .status
    case "switchover":
      let timeout = min(max(line.timeoutMilliseconds ?? 10_000, 100), 120_000)
      self = .switchover(to: try line.to.map(name), timeoutMilliseconds: timeout)
    default:
      throw OperatorRequestError(description: "unknown request \"\(line.request.prefix(40))\"")
    }
  }
}

extension OperatorReply {
  /// One line, without its newline.
  public func encoded() -> [UInt8] { jsonLine(self) }
  /// Nil when the bytes are no reply.
  public init?(decoding bytes: [UInt8]) {
    // Whatever is wrong with it, it is not a reply of ours; the caller says from whom it came.
    guard let reply = try? jsonDecoder().decode(OperatorReply.self, from: Data(bytes)) else { return nil }
    self = reply
  }
}

extension NodeStatus {
  /// One line of JSON, keys sorted.
  public func encoded() -> [UInt8] { jsonLine(self) }
  /// Nil when the bytes are no status.
  public init?(decoding bytes: [UInt8]) {
    // As above.
    guard let status = try? jsonDecoder().decode(NodeStatus.self, from: Data(bytes)) else { return nil }
    self = status
  }
}

/// JSON without newlines, keys sorted. Numbers that JSON can't say become strings, which `jsonDecoder` reads back.
func jsonLine(_ value: some Encodable) -> [UInt8] {
  let encoder = JSONEncoder()
  encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
  encoder.nonConformingFloatEncodingStrategy = .convertToString(
    positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
  // Cannot fail: our own types hold only what JSON has, and the strategy above covers the rest.
  guard let data = try? encoder.encode(value) else { return Array("{}".utf8) }
  return Array(data)
}

private func jsonDecoder() -> JSONDecoder {
  let decoder = JSONDecoder()
  decoder.nonConformingFloatDecodingStrategy = .convertFromString(
    positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
  return decoder
}
