// The thread "collect": asks collectors at the configured interval (each second while somebody watches) and followers
// whenever there is something, and gives the spool what they found.
internal import Platform
internal import Telemetry

enum CollectNote: Sendable {
  /// Somebody watches the host for so many seconds.
  case live(seconds: Int64)
  case stop
}

struct CollectRole: ~Copyable {
  private let settings: AgentSettings
  private let spool: Spool
  private let inbox: Mailbox<CollectNote>
  private let board: Guarded<[FollowTrouble]>
  private let own: () -> [(String, Double)]
  private var collectors: Collectors
  private var followers: Followers
  private var liveUntil = BootInstant(nanoseconds: 0)
  private var nextSample = BootInstant.now()
  private var nextTurn = BootInstant.now()
  /// What followers gave and the spool had no room for: nothing more is asked of them before it is taken.
  private var pending = FollowBatch()
  /// What the log and the board were told last.
  private var told: [FollowTrouble] = []
  /// Samples that were dropped since the last that was taken.
  private var dropped: (count: Int, from: Int64)?

  static let liveMilliseconds: Int64 = 1000
  private static let retryMilliseconds: Int64 = 250

  /// `board`: what is not followed, for the status; `own`: the agent's metrics of itself.
  init(
    _ settings: AgentSettings, spool: Spool, inbox: Mailbox<CollectNote>, board: Guarded<[FollowTrouble]>,
    own: @escaping () -> [(String, Double)]
  ) {
    (self.settings, self.spool, self.inbox, self.board, self.own) = (settings, spool, inbox, board, own)
    collectors = Collectors(settings.collect, host: settings.host, app: settings.app)
    followers = Followers(settings.follow, host: settings.host, positions: spool.notes)
  }

  mutating func run() {
    while true {
      for note in inbox.takeAll() {
        switch note {
        case .live(let seconds): live(seconds)
        case .stop: return
        }
      }
      let now = SampleTime.now()
      if now.boot >= nextSample { sample(now) }
      follow(now)
      let descriptors = pending.isEmpty ? followers.descriptors : []
      _ = wait([inbox.descriptor] + descriptors, for: .read, until: min(nextSample, nextTurn))
    }
  }

  private mutating func live(_ seconds: Int64) {
    let now = BootInstant.now()
    let was = liveUntil > now
    liveUntil = now.adding(milliseconds: seconds * 1000)
    if !was { nextSample = now }
  }

  private mutating func sample(_ now: SampleTime) {
    let isLive = liveUntil > now.boot
    let interval =
      isLive ? min(Self.liveMilliseconds, settings.collect.intervalMilliseconds) : settings.collect.intervalMilliseconds
    // On the grid, so that samples do not drift; after a suspend from now on.
    let next = nextSample.adding(milliseconds: interval)
    nextSample = next > now.boot ? next : now.boot.adding(milliseconds: interval)
    var records: [Record] = []
    collectors.collect(at: now, into: &records)
    for (name, value) in own() {
      records.append(
        Record(time: now.time, host: settings.host, app: "standwatch-agent", .metric(.init(name: name, value: value))))
    }
    if let dropped { records.append(gap(dropped, now)) }
    switch spool.append(records, worth: .sample) {
    case .taken: dropped = nil
    case .full:
      let lost = records.count - (dropped == nil ? 0 : 1)
      dropped = ((dropped?.count ?? 0) + lost, dropped?.from ?? now.time)
    }
  }
  /// Samples are missing, and this says how many and since when.
  private func gap(_ dropped: (count: Int, from: Int64), _ now: SampleTime) -> Record {
    var attributes = JSONObject()
    attributes.add("dropped", Int64(dropped.count))
    var from: [UInt8] = []
    appendRFC3339(dropped.from, to: &from)
    attributes.add("from", String(decoding: from, as: UTF8.self))
    attributes.add("reason", "the spool was full")
    return Record(
      time: now.time, host: settings.host, app: "standwatch-agent",
      .event(.init(kind: "agent.samples_dropped", attributes: attributes)))
  }

  /// Each change once; for a file that nobody may read says nothing itself.
  private mutating func tell(_ troubles: [FollowTrouble]) {
    for new in troubles where !told.contains(new) {
      log(
        new.isRefused ? .warning : .notice, "not followed",
        ["path": new.path, "reason": new.reason, "mend": new.mend])
    }
    for old in told where !troubles.contains(where: { $0.path == old.path }) {
      log(.notice, "nothing in the way any more", ["path": old.path])
    }
    told = troubles
    board.withLock { $0 = troubles }
  }

  private mutating func follow(_ now: SampleTime) {
    nextTurn = now.boot.adding(milliseconds: Followers.turnMilliseconds)
    // A bounded turn: samples are on time also while a large file is caught up with.
    for _ in 0..<16 {
      if pending.isEmpty { followers.follow(at: now, into: &pending) }
      let troubles = followers.troubles
      if troubles != told { tell(troubles) }
      if pending.isEmpty { return }
      let isFull = pending.isFull
      switch spool.append(pending.records, notes: pending.positions, worth: .kept) {
      case .taken: pending = FollowBatch()
      case .full:
        nextTurn = now.boot.adding(milliseconds: Self.retryMilliseconds)
        return
      }
      if !isFull { return }
    }
    nextTurn = now.boot
  }
}
