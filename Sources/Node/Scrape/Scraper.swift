// The thread "scrape": asks the targets of the configuration for their metrics while this node is active.
//
// Nothing is kept for later: a scrape that could not be made or stored in its time is a gap, and counted.
internal import HTTPClient
internal import Platform
internal import Telemetry

enum ScrapeCommand: Equatable, Sendable { case activate, halt, shutDown }

/// Bounds of the scraper.
struct ScrapeLimits: Equatable, Sendable {
  /// Scrapes under way, and those whose records are not committed yet.
  var underWay = 64
  /// Of one answer, unpacked.
  var answerBytes = 8 << 20
  /// Of all answers under way.
  var totalBytes = 32 << 20
}

/// State of its thread.
struct Scraper: ~Copyable {
  private struct UnderWay {
    var target: Int
    /// µs since 2000-01-01 UTC, and the same moment on the boot clock.
    var startedAt: Int64
    var since: BootInstant
  }
  private let targets: [NodeConfiguration.Scrape.Target]
  private let limits: ScrapeLimits
  private let commands: Mailbox<ScrapeCommand>
  private let replies: Mailbox<WebReply>
  private let published: Guarded<ScrapeSnapshot>
  private let quarantine: QuarantineBoard
  private let trap: PlantedTrap?
  /// Hands a delivery to the intake; false when it has no room for the message.
  private let submit: @Sendable (Delivery, WebTicket) -> Bool
  private var client: HTTPClient
  private var schedule: ScrapeSchedule
  private var isActive = false
  private var next: UInt64 = 1
  private var fetching: [UInt64: UnderWay] = [:]
  /// Target of each delivery that is not answered yet.
  private var storing: [UInt64: Int] = [:]
  private var busy: Set<Int> = []
  private var snapshot: ScrapeSnapshot

  init(
    targets: [NodeConfiguration.Scrape.Target], limits: ScrapeLimits, commands: Mailbox<ScrapeCommand>,
    published: Guarded<ScrapeSnapshot>, quarantine: QuarantineBoard = QuarantineBoard(),
    trap: PlantedTrap? = nil,
    submit: @escaping @Sendable (Delivery, WebTicket) -> Bool
  ) throws(SystemError) {
    // One answer for each that is under way, at most.
    let replies = try Mailbox<WebReply>(capacity: limits.underWay)
    let client = try HTTPClient(userAgent: "Standwatch/\(standwatchVersion)", maxBytes: limits.totalBytes)
    (self.targets, self.limits, self.commands) = (targets, limits, commands)
    (self.published, self.submit, self.replies) = (published, submit, replies)
    (self.quarantine, self.trap) = (quarantine, trap)
    schedule = ScrapeSchedule(targets, now: wallMicroseconds() / 1000)
    snapshot = ScrapeSnapshot(targets: targets.map { ScrapeSnapshot.Target(url: $0.url, app: $0.app, host: $0.host) })
    self.client = client
  }

  mutating func run() {
    while true {
      for command in commands.takeAll() {
        switch command {
        case .activate:
          isActive = true
          schedule.restart(now: wallMicroseconds() / 1000)
        case .halt: halt()
        case .shutDown: return
        }
      }
      for reply in replies.takeAll() { stored(reply) }
      while let (id, fetched) = client.next() { ended(id, fetched) }
      if isActive { startDue() }
      let shown = snapshot
      published.withLock { $0 = shown }
      waitForWork()
    }
  }

  private mutating func waitForWork() {
    var left: Int64 = 3_600_000
    if isActive, let next = schedule.next { left = min(max(0, next - wallMicroseconds() / 1000), 60_000) }
    client.wait(orReadable: [commands.descriptor, replies.descriptor], until: .after(milliseconds: left))
  }

  /// The other node scrapes on: what is under way here is given up.
  private mutating func halt() {
    isActive = false
    client.cancelAll()
    for each in fetching.values { busy.remove(each.target) }
    fetching = [:]
    for index in snapshot.targets.indices { snapshot.targets[index].isUp = nil }
  }

  private mutating func startDue() {
    for index in schedule.takeDue(now: wallMicroseconds() / 1000) {
      // The last one is not even stored yet, or too many are under way: this slot stays empty.
      guard !busy.contains(index), fetching.count + storing.count < limits.underWay else {
        snapshot.targets[index].skipped += 1
        continue
      }
      let target = targets[index]
      switch quarantine.verdict(Sender(protocolName: "scrape", source: target.url), address: "") {
      case .free, .isolated: break
      case .wait, .refused:
        snapshot.targets[index].skipped += 1
        continue
      }
      let fetch = Fetch(
        url: target.url, accept: scrapeAccept, timeoutMilliseconds: target.timeoutMilliseconds,
        maxBytes: limits.answerBytes)
      let number = next
      next += 1
      busy.insert(index)
      fetching[number] = UnderWay(
        target: index, startedAt: wallMicroseconds() - Intake.epoch2000Microseconds, since: .now())
      if !client.start(fetch, id: number) { ended(number, .failed("no memory for a request")) }
    }
  }

  /// An answer is there, or will never be.
  private mutating func ended(_ number: UInt64, _ fetched: Fetched) {
    guard let one = fetching.removeValue(forKey: number) else { return }
    let seconds = BootInstant.now().milliseconds(since: one.since) / 1000
    let body = if case .answered(_, _, let body) = fetched { body } else { [UInt8]() }
    // The next answer of the target is another one: it is the target that can be told apart.
    holdInHand(
      Sender(protocolName: "scrape", source: targets[one.target].url).inHand(address: ""), body.span, isExact: false)
    trap?.trip(body)
    let result = scrapeResult(targets[one.target], fetched, startedAt: one.startedAt, seconds: seconds)
    letGo()
    withExtendedLifetime(body) {}
    tell(one.target, result)
    if submit(result.delivery, WebTicket(number: number, reply: replies)) {
      storing[number] = one.target
    } else {
      busy.remove(one.target)
      snapshot.targets[one.target].lost += 1
    }
  }
  private mutating func stored(_ reply: WebReply) {
    guard let index = storing.removeValue(forKey: reply.number) else { return }
    busy.remove(index)
    switch reply.outcome {
    case .stored: snapshot.targets[index].stored += 1
    case .unavailable, .overShare, .refused: snapshot.targets[index].lost += 1
    }
  }

  /// Logged when it changes.
  private mutating func tell(_ index: Int, _ result: ScrapeResult) {
    let isUp = result.problem == nil
    if snapshot.targets[index].isUp != isUp {
      let level: LogLevel = isUp ? .info : .warning
      log(
        level, isUp ? "scrape target is up" : "scrape target is down",
        ["url": targets[index].url, "reason": result.problem ?? ""])
    }
    snapshot.targets[index].isUp = isUp
    snapshot.targets[index].samples = result.samples
  }
}

/// OpenMetrics first, then the text format, as Prometheus asks.
private let scrapeAccept =
  "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.2"

/// What the thread "scrape" last said; counters grow from the start of the process.
public struct ScrapeSnapshot: Equatable, Sendable {
  public struct Target: Equatable, Sendable {
    public var url: String
    public var app: String
    public var host: String
    /// Nil before the first scrape of this activation.
    public var isUp: Bool?
    /// Of the last scrape.
    public var samples = 0
    /// Scrapes that were committed, the failed ones (`up` 0) included.
    public var stored = 0
    /// Made, but not stored: the node was full or stopped.
    public var lost = 0
    /// Slots in which no scrape could begin.
    public var skipped = 0
    init(url: String, app: String, host: String) { (self.url, self.app, self.host) = (url, app, host) }
  }
  public var targets: [Target]
  public init(targets: [Target] = []) { self.targets = targets }
}
