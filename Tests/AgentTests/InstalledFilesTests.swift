import Platform
import Testing

@testable import Agent

private let root = String(#filePath.dropLast("Tests/AgentTests/InstalledFilesTests.swift".count))

@Test func `the example configuration is one, with the defaults`() throws {
  let bytes = try readFile(root + "ha/agent.example.json5")
  let example = try AgentSettings.parse(bytes, file: "example")
  let plain = try AgentSettings.parse(Array("{ servers: ['10.0.0.100:7400'] }".utf8), file: "plain")
  #expect(example.spool == plain.spool)
  #expect(example.collect == plain.collect)
  #expect(example.listen.unix == plain.listen.unix && example.listen.status == plain.listen.status)
  #expect(example.listen.maxLine == plain.listen.maxLine)
  #expect(example.listen.tcp == [SocketAddress(text: "127.0.0.1:7404")])
}

@Test(.enabled(if: findProgram("systemd-analyze") != nil, "needs systemd-analyze"))
func `the agent's unit is one that systemd takes, and is hardened`() throws {
  let folder = try TemporaryFolder()
  let unit = String(decoding: try readFile(root + "ha/standwatch-agent.service"), as: UTF8.self)
  let path = folder.path + "/standwatch-agent.service"
  try replaceFile(path, with: Array(unit.replacing("/usr/sbin/standwatch-agent", with: "/bin/true").utf8))
  let program = try #require(findProgram("systemd-analyze"))
  let verified = try runCommand(program, ["verify", "--man=no", path], deadline: .after(milliseconds: 60_000))
  #expect(verified.succeeded && verified.output.isEmpty, "\(verified.output)")
  let security = try runCommand(
    program, ["security", "--offline=true", "--threshold=20", path], deadline: .after(milliseconds: 60_000))
  #expect(security.succeeded, "\(security.output)")
}
