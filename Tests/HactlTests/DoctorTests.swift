// The doctor's frame: grades, exit codes, and checks of this host that need no cluster.
import Node
import Platform
import Postgres
import Testing

@testable import hactl

private func configuration(_ change: (inout NodeConfiguration) -> Void = { _ in }) throws -> NodeConfiguration {
  let text = """
    { cluster: "plant1", node: "a", database: { connection: "host=10.0.0.9 dbname=x" },
      service: { addresses: [{ address: "192.0.2.77", interface: "nowhere0" }], helpers: { folder: "/nowhere" } },
      peers: { listen: ["127.0.0.1:0"], keyFiles: [], nodes: [] },
      listen: { native: [], syslogTCP: [], syslogUDP: [], http: [] } }
    """
  // Without key files the loader refuses; the tests need none of what it checks.
  do {
    var parsed = try NodeConfiguration.parse(Array(text.utf8), file: "test")
    change(&parsed)
    return parsed
  } catch {
    let key = "/tmp/standwatch-doctor-\(UInt64.random(in: 0 ... .max)).key"
    try replaceFile(key, with: [UInt8](repeating: 7, count: 32), mode: 0o600)
    defer { try? removeFile(key) }
    let whole = text.replacing("keyFiles: []", with: "keyFiles: [\"\(key)\"]")
    var parsed = try NodeConfiguration.parse(Array(whole.utf8), file: "test")
    change(&parsed)
    return parsed
  }
}

@Suite struct `Doctor` {
  @Test func `the exit code is that of the worst finding`() {
    var checkup = Checkup()
    checkup.begin("x")
    checkup.fine("well")
    checkup.note("by the way")
    #expect(checkup.exitCode == 0)
    checkup.warn("hm", "do this")
    #expect(checkup.exitCode == 1)
    checkup.error("no", "do that")
    #expect(checkup.exitCode == 2)
    #expect(
      checkup.rendered(Style(colour: false), quiet: true) == """
        x
          ! hm
            → do this
          ✗ no
            → do that

        4 checks: 1 error, 1 warning

        """)
  }
  @Test func `a missing interface and missing helpers are errors with a mend`() throws {
    var checkup = Checkup()
    checkup.begin("host")
    let configuration = try configuration()
    checkConfiguration(configuration, path: "/nowhere/node.json5", &checkup)
    checkNetwork(configuration, nil, &checkup)
    let errors = checkup.checks.filter { $0.grade == .error }
    #expect(errors.count == 4, "\(errors)")
    #expect(errors.allSatisfy { !$0.mend.isEmpty })
    #expect(errors.contains { $0.finding == "there is no interface nowhere0" })
    #expect(checkup.checks.contains { $0.finding.hasPrefix("no other node is configured") })
  }
  @Test func `a port that another program has is found, and a free one is not`() throws {
    let taken = try listenStream(try #require(SocketAddress(host: "127.0.0.1", port: 0)))
    let address = try #require(localAddress(taken.raw))
    let configuration = try configuration { $0.listen.native = [address] }
    var checkup = Checkup()
    checkNetwork(configuration, nil, &checkup)
    let found = checkup.checks.first { $0.finding.hasPrefix("native") }
    #expect(found?.grade == .error && found?.mend.hasPrefix("another program has it") == true)
  }
  @Test func `an address that the host has for ever is no service address`() throws {
    let configuration = try configuration {
      $0.service.addresses = [NodeConfiguration.ServiceAddress(address: "127.0.0.1", interface: "lo")]
    }
    var checkup = Checkup()
    checkNetwork(configuration, nil, &checkup)
    #expect(checkup.checks.contains { $0.grade == .error && $0.finding.hasPrefix("127.0.0.1 is a permanent address") })
  }
  @Test func `a password file that others can read is an error`() throws {
    let file = "/tmp/standwatch-doctor-\(UInt64.random(in: 0 ... .max)).pgpass"
    try replaceFile(file, with: Array("*:*:*:*:x".utf8), mode: 0o644)
    defer { try? removeFile(file) }
    let connection = try ConnectionString("host=10.0.0.9 passfile=\(file)")
    let configuration = try configuration { $0.database.connection = connection }
    var checkup = Checkup()
    checkConfiguration(configuration, path: "x", &checkup)
    #expect(checkup.checks.contains { $0.grade == .error && $0.mend == "chmod 600 \(file)" })
  }
}

@Suite struct `Completion` {
  /// What bash would offer for the words, the last one being completed.
  private func offers(_ words: String) throws -> Set<String> {
    let bash = try #require(findProgram("bash"))
    let count = words.split(separator: " ", omittingEmptySubsequences: false).count
    let script = """
      COMP_WORDS=(\(words.split(separator: " ", omittingEmptySubsequences: false).map { "'\($0)'" }.joined(separator: " ")))
      COMP_CWORD=\(count - 1)
      _hactl
      printf '%s\\n' "${COMPREPLY[@]}"
      """
    let result = try runCommand(
      bash, ["-c", "eval \"$(cat)\"\n" + script], input: bashCompletion(), deadline: .after(milliseconds: 5000))
    #expect(result.succeeded, "\(result.output)")
    return Set(result.output.split(separator: "\n").map(String.init))
  }
  @Test func `bash offers commands, then their options and words`() throws {
    #expect(try offers("hactl sw") == ["switchover"])
    #expect(try offers("hactl drill cut") == ["cut-peer", "cut-database"])
    #expect(try offers("hactl status --j") == ["--json"])
    #expect(try offers("hactl switchover --").isSuperset(of: ["--to", "--timeout", "--help"]))
  }
  @Test func `zsh's script names every command`() {
    for command in commands { #expect(zshCompletion().contains("    \(command.spec.name)) _arguments")) }
  }
}
