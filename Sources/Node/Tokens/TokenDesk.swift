// What all threads of a node share about tokens: the table with its age, and who was refused lately.
internal import Platform
internal import Telemetry

/// The thread "tokens" writes the table; the intake and the thread "web" ask.
final class TokenDesk: Sendable {
  private struct State {
    var table: TokenTable?
    /// When the question was sent that the table, or its confirmation, is the answer to.
    var readAt: BootInstant?
    var activatedAt: BootInstant?
    var refusals = TokenRefusals()
  }
  private let state = Guarded(State())
  /// A table that was not confirmed for so long admits nobody who needs it: a revocation may have been missed.
  static let staleMilliseconds: Double = 5000

  func activated() { state.withLock { $0.activatedAt = .now() } }
  /// `table` is nil when it has not changed. True when it has.
  func wasRead(_ table: TokenTable?, at asked: BootInstant) -> Bool {
    state.withLock { state in
      state.readAt = asked
      guard let table, table != state.table else { return false }
      state.table = table
      return true
    }
  }
  var table: TokenTable? { state.withLock { $0.table } }

  /// Nil while the tokens can't be known: never read, not since this node became active, or not for long. Who needs none
  /// by the last that was read does not wait.
  func judge(_ text: String, source: String?, peer: String) -> TokenVerdict? {
    let now = BootInstant.now()
    let (table, isFresh) = state.withLock { ($0.table, Self.isFresh($0, now)) }
    guard let table, isFresh || text.isEmpty && !table.isRequired else { return nil }
    return table.judge(text, source: source, peer: peer)
  }
  /// False before the first read.
  func takes(_ wire: OpenProtocol) -> Bool { state.withLock { $0.table?.takes(wire) ?? false } }
  private static func isFresh(_ state: State, _ now: BootInstant) -> Bool {
    guard let readAt = state.readAt, readAt >= state.activatedAt ?? readAt else { return false }
    return now.milliseconds(since: readAt) < staleMilliseconds
  }

  /// Counts who was refused; the first of a kind, and then one each minute, is logged, of all so many a minute. `source`
  /// is what it called itself.
  func note(_ refusal: TokenRefusal, source: String, peer: String, wire: String) {
    let now = BootInstant.now()
    let mustLog = state.withLock { $0.refusals.note(refusal, source: source, peer: peer, wire: wire, at: now) }
    if mustLog {
      log(
        .warning, "sender refused",
        ["source": source, "address": peer, "protocol": wire, "reason": refusal.rawValue, "mend": refusal.mend])
    }
  }
  func status() -> NodeStatus.Tokens {
    let now = BootInstant.now()
    return state.withLock { state in
      var told = NodeStatus.Tokens()
      told.required = state.table?.isRequired ?? false
      told.open = (state.table?.open ?? []).map(\.rawValue).sorted()
      told.valid = state.table?.entries.values.count { !$0.isRevoked } ?? 0
      told.readMilliseconds = state.readAt.map { now.milliseconds(since: $0) }
      told.refused = state.refusals.counts.reduce(into: [:]) { $0[$1.key.rawValue] = $1.value }
      told.lately = state.refusals.lately(at: now)
      return told
    }
  }
}

/// Counts by reason, and the last of each source and reason: at most 64, the oldest goes first.
struct TokenRefusals: Sendable {
  private struct Key: Hashable, Sendable {
    var source: String
    var reason: TokenRefusal
  }
  private struct Seen: Sendable {
    var peer: String
    var wire: String
    var count: UInt64
    var at: BootInstant
    /// Nil while there was no line left for it.
    var loggedAt: BootInstant?
  }
  private(set) var counts: [TokenRefusal: UInt64] = [:]
  private var seen: [Key: Seen] = [:]
  private static let most = 64
  /// Lines of the log a minute: a source is a name that anybody can invent, and the log is not theirs to fill.
  static let mostLines = 30
  private var lines = (count: 0, since: BootInstant(nanoseconds: 0))

  private mutating func mayLog(_ now: BootInstant) -> Bool {
    if now.milliseconds(since: lines.since) >= 60_000 { lines = (0, now) }
    lines.count += 1
    return lines.count <= Self.mostLines
  }

  /// True when it is to be logged.
  mutating func note(
    _ refusal: TokenRefusal, source: String, peer: String, wire: String, at now: BootInstant
  ) -> Bool {
    counts[refusal, default: 0] += 1
    let key = Key(source: String(source.prefix(200)), reason: refusal)
    if var known = seen[key] {
      let isDue = (known.loggedAt.map { now.milliseconds(since: $0) >= 60_000 } ?? true) && mayLog(now)
      (known.peer, known.wire, known.at) = (peer, wire, now)
      known.count += 1
      if isDue { known.loggedAt = now }
      seen[key] = known
      return isDue
    }
    if seen.count >= Self.most, let oldest = seen.min(by: { $0.value.at < $1.value.at })?.key { seen[oldest] = nil }
    let isLogged = mayLog(now)
    seen[key] = Seen(peer: peer, wire: wire, count: 1, at: now, loggedAt: isLogged ? now : nil)
    return isLogged
  }
  /// The newest first.
  func lately(at now: BootInstant) -> [NodeStatus.TokenRefused] {
    seen.sorted { $0.value.at > $1.value.at }.map { key, seen in
      NodeStatus.TokenRefused(
        source: key.source, address: seen.peer, wire: seen.wire, reason: key.reason.rawValue, mend: key.reason.mend,
        count: seen.count, agoMilliseconds: now.milliseconds(since: seen.at))
    }
  }
}
