// Influx line protocol over TCP: lines in, deliveries out. The protocol has no answers, so nothing is ever acknowledged.

/// One connection. What a full or stopping node could not take is lost, and the connection is closed to say so.
public struct InfluxSession: Sendable {
  private let limits: DeliveryLimits
  private let peer: String
  private var pending: [UInt8] = []
  /// Through the first line of `pending`.
  private var scan = InfluxLineScan()
  /// The rest of an overlong line is to be dropped.
  private var isSkipping = false
  private var last = 0
  private var underWay = 0
  private var isClosed = false
  /// The application of points that name none.
  static let database = "influx"

  public init(peer: String, limits: DeliveryLimits) { (self.peer, self.limits) = (peer, limits) }

  /// What it keeps of what it received.
  public var heldBytes: Int { pending.count }
  /// Of a line that is not whole yet.
  public var partialBytes: Int { pending.count }
  /// False while too much is under way, and after the end.
  public var mayReceive: Bool { !isClosed && underWay < limits.underWay }

  /// `now` is µs since 2000-01-01 UTC.
  public mutating func received(_ bytes: [UInt8], now: Int64) -> [DeliveryAction] {
    if isClosed { return [] }
    pending += bytes
    // Only a newline ends what was no whole line before: bytes that trickle in are not looked at again and again.
    if !bytes.contains(0x0a) && pending.count <= InfluxWrite.maxLine { return [] }
    return take(now, isLast: false)
  }
  /// The client sends no more; a last line without its newline is one.
  public mutating func ended(now: Int64) -> [DeliveryAction] {
    if isClosed { return [] }
    isClosed = true
    let actions = take(now, isLast: true)
    return underWay == 0 ? actions + [.close(reason: "")] : actions
  }
  public mutating func delivered(_ number: Int, _ outcome: DeliveryOutcome) -> [DeliveryAction] {
    underWay -= 1
    switch outcome {
    case .stored: return isClosed && underWay == 0 ? [.close(reason: "")] : []
    case .unavailable, .overShare:
      isClosed = true
      return [.close(reason: "can't take records now; what was not committed is lost")]
    case .refused(let reason):
      isClosed = true
      return [.close(reason: reason)]
    }
  }

  private mutating func take(_ now: Int64, isLast: Bool) -> [DeliveryAction] {
    var actions: [DeliveryAction] = []
    let context = InfluxContext(database: InfluxSession.database, peer: peer, now: now, maxRecords: limits.records)
    var write = InfluxWrite()
    var at = 0
    lines: while at < pending.count {
      if isSkipping {
        guard let newline = pending[at...].firstIndex(of: 0x0a) else {
          at = pending.count
          break lines
        }
        isSkipping = false
        at = newline + 1
        continue lines
      }
      let lineEnd = scan.end(pending, at, pending.count, maxLine: InfluxWrite.maxLine, isLast: isLast)
      if lineEnd != .incomplete { scan = InfluxLineScan() }
      switch lineEnd {
      case .at(let end):
        write.add(pending, at, end, context)
        at = end + 1
      case .tooLong:
        write.addTooLong(pending, at, context)
        at += InfluxWrite.maxLine
        isSkipping = true
      case .incomplete: break lines
      }
      // A line has far less than that many fields.
      if write.count > limits.records / 2 || write.isTooLarge { deliver(&write, &actions) }
    }
    pending.removeFirst(min(at, pending.count))
    if write.count > 0 { deliver(&write, &actions) }
    return actions
  }
  private mutating func deliver(_ write: inout InfluxWrite, _ actions: inout [DeliveryAction]) {
    last += 1
    underWay += 1
    actions.append(.deliver(number: last, write.delivery(key: nil, source: peer)))
    write = InfluxWrite()
  }
}
