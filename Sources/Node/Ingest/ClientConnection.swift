// One client's socket and everything the intake keeps of it.
internal import Platform
internal import TLS
internal import Telemetry

/// What is spoken on a listener.
enum WireProtocol: Equatable, Sendable {
  case native, syslogTCP
  case delivery(DeliveryWire)

  var delivering: DeliveryWire? { if case .delivery(let wire) = self { wire } else { nil } }
}

/// Bytes of one source that are decoded and not committed yet. Touched by the intake's thread only.
final class SourceBudget {
  let lane: Int
  var connections = 0
  var filling = 0
  var underWay = 0
  init(lane: Int) { self.lane = lane }
}

/// Owned by the intake's thread; closed when it is forgotten there.
final class ClientConnection {
  let token: UInt64
  let descriptor: Descriptor
  let wire: WireProtocol
  let peer: String
  let openedAt: BootInstant
  /// What is spoken is not known yet, or the handshake goes on: nothing is decoded, and nothing sent.
  var opening = Opening.done
  /// None in plain text.
  var tls: TLSSession?
  /// Why the session ended, if something was wrong with it.
  private(set) var tlsFailure: TLSFailure?
  /// Bytes that are decrypted and not decoded have been noted: epoll does not tell of them.
  var isNoted = false
  var lines: LineBuffer
  var native: NativeSession
  var syslog: SyslogCursor
  /// Of a wire that delivers.
  var delivering: DeliverySession?
  /// What it delivers and there is no room for yet; it is not read meanwhile.
  var parked: [(number: Int, delivery: Delivery)] = []
  var isParked = false
  /// What is parked is being submitted.
  var isSubmitting = false
  /// Deliveries that it was not answered yet.
  var underWay = 0
  var lane: Int
  /// The stream it said hello for.
  var registered: Int64?
  var source: String?
  /// The id of the token that it showed.
  var sourceToken: Int64?
  /// How it is named when it is in hand at a crash.
  var inHand: [UInt8] = []
  /// It was in hand at a crash: decoded one record at a time.
  var isIsolated = false
  var budget: SourceBudget?
  /// Until when its agent was told that somebody watches.
  var liveUntil = BootInstant(nanoseconds: 0)
  /// What epoll waits for now.
  var wanted: Ready = .read
  /// In its lane's queue of those that wait for room.
  var isHeld = false
  /// When the line or message began that is not whole yet; nil when there is none.
  var partialSince: BootInstant?
  /// When it last read of its answers, or had read all.
  private(set) var lastRead = BootInstant.now()
  /// The peer sends no more; what it sent is still decoded.
  var hasEnded = false
  var isClosed = false
  /// Nothing is read any more; closed when `outgoing` is sent, at the latest at this time.
  var closeAt: BootInstant?
  /// Its share of the intake's `bufferBytes`.
  var counted = 0
  private(set) var outgoing: [UInt8] = []
  private var sent = 0
  var pings = PingAllowance()

  init(
    token: UInt64, descriptor: consuming Descriptor, wire: WireProtocol, peer: String, lane: Int, limits: NativeLimits,
    deliveryLimits: DeliveryLimits, security: ForwardSecurity?
  ) {
    (self.token, self.wire, self.peer, self.lane) = (token, wire, peer, lane)
    self.descriptor = descriptor
    openedAt = .now()
    lines = LineBuffer(initialCapacity: 2048, maximumCapacity: max(65_536, limits.maxLine) + 4096)
    native = NativeSession(peer: peer, limits: limits)
    syslog = SyslogCursor(peer: peer)
    delivering = wire.delivering.map { DeliverySession($0, peer: peer, limits: deliveryLimits, security: security) }
  }

  /// `read` bytes came and `before` were there: what is left of them has begun when the last was whole.
  func notePartial(before: Int, read: Int, _ now: BootInstant) {
    let left = partialBytes
    // Not its own fault: it waits for room, or for its window.
    if left == 0 || isHeld || isParked || (wire == .native && !native.mayDecode) || underWay > 0 {
      partialSince = nil
    } else if partialSince == nil || left < before + read {
      partialSince = now
    }
  }
  /// What came and is not decoded: part of a line or message, unless it waits for something of ours.
  var partialBytes: Int { delivering.map(\.partialBytes) ?? lines.count }
  /// What it makes us keep beyond the least of each.
  var heldBytes: Int {
    lines.capacity - lines.initialCapacity + outgoing.count + (delivering?.heldBytes ?? 0)
      + parked.reduce(0) { $0 + $1.delivery.heldBytes }
  }
  /// Not before the handshake is over, nor when it has failed: who is refused then is closed without a word.
  var canBeTold: Bool {
    switch opening {
    case .queued, .handshaking: false
    case .done, .undecided: tls?.isEstablished ?? true
    }
  }
  var hasOutgoing: Bool { sent < outgoing.count }
  var outgoingCount: Int { outgoing.count - sent }

  func queue(_ bytes: [UInt8]) {
    if !hasOutgoing { lastRead = .now() }
    if sent == outgoing.count {
      outgoing = bytes
      sent = 0
    } else {
      // A client that reads slowly may never have read everything: what it has read must not stay here.
      if sent > outgoing.count / 2 {
        outgoing.removeFirst(sent)
        sent = 0
      }
      outgoing += bytes
    }
  }
  /// Reads once, through the session when there is one.
  func receive(into buffer: inout [UInt8], from offset: Int) -> Transfer {
    guard let transfer = tls?.receive(into: &buffer, from: offset) else {
      return Platform.receive(descriptor.raw, into: &buffer, from: offset)
    }
    return plain(transfer)
  }
  private func write(_ bytes: [UInt8], from offset: Int) -> Transfer {
    guard let transfer = tls?.send(bytes, from: offset) else { return send(descriptor.raw, bytes, from: offset) }
    return plain(transfer)
  }
  private func plain(_ transfer: TLSTransfer) -> Transfer {
    switch transfer {
    case .done(let count): return .done(count)
    case .wouldBlock: return .wouldBlock
    case .closed: return .closed
    case .failed(let failure):
      tlsFailure = failure
      return .failed(0)
    }
  }
  /// Sends what it can; false when the connection is broken.
  func flush() -> Bool {
    while hasOutgoing {
      switch write(outgoing, from: sent) {
      case .done(let count):
        sent += count
        lastRead = .now()
      case .wouldBlock: return true
      case .closed, .failed: return false
      }
    }
    outgoing = []
    sent = 0
    return true
  }
}
