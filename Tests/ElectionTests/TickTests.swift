// How often the core asks to be woken: its thread may have real-time priority, so it must never spin.

import Election
import Testing

struct TickTests {
  private func node() throws -> ScriptedNode {
    let (a, b) = (try #require(ShortName("a")), try #require(ShortName("b")))
    var node = try ScriptedNode(node: a, peers: [b], settings: Settings())
    node.reading.leader = NodeIncarnation(node: b, incarnation: 3)
    node.reading.holder = LockHolder(node: NodeIncarnation(node: b, incarnation: 3), backend: 50)
    return node
  }

  /// Ten beats a second are due, and the reads between them come with their answers.
  private func ticksASecond(_ node: inout ScriptedNode) -> Int {
    node.deliver(.ticked)
    node.run(1500)
    let before = node.ticks
    node.run(1000)
    return node.ticks - before
  }

  @Test func `a standby is not woken more than thirty times a second`() throws {
    var node = try node()
    #expect(ticksASecond(&node) <= 30)
  }
  @Test func `nor when the cluster is paused`() throws {
    var node = try node()
    node.reading.cluster.paused = true
    #expect(ticksASecond(&node) <= 30)
  }
  @Test func `nor while the beats of the leader are lost though its counter moves`() throws {
    var node = try node()
    node.deliver(.ticked)
    node.run(300)
    node.changePeer(try #require(ShortName("b"))) { $0.speaks = false }
    #expect(ticksASecond(&node) <= 30)
  }
  @Test func `nor while a local fault stands`() throws {
    var node = try node()
    node.deliver(.faultBegan(.carrierLost(interface: "eth0")))
    #expect(ticksASecond(&node) <= 30)
  }
  @Test func `nor while nobody reaches the database`() throws {
    var node = try node()
    node.script("connect", ScriptedNode.Script(word: "never"))
    node.script("read", ScriptedNode.Script(word: "never"))
    #expect(ticksASecond(&node) <= 30)
  }
}
