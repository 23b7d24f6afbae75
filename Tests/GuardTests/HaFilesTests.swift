// The files under ha/: the scripts by hand, the example, the unit.
import Glibc
@testable import Node
import Platform
import Testing

@Suite(.serialized) struct HaFilesTests {
  @Test(
    .enabled(if: namespacesThere, "\(namespacesMissing ?? "")"), arguments: [("192.0.2.100", 4), ("fd00:2::100", 6)])
  func `the scripts keep their contract`(address: String, family: Int) throws {
    let namespace = "swg-\(randomName())"
    ip("netns", "add", namespace)
    defer { ip("netns", "del", namespace) }
    ip("-n", namespace, "link", "add", "e0", "type", "veth", "peer", "name", "e1")
    ip("-n", namespace, "link", "set", "e0", "up")
    let environment = [
      "SW_ADDRESS=\(address)", "SW_PREFIX=\(family == 4 ? 32 : 128)", "SW_FAMILY=\(family)", "SW_INTERFACE=e0",
      "SW_LIFETIME=600",
    ]
    func script(_ name: String, without variable: String = "none") throws -> ChildEnd {
      let kept = environment.filter { !$0.hasPrefix(variable) }
      return try runCommand(
        findProgram("ip") ?? "ip",
        ["netns", "exec", namespace, "env"] + kept + ["\(repositoryFolder)/ha/\(name)"],
        deadline: .after(milliseconds: 60_000)
      ).end
    }
    #expect(try script("vip-status") == .exited(3))
    #expect(try script("vip-renew") == .exited(3), "a renewal brings nothing back")
    #expect(try script("vip-release") == .exited(0), "a release of nothing succeeds")
    for _ in 0..<2 { #expect(try script("vip-claim") == .exited(0)) }
    #expect(try script("vip-status") == .exited(0))
    #expect(try script("vip-renew") == .exited(0))
    #expect(try script("vip-release") == .exited(0))
    #expect(try script("vip-status") == .exited(3))
    ip("-n", namespace, "addr", "add", "\(address)/\(family == 4 ? 24 : 64)", "dev", "e0", "nodad")
    #expect(try script("vip-status") == .exited(4))
    for name in ["vip-claim", "vip-renew", "vip-release", "vip-status"] {
      #expect(try script(name, without: "SW_ADDRESS") == .exited(2))
    }
  }

  @Test(.enabled(if: namespacesThere, "\(namespacesMissing ?? "")"))
  func `the commands by which the README tries a script do what it says`() throws {
    let readme = String(decoding: try readFile(repositoryFolder + "/ha/README.md"), as: UTF8.self)
    let blocks = readme.split(separator: "```sh\n").dropFirst().map { String($0.prefix { $0 != "`" }) }
    let commands = try #require(blocks.first { $0.hasPrefix("ip link add") })
    let result = run("unshare", ["-n", "sh", "-euc", "cd '\(repositoryFolder)'\n" + commands])
    #expect(result.succeeded && result.output.contains("gone, as it should be"), "\(result.output)")
  }

  @Test func `the example configuration is one that a node takes`() throws {
    let wire = "/tmp/sw-example-\(randomName())"
    try replaceFile(wire, with: [UInt8](repeating: 65, count: 64), mode: 0o600)
    defer { _ = unsafe unlink(wire) }
    let text = String(decoding: try readFile(repositoryFolder + "/ha/node.example.json5"), as: UTF8.self)
    let local = text.split(separator: "/etc/standwatch/beat.key\"]", omittingEmptySubsequences: false)
    #expect(local.count == 2)
    let configuration = try NodeConfiguration.parse(Array(local.joined(separator: "\(wire)\"]").utf8), file: "example")
    #expect(configuration.service.helpers.claim == "/usr/lib/standwatch/ha/vip-claim")
    #expect(configuration.timing == NodeConfiguration.Timing())
    #expect(configuration.needsLowPort)
  }

  @Test(.enabled(if: findProgram("systemd-analyze") != nil, "needs systemd-analyze"))
  func `the unit is one that systemd takes, and is hardened`() throws {
    let folder = "/tmp/sw-unit-\(randomName())"
    try makeFolder(folder, user: 0, group: 0, mode: 0o755)
    defer { run("rm", ["-rf", folder]) }
    let unit = String(decoding: try readFile(repositoryFolder + "/ha/standwatchd.service"), as: UTF8.self)
    let there = unit.split(separator: "/usr/sbin/standwatchd", omittingEmptySubsequences: false).joined(
      separator: "/bin/true")
    let path = folder + "/standwatchd.service"
    try replaceFile(path, with: Array(there.utf8))
    let verified = run("systemd-analyze", ["verify", "--man=no", path])
    #expect(verified.succeeded && verified.output.isEmpty, "\(verified.output)")
    let security = run("systemd-analyze", ["security", "--offline=true", "--threshold=30", path])
    #expect(security.succeeded, "\(security.output)")
  }

  @Test(.enabled(if: findProgram("shellcheck") != nil, "needs shellcheck"))
  func `shellcheck finds nothing in the scripts`() {
    let scripts = ["vip-claim", "vip-renew", "vip-release", "vip-status"].map { "\(repositoryFolder)/ha/\($0)" }
    let result = run("shellcheck", scripts)
    #expect(result.succeeded, "\(result.output)")
  }
}
