// One connection of the Forward protocol: bytes and outcomes go in, what to do comes out.
//
//   greeting --PING with the key--> open      (without a shared key a connection begins open)
//   open     --bytes--> deliveries, each acknowledged by its chunk after its COMMIT, in the order of the COMMITs
//   any      --a message that can't be taken, an end--> closed
//
// A chunk is stored once however often it comes. Its acknowledgement says that every record of it is committed.

/// State machine of one connection.
public struct ForwardSession: Sendable {
  enum State: Equatable { case greeting, open, closed }
  private(set) var state: State
  private let security: ForwardSecurity?
  private let limits: DeliveryLimits
  private let unpack: Unpack
  /// The client's name in its PING, or its address.
  private(set) var source: String

  /// What came and is not decoded yet begins at `start`.
  private var bytes: [UInt8] = []
  private var start = 0
  private var frame = MessagePackFrame()

  /// A message under way: the chunk to acknowledge, and how many of its deliveries are not stored yet.
  private struct Message: Equatable {
    var chunk: String?
    var awaited: Int
  }
  private var messages: [Int: Message] = [:]
  /// Delivery number -> message, by the number of its first delivery.
  private var underWay: [Int: Int] = [:]
  private var lastNumber = 0
  private var hasEnded = false

  /// Before a client has shown the key, its one message is a name and two digests.
  static let mostGreetingBytes = 4096

  public init(peer: String, limits: DeliveryLimits, security: ForwardSecurity? = nil, unpack: @escaping Unpack) {
    (source, self.limits, self.security, self.unpack) = (peer, limits, security, unpack)
    state = security == nil ? .open : .greeting
  }

  /// Whether the socket may be read.
  public var mayReceive: Bool { state != .closed && !hasEnded && underWay.count < limits.underWay }
  /// Whether the client has not shown the key yet.
  public var isGreeting: Bool { state == .greeting }
  /// Bytes that wait for the rest of their message.
  public var heldBytes: Int { bytes.capacity }
  /// Of a message that is not whole yet, or waits for its turn.
  public var partialBytes: Int { bytes.count - start }

  /// The connection stands: with a shared key, the server speaks first.
  public func opened() -> [DeliveryAction] {
    if let security, state == .greeting { [.send(security.hello)] } else { [] }
  }

  /// `now` in µs since 2000-01-01 UTC: the time of records that have none.
  public mutating func received(_ more: [UInt8], now: Int64) -> [DeliveryAction] {
    if state == .closed || hasEnded { return [] }
    bytes += more
    return decode(now)
  }

  /// Decodes what has come, as far as it may be under way: a message has four bytes and more, and thousands of deliveries
  /// at once are nobody's need. The rest has its turn when one of them is answered.
  private mutating func decode(_ now: Int64) -> [DeliveryAction] {
    var actions: [DeliveryAction] = []
    while state != .closed, start < bytes.count, underWay.count < limits.underWay {
      do throws(ForwardFault) {
        guard let range = try nextMessage() else { break }
        actions += try taken(range, now)
        start = range.upperBound
        frame = MessagePackFrame()
      } catch {
        actions += close(error.reason)
      }
    }
    forgetDecoded()
    if hasEnded, state != .closed, underWay.count < limits.underWay {
      if start < bytes.count { return actions + close("the connection ended within a message") }
      if underWay.isEmpty { actions += close("") }
    }
    return actions
  }

  /// The outcome of a delivery; what waited for it is decoded now.
  public mutating func delivered(_ number: Int, _ outcome: DeliveryOutcome, now: Int64) -> [DeliveryAction] {
    guard let first = underWay.removeValue(forKey: number), state != .closed else { return [] }
    switch outcome {
    case .stored:
      // Refused records are kept in ingest.rejected: the chunk is done with them, too.
      guard var message = messages[first] else { return [] }
      message.awaited -= 1
      messages[first] = message.awaited == 0 ? nil : message
      var actions: [DeliveryAction] = []
      if message.awaited == 0, let chunk = message.chunk { actions.append(.send(ForwardSession.ack(chunk))) }
      return actions + decode(now)
    // Without an acknowledgement the client sends the chunk again, to whoever is active then.
    case .unavailable, .overShare: return close("")
    case .refused(let reason): return close(reason)
    }
  }

  /// The client sends no more; what is under way is still acknowledged.
  public mutating func ended(now: Int64) -> [DeliveryAction] {
    if state == .closed || hasEnded { return [] }
    hasEnded = true
    return decode(now)
  }

  // MARK: messages

  /// The next whole message; only arrays and nil can be one, which anything that is no MessagePack shows at once.
  private mutating func nextMessage() throws(ForwardFault) -> Range<Int>? {
    switch bytes[start] {
    case 0x90...0x9f, 0xdc, 0xdd, 0xc0: break
    default: throw ForwardFault("no message of the Forward protocol")
    }
    let limit = state == .greeting ? ForwardSession.mostGreetingBytes : limits.messageBytes
    do throws(MessagePackFrame.Fault) {
      return try frame.length(bytes, from: start, limit: limit).map { start..<start + $0 }
    } catch {
      switch error {
      case .neverUsed: throw ForwardFault(.neverUsed)
      case .tooLong: throw ForwardFault("a message of more than \(limit) bytes")
      }
    }
  }

  private mutating func taken(_ range: Range<Int>, _ now: Int64) throws(ForwardFault) -> [DeliveryAction] {
    // A nil is a client's way to see whether we live; nothing answers it but TCP.
    if range.count == 1, bytes[range.lowerBound] == 0xc0 { return [] }
    if let security, state == .greeting { return greeted(security, range) }
    let message = try ForwardMessage(bytes, range, host: source, now: now, limits: limits, unpack: unpack)
    if message.records.isEmpty { return message.chunk.map { [.send(ForwardSession.ack($0))] } ?? [] }
    var actions: [DeliveryAction] = []
    let first = lastNumber + 1
    var rest = message.records[...]
    while !rest.isEmpty {
      let records = Array(rest.prefix(limits.records))
      rest = rest.dropFirst(limits.records)
      let key = message.chunk.map { ForwardSession.key(message, chunk: $0, part: actions.count) }
      lastNumber += 1
      underWay[lastNumber] = first
      actions.append(.deliver(number: lastNumber, Delivery(key: key, source: source, records: records)))
    }
    messages[first] = Message(chunk: message.chunk, awaited: actions.count)
    return actions
  }

  private mutating func greeted(_ security: ForwardSecurity, _ range: Range<Int>) -> [DeliveryAction] {
    guard let ping = ForwardSecurity.ping(bytes, range) else { return close("no PING where one is asked for") }
    guard security.accepts(ping) else {
      return [.send(security.pong(nil, reason: "shared_key mismatch"))] + close("another shared key")
    }
    guard ping.client != security.server else {
      return [.send(security.pong(nil, reason: "the client has the server's name"))] + close("the server's own name")
    }
    state = .open
    source = ping.client
    return [.send(security.pong(ping, reason: ""))]
  }

  static func key(_ message: ForwardMessage, chunk: String, part: Int) -> [UInt8] {
    key(chunk: chunk, tag: message.tag, digest: message.digest, part: part)
  }
  /// What tells a chunk from every other of its source, also where a client begins to count again (digest): what it
  /// calls by the same name and is not the same would be acknowledged and not stored. At most 200 bytes: a tag that is
  /// longer than what is left takes part by its end, which is where tags differ.
  static func key(chunk: String, tag: String, digest: Int64, part: Int) -> [UInt8] {
    let contents = (0..<8).map { UInt8(truncatingIfNeeded: digest >> (8 * $0)) }
    let head = Array(chunk.utf8) + [0, UInt8(truncatingIfNeeded: part)] + contents
    return head + tag.utf8.suffix(200 - head.count)
  }
  /// `{"ack": chunk}`
  static func ack(_ chunk: String) -> [UInt8] {
    var writer = MessagePackWriter()
    writer.map(1)
    writer.text("ack")
    writer.text(chunk)
    return writer.bytes
  }

  private mutating func close(_ reason: String) -> [DeliveryAction] {
    state = .closed
    messages = [:]
    underWay = [:]
    return [.close(reason: reason)]
  }
  private mutating func forgetDecoded() {
    if state == .closed || start == bytes.count {
      // Memory of a large message is given back, that of small ones is used again.
      bytes.removeAll(keepingCapacity: state != .closed && bytes.capacity <= 65_536)
      start = 0
    } else if start > bytes.count / 2 {
      // Not each time: where messages wait, each answer is one of four bytes.
      bytes.removeFirst(start)
      start = 0
    }
  }
}
