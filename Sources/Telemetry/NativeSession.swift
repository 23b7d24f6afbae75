// One connection of the native protocol: what was decoded or happened goes in, what to do comes out.
//
// Pure: sockets, lanes and PostgreSQL belong to the caller. A connection is in one state:
//
//   fresh --hello--> lookingUp --lookedUp--> streaming            (an older connection of the stream is settled first)
//                        |                       ^
//                        +--> recordingGap ------+               (the sender no longer has what PostgreSQL lost)
//   fresh --record, where the listener allows it--> anonymous
//   any   --failure, bye, end--> closed

/// What the decoder keeps of a connection between two calls.
public struct NativeCursor: Equatable, Sendable {
  /// `Batch.noStream` before the welcome and for senders without `hello`.
  public internal(set) var stream = Batch.noStream
  /// The peer's address, later the source it named: who a refused record came from.
  public internal(set) var source: String
  /// The seq that the next record has to have.
  public internal(set) var next: Int64 = 1
  /// Records above are not decoded until the window moves.
  var lastAllowed: Int64 = 0
  /// Whether records may come now.
  var takesRecords = false
  /// A record has come that is beyond the window: nothing is decoded before the window moves.
  var waitsForWindow = false
  /// The rest of an overlong line is being dropped.
  var isSkipping = false
  /// First record without `hello`: the session is asked before it is taken.
  var allowsAnonymous: Bool
}

/// Bounds that the node tells a sender, and what a listener allows.
public struct NativeLimits: Equatable, Sendable {
  public var node: String
  public var epoch: Int64
  /// Records a sender may have under way unacknowledged.
  public var window: Int64
  /// Bytes of a line, without its newline.
  public var maxLine: Int
  /// Whether records without `hello` are taken, unacknowledged.
  public var allowsAnonymous: Bool
  public init(node: String, epoch: Int64, window: Int64 = 65_536, maxLine: Int = 65_536, allowsAnonymous: Bool = false)
  {
    (self.node, self.epoch, self.window) = (node, epoch, window)
    (self.maxLine, self.allowsAnonymous) = (maxLine, allowsAnonymous)
  }
}

/// State machine of one connection; a method for each thing that happens, each answering what to do, in order.
public struct NativeSession: Equatable, Sendable {
  public enum State: Equatable, Sendable {
    case fresh
    case lookingUp(Hello)
    case recordingGap(Hello, last: Int64)
    case streaming(Hello)
    case anonymous
    case closed
  }
  public enum Action: Equatable, Sendable {
    /// Check the token, settle and close an older connection of the stream (`superseded`), register the stream in a
    /// fenced transaction; when that has committed call `lookedUp`, or `refused`.
    case lookUp(Hello)
    /// Write the hole behind what is committed up to `last` to `ingest.gap` in a fenced transaction; then
    /// `gapRecorded`.
    case recordGap(stream: Int64, last: Int64)
    case send([UInt8])
    /// Close when everything sent before has left. What is queued of this connection stays queued.
    case close(reason: String)
  }

  public private(set) var state: State = .fresh
  /// Lent to the decoder.
  public var cursor: NativeCursor
  public let limits: NativeLimits
  /// Everything up to here is acknowledged to the sender.
  public private(set) var acked: Int64 = 0

  /// `peer` is the address, for refused records of senders that named no source.
  public init(peer: String, limits: NativeLimits) {
    self.limits = limits
    cursor = NativeCursor(source: peer, allowsAnonymous: limits.allowsAnonymous)
  }

  /// Whether the decoder may be called and the socket read: not while a hello is answered, not while a record waits for
  /// the window, nor after the end.
  public var mayDecode: Bool {
    switch state {
    case .fresh, .anonymous: true
    case .streaming: !cursor.waitsForWindow
    case .lookingUp, .recordingGap, .closed: false
    }
  }
  /// Records taken and not yet acknowledged.
  public var underWay: Int64 { cursor.stream == Batch.noStream ? 0 : cursor.next - 1 - acked }

  /// The decoder stopped with this.
  public mutating func decoded(_ decoded: Decoded) -> [Action] {
    switch decoded {
    case .incomplete, .full, .windowFull: return []
    case .firstAnonymous:
      state = .anonymous
      cursor.takesRecords = true
      cursor.lastAllowed = .max
      return []
    case .hello(let hello):
      guard state == .fresh else { return fail("a second hello on one connection") }
      state = .lookingUp(hello)
      return [.lookUp(hello)]
    case .ping(let number): return state == .closed ? [] : [.send(NativeReply.pong(number).line)]
    case .failed(let failure): return fail(failure.description)
    }
  }
  /// The stream is registered, in a transaction of this epoch that has committed.
  public mutating func lookedUp(committed: Int64) -> [Action] {
    guard case .lookingUp(let hello) = state else { return [] }
    if hello.oldest > committed + 1 {
      state = .recordingGap(hello, last: hello.oldest - 1)
      return [.recordGap(stream: hello.streamID, last: hello.oldest - 1)]
    }
    return welcome(hello, committed: committed)
  }
  /// The hole is written down and committed.
  public mutating func gapRecorded(committed: Int64) -> [Action] {
    guard case .recordingGap(let hello, _) = state else { return [] }
    return welcome(hello, committed: committed)
  }
  /// The hello can't be accepted (wrong token, limit of streams reached, ...).
  public mutating func refused(reason: String) -> [Action] { fail(reason) }
  /// A transaction with records of this stream up to `seq` has committed without a warning.
  public mutating func committed(through seq: Int64, rejects: [Reject] = []) -> [Action] {
    guard case .streaming = state, seq > acked else { return [] }
    if seq >= cursor.next { return fail("internal: seq \(seq) is committed and was never taken") }
    var lines: [UInt8] = []
    for reject in rejects where reject.stream == cursor.stream {
      lines += NativeReply.reject(seq: reject.seq, reason: reject.reason).line
    }
    lines += NativeReply.ack(seq).line
    acked = seq
    cursor.lastAllowed = acked + limits.window
    cursor.waitsForWindow = false
    return [.send(lines)]
  }
  /// A newer hello of the same stream came; whatever of this connection is queued is settled without it.
  public mutating func superseded() -> [Action] { fail("superseded by a newer connection") }
  /// The node stops taking records (switchover, shutdown): call when the last ack is sent.
  public mutating func draining(reason: String) -> [Action] { fail(reason) }
  /// The peer closed, or the socket failed.
  public mutating func ended() {
    state = .closed
    cursor.takesRecords = false
  }

  private mutating func welcome(_ hello: Hello, committed: Int64) -> [Action] {
    state = .streaming(hello)
    acked = committed
    cursor.stream = hello.streamID
    cursor.source = hello.source
    cursor.next = committed + 1
    cursor.lastAllowed = committed + limits.window
    cursor.takesRecords = true
    return [
      .send(
        NativeReply.welcome(
          node: limits.node, epoch: limits.epoch, committed: committed, window: limits.window,
          maxLine: Int64(limits.maxLine)
        ).line)
    ]
  }
  private mutating func fail(_ reason: String) -> [Action] {
    guard state != .closed else { return [] }
    ended()
    return [.send(NativeReply.bye(reason: reason).line), .close(reason: reason)]
  }
}
