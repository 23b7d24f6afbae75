// Who and which: names, incarnations, terms and operation ids. Compared by equality only, except where an order is said.

/// A cluster's or node's name: 1 to 16 of `[a-z0-9-]`, so that it fits `application_name`, the beat and the syslog host.
public struct ShortName: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let text: String
  /// `nil` when the text is not a valid name.
  public init?(_ text: String) {
    let bytes = text.utf8
    guard (1...16).contains(bytes.count), bytes.allSatisfy(ShortName.allows) else { return nil }
    self.text = text
  }
  static func allows(_ byte: UInt8) -> Bool {
    (0x61...0x7A).contains(byte) || (0x30...0x39).contains(byte) || byte == 0x2D
  }
  public var description: String { text }
  public static func < (a: ShortName, b: ShortName) -> Bool { a.text < b.text }
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
