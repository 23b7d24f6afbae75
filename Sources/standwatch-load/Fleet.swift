// All sources in one thread: makes records at the chosen rate, and turns the poller's events over to their sources.
import Platform

/// Why a fleet stopped sending.
enum Stop: Equatable { case running, amountReached, signalled }

struct Fleet: ~Copyable {
  let sources: [Source]
  let tally: Tally
  /// First and last moment of making records.
  private(set) var began: BootInstant
  private(set) var ended: BootInstant
  private(set) var made: Int64 = 0
  /// Records that the rate asked for while every backlog was full.
  private(set) var heldBack: Int64 = 0

  private let options: LoadOptions
  private var poller: Poller
  private let signals: SignalDescriptor
  private var cursor = 0
  /// Sources that may have something to send since they were last looked at: thousands are not looked at each round.
  private var stirred: [Int] = []
  private var isStirred: [Bool]
  private var asked: Int64 = 0
  private var stop = Stop.running
  // Bytes made ahead of the socket with --rate max: enough to fill it, little enough to stay in the cache.
  private static let aheadBytes = 128 << 10
  // One thread stands in for thousands of hosts: more attempts than it can see answered in time would all be given up.
  private static let connectingAtOnce = 200
  private static let signalToken = UInt64.max

  init(_ options: LoadOptions, run: String) throws(SystemError) {
    let seen = try Tally(timelinePath: options.timelinePath)
    let stopSignals = try SignalDescriptor([SignalNumber.interrupt, SignalNumber.terminate])
    let epoll = try Poller()
    try epoll.add(stopSignals.descriptor, token: Self.signalToken)
    self.options = options
    tally = seen
    signals = stopSignals
    poller = epoll
    let now = BootInstant.now()
    began = now
    ended = now
    // All backlogs together stay below some 300 MB.
    let capacity = max(256, min(65_536, Int64(2_000_000 / options.sources)))
    isStirred = Array(repeating: false, count: options.sources)
    sources = (0..<options.sources).map { index in
      Source(
        index: index, name: "\(options.name)-\(run)/\(index)",
        stream: options.wire == .native ? newUUID() : run, capacity: capacity, options: options, now: now)
    }
  }

  /// Sends until the amount is reached, then waits for the last acknowledgements.
  mutating func run() throws(SystemError) {
    began = .now()
    ended = began
    var lastTick = BootInstant(nanoseconds: 0)
    var lastProgress = began
    var lastPositions = began
    var drainUntil: BootInstant?
    while true {
      let now = BootInstant.now()
      if stop == .running { makeRecords(now) }
      if now.milliseconds(since: lastTick) >= 5 {
        lastTick = now
        tick(now)
      }
      if stop != .running {
        let until = drainUntil ?? now.adding(milliseconds: Int64(options.drainSeconds * 1000))
        drainUntil = until
        if now >= until || sources.allSatisfy({ $0.backlog.unacknowledged == 0 }) { break }
      }
      if now.milliseconds(since: lastProgress) >= 1000 {
        lastProgress = now
        progress(now)
      }
      if now.milliseconds(since: lastPositions) >= 250 {
        lastPositions = now
        tally.positions(sources, now)
      }
      // A rate is served every millisecond; without one the sockets' readiness drives everything.
      handleEvents(poller.wait(until: now.adding(milliseconds: options.rate == nil ? 5 : 1)))
    }
    tally.positions(sources, .now())
    for source in sources { source.close(poller) }
  }

  private func tick(_ now: BootInstant) {
    var connecting = sources.count { $0.isConnecting }
    for source in sources {
      if source.isConnecting { connecting -= 1 }
      source.tick(now, poller, tally, mayConnect: connecting < Self.connectingAtOnce)
      if source.isConnecting { connecting += 1 }
    }
  }

  private mutating func handleEvents(_ count: Int) {
    let now = BootInstant.now()
    for index in 0..<count {
      let event = poller.event(index)
      if event.token == Self.signalToken {
        while signals.next() != nil { finish(.signalled, now) }
      } else {
        sources[Int(event.token)].handle(event, now, poller, tally)
        stir(Int(event.token))
      }
    }
    tally.endRound(now)
  }

  private mutating func finish(_ reason: Stop, _ now: BootInstant) {
    guard stop == .running else { return }
    stop = reason
    ended = now
  }

  private mutating func makeRecords(_ now: BootInstant) {
    let elapsed = now.milliseconds(since: began) / 1000
    if !options.amount.untilSignal, let seconds = options.amount.seconds, elapsed >= seconds {
      return finish(.amountReached, now)
    }
    var left = Int64.max
    if let records = options.amount.records {
      left = records - made
      if left <= 0 { return finish(.amountReached, now) }
    }
    let timestamp = timestampBytes()
    if let rate = options.rate {
      let due = Int64(rate * elapsed) - asked
      asked += due
      let before = made
      makeInTurn(min(due, left), timestamp)
      heldBack += max(0, min(due, left) - (made - before))
    } else {
      for index in stirred where left > 0 {
        let before = made
        fill(sources[index], left, timestamp)
        left -= made - before
      }
    }
    var again: [Int] = []
    for index in stirred {
      let source = sources[index]
      if source.isStreaming && source.backlog.unsentBytes > 0 { source.flush(now, poller, tally) }
      // Without a rate a source whose socket took everything has more at once; a full socket says when it has room.
      isStirred[index] = options.rate == nil && source.isStreaming && source.backlog.unsentBytes == 0
      if isStirred[index] { again.append(index) }
    }
    stirred = again
  }
  private mutating func stir(_ index: Int) {
    guard !isStirred[index] else { return }
    isStirred[index] = true
    stirred.append(index)
  }

  /// One record from each source after the other.
  private mutating func makeInTurn(_ count: Int64, _ timestamp: [UInt8]) {
    for _ in 0..<max(0, count) {
      let index = cursor
      cursor = cursor + 1 == sources.count ? 0 : cursor + 1
      guard sources[index].backlog.room > 0 else { continue }
      make(sources[index], timestamp)
      stir(index)
    }
  }
  private mutating func fill(_ source: Source, _ most: Int64, _ timestamp: [UInt8]) {
    guard source.isStreaming else { return }
    var left = min(most, source.backlog.room, source.backlog.window - source.backlog.unacknowledged)
    while left > 0, source.backlog.unsentBytes < Self.aheadBytes {
      make(source, timestamp)
      left -= 1
    }
  }
  private mutating func make(_ source: Source, _ timestamp: [UInt8]) {
    source.backlog.make(source.forms[Int(source.backlog.made) % source.forms.count], timestamp)
    made += 1
  }

  private func progress(_ now: BootInstant) {
    guard !options.quiet else { return }
    let connected = sources.count { $0.isStreaming }
    let open = sources.reduce(Int64(0)) { $0 + $1.backlog.unacknowledged }
    log(
      .info, stop == .running ? "sending" : "settling",
      [
        "seconds": "\(Int(now.milliseconds(since: began) / 1000))", "made": "\(made)", "acked": "\(tally.acked)",
        "open": "\(open)", "connected": "\(connected)/\(sources.count)", "node": tally.node, "epoch": "\(tally.epoch)",
      ])
  }
}

/// A random (version 4) UUID, RFC 4122.
func newUUID() -> String {
  var bytes = randomBytes(16)
  bytes[6] = bytes[6] & 0x0f | 0x40
  bytes[8] = bytes[8] & 0x3f | 0x80
  let digits = bytes.map { hex($0) }
  return [digits[0..<4], digits[4..<6], digits[6..<8], digits[8..<10], digits[10..<16]]
    .map { $0.joined() }.joined(separator: "-")
}
func hex(_ byte: UInt8) -> String { (byte < 16 ? "0" : "") + String(byte, radix: 16) }
