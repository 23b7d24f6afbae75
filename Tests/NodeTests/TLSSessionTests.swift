// TLS sessions against each other, against openssl's rules of the wire, and against bytes that are none of both.
import Chance
import Glibc
import Platform
import TLS
import Testing

@testable import Node

/// A client and a server, and a middle that passes bytes on as a test wants.
private struct Pair: ~Copyable {
  var client: TLSSession
  var server: TLSSession
  let near: SocketPair
  let far: SocketPair

  init(client: TLSCredentials, server: TLSCredentials, name: String = "127.0.0.1") throws {
    let near = try SocketPair()
    let far = try SocketPair()
    self.client = .client(near.a.raw, client, serverName: name)
    self.server = .server(far.b.raw, server)
    self.near = near
    self.far = far
  }
  /// Passes on at most `most` bytes each way.
  mutating func pass(_ most: Int = 65_536) throws {
    for (from, to) in [(near.b.raw, far.a.raw), (far.a.raw, near.b.raw)] {
      var buffer = [UInt8](repeating: 0, count: most)
      if case .done(let count) = receive(from, into: &buffer) {
        #expect(Platform.send(to, Array(buffer[..<count])) == .done(count))
      }
    }
  }
  /// Both sides' ends of the handshake.
  mutating func shakeHands(_ most: Int = 65_536) throws -> (client: TLSProgress, server: TLSProgress) {
    var (ours, theirs) = (TLSProgress.wouldBlock, TLSProgress.wouldBlock)
    for _ in 0..<20_000 {
      if ours == .wouldBlock { ours = client.handshake() }
      if theirs == .wouldBlock { theirs = server.handshake() }
      try pass(most)
      if ours != .wouldBlock, theirs != .wouldBlock { break }
    }
    return (ours, theirs)
  }
}

@Suite struct TLSSessionTests {
  let certificates: Certificates
  init() throws { certificates = try Certificates.shared.get() }

  @Test(arguments: [1, 7, 65_536]) func `sessions talk however few bytes come at once`(_ most: Int) throws {
    var pair = try Pair(
      client: certificates.credentials("agent", trusting: "ca"),
      server: certificates.credentials("node", trusting: "ca"))
    let ends = try pair.shakeHands(most)
    #expect(ends.client == .done && ends.server == .done)
    #expect(pair.server.peerCertificate?.name == "agent" && pair.client.peerCertificate?.dnsNames == ["standwatch"])
    let sent = (0..<40_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    var (offset, got): (Int, [UInt8]) = (0, [])
    var buffer = [UInt8](repeating: 0, count: 1000)
    for _ in 0..<200_000 where got.count < sent.count {
      if offset < sent.count, case .done(let count) = pair.client.send(sent, from: offset) { offset += count }
      try pair.pass(most)
      while case .done(let count) = pair.server.receive(into: &buffer) { got += buffer[..<count] }
    }
    #expect(got == sent)
  }

  @Test func `what is decrypted and not fetched is told, since the socket does not tell it`() throws {
    var pair = try Pair(client: certificates.credentials(nil, trusting: "ca"), server: certificates.credentials("node"))
    let ends = try pair.shakeHands()
    #expect(ends.client == .done && ends.server == .done)
    #expect(pair.client.send([UInt8](repeating: 1, count: 100)) == .done(100))
    try pair.pass()
    var small = [UInt8](repeating: 0, count: 10)
    #expect(pair.server.receive(into: &small) == .done(10))
    #expect(pair.server.pending == 90)
  }

  @Test func `bytes that found no room are sent on, and none of them twice`() throws {
    var pair = try Pair(client: certificates.credentials(nil, trusting: "ca"), server: certificates.credentials("node"))
    let ends = try pair.shakeHands()
    #expect(ends.client == .done && ends.server == .done)
    let sent = (0..<2_000_000).map { UInt8(truncatingIfNeeded: $0 / 1000) }
    var (offset, got, waits): (Int, [UInt8], Int) = (0, [], 0)
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while got.count < sent.count, waits < 100_000 {
      // The end may be nearer the next time: what GnuTLS has taken it has taken.
      switch pair.server.send(sent + [], from: min(offset, sent.count - 1)) {
      case .done(let count): offset += count
      case .wouldBlock:
        waits += 1
        if waits % 3 == 0 { try pair.pass() }
      case .closed, .failed: Issue.record("the session ended")
      }
      while case .done(let count) = pair.client.receive(into: &buffer) { got += buffer[..<count] }
      if offset == sent.count { break }
    }
    for _ in 0..<1000 where got.count < sent.count {
      try pair.pass()
      while case .done(let count) = pair.client.receive(into: &buffer) { got += buffer[..<count] }
    }
    #expect(waits > 0 && got == sent)
  }

  @Test func `an end that was said is told from a connection that was cut`() throws {
    for says in [true, false] {
      var pair = try Pair(
        client: certificates.credentials(nil, trusting: "ca"), server: certificates.credentials("node"))
      let ends = try pair.shakeHands()
      #expect(ends.client == .done && ends.server == .done)
      if says { pair.client.sayGoodbye() }
      try pair.pass()
      shutdown(pair.far.a.raw, Int32(SHUT_WR))
      var buffer = [UInt8](repeating: 0, count: 100)
      #expect(pair.server.receive(into: &buffer) == (says ? .closed : .failed(.cutOff)))
    }
  }

  @Test func `a certificate of another authority, for another name or out of date is refused by the client`() throws {
    let cases: [(server: String, name: String, failure: TLSFailure)] = [
      ("stranger", "127.0.0.1", .unknownAuthority), ("node", "10.0.0.100", .wrongName), ("node", "other", .wrongName),
      ("old", "127.0.0.1", .expired),
    ]
    for (server, name, failure) in cases {
      var pair = try Pair(
        client: certificates.credentials(nil, trusting: "ca"), server: certificates.credentials(server), name: name)
      #expect(try pair.shakeHands().client == .failed(failure), "\(server) as \(name)")
      #expect(pair.client.handshake() == .failed(failure), "and stays so")
    }
    var pair = try Pair(
      client: certificates.credentials(nil, trusting: "ca"), server: certificates.credentials("node"),
      name: "standwatch")
    #expect(try pair.shakeHands().client == .done)
  }

  @Test func `where clients have to show a certificate, none and a stranger's are refused before a byte is read`()
    throws
  {
    for (client, failure) in [(nil, TLSFailure.noCertificate), ("stranger", .unknownAuthority)] {
      var pair = try Pair(
        client: certificates.credentials(client, trusting: "ca"),
        server: certificates.credentials("node", trusting: "ca"))
      #expect(try pair.shakeHands().server == .failed(failure))
      try pair.pass()
      // In TLS 1.3 the client's handshake is over by then.
      var buffer = [UInt8](repeating: 0, count: 100)
      guard case .failed(.refused) = pair.client.receive(into: &buffer) else {
        Issue.record("the client was not told")
        continue
      }
    }
  }

  @Test func `bytes that are no TLS, in any amount, end a handshake and never a process`() throws {
    let server = try certificates.credentials("node", trusting: "ca")
    var random = SplitMix64(seed: 20_261_120)
    for round in 0..<300 {
      let pair = try SocketPair()
      var session = TLSSession.server(pair.b.raw, server)
      var bytes = (0..<Int.random(in: 1...600, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
      // Two thirds look like a handshake's record at first.
      if round % 3 > 0 { bytes = [0x16, 3, UInt8(round % 4), 0, UInt8(min(255, bytes.count))] + bytes }
      if round % 3 == 2 { bytes.insert(contentsOf: [1, 0, 0, UInt8(round % 256)], at: 5) }
      #expect(Platform.send(pair.a.raw, bytes) == .done(bytes.count))
      shutdown(pair.a.raw, Int32(SHUT_WR))
      // What was read in part is asked for once more.
      var progress = TLSProgress.wouldBlock
      for _ in 0..<4 where progress == .wouldBlock { progress = session.handshake() }
      guard case .failed = progress else {
        Issue.record("garbage was waited for after its end")
        continue
      }
    }
  }

  @Test func `plain text where TLS is meant is told as such on either side`() throws {
    let pair = try SocketPair()
    var session = TLSSession.server(pair.b.raw, try certificates.credentials("node"))
    _ = Platform.send(pair.a.raw, Array("{\"hello\":{}}\n".utf8))
    #expect(session.handshake() == .failed(.notTLS))
    let other = try SocketPair()
    var client = TLSSession.client(
      other.a.raw, try certificates.credentials(nil, trusting: "ca"), serverName: "127.0.0.1")
    #expect(client.handshake() == .wouldBlock)
    _ = Platform.send(other.b.raw, Array("{\"bye\":\"no hello\"}\n".utf8))
    #expect(client.handshake() == .failed(.notTLS))
  }

  @Test func `a client that wants to negotiate anew is refused`() throws {
    // openssl's client renegotiates on the letter R, in TLS 1.2; the session is over then, whatever it sends.
    let socket = try listenStream(try #require(SocketAddress(host: "127.0.0.1", port: 0)))
    let port = try #require(localAddress(socket.raw)).port
    let script = "(sleep 0.5; echo R; sleep 60) | openssl s_client -connect 127.0.0.1:\(port) -tls1_2 >/dev/null 2>&1"
    let child = try Child("/bin/sh", ["-c", script], environment: ["PATH=/usr/bin:/bin"], descriptors: [2, 2, 2])
    defer { child.killGroup() }
    _ = wait(socket.raw, for: .read, until: .after(milliseconds: longest))
    let accepted = Descriptor(owning: try #require(try acceptStream(socket.raw)).descriptor)
    var session = TLSSession.server(accepted.raw, try certificates.credentials("node"))
    let deadline = BootInstant.after(milliseconds: longest)
    while session.handshake() == .wouldBlock, BootInstant.now() < deadline {
      _ = wait(accepted.raw, for: .read, until: deadline)
    }
    var transfer = TLSTransfer.wouldBlock
    var buffer = [UInt8](repeating: 0, count: 1000)
    while transfer == .wouldBlock, BootInstant.now() < deadline {
      _ = wait(accepted.raw, for: .read, until: deadline)
      transfer = session.receive(into: &buffer)
    }
    #expect(transfer == .failed(.renegotiation))
  }

  @Test func `older versions are refused`() throws {
    // A ClientHello of TLS 1.1 with one suite that 1.2 has, too, and no extensions.
    let hello: [UInt8] =
      [3, 2] + [UInt8](repeating: 7, count: 32) + [0, 0, 2, 0xc0, 0x0a, 1, 0]
    let message: [UInt8] = [1, 0, 0, UInt8(hello.count)] + hello
    let pair = try SocketPair()
    var session = TLSSession.server(pair.b.raw, try certificates.credentials("node"))
    _ = Platform.send(pair.a.raw, [0x16, 3, 1, 0, UInt8(message.count)] + message)
    #expect(session.handshake() == .failed(.notTLS))
  }

  // MARK: files

  @Test func `a file that can't be used is named with what is wrong with it`() throws {
    let folder = certificates.folder
    func problem(_ files: TLSFiles) -> TLSFileError? {
      do throws(TLSFileError) { _ = try TLSCredentials(files) } catch { return error }
      return nil
    }
    let missing = problem(TLSFiles(certificate: folder + "/none.crt", key: folder + "/node.key"))
    #expect(missing?.part == .certificate && missing?.problem.contains("No such file") == true)
    let mismatch = problem(TLSFiles(certificate: folder + "/node.crt", key: folder + "/agent.key"))
    #expect(mismatch?.part == .key && mismatch?.problem.contains("is not the key of the certificate") == true)
    #expect(problem(TLSFiles(certificate: folder + "/node.key", key: folder + "/node.key"))?.part == .certificate)
    #expect(problem(TLSFiles(certificate: folder + "/node.crt", key: folder + "/node.crt"))?.part == .key)
    #expect(problem(TLSFiles(authorities: folder + "/node.key"))?.part == .authorities)
    #expect(problem(certificates.files("node", trusting: "ca")) == nil)
  }

  @Test func `a renewed certificate is used once it fits its key, and the old one until then`() throws {
    let folder = certificates.folder
    let files = TLSFiles(certificate: folder + "/live.crt", key: folder + "/live.key")
    func copy(_ name: String, _ ending: String) throws {
      try replaceFile("\(folder)/live.\(ending)", with: readFile("\(folder)/\(name).\(ending)"))
    }
    try copy("node", "crt")
    try copy("node", "key")
    var renewed = RenewedCredentials(files)
    let start = BootInstant.now()
    func name(_ seconds: Int64) throws -> String? {
      try renewed.current(start.adding(milliseconds: seconds * 1000)).certificate?.commonName
    }
    #expect(try name(0) == "node")
    try copy("renewed", "crt")
    #expect(try name(0) == "node", "not looked at twice within a second")
    #expect(try name(2) == "node" && renewed.trouble?.part == .key)
    try copy("renewed", "key")
    #expect(try name(4) == "renewed" && renewed.trouble == nil)
    try removeFile(folder + "/live.key")
    #expect(try name(6) == "renewed" && renewed.trouble?.part == .key)
  }
}
