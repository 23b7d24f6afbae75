// Lines of the native protocol besides records: made here for both sides, and read by senders.

/// What a sender introduces its stream with: `{"hello":{"source":...,"stream":...,"oldest":...,"token":...}}`.
public struct Hello: Equatable, Sendable {
  /// Who sends, for example "mes-07/collector": 1 to 200 bytes without control characters.
  public var source: String
  /// One run of numbered records of the source: 1 to 200 bytes without control characters.
  public var stream: String
  /// Lowest seq that the sender can still send; 0 when it doesn't say.
  public var oldest: Int64
  public var token: String
  /// The host whose agent this is, when it understands `{"live":...}`; empty otherwise.
  public var live: String
  public init(source: String, stream: String, oldest: Int64, token: String = "", live: String = "") {
    (self.source, self.stream, self.oldest, self.token, self.live) = (source, stream, oldest, token, live)
  }
  /// Id of the stream in `ingest.stream`.
  public var streamID: Int64 { NameHash.streamID(source: source, stream: stream) }
}

/// What the node answers.
public enum NativeReply: Equatable, Sendable {
  case welcome(node: String, epoch: Int64, committed: Int64, window: Int64, maxLine: Int64)
  /// Everything up to this seq is committed.
  case ack(Int64)
  /// This record was refused and is kept in `ingest.rejected`; it counts as committed.
  case reject(seq: Int64, reason: String)
  /// The node closes the connection; the sender tries again, anywhere.
  case bye(reason: String)
  case pong(Int64)
  /// Somebody watches the host: send samples each second for so long. Only to who said `live` in its hello.
  case live(seconds: Int64)

  /// Whether the reason of a `bye` is the sender's token: coming again at once with the same one is in vain.
  public static func isAboutToken(_ reason: String) -> Bool {
    reason.hasPrefix("the token is ") || reason.hasPrefix("a token is required")
  }

  /// The line, with its newline.
  public var line: [UInt8] {
    switch self {
    case .welcome(let node, let epoch, let committed, let window, let maxLine):
      jsonLine(
        #"{"welcome":{"node":"# + jsonText(node)
          + #","epoch":\#(epoch),"committed":\#(committed),"window":\#(window),"max_line":\#(maxLine)}}"#)
    case .ack(let seq): jsonLine(#"{"ack":\#(seq)}"#)
    case .reject(let seq, let reason): jsonLine(#"{"reject":{"seq":\#(seq),"reason":"# + jsonText(reason) + "}}")
    case .bye(let reason): jsonLine(#"{"bye":{"reason":"# + jsonText(reason) + "}}")
    case .pong(let number): jsonLine(#"{"pong":\#(number)}"#)
    case .live(let seconds): jsonLine(#"{"live":{"seconds":\#(seconds)}}"#)
    }
  }

  /// Reads one line, with or without its newline; nil when it is none of these.
  public init?(line: some Collection<UInt8>) {
    guard let members = SmallObject(line) else { return nil }
    if let welcome = members.object("welcome") {
      guard let node = welcome.text("node"), let epoch = welcome.number("epoch"),
        let committed = welcome.number("committed")
      else { return nil }
      self = .welcome(
        node: node, epoch: epoch, committed: committed, window: welcome.number("window") ?? 1024,
        maxLine: welcome.number("max_line") ?? 65_536)
    } else if let seq = members.number("ack") {
      self = .ack(seq)
    } else if let reject = members.object("reject"), let seq = reject.number("seq") {
      self = .reject(seq: seq, reason: reject.text("reason") ?? "")
    } else if let bye = members.object("bye") {
      self = .bye(reason: bye.text("reason") ?? "")
    } else if let number = members.number("pong") {
      self = .pong(number)
    } else if let live = members.object("live"), let seconds = live.number("seconds") {
      self = .live(seconds: seconds)
    } else {
      return nil
    }
  }
}

/// What an application can say to its host's agent besides records.
public enum LocalRequest: Equatable, Sendable {
  case hello(app: String?, wantsAnswers: Bool)
  case ping(Int64)

  /// Nil when the line is neither; an app that is no name is passed over.
  public init?(line: some Collection<UInt8>) {
    guard let members = SmallObject(line) else { return nil }
    if let hello = members.object("hello") {
      let app = hello.text("app").flatMap { isName($0.utf8) ? $0 : nil }
      self = .hello(app: app, wantsAnswers: hello.isTrue("ack"))
    } else if let number = members.number("ping") {
      self = .ping(number)
    } else {
      return nil
    }
  }
}

extension Hello {
  /// The line that a sender sends first, with its newline.
  public var line: [UInt8] {
    let token = token.isEmpty ? "" : #","token":"# + jsonText(token)
    let live = live.isEmpty ? "" : #","live":"# + jsonText(live)
    return jsonLine(
      #"{"hello":{"source":\#(jsonText(source)),"stream":\#(jsonText(stream)),"oldest":\#(oldest)\#(token)\#(live)}}"#)
  }
}
/// The line `{"ping":n}` with its newline.
public func pingLine(_ number: Int64) -> [UInt8] { jsonLine(#"{"ping":\#(number)}"#) }

private func jsonLine(_ text: String) -> [UInt8] { Array(text.utf8) + [0x0a] }

/// A string as JSON, with its quotes.
public func jsonText(_ text: String) -> String {
  var json = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": json += "\\\""
    case "\\": json += "\\\\"
    case "\u{0}"..<"\u{20}":
      let hex = String(scalar.value, radix: 16)
      json += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
    default: json.unicodeScalars.append(scalar)
    }
  }
  return json + "\""
}
