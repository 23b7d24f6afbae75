// Which authentic beats count: not foreign, not our own, not replayed; and the round trip by echo.

/// Keeps, per peer and link, what was seen; owned by the thread that receives beats. Bounded by the configuration.
public struct BeatGate: Sendable {
  /// Why an authentic, well-formed beat is dropped; each is counted.
  public enum Refusal: String, CaseIterable, Sendable {
    /// Of another cluster.
    case foreign
    /// Our own, come back.
    case reflected
    /// From a node that is not configured as a peer, or on a link that is not configured.
    case unknownSender
    /// Of an older incarnation, or a counter seen before, or too old to tell.
    case replayed
    /// Overtaken by a newer beat of the same link; its content is older than what is known.
    case overtaken
  }
  public enum Verdict: Equatable, Sendable {
    /// Give it to the core as `.peerBeat`.
    case admitted(roundTrip: Interval?)
    case refused(Refusal)
  }

  private struct Seen {
    var incarnation: Int64
    var highest: UInt64
    /// Bit i: the counter `highest - i` was seen.
    var window: UInt64
    var sent: Instant
    var receivedAt: Instant
  }

  private let cluster: ShortName
  private let me: ShortName
  private let peers: [ShortName]
  private let links: Int
  /// By place of the peer, then link: a handful, and looked at with every beat.
  private var seen: [Seen?]
  /// How many beats were dropped, by reason.
  public private(set) var refusals: [Refusal: UInt64] = [:]

  /// `links` is the number of configured links; beats name them 0, 1, ...
  public init(cluster: ShortName, me: ShortName, peers: [ShortName], links: Int) {
    self.cluster = cluster
    self.me = me
    self.peers = Set(peers).sorted()
    self.links = max(0, links)
    seen = Array(repeating: nil, count: self.peers.count * self.links)
  }

  /// Judges a beat whose authentication code was right. `now` is when it was received.
  public mutating func admit(_ beat: PeerBeat, at now: Instant) -> Verdict {
    if beat.cluster != cluster { return refuse(.foreign) }
    if beat.from.node == me { return refuse(.reflected) }
    guard let place = place(of: beat.from.node, link: beat.stamp.link) else { return refuse(.unknownSender) }
    var entry = Seen(
      incarnation: beat.from.incarnation, highest: beat.counter, window: 1, sent: beat.stamp.sent, receivedAt: now)
    if var known = seen[place], known.incarnation >= beat.from.incarnation {
      guard known.incarnation == beat.from.incarnation else { return refuse(.replayed) }
      if beat.counter <= known.highest {
        let age = known.highest - beat.counter
        guard age < 64, known.window & (1 << age) == 0 else { return refuse(.replayed) }
        known.window |= 1 << age
        seen[place] = known
        return refuse(.overtaken)
      }
      let step = beat.counter - known.highest
      entry.window = step < 64 ? known.window << step | 1 : 1
    }
    // A newer incarnation on one link makes an older one a replay on all.
    let first = place - Int(beat.stamp.link)
    for other in first..<first + links {
      if let known = seen[other], known.incarnation > beat.from.incarnation { return refuse(.replayed) }
    }
    seen[place] = entry
    return .admitted(roundTrip: beat.stamp.echo.flatMap { roundTrip($0, at: now) })
  }

  /// The stamp of a beat that goes to `peer` on `link` now.
  public func stamp(to peer: ShortName, link: UInt8, at now: Instant) -> BeatStamp {
    guard let place = place(of: peer, link: link), let known = seen[place] else {
      return BeatStamp(link: link, sent: now, echo: nil)
    }
    return BeatStamp(
      link: link, sent: now, echo: BeatEcho(sent: known.sent, held: max(.zero, now - known.receivedAt)))
  }

  private func place(of node: ShortName, link: UInt8) -> Int? {
    guard Int(link) < links, let peer = peers.firstIndex(of: node) else { return nil }
    return peer * links + Int(link)
  }

  private mutating func refuse(_ reason: Refusal) -> Verdict {
    refusals[reason, default: 0] &+= 1
    return .refused(reason)
  }

  /// `nil` when the echo is not one of this boot (it would be negative or absurd).
  private func roundTrip(_ echo: BeatEcho, at now: Instant) -> Interval? {
    let away = now - echo.sent
    guard echo.held <= away, away < .seconds(60) else { return nil }
    return Interval(nanoseconds: away.nanoseconds - echo.held.nanoseconds)
  }
}
