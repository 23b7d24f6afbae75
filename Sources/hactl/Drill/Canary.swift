// A sender of its own through the service IP, as a good agent is: abandons slow connects, pings, retries with jitter.
internal import Platform
internal import Telemetry

/// Runs on a thread of its own until `stop`; `ledger` can be read at any time.
final class Canary: Sendable {
  static let recordInterval: Int64 = 5
  let source: String
  let stream: String
  private let shared = Guarded(CanaryLedger())
  private let producing = Guarded(true)
  private let stopping: Mailbox<Bool>
  private let address: SocketAddress
  private let host: String
  private let token: String

  /// `token`: empty for none.
  init(source: String, address: SocketAddress, token: String = "") throws(SystemError) {
    self.source = source
    self.token = token
    self.address = address
    host = hostName()
    stream = "drill-" + randomBytes(8).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    stopping = try Mailbox(capacity: 1)
    try RoleThread(name: "canary") { [self] in run() }.detach()
  }
  var ledger: CanaryLedger { shared.withLock { $0 } }
  func forgetGaps() { shared.withLock { $0.forgetGaps() } }
  /// Makes no further record; those that wait are still sent.
  func finishProducing() { producing.withLock { $0 = false } }
  func stop() { stopping.close() }

  private func run() {
    var link: CanaryLink? = nil
    var retryAt = BootInstant.now()
    var failures: Int64 = 0
    var nextRecord = BootInstant.now()
    while !stopping.isClosed {
      let now = BootInstant.now()
      let fresh = makeRecords(&nextRecord, now)
      if var standing = link.take() {
        if standing.isStreaming {
          standing.output += fresh
          failures = 0
        }
        do {
          try standing.advance(now, shared)
          link = consume standing
        } catch {
          shared.withLock { $0.troubled("\(error)") }
          retryAt = now.adding(milliseconds: Int64.random(in: 10...20) + min(failures, 2) * 15)
          failures += 1
        }
      } else if now >= retryAt {
        let hello = Hello(source: source, stream: stream, oldest: oldest(), token: token)
        do { link = try CanaryLink(address, hello, now) } catch {
          shared.withLock { $0.troubled("\(error)") }
          retryAt = now.adding(milliseconds: Int64.random(in: 10...20) + min(failures, 2) * 15)
          failures += 1
        }
      }
      let until = min(nextRecord, now.adding(milliseconds: 20))
      let wish = link?.wish ?? (descriptor: -1, wanted: [])
      _ = waitAny([wish, (stopping.descriptor, .read)], until: until)
    }
  }

  /// The first record that can still be sent: all behind what is acknowledged.
  private func oldest() -> Int64 { shared.withLock { $0.acknowledged + 1 } }

  private func makeRecords(_ next: inout BootInstant, _ now: BootInstant) -> [UInt8] {
    guard producing.withLock({ $0 }) else {
      next = now.adding(milliseconds: 1000)
      return []
    }
    var lines: [UInt8] = []
    if now.milliseconds(since: next) > 1000 { next = now }
    let time = rfc3339(wallMicroseconds: wallMicroseconds())
    while next <= now {
      next = next.adding(milliseconds: Self.recordInterval)
      shared.withLock { ledger in
        guard ledger.hasRoom else { return }
        lines += ledger.make(at: now) { seq in
          let text = """
            {"seq":\(seq),"type":"metric","ts":"\(time)","host":\(jsonText(host)),"app":"standwatch-canary",\
            "name":"canary","value":\(seq)}\n
            """
          return Array(text.utf8)
        }
      }
    }
    return lines
  }
}

/// One connection of the canary, from its connect to its end, which is thrown.
private struct CanaryLink: ~Copyable {
  private enum Phase { case connecting(until: BootInstant), greeting(until: BootInstant), streaming }
  private let socket: Descriptor
  private let hello: Hello
  private var phase: Phase
  private var input: [UInt8] = []
  var output: [UInt8] = []
  private var written = 0
  private var lastHeard: BootInstant
  private var pinged: BootInstant?

  init(_ address: SocketAddress, _ hello: Hello, _ now: BootInstant) throws(SystemError) {
    socket = try startConnect(address)
    // A reset, so that nothing of this connection is left when the address has moved.
    resetOnClose(socket.raw)
    setUserTimeout(socket.raw, milliseconds: 500)
    self.hello = hello
    phase = .connecting(until: now.adding(milliseconds: 150))
    lastHeard = now
  }

  var isStreaming: Bool {
    switch phase {
    case .streaming: true
    case .connecting, .greeting: false
    }
  }
  var wish: (descriptor: Int32, wanted: Ready) {
    switch phase {
    case .connecting: (socket.raw, .write)
    case .greeting, .streaming: (socket.raw, written < output.count ? [.read, .write] : .read)
    }
  }

  mutating func advance(_ now: BootInstant, _ ledger: Guarded<CanaryLedger>) throws(CanaryTrouble) {
    switch phase {
    case .connecting(let until):
      if wait(socket.raw, for: .write, until: BootInstant(nanoseconds: 0)).isEmpty {
        if now >= until { throw CanaryTrouble("no connection within 150 ms") }
        return
      }
      let code = socketError(socket.raw)
      guard code == 0 else { throw CanaryTrouble(errorText(code)) }
      output = hello.line
      phase = .greeting(until: now.adding(milliseconds: 1000))
      lastHeard = now
    case .greeting(let until):
      if now >= until { throw CanaryTrouble("no welcome within a second") }
    case .streaming:
      if let pinged, now.milliseconds(since: pinged) > 500 { throw CanaryTrouble("no answer to a ping for 500 ms") }
      if pinged == nil, now.milliseconds(since: lastHeard) > 250 {
        pinged = now
        output += pingLine(now.nanoseconds / 1000)
      }
    }
    try write()
    try read(now, ledger)
  }

  private mutating func write() throws(CanaryTrouble) {
    while written < output.count {
      switch send(socket.raw, output, from: written) {
      case .done(let count): written += count
      case .wouldBlock: return
      case .closed: throw CanaryTrouble("closed")
      case .failed(let code): throw CanaryTrouble(errorText(code))
      }
    }
    output = []
    written = 0
  }

  private mutating func read(_ now: BootInstant, _ ledger: Guarded<CanaryLedger>) throws(CanaryTrouble) {
    var chunk = [UInt8](repeating: 0, count: 16 << 10)
    while true {
      switch receive(socket.raw, into: &chunk) {
      case .done(let count):
        input.append(contentsOf: chunk[..<count])
        lastHeard = now
        pinged = nil
        guard input.count < 1 << 20 else { throw CanaryTrouble("an answer without an end") }
      case .wouldBlock: return
      case .closed: throw CanaryTrouble("closed by the node")
      case .failed(let code): throw CanaryTrouble(errorText(code))
      }
      while let end = input.firstIndex(of: UInt8(ascii: "\n")) {
        let line = Array(input[..<end])
        input.removeSubrange(...end)
        try take(line, now, ledger)
      }
    }
  }

  private mutating func take(
    _ line: [UInt8], _ now: BootInstant, _ ledger: Guarded<CanaryLedger>
  ) throws(CanaryTrouble) {
    switch NativeReply(line: line) {
    case .welcome(let node, let epoch, let committed, _, _):
      output += ledger.withLock { $0.welcomed(by: node, epoch: epoch, committed: committed) }
      phase = .streaming
    case .ack(let seq): ledger.withLock { $0.acknowledged(upTo: seq, at: now) }
    case .reject(let seq, _): ledger.withLock { $0.rejected(seq) }
    case .bye(let reason): throw CanaryTrouble("bye: \(reason)")
    case .pong, .live: break
    case nil: throw CanaryTrouble("not understood: \(String(decoding: line.prefix(200), as: UTF8.self))")
    }
  }
}

private struct CanaryTrouble: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}
