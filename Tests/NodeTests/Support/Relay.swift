// A TCP relay between an intake and PostgreSQL that can keep the answer to a lane's COMMIT to itself.
import Glibc
import Platform

/// Passes bytes both ways on a thread of its own, until it is told otherwise.
final class Relay: Sendable {
  enum Fault: Equatable, Sendable {
    /// The answer with the COMMIT, and all behind it, never arrives; the connection stays open.
    case silence
    /// The connection ends just before the answer with the COMMIT.
    case cut
  }
  let port: UInt16
  private let plan = Guarded<(fault: Fault?, left: Int)>((nil, 0))
  private let mailbox: Mailbox<Bool>
  private let thread: Guarded<Box>
  private struct Box: ~Copyable { var thread: RoleThread? }

  /// A pooler, as one in transaction mode, tells its clients another backend's number than the one that answers them.
  init(to port: UInt16, isPooler: Bool = false) throws {
    guard let any = SocketAddress(host: "127.0.0.1", port: 0), let target = SocketAddress(host: "127.0.0.1", port: port)
    else { throw SystemError(call: "address", code: EINVAL) }
    let listener = try listenStream(any)
    self.port = localAddress(listener.raw)?.port ?? 0
    let mailbox = try Mailbox<Bool>(capacity: 1)
    self.mailbox = mailbox
    let plan = plan
    let raw = listener.release()
    let thread = try RoleThread(name: "relay") {
      run(
        Descriptor(owning: raw), target, mailbox, isPooler: isPooler,
        takeFault: {
          plan.withLock { plan in
            guard plan.left > 0 else { return nil }
            plan.left -= 1
            return plan.fault
          }
        })
    }
    self.thread = Guarded(Box(thread: thread))
  }
  deinit {
    mailbox.post(true)
    thread.withLock { $0.thread.take()?.join() }
  }
  /// The next `times` answers to a COMMIT of a lane don't arrive. Not those of upkeep, which commits when the clock says.
  func swallowCommits(_ times: Int, _ fault: Fault) { plan.withLock { $0 = (fault, times) } }
  var faultsLeft: Int { plan.withLock { $0.left } }
}

private final class Pair {
  let client: Descriptor
  let server: Descriptor
  var isSilent = false
  var isLane = false
  /// Pieces that the client has sent; its name is in the first ones.
  var pieces = 0
  init(_ client: consuming Descriptor, _ server: consuming Descriptor) {
    self.client = client
    self.server = server
  }
}

private func run(
  _ listener: consuming Descriptor, _ target: SocketAddress, _ mailbox: Mailbox<Bool>, isPooler: Bool,
  takeFault: () -> Relay.Fault?
) {
  var pairs: [Pair] = []
  var buffer = [UInt8](repeating: 0, count: 65_536)
  let commit = Array("COMMIT".utf8) + [0]
  // In the name of the application, which the startup message has.
  let lane = Array("/lane".utf8)
  while true {
    let wishes =
      [(mailbox.descriptor, Ready.read), (listener.raw, .read)]
      + pairs.flatMap { [($0.client.raw, .read), ($0.server.raw, .read)] }
    let ready = waitAny(wishes.map { (descriptor: $0.0, wanted: $0.1) }, until: nil)
    if ready.isEmpty { continue }
    if !ready[0].isEmpty { return }
    var kept: [Pair] = []
    for (index, pair) in pairs.enumerated() {
      var isOpen = true
      if !ready[2 + 2 * index].isEmpty {
        isOpen = pass(pair.client.raw, pair.server.raw, &buffer) { bytes in
          pair.pieces += 1
          if pair.pieces <= 3 && find(lane, in: bytes) != nil { pair.isLane = true }
          return true
        }
      }
      if isOpen && !ready[3 + 2 * index].isEmpty {
        isOpen = pass(pair.server.raw, pair.client.raw, &buffer) { bytes in
          if isPooler { renumberBackend(&bytes) }
          if pair.isLane, !pair.isSilent, find(commit, in: bytes) != nil, let fault = takeFault() {
            if fault == .cut { resetOnClose(pair.client.raw) }
            pair.isSilent = true
            return fault == .silence ? false : nil
          }
          return !pair.isSilent
        }
      }
      if isOpen { kept.append(pair) }
    }
    pairs = kept
    // A client or server that is gone already is no pair.
    if !ready[1].isEmpty, let accepted = try? acceptStream(listener.raw) {
      let client = Descriptor(owning: accepted.descriptor)
      if let server = try? connectStream(target, deadline: .after(milliseconds: longest)) {
        pairs.append(Pair(client, server))
      }
    }
  }
}

/// False when the connection has ended. `judge` says whether the bytes go on, nil to end; it may change them.
private func pass(
  _ from: Int32, _ to: Int32, _ buffer: inout [UInt8], _ judge: (inout [UInt8]) -> Bool?
) -> Bool {
  switch receive(from, into: &buffer) {
  case .done(let count):
    var bytes = Array(buffer[..<count])
    guard let goesOn = judge(&bytes) else { return false }
    if !goesOn { return true }
    var sent = 0
    while sent < count {
      switch send(to, bytes, from: sent) {
      case .done(let more): sent += more
      case .wouldBlock: _ = wait(to, for: .write, until: .after(milliseconds: 100))
      case .closed, .failed: return false
      }
    }
    return true
  case .wouldBlock: return true
  case .closed, .failed: return false
  }
}
/// Changes the process number in BackendKeyData: 'K', length 12, process, key.
private func renumberBackend(_ bytes: inout [UInt8]) {
  if let start = find([UInt8(ascii: "K"), 0, 0, 0, 12], in: bytes), start + 8 < bytes.count { bytes[start + 8] ^= 1 }
}
private func find(_ wanted: [UInt8], in bytes: [UInt8]) -> Int? {
  guard bytes.count >= wanted.count else { return nil }
  for start in 0...(bytes.count - wanted.count)
  where bytes[start] == wanted[0] && bytes[start..<start + wanted.count].elementsEqual(wanted) { return start }
  return nil
}
