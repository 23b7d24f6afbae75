// Who and which: names, incarnations, terms and operation ids. Compared by equality only, except where an order is said.

/// A cluster's or node's name: 1 to 16 of `[a-z0-9-]`, so that it fits `application_name`, the beat and the syslog host.
///
/// Two numbers instead of a string: names are compared and copied with every event and every beat.
public struct ShortName: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The first and the last eight bytes, big-endian, padded with zero bytes: they compare like the text.
  let high: UInt64
  let low: UInt64

  /// `nil` when the text is not a valid name.
  public init?(_ text: String) {
    let bytes = text.utf8
    guard (1...16).contains(bytes.count), bytes.allSatisfy(ShortName.allows) else { return nil }
    var words: (UInt64, UInt64) = (0, 0)
    for (place, byte) in bytes.enumerated() {
      let shift = UInt64(56 - place % 8 * 8)
      if place < 8 { words.0 |= UInt64(byte) << shift } else { words.1 |= UInt64(byte) << shift }
    }
    (high, low) = words
  }
  /// The padded bytes of a beat; `nil` when they are not those of a valid name.
  init?(high: UInt64, low: UInt64) {
    var ended = false
    for place in 0..<16 {
      let byte = ShortName.byte(place, high, low)
      if byte == 0 { ended = true } else if ended || !ShortName.allows(byte) { return nil }
    }
    guard high != 0 else { return nil }
    self.high = high
    self.low = low
  }
  private static func byte(_ place: Int, _ high: UInt64, _ low: UInt64) -> UInt8 {
    UInt8(truncatingIfNeeded: (place < 8 ? high : low) >> UInt64(56 - place % 8 * 8))
  }
  static func allows(_ byte: UInt8) -> Bool {
    (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D
  }
  public var text: String {
    String(decoding: (0..<16).lazy.map { ShortName.byte($0, high, low) }.prefix { $0 != 0 }, as: UTF8.self)
  }
  public var description: String { text }
  public static func < (a: ShortName, b: ShortName) -> Bool { (a.high, a.low) < (b.high, b.low) }
}

/// One run of a node's worker. `incarnation` grows with every start of the worker of that node (positive; the shell
/// takes it so that it never goes back, for example as the larger of the wall clock and the stored one plus one).
public struct NodeIncarnation: Hashable, Sendable {
  public var node: ShortName
  public var incarnation: Int64
  public init(node: ShortName, incarnation: Int64) {
    self.node = node
    self.incarnation = incarnation
  }
}

/// The fencing token: epoch and the random number that makes it unique even when PostgreSQL itself fails over.
/// Compared by equality of both; the epoch alone proves nothing.
public struct Term: Hashable, Sendable {
  public var epoch: Int64
  public var token: Int64
  public init(epoch: Int64, token: Int64) {
    self.epoch = epoch
    self.token = token
  }
}

/// A term and the PostgreSQL timeline it was won on.
public struct TimelineTerm: Hashable, Sendable {
  public var timeline: UInt32
  public var term: Term
  public init(timeline: UInt32, term: Term) {
    self.timeline = timeline
    self.term = term
  }
  /// Whether a leader of `other` must give way: a later timeline, or a later epoch of the same timeline, or the same
  /// epoch with another token (then both give way).
  public func outranks(_ other: TimelineTerm) -> Bool {
    if timeline != other.timeline { return timeline > other.timeline }
    if term.epoch != other.term.epoch { return term.epoch > other.term.epoch }
    return term.token != other.term.token
  }
}

/// Names one command of the core to an executor; its result carries it back. Grows; never used twice by one core.
public struct OperationID: Hashable, Comparable, Sendable {
  public let number: UInt64
  public init(number: UInt64) { self.number = number }
  public static func < (a: OperationID, b: OperationID) -> Bool { a.number < b.number }
}

/// Names an operator's command; chosen by the shell, comes back in the reply.
public struct CommandID: Hashable, Sendable {
  public let number: UInt64
  public init(number: UInt64) { self.number = number }
}
