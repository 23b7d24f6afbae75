// `hactl status` in the situations that count: the page is compared word by word.
import Node
import Testing

@testable import hactl

private func active() -> NodeStatus {
  var status = NodeStatus(cluster: "plant1", node: "a", incarnation: 7, version: "0.1.0", pid: 4711)
  status.state = "active"
  status.reason = "listeners open and address held"
  status.stateMilliseconds = 11_520_000
  status.epoch = 12
  status.timeline = 1
  status.leaseLeftMilliseconds = 1830
  status.listening = true
  status.serviceAddresses = [.init(address: "10.77.0.100", interface: "eth0", held: true)]
  status.database.reachable = true
  status.database.server = "10.77.0.9:5432"
  status.database.lastAnswerMilliseconds = 120
  status.database.beatMilliseconds = 1.2
  var peer = NodeStatus.Peer(node: "b")
  peer.state = "standby"
  peer.databaseReachable = true
  peer.silent = false
  var link = NodeStatus.Link(link: "10.77.0.2:7401")
  link.lastHeardMilliseconds = 40
  link.roundTripMilliseconds = 0.31
  link.received = 900
  link.dropped = ["replayed": 2, "foreign": 0]
  peer.links = [link]
  status.peers = [peer]
  status.ingest.connections = ["native": 12, "syslog-tcp": 1]
  status.ingest.recordsPerSecond = 5012
  status.ingest.acknowledged = 1_234_567
  status.ingest.bufferedBytes = 1_258_291
  status.ingest.bufferLimitBytes = 64 << 20
  var lane = NodeStatus.Lane(lane: 0, state: "idle")
  lane.lastCommitMilliseconds = 4.2
  status.ingest.lanes = [lane]
  status.tokens.readMilliseconds = 200
  status.process.residentKilobytes = 42 << 10
  status.process.uptimeSeconds = 11_600
  status.threads = [.init(name: "control", lastTickMilliseconds: 3)]
  return status
}
private func view() -> ClusterView {
  var view = ClusterView(epoch: 12, excluded: [], nodes: [])
  view.leader = "a"
  view.lockHolder = "a"
  view.nodes = [
    .init(node: "a", incarnation: 7, state: "active", beatAgeMilliseconds: 100, noPromote: false, waits: false),
    .init(node: "b", incarnation: 5, state: "standby", beatAgeMilliseconds: 300, noPromote: false, waits: false),
  ]
  view.lastTakeover = NodeStatus.Takeover(
    epoch: 12, node: "a", at: "2026-11-20T06:00:00.123Z", reason: "listeners open and address held",
    phases: ["bumped": 12.4, "lockWon": 3, "claimed": 96])
  return view
}
private func page(_ situation: Situation) -> String { situation.rendered(Style(colour: false), time: "09:12:00") }

@Suite struct `Status` {
  @Test func `a sound cluster, seen from its active node`() {
    let situation = Situation(cluster: "plant1", host: "mon-1", own: active(), view: view())
    #expect(situation.troubles().isEmpty)
    #expect(
      page(situation) == """
        ● a is active, epoch 12; ready to take over: b
        cluster plant1, seen from mon-1 at 09:12:00

          NODE  STATE    EPOCH  POSTGRESQL  ADDRESS  HEARD
          a     active   12     reachable   held     this host
          b     standby  -      reachable   -        40 ms ago

          a since        3 h 12 min: listeners open and address held
          lease          1.8 s left, the last beat took 1.2 ms
          service IP     10.77.0.100 on eth0, held here
          PostgreSQL     10.77.0.9:5432, answered 120 ms ago
          link to b      10.77.0.2:7401, heard 40 ms ago, round trip 310 µs, dropped: replayed 2
          intake         5 012 records/s, connections: 12 native, 1 syslog-tcp
                         1 234 567 acknowledged, 0 rejected, 0 shed, 1228 KiB of 64 MiB buffered
          lanes          lane 0 idle (commit 4.2 ms)
          last takeover  a, epoch 12, 2026-11-20T06:00:00.123Z
                         lockWon 3 ms, bumped 12 ms, claimed 96 ms
          process        pid 4711, up 3 h 13 min, 42 MiB resident, version 0.1.0

        """)
  }

  @Test func `PostgreSQL away: nobody serves, and the cause comes first`() {
    var own = active()
    own.state = "degraded"
    own.database.reachable = false
    own.database.error = "no answer in time"
    own.peers[0].databaseReachable = false
    let situation = Situation(
      cluster: "plant1", host: "mon-1", own: own, databaseError: "cannot connect: connection refused")
    #expect(
      page(situation).hasPrefix(
        """
        ● NOBODY SERVES  — see below
        cluster plant1, seen from mon-1 at 09:12:00

        ✗ PostgreSQL is not reachable: cannot connect: connection refused
          → nothing can be written or elected, senders keep their records; bring PostgreSQL back first
        ✗ nobody serves: a holds the address, but PostgreSQL is away
          → bring PostgreSQL back; the node goes on by itself
        """), "\(page(situation))")
  }

  @Test func `the node on this host is down: the database still tells who serves`() {
    var there = view()
    there.nodes[0].beatAgeMilliseconds = 90_000
    there.nodes[1].state = "active"
    let situation = Situation(
      cluster: "plant1", host: "mon-1", ownError: "/run/standwatch/plant1-a.sock: No such file or directory",
      view: there)
    #expect(
      page(situation) == """
        ● b is active, epoch 12, with warnings
        cluster plant1, seen from mon-1 at 09:12:00

        ! the node on this host does not answer: /run/standwatch/plant1-a.sock: No such file or directory
          → systemctl status standwatchd; journalctl -u standwatchd
        ! nobody could take over from b: a is silent
          → start the other node, or look at its log

          NODE  STATE   EPOCH  POSTGRESQL  ADDRESS  HEARD
          a     silent  -      -           -        last beat 90 s ago
          b     active  -      -           -        last beat 300 ms ago

          epoch          12, promoted: a
          lock           held by a
          last takeover  a, epoch 12, 2026-11-20T06:00:00.123Z
                         lockWon 3 ms, bumped 12 ms, claimed 96 ms

        """)
  }

  @Test func `a pause, a no-promote and a broken link are warnings with their mend`() {
    var own = active()
    own.peers[0].links.append(NodeStatus.Link(link: "10.78.0.2:7401"))
    own.noPromote = ["b"]
    var there = view()
    let troubles = Situation(cluster: "plant1", own: own, view: there).troubles()
    #expect(troubles.allSatisfy { !$0.bad })
    #expect(
      troubles.map(\.mend) == [
        "hactl no-promote b --off", "look at that link; the others still carry",
      ])
    there.pause = .init(by: "root@mon-1", why: "switch work", at: "2026-11-20T05:00:00Z")
    let paused = Situation(cluster: "plant1", own: own, view: there).troubles()
    #expect(paused.map(\.mend) == ["hactl resume", "look at that link; the others still carry"])
  }

  @Test func `an active node without its address is broken, and so is a thread that hangs`() {
    var own = active()
    own.serviceAddresses[0].held = false
    own.threads[0].lastTickMilliseconds = 2500
    let situation = Situation(cluster: "plant1", own: own, view: view())
    #expect(
      situation.troubles().filter(\.bad).map(\.problem) == [
        "the active node does not hold 10.77.0.100", "thread control of a has shown no life for 2.5 s",
      ])
    #expect(page(situation).hasPrefix("● a is active, epoch 12, but something is broken\n"))
  }

  @Test func `scrape targets that are down are told by the active node alone`() {
    var own = active()
    own.ingest.scrape = ["http://10.0.0.1:9100/metrics", "http://10.0.0.2/metrics"].map {
      NodeStatus.ScrapeTarget(url: $0)
    }
    #expect(Situation(cluster: "plant1", own: own, view: view()).troubles().isEmpty)
    own.ingest.scrape[0].isUp = true
    own.ingest.scrape[1].isUp = false
    #expect(
      Situation(cluster: "plant1", own: own, view: view()).troubles() == [
        Trouble(
          bad: false, problem: "1 of 2 scrape targets down: http://10.0.0.2/metrics",
          mend: "curl -sS 'http://10.0.0.2/metrics' on a; journalctl -u standwatchd -g 'scrape target' has each reason")
      ])
    own.state = "standby"
    #expect(own.scrapesDown == nil)
  }

  @Test func `nobody serves while promotions are paused: resume is the mend`() {
    var there = view()
    there.lockHolder = nil
    there.nodes[0].state = "standby"
    there.pause = .init(by: "ann", why: "", at: "")
    let troubles = Situation(cluster: "plant1", view: there).troubles()
    #expect(
      troubles.first
        == Trouble(bad: true, problem: "nobody serves, and promotions are paused by ann", mend: "hactl resume"))
  }

  @Test func `a standby that waits in the lock writes no beats, and is not taken for silent`() {
    var there = view()
    there.nodes[1] = .init(
      node: "b", incarnation: 5, state: "starting", beatAgeMilliseconds: 90_000, noPromote: false, waits: true)
    let situation = Situation(cluster: "plant1", view: there)
    #expect(situation.troubles().isEmpty)
    #expect(page(situation).contains("b     standby  -      -           -        waits for the lock\n"))
  }

  @Test(arguments: [
    (0.31, "310 µs"), (9.96, "10 ms"), (12.4, "12 ms"), (1830, "1.8 s"), (90_000, "90 s"), (3_700_000, "61 min 40 s"),
    (11_520_000, "3 h 12 min"), (400_000_000, "4 d 15 h"), (.infinity, "?"), (.nan, "?"),
  ])
  func `durations are short and have a unit`(value: Double, text: String) {
    #expect(milliseconds(value) == text)
  }
  @Test func `numbers are grouped by thousands`() {
    #expect([0, 999, 1000, 1_234_567, -5000].map { grouped($0) } == ["0", "999", "1 000", "1 234 567", "-5 000"])
  }
  @Test func `colour appears only where it is wanted`() {
    #expect(!page(Situation(cluster: "x")).contains("\u{1b}"))
    #expect(Situation(cluster: "x").rendered(Style(colour: true), time: "").contains("\u{1b}[31;1m"))
  }
}
