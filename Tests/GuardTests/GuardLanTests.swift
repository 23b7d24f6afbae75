// What the guard asks, says and hears on the LAN.
import Glibc
import Node
import Platform
import Testing

extension GuardTests {
  @Test(arguments: ["10.9.0.100/32", "fd00:9::100/128"])
  func `a probe sees an owner on the LAN and silence without one`(text: String) throws {
    let wire = try Wire()
    let node = try wire.start(addresses: [String(text.split(separator: "/")[0])])
    let isSoon = onceOf(3) { attempt in
      let start = BootInstant.now()
      node.say("probe \(attempt)")
      #expect(node.hear("probeSilent(operation: \(attempt))") != nil)
      return BootInstant.now().milliseconds(since: start) < patience(200)
    }
    #expect(isSoon)
    ip("-n", wire.there, "addr", "add", text, "dev", "e0", "nodad")
    node.say("probe 8")
    let answer = try #require(node.hear("operation: 8"))
    #expect(answer.contains("probeAnswered") && answer.contains(hardware(wire.there)))
    ip("-n", wire.there, "link", "set", "e0", "down")
    #expect(node.hear("up: false") != nil)
    node.say("probe 9")
    #expect(try #require(node.hear("operation: 9")).contains("carrierDown"))
  }

  @Test(arguments: [("10.9.0.100", 12), ("fd00:9::100", 6)])
  func `announcements reach the LAN until just before the release, and a duplicate is reported`(
    address: String, frames: Int
  ) throws {
    let wire = try Wire()
    let node = try wire.start(addresses: [address])
    let own = hardware(wire.here)
    // What a guard that got no processor has slept through is not made up for.
    let areAll = try onceOf(3) { attempt in
      let listener = try Talker(wire.there, ["--listen", address, "e0", "30000"])
      #expect(listener.hear("listening") != nil)
      node.say("claim \(2 * attempt) 60000")
      #expect(node.hear("claimed(operation: \(2 * attempt))") != nil)
      wire.wait(milliseconds: 1_100)
      node.say("release \(2 * attempt + 1)")
      #expect(node.hear("released(operation: \(2 * attempt + 1))") != nil)
      var heard = 0
      while listener.hear(own, milliseconds: 700) != nil { heard += 1 }
      #expect(heard <= frames)
      return heard == frames
    }
    #expect(areAll)

    node.say("claim 9 60000")
    #expect(node.hear("claimed(operation: 9)") != nil)
    let impostor = try Talker(wire.there, ["--impostor", address, "e0"])
    #expect(impostor.end() == 0)
    #expect(try #require(node.hear("duplicateSeen")).contains(hardware(wire.there)))
  }

  @Test func `a claim within a second of the last contradiction is contradicted when that second is over`() throws {
    let wire = try Wire()
    let node = try wire.start()
    let own = hardware(wire.here)
    func time(_ line: String) throws -> BootInstant {
      BootInstant(nanoseconds: try #require(Int64(line.split(separator: " ")[0])))
    }
    let isContradicted = try onceOf(4) { attempt in
      let claimed = BootInstant.now()
      let operation = 3 * attempt
      node.say("claim \(operation) 2000")
      #expect(node.hear("claimed(operation: \(operation))") != nil)
      defer {
        node.say("release \(operation + 2)")
        #expect(node.hear("released(operation: \(operation + 2))") != nil)
      }
      // Behind the announcements of the claim, and long before the next one at five seconds.
      wire.wait(milliseconds: 1_200)
      // The kernel would take the address away before the second contradiction.
      node.say("renew \(operation + 1) 2000")
      #expect(node.hear("renewed(operation: \(operation + 1))") != nil)
      let listener = try Talker(wire.there, ["--listen", "10.9.0.100", "e0", "30000"])
      #expect(listener.hear("listening") != nil)
      #expect(try Talker(wire.there, ["--impostor", "10.9.0.100", "e0"]).end() == 0)
      guard let line = listener.hear(own, milliseconds: 1_500) else { return false }
      let first = try time(line)
      #expect(try Talker(wire.there, ["--impostor", "10.9.0.100", "e0"]).end() == 0)
      // Each contradiction is more than one frame.
      var second = first
      while second.milliseconds(since: first) < 500 {
        guard let line = listener.hear(own, milliseconds: 2_000) else { return false }
        second = try time(line)
      }
      return second.milliseconds(since: first) > 950 && second.milliseconds(since: claimed) < 4_900
    }
    #expect(isContradicted)
  }

  @Test func `a second interface of the own host on the same LAN is no duplicate`() throws {
    let wire = try Wire()
    ip("-n", wire.here, "link", "add", "e9", "type", "veth", "peer", "name", "e9", "netns", wire.there)
    ip("-n", wire.there, "link", "add", "lan", "type", "bridge")
    for name in ["e0", "e9"] {
      ip("-n", wire.there, "link", "set", name, "master", "lan")
      ip("-n", wire.there, "link", "set", name, "up")
    }
    ip("-n", wire.there, "link", "set", "lan", "up")
    ip("-n", wire.here, "link", "set", "e9", "up")
    let node = try wire.start()
    node.say("claim 1 2000")
    #expect(node.hear("claimed") != nil)
    // Somebody on the LAN asks: the kernel answers by both interfaces, and the guard itself asks as well.
    #expect(node.hear("duplicateSeen", milliseconds: 700) == nil)
  }

  @Test func `the LAN prober sees who holds the address and how often it was asked`() throws {
    let wire = try Wire()
    let node = try wire.start()
    let areAll = try onceOf(5) { attempt in
      // Anew each time: its lifetime is that of a few attempts.
      node.say("claim \(attempt) 2000")
      #expect(node.hear("claimed(operation: \(attempt))") != nil)
      let prober = try Talker(wire.there, ["--probe", "10.9.0.100", "e0", "20", "200"])
      #expect(try #require(prober.hear(" ")).contains(hardware(wire.here)))
      return try #require(prober.hear("asked ")) == "asked 10"
    }
    #expect(areAll)
  }
}
