// One connection of the Zabbix sender protocol: one request, one answer, as with Zabbix's own server.
//
//   receiving --packet--> storing --COMMIT--> answered and closed
//
// Nothing in the protocol tells a repeated value from a new one (a value's time need not be its own, and two equal
// values in a second are two values): a sender that repeats after an answer it never saw stores twice.

/// State machine of one connection.
public struct ZabbixSession: Sendable {
  enum State: Equatable {
    case receiving
    case storing(total: Int, since: Int64)
    case closed
  }
  private(set) var state = State.receiving
  private let peer: String
  private let limits: DeliveryLimits
  private let unpack: Unpack
  private var bytes: [UInt8] = []

  public init(peer: String, limits: DeliveryLimits, unpack: @escaping Unpack) {
    (self.peer, self.limits, self.unpack) = (peer, limits, unpack)
  }

  /// Whether the socket may be read.
  public var mayReceive: Bool { state == .receiving }
  /// Bytes that wait for the rest of their packet.
  public var heldBytes: Int { bytes.capacity }
  /// Of a message that is not whole yet.
  public var partialBytes: Int { bytes.count }

  /// `now` in µs since 2000-01-01 UTC: the time of values that have none.
  public mutating func received(_ more: [UInt8], now: Int64) -> [DeliveryAction] {
    guard state == .receiving else { return [] }
    bytes += more
    do throws(ZabbixPacket.Fault) {
      guard let header = try ZabbixPacket.header(bytes) else { return [] }
      if header.count > limits.messageBytes { return close("a packet of more than \(limits.messageBytes) bytes") }
      if header.isCompressed && header.unpackedCount > limits.inflatedBytes(ofPacked: header.count) {
        return close("a packet that unpacks to too much")
      }
      guard bytes.count >= ZabbixPacket.headerBytes + header.count else { return [] }
      // One request a connection: what follows it is nobody's.
      let data = Array(bytes[ZabbixPacket.headerBytes..<ZabbixPacket.headerBytes + header.count])
      bytes = []
      return requested(data, header, now)
    } catch {
      switch error {
      case .notZabbix: return close("no packet of Zabbix's protocols")
      case .unknownFlags(let flags): return close("a packet with flags \(flags)")
      }
    }
  }

  /// The outcome of the delivery.
  public mutating func delivered(_ number: Int, _ outcome: DeliveryOutcome, now: Int64) -> [DeliveryAction] {
    guard number == 1, case .storing(let total, let since) = state else { return [] }
    switch outcome {
    case .stored(_, let rejects):
      return answered(processed: total - min(rejects.count, total), total: total, microseconds: now - since)
    // No answer: the sender knows that it has to repeat.
    case .unavailable, .overShare: return close("")
    case .refused(let reason): return refused(reason)
    }
  }

  /// The client sends no more; it may still wait for its answer.
  public mutating func ended(now: Int64) -> [DeliveryAction] {
    guard state == .receiving else { return [] }
    // Health checks connect and say nothing.
    return close(bytes.isEmpty ? "" : "the connection ended within a packet")
  }

  // MARK: the request

  private mutating func requested(_ data: [UInt8], _ header: ZabbixPacket.Header, _ now: Int64) -> [DeliveryAction] {
    var json = data
    if header.isCompressed {
      switch unpack(data, header.unpackedCount) {
      case .bytes(let unpacked): json = unpacked
      case .refused(let reason): return close("compressed: \(reason)")
      }
      guard json.count == header.unpackedCount else { return close("compressed: not as long as announced") }
    }
    let request: ZabbixRequest
    do throws(ZabbixRequest.Fault) {
      request = try ZabbixRequest(json, now: now, most: limits.records)
    } catch {
      switch error {
      case .notJSON(let fault): return refused("the request is \(fault == .syntax ? "" : "wrong: ")\(fault.text)")
      case .tooManyValues: return refused("more than \(limits.records) values")
      }
    }
    guard request.name == "sender data" || request.name == "agent data" else {
      return refused("only values are taken here")
    }
    if request.total == 0 { return answered(processed: 0, total: 0, microseconds: 0) }
    state = .storing(total: request.total, since: now)
    let delivery = Delivery(key: nil, source: peer, records: request.records, faults: request.faults)
    return [.deliver(number: 1, delivery)]
  }

  private mutating func answered(processed: Int, total: Int, microseconds: Int64) -> [DeliveryAction] {
    let micros = max(0, microseconds)
    let fraction = String(micros % 1_000_000)
    let seconds = "\(micros / 1_000_000)." + String(repeating: "0", count: 6 - fraction.utf8.count) + fraction
    let info = "processed: \(processed); failed: \(total - processed); total: \(total); seconds spent: \(seconds)"
    return [.send(ZabbixSession.answer("success", info))] + close("")
  }
  /// The sender is told, so that it does not repeat what can't be taken.
  private mutating func refused(_ reason: String) -> [DeliveryAction] {
    [.send(ZabbixSession.answer("failed", reason))] + close(reason)
  }
  private mutating func close(_ reason: String) -> [DeliveryAction] {
    state = .closed
    bytes = []
    return [.close(reason: reason)]
  }
  static func answer(_ response: String, _ info: String) -> [UInt8] {
    var object = JSONObject()
    object.add("response", response)
    object.add("info", info)
    return ZabbixPacket.packet(object.bytes)
  }
}
