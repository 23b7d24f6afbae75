// The control socket over a real unix socket: order, bounds, hostile bytes, clients that hang or leave.
import Glibc
import Platform
import Testing

@testable import Node

private func sampleStatus() -> NodeStatus {
  var status = NodeStatus(cluster: "plant1", node: "a", incarnation: 1, version: "0", pid: 1)
  status.state = "active"
  return status
}

/// A class, because a macro can't take what can't be copied.
private final class Client {
  private let socket: Descriptor
  var raw: Int32 { socket.raw }
  init(_ socket: consuming Descriptor) { self.socket = socket }
}

/// A server on a path of its own and the requests it handed over.
private final class Bench {
  let path = "/tmp/standwatch-operator-\(UInt64.random(in: 0 ... .max)).sock"
  let server: OperatorServer
  let held = Guarded<[(OperatorRequest, OperatorServer.Answer)]>([])

  /// `holding`: requests are not answered until `release`.
  init(limits: OperatorServer.Limits = OperatorServer.Limits(), holding: Bool = false) throws {
    let held = held
    server = try OperatorServer(path: path, limits: limits, status: sampleStatus) { request, answer in
      if holding { held.withLock { $0.append((request, answer)) } } else { answer(.done("did \(request)")) }
    }
  }
  deinit { server.stop() }
  func connect() throws -> Client {
    let address = try #require(SocketAddress(unixPath: path))
    return Client(try connectStream(address, deadline: .after(milliseconds: longest)))
  }
  func release() {
    for (_, answer) in held.withLock({ $0 }) { answer(.done("late")) }
  }
}

private func write(_ socket: Client, _ bytes: [UInt8]) -> Bool {
  var sent = 0
  while sent < bytes.count {
    switch send(socket.raw, bytes, from: sent) {
    case .done(let count): sent += count
    case .wouldBlock:
      if wait(socket.raw, for: .write, until: .after(milliseconds: longest)).isEmpty { return false }
    case .closed, .failed: return false
    }
  }
  return true
}
/// Whole lines until `count` of them, the end, or `longest`.
private func lines(_ socket: Client, _ count: Int) -> [String] {
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 65536)
  let deadline = BootInstant.after(milliseconds: patience(longest))
  while bytes.count(where: { $0 == 10 }) < count, !wait(socket.raw, for: .read, until: deadline).isEmpty {
    guard case .done(let read) = receive(socket.raw, into: &chunk) else { break }
    bytes += chunk[..<read]
  }
  return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
}
private func isClosed(_ socket: Client, within milliseconds: Int64 = longest) -> Bool {
  var chunk = [UInt8](repeating: 0, count: 65536)
  let deadline = BootInstant.after(milliseconds: patience(milliseconds))
  while !wait(socket.raw, for: .read, until: deadline).isEmpty {
    switch receive(socket.raw, into: &chunk) {
    case .done, .wouldBlock: continue
    case .closed, .failed: return true
    }
  }
  return false
}
private func text(_ text: String) -> [UInt8] { Array(text.utf8) }
/// Asks again and again until it is so.
private func awaitTrue(_ what: String, _ isTrue: () throws -> Bool) throws {
  let deadline = BootInstant.after(milliseconds: patience(longest))
  while try !isTrue() {
    guard BootInstant.now() < deadline else { throw TestTimeout(what: what) }
    sleep(until: .after(milliseconds: 5))
  }
}

@Suite(.serialized) struct `Control socket` {
  @Test func `status comes back as it was, and requests are answered in order`() throws {
    let bench = try Bench()
    let socket = try bench.connect()
    #expect(write(socket, text("{\"request\":\"status\"}\n{\"request\":\"switchover\"}\n")))
    let answers = lines(socket, 2)
    #expect(OperatorReply(decoding: text(answers[0]))?.status == sampleStatus())
    #expect(OperatorReply(decoding: text(answers[1]))?.message.hasPrefix("did switchover") == true)
  }
  @Test func `every request survives its own encoding`() throws {
    let all: [OperatorRequest] = [
      .status, .switchover(to: "b", timeoutMilliseconds: 500), .switchover(to: nil, timeoutMilliseconds: 10_000),
    ]
    for request in all {
      #expect(!request.encoded().contains(10))
      #expect(try OperatorRequest(decoding: request.encoded()) == request)
    }
  }
  @Test func `a line that is no request is refused with a sentence, and the next one is served`() throws {
    let bench = try Bench()
    let socket = try bench.connect()
    let hostile = [
      "", "{}", "[]", "nonsense", "{\"request\":\"explode\"}", "{\"request\":7}", "\u{0}\u{1}\u{2}",
      "{\"request\":\"switchover\",\"to\":\"../../etc\"}", "{\"request\":\"switchover\",\"to\":\"x'; drop\"}",
      String(repeating: "[", count: 30_000), "{\"request\":\"switchover\",\"timeoutMilliseconds\":1e300}",
    ]
    let wire = text(hostile.joined(separator: "\n") + "\n") + [0xff, 0xfe, 10] + OperatorRequest.status.encoded()
    #expect(write(socket, wire + [10]))
    let answers = lines(socket, hostile.count + 1)  // the empty line has no answer; two came behind
    #expect(answers.count == hostile.count + 1)
    for answer in answers.dropLast() { #expect(OperatorReply(decoding: text(answer))?.ok == false, "\(answer)") }
    #expect(answers.last.flatMap { OperatorReply(decoding: text($0)) }?.status != nil)
  }
  @Test func `a line without an end is cut off at its bound, and others don't notice`() throws {
    let bench = try Bench()
    let greedy = try bench.connect()
    _ = write(greedy, [UInt8](repeating: 120, count: 200_000))
    #expect(isClosed(greedy))
    let socket = try bench.connect()
    #expect(write(socket, text("{\"request\":\"status\"}\n")))
    #expect(lines(socket, 1).count == 1)
  }
  @Test func `thousands of requests in one write are all answered without nesting`() throws {
    let bench = try Bench()
    let socket = try bench.connect()
    #expect(write(socket, text(String(repeating: "{\"request\":\"x\"}\n", count: 4000))))
    #expect(lines(socket, 4000).count == 4000)
  }
  @Test func `a client beyond the bound is told so and closed; a place that becomes free is given again`() throws {
    var limits = OperatorServer.Limits()
    limits.clients = 2
    let bench = try Bench(limits: limits)
    var first: Client? = try bench.connect()
    let second = try bench.connect()
    #expect(write(second, text("{\"request\":\"status\"}\n")))
    #expect(lines(second, 1).count == 1)
    let third = try bench.connect()
    #expect(lines(third, 1).first?.contains("too many clients") == true)
    #expect(isClosed(third))
    #expect(first != nil)
    first = nil
    // Once the server has seen that it left.
    try awaitTrue("a place") {
      let fourth = try bench.connect()
      return write(fourth, text("{\"request\":\"status\"}\n")) && lines(fourth, 1).first?.contains("plant1") == true
    }
  }
  @Test func `a client that leaves before its answer harms nobody, and requests in hand are bounded`() throws {
    var limits = OperatorServer.Limits()
    limits.outstanding = 2
    let bench = try Bench(limits: limits, holding: true)
    for count in 1...2 {
      let socket = try bench.connect()
      #expect(write(socket, text("{\"request\":\"switchover\"}\n")))
      try awaitTrue("a request in hand") { bench.held.withLock { $0.count } == count }
    }
    let socket = try bench.connect()
    #expect(write(socket, text("{\"request\":\"switchover\"}\n")))
    #expect(lines(socket, 1).first?.contains("too many requests") == true)
    bench.release()
    bench.release()  // a second answer is passed over
    // Taken once the server has seen the answers; until then it says the same as before.
    try awaitTrue("a place for a request") {
      #expect(write(socket, text("{\"request\":\"switchover\"}\n")))
      while bench.held.withLock({ $0.count }) < 3 {
        if !wait(socket.raw, for: .read, until: .after(milliseconds: 5)).isEmpty {
          #expect(lines(socket, 1).first?.contains("too many requests") == true)
          return false
        }
      }
      return true
    }
    bench.release()
    #expect(lines(socket, 1).first?.contains("late") == true)
  }
  @Test func `a client that neither asks nor reads is closed in time`() throws {
    var limits = OperatorServer.Limits()
    limits.idleMilliseconds = 150
    let bench = try Bench(limits: limits)
    let silent = try bench.connect()
    let half = try bench.connect()
    #expect(write(half, text("{\"request\":")))
    #expect(isClosed(silent))
    #expect(isClosed(half))
  }
  @Test func `the socket is for owner and group, and gone after a stop`() throws {
    let bench = try Bench()
    #expect(try fileStatus(bench.path).mode == 0o660)
    let socket = try bench.connect()
    bench.server.stop()
    #expect(isClosed(socket))
    #expect(throws: SystemError.self) { try fileStatus(bench.path) }
    bench.server.stop()
  }
  @Test func `a stale socket is replaced`() throws {
    let first = try Bench()
    let again = try OperatorServer(path: first.path, status: sampleStatus) { _, answer in answer(.done("")) }
    let socket = try first.connect()
    #expect(write(socket, text("{\"request\":\"status\"}\n")))
    #expect(lines(socket, 1).count == 1)
    again.stop()
  }
  @Test func `root, the own user and the socket's group may operate, others may not`() {
    #expect(mayOperate((process: 1, user: 0, group: 0), socketGroup: 5))
    #expect(mayOperate((process: 1, user: Int32(geteuid()), group: 77), socketGroup: 5))
    #expect(mayOperate((process: 1, user: 4242, group: 5), socketGroup: 5))
    #expect(!mayOperate((process: 1, user: 4242, group: 4242), socketGroup: 5))
    #expect(isMember(user: 0, of: 0) && !isMember(user: 0, of: 4242) && !isMember(user: 987_654, of: 987_654))
  }
}
