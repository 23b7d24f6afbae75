// Deliveries that are not answered yet: who waits for each, how far each is, and how much they may take together.
internal import Platform
internal import TLS
internal import Telemetry

/// Who is told how a delivery ended.
enum DeliveryOrigin: Sendable {
  case connection(UInt64, number: Int)
  case web(WebTicket)
}

/// A request that the thread "web" keeps waiting.
struct WebTicket: Sendable {
  var number: UInt64
  var reply: Mailbox<WebReply>
}
/// What happened to it. `epoch` has to be open still when the client is told.
struct WebReply: Equatable, Sendable {
  var number: UInt64
  var outcome: DeliveryOutcome
  var epoch: Int64?
}

/// One delivery on its way.
final class OpenDelivery {
  let number: UInt64
  let kind: String
  let key: DeliveryKey?
  let source: String
  let digest: Int64
  let lane: Int
  let bytes: Int
  let count: Int
  /// Let go when the last record is in a batch.
  var delivery: Delivery?
  /// Records and faults that are in a batch.
  var encoded = 0
  /// Those whose transaction has committed.
  var committed = 0
  var rejects: [DeliveryReject] = []
  var isDuplicate = false
  var isConflict = false
  /// The first one brought it, the others came with the same one while it was under way.
  var origins: [DeliveryOrigin]

  init(
    number: UInt64, _ delivery: Delivery, kind: String, key: DeliveryKey?, lane: Int, bytes: Int,
    origin: DeliveryOrigin
  ) {
    (self.number, self.kind, self.key, self.lane, self.bytes) = (number, kind, key, lane, bytes)
    (source, digest, count, self.delivery) = (delivery.source, delivery.digest, delivery.count, delivery)
    origins = [origin]
  }
}

/// All deliveries on their way, by number; the sums that their bounds are held to.
struct DeliveryDesk {
  private(set) var open: [UInt64: OpenDelivery] = [:]
  private var byKey: [DeliveryKey: UInt64] = [:]
  private(set) var bytes = 0
  private struct Share { var count = 0, bytes = 0 }
  private var shares: [String: Share] = [:]
  private var next: UInt64 = 1
  /// Connections with deliveries that found no room; they are not read until there is some.
  var parked: [UInt64] = []

  var isEmpty: Bool { open.isEmpty }

  /// First half of SHA-256 over the kind of listener, the source and the sender's key: permanent, it is stored.
  static func key(kind: String, source: String, _ key: [UInt8]) -> DeliveryKey {
    // Neither a kind nor a source contains a zero byte that a sender chose: see `Intake.refusal`.
    let digest = sha256(Array(kind.utf8) + [0] + Array(source.utf8) + [0] + key)
    func half(_ bytes: ArraySlice<UInt8>) -> Int64 {
      Int64(bitPattern: bytes.reduce(0) { $0 << 8 | UInt64($1) })
    }
    return DeliveryKey(high: half(digest[0..<8]), low: half(digest[8..<16]))
  }

  func find(_ key: DeliveryKey) -> OpenDelivery? { byKey[key].flatMap { open[$0] } }

  enum Room: Equatable {
    case free
    /// The source has its share: bytes, or a quarter of all deliveries. Others may still find room.
    case sourceFull
    case full
  }
  /// Whether `more` bytes of `source` fit. One delivery always does, however large it is.
  func room(_ more: Int, of source: String, total: Int, perSource: Int, count: Int) -> Room {
    let held = shares[source] ?? Share()
    if held.count > 0 && (held.bytes + more > perSource || held.count >= count / 4) { return .sourceFull }
    return open.count < count && (bytes == 0 || bytes + more <= total) ? .free : .full
  }
  mutating func take(
    _ delivery: Delivery, kind: String, key: DeliveryKey?, lane: Int, bytes more: Int, from origin: DeliveryOrigin
  ) -> OpenDelivery {
    let taken = OpenDelivery(
      number: next, delivery, kind: kind, key: key, lane: lane, bytes: more, origin: origin)
    next += 1
    open[taken.number] = taken
    if let key { byKey[key] = taken.number }
    bytes += more
    shares[taken.source, default: Share()].count += 1
    shares[taken.source, default: Share()].bytes += more
    return taken
  }
  /// Forgets it; its rows may still be under way.
  mutating func close(_ number: UInt64) -> OpenDelivery? {
    guard let closed = open.removeValue(forKey: number) else { return nil }
    if let key = closed.key { byKey[key] = nil }
    bytes -= closed.bytes
    var left = shares[closed.source] ?? Share()
    left.count -= 1
    left.bytes -= closed.bytes
    shares[closed.source] = left.count > 0 ? left : nil
    return closed
  }
}
