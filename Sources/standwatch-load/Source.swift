// One sender: connects, introduces its stream, sends, and takes acknowledgements (syslog: only connects and sends).
//
// It behaves as an agent should: attempts are abandoned early, a silent peer is given up, a refused or reset
// connection is tried again at once with jitter.
import Platform
import Telemetry

final class Source {
  enum Phase: Equatable {
    case idle(retry: BootInstant)
    case connecting(abandon: BootInstant)
    /// Hello sent, no welcome yet.
    case greeting
    case streaming
  }

  let index: Int
  let name: String
  let stream: String
  let forms: [RecordForm]
  var backlog: Backlog
  private(set) var phase: Phase
  /// Of the last welcome.
  private(set) var node = ""
  private(set) var epoch: Int64 = 0
  private(set) var connects = 0
  /// Batches on their way: number of the last record and when it was handed to the kernel.
  var flights = Flights()

  private let targets: [SocketAddress]
  private let settings: SourceSettings
  private let wire: Wire
  private let token: String
  private var target: Int
  private var socket: Descriptor?
  private var control: [UInt8] = []
  private var input: [UInt8]
  private var filled = 0
  private var lastHeard: BootInstant
  private var lastPing: BootInstant
  /// Since when an answer is owed and nothing has been heard; nil while nothing is owed.
  private var owedSince: BootInstant?
  private var pings: Int64 = 0
  private var failures = 0
  private var random: UInt64
  private var wantsWrite = false

  init(index: Int, name: String, stream: String, capacity: Int64, options: LoadOptions, now: BootInstant) {
    self.index = index
    self.name = name
    self.stream = stream
    targets = options.targets
    target = index % options.targets.count
    settings = SourceSettings(deadAfterMilliseconds: options.deadAfterMilliseconds)
    wire = options.wire
    token = options.token
    forms = wire == .native ? recordForms(source: index, types: options.types) : syslogForms(source: index, run: stream)
    backlog = Backlog(capacity: capacity)
    phase = .idle(retry: now)
    lastHeard = now
    lastPing = now
    input = [UInt8](repeating: 0, count: 16_384)
    random = UInt64(truncatingIfNeeded: now.nanoseconds) &+ UInt64(index + 1) &* 0x9e37_79b9_7f4a_7c15
  }

  var isStreaming: Bool { phase == .streaming }
  var isConnecting: Bool { if case .connecting = phase { true } else { false } }

  /// What is due by the clock: retries (where it `mayConnect`), attempts to abandon, pings, silence.
  func tick(_ now: BootInstant, _ poller: borrowing Poller, _ tally: Tally, mayConnect: Bool) {
    switch phase {
    case .idle(let retry):
      if now >= retry && mayConnect { connect(now, poller, tally) }
    case .connecting(let abandon):
      // The time has been spent already: the next attempt follows at once.
      if now >= abandon {
        lose("no answer to connect", now, poller, tally, again: .atOnce)
        connect(now, poller, tally)
      }
    case .greeting, .streaming:
      // Syslog never answers; there the kernel's user timeout has to do.
      guard wire == .native else { return }
      // A welcome waits for COMMIT, behind those of all others who come at once after a takeover. The pings meanwhile are
      // for the kernels: that of a node which lost the address or its worker resets the connection.
      let bound = max(settings.deadAfterMilliseconds, phase == .greeting ? settings.welcomeMilliseconds : 0)
      if let owedSince, now.milliseconds(since: owedSince) >= Double(bound) {
        return lose("silent for \(Int(now.milliseconds(since: owedSince))) ms", now, poller, tally, again: .now)
      }
      // As an agent does: often while it waits for an answer, seldom while there is nothing to say.
      let patience = Double(owedSince == nil ? settings.idlePingMilliseconds : settings.pingMilliseconds)
      if now.milliseconds(since: lastHeard) >= patience, now.milliseconds(since: lastPing) >= patience,
        control.isEmpty
      {
        lastPing = now
        pings += 1
        control = pingLine(pings)
        owe(now)
        flush(now, poller, tally)
      }
    }
  }

  func handle(_ event: Poller.Event, _ now: BootInstant, _ poller: borrowing Poller, _ tally: Tally) {
    guard let descriptor = rawSocket else { return }
    if case .connecting = phase {
      let code = socketError(descriptor)
      if code != 0 || event.failed { return lose(errorText(code), now, poller, tally, again: .soon) }
      greet(now)
      flush(now, poller, tally)
    }
    if event.readable || event.failed { read(now, poller, tally) }
    if event.writable { flush(now, poller, tally) }
  }

  /// Sends what the window and the socket allow.
  func flush(_ now: BootInstant, _ poller: borrowing Poller, _ tally: Tally) {
    guard let descriptor = rawSocket, phase == .greeting || phase == .streaming else { return }
    while true {
      let end = isStreaming ? backlog.sendableEnd() : backlog.sent
      let transfer: Transfer
      // A line of our own goes between two records only.
      let ours = backlog.sent == end
      if ours {
        if control.isEmpty { return want(.read, poller) }
        transfer = send(descriptor, control)
      } else {
        transfer = send(descriptor, backlog.bytes, from: backlog.sent, upTo: end)
      }
      switch transfer {
      case .done(let count):
        if ours {
          control.removeFirst(count)
        } else {
          backlog.wrote(count)
          if backlog.sent == end { handedOver(now) }
        }
      case .wouldBlock: return want([.read, .write], poller)
      case .closed: return lose("closed", now, poller, tally, again: .now)
      case .failed(let code): return lose(errorText(code), now, poller, tally, again: .now)
      }
    }
  }

  private func handedOver(_ now: BootInstant) {
    switch wire {
    case .native:
      flights.add(through: backlog.lastSendable, at: now)
      owe(now)
    case .syslog: _ = backlog.acknowledge(through: backlog.lastSendable)
    }
  }

  /// Ends the connection, if there is one.
  func close(_ poller: borrowing Poller) {
    if let descriptor = rawSocket { poller.remove(descriptor) }
    socket = nil
  }

  /// `now`: at once the first time, with a pause after that.
  private enum Again { case atOnce, now, soon }
  private var rawSocket: Int32? { socket?.raw }

  private func connect(_ now: BootInstant, _ poller: borrowing Poller, _ tally: Tally) {
    do throws(SystemError) {
      let opened = try startConnect(targets[target])
      setUserTimeout(opened.raw, milliseconds: 500)
      try poller.add(opened.raw, token: UInt64(index), for: [.read, .write])
      socket = consume opened
      wantsWrite = true
      // A packet that met no address is not sent again for a second: the first attempts are short.
      let patience = failures < 20 ? jittered(settings.firstConnectMilliseconds) : settings.connectMilliseconds
      // Counted from now: many sources connect in one round.
      phase = .connecting(abandon: .after(milliseconds: patience))
    } catch {
      lose(error.description, now, poller, tally, again: .soon)
    }
  }

  private func greet(_ now: BootInstant) {
    phase = .greeting
    backlog.rewind()
    flights.clear()
    filled = 0
    lastHeard = now
    lastPing = now
    if wire == .syslog {
      phase = .streaming
      connects += 1
      failures = 0
      return
    }
    control = Hello(source: name, stream: stream, oldest: backlog.acked + 1, token: token).line
    owe(now)
  }

  private func owe(_ now: BootInstant) {
    if owedSince == nil { owedSince = now }
  }

  private func lose(
    _ reason: String, _ now: BootInstant, _ poller: borrowing Poller, _ tally: Tally, again: Again
  ) {
    // What was given up holds no port of this host for a minute: thousands of sources share them.
    if wire == .native, let rawSocket { resetOnClose(rawSocket) }
    close(poller)
    owedSince = nil
    switch again {
    case .atOnce: phase = .idle(retry: now)
    case .now where failures == 0: phase = .idle(retry: now)
    case .now, .soon: phase = .idle(retry: now.adding(milliseconds: delay()))
    }
    failures += 1
    target = (target + 1) % targets.count
    control = []
    tally.disconnected(self, reason: reason, at: now)
  }

  /// From 20 ms on, growing by half to a bound, each between half and one and a half of it.
  private func delay() -> Int64 {
    var bound = 20.0
    for _ in 0..<min(failures, 20) { bound = min(bound * 1.5, failures < 50 ? 100 : 500) }
    return jittered(Int64(bound))
  }
  private func jittered(_ milliseconds: Int64) -> Int64 {
    random ^= random << 13
    random ^= random >> 7
    random ^= random << 17
    return Int64(Double(milliseconds) * (0.5 + Double(random % 1000) / 1000))
  }

  private func want(_ ready: Ready, _ poller: borrowing Poller) {
    guard let descriptor = rawSocket, wantsWrite != ready.contains(.write) else { return }
    // A descriptor that is ours and registered can only fail to be changed for lack of memory; then it stays as it is.
    if (try? poller.modify(descriptor, token: UInt64(index), for: ready)) != nil { wantsWrite = ready.contains(.write) }
  }

  private func read(_ now: BootInstant, _ poller: borrowing Poller, _ tally: Tally) {
    while let descriptor = rawSocket {
      switch receive(descriptor, into: &input, from: filled) {
      case .done(let count):
        lastHeard = now
        filled += count
        owedSince = nil
        guard takeLines(now, poller, tally) else { return }
        if !flights.isEmpty { owe(now) }
        if filled == input.count { return lose("a reply of \(filled) bytes", now, poller, tally, again: .soon) }
      case .wouldBlock: return
      case .closed: return lose("closed by the node", now, poller, tally, again: .now)
      case .failed(let code): return lose(errorText(code), now, poller, tally, again: .now)
      }
    }
  }

  /// False when the connection is over.
  private func takeLines(_ now: BootInstant, _ poller: borrowing Poller, _ tally: Tally) -> Bool {
    var start = 0
    while let end = input[start..<filled].firstIndex(of: 0x0a) {
      guard take(input[start..<end], now, poller, tally) else { return false }
      start = end + 1
    }
    if start > 0 {
      input.replaceSubrange(0..<(filled - start), with: input[start..<filled])
      filled -= start
    }
    return true
  }

  private func take(
    _ line: ArraySlice<UInt8>, _ now: BootInstant, _ poller: borrowing Poller, _ tally: Tally
  ) -> Bool {
    guard wire == .native, let reply = NativeReply(line: line) else {
      tally.complained(self, text: String(decoding: line.prefix(200), as: UTF8.self))
      return true
    }
    switch reply {
    case .welcome(let node, let epoch, let committed, let window, _):
      (self.node, self.epoch) = (node, epoch)
      backlog.window = min(max(1, window), 1 << 32)
      phase = .streaming
      connects += 1
      failures = 0
      tally.welcomed(self, at: now)
      if committed > backlog.made { tally.complained(self, text: "committed \(committed) was never sent") }
      settle(committed, fromWelcome: true, now, tally)
      backlog.rewind()
      flush(now, poller, tally)
    case .ack(let seq):
      if seq > backlog.made { tally.complained(self, text: "ack \(seq) was never sent") }
      settle(seq, fromWelcome: false, now, tally)
    case .reject(let seq, let reason):
      tally.rejected(self)
      tally.complained(self, text: "record \(seq) rejected: \(reason)")
    case .bye(let reason):
      lose("bye: \(reason)", now, poller, tally, again: .now)
      return false
    case .pong, .live: break
    }
    return rawSocket != nil
  }

  private func settle(_ seq: Int64, fromWelcome: Bool, _ now: BootInstant, _ tally: Tally) {
    let fresh = backlog.acknowledge(through: seq)
    tally.acknowledged(self, records: fresh, fromWelcome: fromWelcome, at: now)
  }
}

/// The patience of an agent, milliseconds.
struct SourceSettings {
  var firstConnectMilliseconds: Int64 = 30
  var connectMilliseconds: Int64 = 150
  var pingMilliseconds: Int64 = 100
  var idlePingMilliseconds: Int64 = 2000
  var welcomeMilliseconds: Int64 = 3000
  var deadAfterMilliseconds: Int64
}
