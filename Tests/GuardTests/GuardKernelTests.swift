// The real guard against the real kernel, in network namespaces of its own.
import Glibc
import Node
import Platform
import Testing

// No time limit: it counts from when a test is queued, and each of them waits for the one before.
@Suite(.serialized, .enabled(if: namespacesThere, "\(namespacesMissing ?? "")"))
struct GuardTests {
  @Test func `addresses of both families are claimed, renewed and released as one group`() throws {
    let wire = try Wire()
    let node = try wire.start(addresses: ["10.9.0.100", "10.9.0.101", "fd00:9::100"])
    node.say("claim 1 2000")
    #expect(node.hear("claimed(operation: 1)") != nil)
    for text in ["10.9.0.100/32", "10.9.0.101/32", "fd00:9::100/128"] {
      let line = try #require(wire.addresses(text).first)
      #expect(line.contains("deprecated") && !line.contains("forever"), "\(line)")
    }
    for operation in 2..<8 {
      wire.wait(milliseconds: 500)
      node.say("renew \(operation) 2000")
      #expect(node.hear("renewed(operation: \(operation))") != nil)
    }
    #expect(wire.addresses("::100").count == 1)
    node.say("status 8")
    #expect(try #require(node.hear("status(")).contains("present: 7"))
    node.say("release 9")
    #expect(node.hear("released(operation: 9)") != nil)
    #expect(wire.addresses("9.0.10").isEmpty && wire.addresses("9::100").isEmpty)
    node.signal(SIGTERM)
    #expect(node.end() == 0)
  }

  @Test func `an address that nobody renews any more is removed by the kernel`() throws {
    let wire = try Wire()
    let node = try wire.start(addresses: ["10.9.0.100"])
    let worker = try #require(processes(of: node).first)
    let monitor = try wire.monitor()
    node.say("claim 1 2000")
    #expect(node.hear("claimed") != nil)
    // Guard and worker at once, as a crash of both: only the kernel is left.
    kill(worker, SIGSTOP)
    node.signal(SIGKILL)
    kill(worker, SIGKILL)
    let gone = try goneAfter(.now(), monitor)
    print("guard and worker killed: address gone after \(Int(gone)) ms")
    #expect(gone > 1_000 && gone < patience(3_300))
  }

  @Test func `when the worker is killed the address goes at once and another worker comes`() throws {
    let wire = try Wire()
    let node = try wire.start()
    var (best, worst) = (Double.infinity, 0.0)
    for round in 1...5 {
      node.say("claim \(round) 2000")
      #expect(node.hear("claimed(operation: \(round))") != nil)
      let worker = try #require(processes(of: node).first)
      let monitor = try wire.monitor()
      let killed = BootInstant.now()
      kill(worker, SIGKILL)
      let gone = try goneAfter(killed, monitor)
      (best, worst) = (min(best, gone), max(worst, gone))
      #expect(node.hear("worker") != nil)
    }
    print("worker killed: address gone after \(best) to \(worst) ms")
    // Each time sooner than its silence would be noticed.
    #expect(best < patience(50) && worst < patience(500))
  }

  @Test func `a worker that falls silent loses the address within 700 ms and its life`() throws {
    let wire = try Wire()
    let node = try wire.start()
    let isSoon = try onceOf(3) { attempt in
      node.say("claim \(attempt) 60000")
      #expect(node.hear("claimed") != nil)
      let worker = try #require(processes(of: node).first)
      let monitor = try wire.monitor()
      let muted = BootInstant.now()
      node.say("mute")
      let gone = try goneAfter(muted, monitor)
      print("worker silent: address gone after \(gone) ms")
      #expect(node.hear("worker") != nil)
      #expect(try #require(processes(of: node).first) != worker)
      return gone > 400 && gone < patience(700)
    }
    #expect(isSoon)
  }

  @Test func `a stopped worker is killed and its address is gone`() throws {
    let wire = try Wire()
    let node = try wire.start()
    let isSoon = try onceOf(3) { attempt in
      node.say("claim \(attempt) 60000")
      #expect(node.hear("claimed") != nil)
      let worker = try #require(processes(of: node).first)
      let monitor = try wire.monitor()
      let stopped = BootInstant.now()
      kill(worker, SIGSTOP)
      let gone = try goneAfter(stopped, monitor)
      #expect(node.hear("worker") != nil)
      return gone < patience(750)
    }
    #expect(isSoon)
  }

  @Test func `a guard that is stopped lets the address expire and does not renew it late`() throws {
    let wire = try Wire()
    let node = try wire.start()
    let monitor = try wire.monitor()
    node.say("claim 1 2000")
    #expect(node.hear("claimed") != nil)
    let guardProcess = node.pid
    let stopped = BootInstant.now()
    kill(guardProcess, SIGSTOP)
    node.say("renew 2 2000")
    #expect(try goneAfter(stopped, monitor) < patience(3_300))
    kill(guardProcess, SIGCONT)
    #expect(try #require(node.hear("operation: 2")).contains("stale"))
    #expect(node.hear("addressLost(index: 0)") != nil)
    #expect(wire.addresses().isEmpty)
  }

  @Test func `a helper that hangs is killed at its deadline and nothing is held`() throws {
    let wire = try Wire()
    // A number that no other sleeper of this host has.
    let mine = Int.random(in: 100_000...999_999)
    let hang = try wire.script(
      "claim", "ip addr add 10.9.0.100/32 dev e0 valid_lft 9 preferred_lft 0; sleep 600.\(mine) & sleep 601.\(mine)")
    let node = try wire.start(helpers: "folder: \"\(repositoryFolder)/ha\", claim: \"\(hang)\"")
    let start = BootInstant.now()
    node.say("claim 1 2000")
    #expect(try #require(node.hear("operation: 1")).contains("helperDeadline"))
    let took = BootInstant.now().milliseconds(since: start)
    // Much sooner than the lifetime of the address that it left.
    #expect(took > 390 && took < patience(4_000))
    #expect(wire.addresses().isEmpty)
    let areGone = onceOf(1000) { _ in
      if run("pgrep", ["-f", "^sleep 60[01].\(mine)$"]).output.isEmpty { return true }
      wire.wait(milliseconds: 10)
      return false
    }
    #expect(areGone)
  }

  @Test func `a helper's success is not believed, and its failure is told with its status`() throws {
    let wire = try Wire()
    for (body, answer) in [
      ("exit 0", "notVerified"), ("exit 7", "helperFailed(7)"),
      ("ip addr add 10.9.0.100/32 dev e0", "staticAddress"),
      ("ip addr add 10.9.0.100/24 dev e0 valid_lft 2 preferred_lft 0", "notVerified"),
      ("ip addr add 10.9.0.100/32 dev e0 valid_lft 100 preferred_lft 0", "notVerified"),
    ] {
      let claim = try wire.script("claim", body)
      let node = try wire.start(helpers: "folder: \"\(repositoryFolder)/ha\", claim: \"\(claim)\"")
      node.say("claim 1 2000")
      #expect(try #require(node.hear("operation: 1")).contains(answer))
      #expect(wire.addresses().isEmpty, "\(body)")
      node.signal(SIGTERM)
      #expect(node.end() == 0)
    }
    let node = try wire.start(helpers: "folder: \"/nonexistent\"")
    node.say("claim 1 2000")
    // The thread sanitizer puts fork in the place of vfork: that exec failed is known by the status alone.
    let told = environmentValue("STANDWATCH_SANITIZER") == "thread" ? "helperFailed(127)" : "helperMissing"
    #expect(try #require(node.hear("operation: 1")).contains(told))
  }

  @Test func `an orphan of a helper cannot put the address back`() throws {
    let wire = try Wire()
    let claim = try wire.script(
      "claim",
      """
      ip addr add 10.9.0.100/32 dev e0 valid_lft 2 preferred_lft 0
      setsid sh -c 'echo > \(wire.folder)/left; until [ -e \(wire.folder)/go ]; do sleep 0.01; done
      ip addr replace 10.9.0.100/32 dev e0 valid_lft 600 preferred_lft 0; echo > \(wire.folder)/done' &
      # It has left the group that dies with this script.
      until [ -e \(wire.folder)/left ]; do sleep 0.01; done
      """)
    let node = try wire.start(helpers: "folder: \"\(repositoryFolder)/ha\", claim: \"\(claim)\"")
    node.say("claim 1 2000")
    #expect(node.hear("claimed") != nil)
    node.say("release 2")
    #expect(node.hear("released") != nil)
    try replaceFile("\(wire.folder)/go", with: [])
    #expect(wire.awaitFile("\(wire.folder)/done"))
    #expect(wire.goneAfter(atMost: 30_000) != nil)
  }

  @Test func `a site's own scripts renew, and hear of a release after the address is gone`() throws {
    let wire = try Wire()
    let renew = try wire.script("renew", "echo renew >> \(wire.folder)/log; exec \(repositoryFolder)/ha/vip-renew")
    let release = try wire.script(
      "release",
      "echo release $SW_ADDRESS $(ip -o addr show to $SW_ADDRESS | wc -l) >> \(wire.folder)/log; exit 1")
    let node = try wire.start(
      addresses: ["10.9.0.100", "10.9.0.101"],
      helpers: "folder: \"\(repositoryFolder)/ha\", renew: \"\(renew)\", release: \"\(release)\"")
    node.say("claim 1 2000")
    #expect(node.hear("claimed") != nil)
    // Longer than the first lifetime. A script that gets no processor is killed at its deadline, and renews the next time.
    var operation = 1
    for _ in 1...3 {
      wire.wait(milliseconds: 900)
      let isRenewed = try onceOf(5) { _ in
        operation += 1
        node.say("renew \(operation) 10000")
        return try #require(node.hear("operation: \(operation)")).contains("renewed")
      }
      #expect(isRenewed)
    }
    node.say("release 50")
    #expect(node.hear("released(operation: 50)") != nil)
    // A claim waits for the release scripts, so that a site sees one order.
    node.say("claim 60 2000")
    #expect(node.hear("claimed(operation: 60)") != nil)
    let lines = String(decoding: try readFile(wire.folder + "/log"), as: UTF8.self)
    let released = "release 10.9.0.100 0\nrelease 10.9.0.101 0\n"
    let renewals = lines.count { $0 == "\n" } - 2
    #expect(lines == String(repeating: "renew\n", count: renewals) + released && renewals >= 6, "\(lines)")
    // Both addresses each time, and once more only for those that were not renewed.
    #expect(renewals <= 2 * (operation - 1), "\(lines)")
  }

  @Test func `the supervisor hears that the node is ready, what it holds, and pings only while the worker speaks`()
    throws
  {
    let wire = try Wire()
    let path = wire.folder + "/notify"
    let supervisor = try bindDatagram(try #require(SocketAddress(unixPath: path)))
    let node = try wire.start(environment: ["NOTIFY_SOCKET=\(path)", "WATCHDOG_USEC=300000"])
    /// What comes in this time, or until it is enough.
    func messages(_ milliseconds: Int64, until isEnough: ([String]) -> Bool = { _ in false }) -> [String] {
      let end = BootInstant.after(milliseconds: milliseconds)
      var found: [String] = []
      var buffer = [UInt8](repeating: 0, count: 512)
      while !isEnough(found), !Platform.wait(supervisor.raw, for: .read, until: end).isEmpty {
        guard let (size, _) = receiveDatagram(supervisor.raw, into: &buffer) else { continue }
        found.append(String(decoding: buffer.prefix(size), as: UTF8.self))
      }
      return found
    }
    func pings(_ heard: [String]) -> Int { heard.count { $0 == "WATCHDOG=1" } }
    #expect(!messages(300).contains("READY=1"), "not before the worker says so")
    node.say("ready")
    node.say("claim 1 60000")
    let began = BootInstant.now()
    let heard = messages(patience(30_000)) { heard in
      heard.contains("READY=1") && pings(heard) >= 3
        && heard.contains { $0.hasPrefix("STATUS=") && $0.hasSuffix("holding 10.9.0.100") }
    }
    #expect(heard.contains("READY=1"))
    #expect(heard.contains { $0.hasPrefix("STATUS=") && $0.hasSuffix("holding 10.9.0.100") }, "\(heard)")
    // Each third of the watchdog's time, and not all the time.
    let most = Int(BootInstant.now().milliseconds(since: began) / 75) + 3
    #expect((3...most).contains(pings(heard)), "\(pings(heard)), at most \(most)")
    node.signal(SIGTERM)
    #expect(messages(patience(30_000)) { $0.contains("STOPPING=1") }.contains("STOPPING=1"))
    #expect(node.end() == 0)
  }

  @Test func `a release overtakes a claim that hangs`() throws {
    let wire = try Wire()
    let hang = try wire.script("claim", "sleep 600")
    let node = try wire.start(helpers: "folder: \"\(repositoryFolder)/ha\", claim: \"\(hang)\"")
    let isOvertaken = try onceOf(5) { attempt in
      node.say("claim \(2 * attempt) 2000")
      wire.wait(milliseconds: 50)
      let start = BootInstant.now()
      node.say("release \(2 * attempt + 1)")
      // Later it is killed at its deadline.
      let isSuperseded = try #require(node.hear("operation: \(2 * attempt)")).contains("superseded")
      #expect(node.hear("released(operation: \(2 * attempt + 1))") != nil)
      return isSuperseded && BootInstant.now().milliseconds(since: start) < patience(100)
    }
    #expect(isOvertaken)
  }

  @Test func `a static service address is refused at the start with its mend, one with a lifetime is swept`() throws {
    let wire = try Wire()
    ip("-n", wire.here, "addr", "add", "10.9.0.100/24", "dev", "e0")
    #expect(try wire.start(expectWorker: false).end() == 78)
    #expect(wire.addresses().count == 1)
    ip("-n", wire.here, "addr", "del", "10.9.0.100/24", "dev", "e0")
    ip("-n", wire.here, "addr", "add", "10.9.0.100/32", "dev", "e0", "valid_lft", "600", "preferred_lft", "0")
    let node = try wire.start()
    #expect(wire.addresses().isEmpty)
    ip("-n", wire.here, "addr", "add", "10.9.0.100/24", "dev", "e0")
    node.say("claim 1 2000")
    #expect(try #require(node.hear("operation: 1")).contains("staticAddress"))
  }

  @Test func `a second guard of the same node refuses to start`() throws {
    let wire = try Wire()
    let node = try wire.start()
    #expect(try Talker(wire.here, ["--config", wire.config]).end() == 78)
    node.say("claim 1 2000")
    #expect(node.hear("claimed") != nil)
  }

  @Test func `loss of the carrier and of the address are told`() throws {
    let wire = try Wire()
    let node = try wire.start()
    #expect(node.hear("carrier(index: 0, up: true)") != nil)
    node.say("claim 1 2000")
    #expect(node.hear("claimed") != nil)
    let start = BootInstant.now()
    ip("-n", wire.there, "link", "set", "e0", "down")
    #expect(node.hear("carrier(index: 0, up: false)") != nil)
    #expect(BootInstant.now().milliseconds(since: start) < patience(5_000))
    ip("-n", wire.there, "link", "set", "e0", "up")
    #expect(node.hear("carrier(index: 0, up: true)") != nil)
    node.say("claim 2 2000")
    #expect(node.hear("claimed(operation: 2)") != nil)
    ip("-n", wire.here, "addr", "del", "10.9.0.100/32", "dev", "e0")
    #expect(node.hear("addressLost(index: 0)") != nil)
    node.say("renew 3 2000")
    #expect(try #require(node.hear("operation: 3")).contains("absent"))
    #expect(wire.addresses().isEmpty)
    node.say("claim 4 2000")
    #expect(node.hear("claimed(operation: 4)") != nil)
  }

  @Test func `the worker is an ordinary user with at most the right to bind low ports`() throws {
    let wire = try Wire()
    let node = try wire.start(user: "nobody", expectWorker: false)
    let line = try #require(node.hear("worker"))
    // CAP_NET_BIND_SERVICE alone, because the standard configuration listens on port 514.
    #expect(line.contains("user 65534") && line.hasSuffix("capabilities 0000000000000400"))
    node.say("claim 1 2000")
    #expect(node.hear("claimed") != nil)
  }

  @Test func `a worker that refuses to run ends the guard, one that crashes is started again`() throws {
    let wire = try Wire()
    let node = try wire.start()
    node.say("exit 3")
    #expect(node.hear("worker") != nil)
    node.say("claim 1 2000")
    #expect(node.hear("claimed") != nil)
    node.say("exit 78")
    #expect(node.end() == 78)
    #expect(wire.addresses().isEmpty)
  }

  func processes(of node: Talker) -> [Int32] {
    run("pgrep", ["-P", "\(node.pid)", "-f", "--", "--worker"]).output.split(separator: "\n").compactMap { Int32($0) }
  }
  func hardware(_ namespace: String) -> String {
    let words = ip("-n", namespace, "-o", "link", "show", "e0").output.split(separator: " ")
    return words.firstIndex(of: "link/ether").map { String(words[$0 + 1]) } ?? "?"
  }
  /// Milliseconds from `start` to the moment in which the kernel told that the address is gone.
  func goneAfter(_ start: BootInstant, _ monitor: Talker) throws -> Double {
    let line = try #require(monitor.hear("gone"))
    return BootInstant(nanoseconds: try #require(Int64(line.split(separator: " ")[1]))).milliseconds(since: start)
  }
}
