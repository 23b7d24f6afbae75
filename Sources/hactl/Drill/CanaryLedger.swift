// The canary's book: what it sent, what was acknowledged, by whom and when. Pure: time comes in.
internal import Platform

/// Numbered records of one stream and their acknowledgements.
struct CanaryLedger: Sendable {
  /// What one leader acknowledged.
  struct Tenure: Equatable, Sendable {
    var epoch: Int64
    var node: String
    /// Of acknowledgements proper: what a welcome says was stored before.
    var firstAck: BootInstant?
    var lastAck: BootInstant?
  }
  /// The longest time without an acknowledgement while records waited.
  struct Gap: Equatable, Sendable {
    var from: BootInstant
    var until: BootInstant
    var milliseconds: Double { until.milliseconds(since: from) }
  }
  /// Records that may wait for their acknowledgement; beyond it none are made.
  static let mostPending = 20_000

  private(set) var made: Int64 = 0
  private(set) var acknowledged: Int64 = 0
  private(set) var rejected: [Int64] = []
  private(set) var tenures: [Tenure] = []
  private(set) var longestGap: Gap?
  private(set) var connects = 0
  /// The last thing that went wrong with a connection.
  private(set) var lastTrouble = ""
  private var pending: [(seq: Int64, line: [UInt8])] = []
  private var waitingSince: BootInstant?

  var pendingCount: Int { pending.count }
  var hasRoom: Bool { pending.count < Self.mostPending }

  /// A new record; `line` is told its number.
  mutating func make(at now: BootInstant, _ line: (Int64) -> [UInt8]) -> [UInt8] {
    made += 1
    let bytes = line(made)
    pending.append((made, bytes))
    if waitingSince == nil { waitingSince = now }
    return bytes
  }
  /// A connection stands; answers the lines that go out (again) on it.
  mutating func welcomed(by node: String, epoch: Int64, committed: Int64) -> [UInt8] {
    connects += 1
    settle(committed)
    if tenures.last?.epoch != epoch, tenures.count < 1000 {
      tenures.append(Tenure(epoch: epoch, node: node))
    }
    return pending.flatMap(\.line)
  }
  mutating func acknowledged(upTo seq: Int64, at now: BootInstant) {
    settle(seq)
    if let since = waitingSince {
      let gap = Gap(from: since, until: now)
      if gap.milliseconds > longestGap?.milliseconds ?? 0 { longestGap = gap }
    }
    waitingSince = pending.isEmpty ? nil : now
    guard let last = tenures.indices.last else { return }
    if tenures[last].firstAck == nil { tenures[last].firstAck = now }
    tenures[last].lastAck = now
  }
  mutating func rejected(_ seq: Int64) { if rejected.count < 1000 { rejected.append(seq) } }
  mutating func troubled(_ reason: String) { lastTrouble = reason }
  /// Forgets the gaps so far: the warm-up has its own.
  mutating func forgetGaps() { longestGap = nil }

  /// What counts as lost must have been acknowledged: never more than was made.
  private mutating func settle(_ seq: Int64) {
    acknowledged = max(acknowledged, min(seq, made))
    if let first = pending.firstIndex(where: { $0.seq > acknowledged }) {
      pending.removeSubrange(..<first)
    } else {
      pending = []
    }
  }

  /// From the last acknowledgement up to `epoch` to the first of a later one; nil while there is none.
  func handoverGap(after epoch: Int64) -> Gap? {
    guard let next = tenures.first(where: { $0.epoch > epoch && $0.firstAck != nil }), let until = next.firstAck,
      let from = tenures.filter({ $0.epoch <= epoch }).compactMap(\.lastAck).max()
    else { return nil }
    return Gap(from: from, until: until)
  }
}

/// What PostgreSQL has of the canary's stream, held against its book.
struct CanaryVerdict: Equatable, Sendable {
  /// Acknowledged, but neither stored nor set aside as rejected.
  var lost: [Int64]
  /// Stored more than once.
  var doubled: [Int64]
  /// Stored, though never made.
  var foreign: [Int64]

  init(acknowledged: Int64, made: Int64, stored: [(seq: Int64, count: Int64)], rejected: Set<Int64>) {
    let counts = Dictionary(stored.map { ($0.seq, $0.count) }, uniquingKeysWith: +)
    lost = acknowledged < 1 ? [] : (1...acknowledged).filter { counts[$0] == nil && !rejected.contains($0) }
    doubled = counts.filter { $0.value > 1 }.keys.sorted()
    foreign = counts.keys.filter { $0 < 1 || $0 > made }.sorted()
  }
}
