// A blocking client over TLS, of any protocol.
import Glibc
import Platform
import TLS
import Telemetry

@testable import Node

final class EncryptedClient {
  private var link: ClientLink
  private var received: [UInt8] = []

  /// Connects and ends the handshake; throws the reason when that fails.
  init(_ address: SocketAddress, _ credentials: TLSCredentials, name: String = "127.0.0.1") throws {
    let deadline = BootInstant.after(milliseconds: patience(longest))
    link = ClientLink(try connectStream(address, deadline: deadline), credentials: credentials, serverName: name)
    while true {
      switch link.handshake() {
      case .done: return
      case .failed(let failure): throw TestTimeout(what: "handshake: \(failure.sentence(about: "the server"))")
      case .wouldBlock:
        if wait(link.raw, for: link.wantsWrite ? .write : .read, until: deadline).isEmpty {
          throw TestTimeout(what: "handshake")
        }
      }
    }
  }

  func send(_ bytes: [UInt8], milliseconds: Int64 = longest) throws {
    let deadline = BootInstant.after(milliseconds: patience(milliseconds))
    var sent = 0
    while sent < bytes.count {
      switch link.send(bytes, from: sent) {
      case .done(let count): sent += count
      case .wouldBlock: if wait(link.raw, for: .write, until: deadline).isEmpty { throw TestTimeout(what: "room") }
      case .closed: throw TestTimeout(what: "send: closed")
      case .failed(let reason): throw TestTimeout(what: "send: \(reason)")
      }
    }
  }
  /// Bytes beside the session.
  func sendRaw(_ bytes: [UInt8]) { _ = Platform.send(link.raw, bytes) }
  /// More of what the server says; false at its end.
  private func more(_ deadline: BootInstant) throws -> Bool {
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while true {
      switch link.receive(into: &chunk, from: 0) {
      case .done(let count):
        received += chunk[..<count]
        return true
      case .closed, .failed: return false
      case .wouldBlock: if wait(link.raw, for: .read, until: deadline).isEmpty { throw TestTimeout(what: "bytes") }
      }
    }
  }
  /// Exactly so many bytes, fewer at the end.
  func receive(_ count: Int, milliseconds: Int64 = longest) throws -> [UInt8] {
    let deadline = BootInstant.after(milliseconds: patience(milliseconds))
    while received.count < count, try more(deadline) {}
    let taken = Array(received.prefix(count))
    received.removeFirst(taken.count)
    return taken
  }
  /// The next answer of the native protocol; nil when the connection has ended.
  func reply(milliseconds: Int64 = longest) throws -> NativeReply? {
    let deadline = BootInstant.after(milliseconds: patience(milliseconds))
    while true {
      if let end = received.firstIndex(of: 0x0a) {
        let line = received[..<end]
        defer { received.removeSubrange(...end) }
        return NativeReply(line: line)
      }
      guard try more(deadline) else { return nil }
    }
  }
  /// Says hello and takes the welcome; what is committed, or nil when there is no welcome.
  func hello(_ source: String, stream: String = "s1") throws -> Int64? {
    try send(Hello(source: source, stream: stream, oldest: 1).line)
    guard case .welcome(_, _, let committed, _, _) = try reply() else { return nil }
    return committed
  }
  func awaitAck(_ seq: Int64) throws {
    while let reply = try reply() { if case .ack(let acked) = reply, acked >= seq { return } }
    throw TestTimeout(what: "ack \(seq), connection ended")
  }
}
