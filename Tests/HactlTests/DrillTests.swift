// The parts of a drill that decide: the canary's book, the verdict, and the rules of the packet filter.
import Platform
import Testing

@testable import hactl

private func at(_ milliseconds: Int64) -> BootInstant { BootInstant(nanoseconds: milliseconds * 1_000_000) }
private func line(_ seq: Int64) -> [UInt8] { Array("\(seq)\n".utf8) }

@Suite struct `Canary ledger` {
  @Test func `what is not acknowledged goes out again at the next welcome`() {
    var ledger = CanaryLedger()
    for _ in 1...3 { _ = ledger.make(at: at(0), line) }
    #expect(ledger.welcomed(by: "a", epoch: 12, committed: 0) == Array("1\n2\n3\n".utf8))
    ledger.acknowledged(upTo: 1, at: at(5))
    #expect(ledger.welcomed(by: "b", epoch: 13, committed: 2) == Array("3\n".utf8))
    #expect(ledger.acknowledged == 2 && ledger.pendingCount == 1)
  }
  @Test func `the gap runs from the last acknowledgement of the old epoch to the first of the new`() {
    var ledger = CanaryLedger()
    for _ in 1...4 { _ = ledger.make(at: at(0), line) }
    _ = ledger.welcomed(by: "a", epoch: 12, committed: 0)
    ledger.acknowledged(upTo: 1, at: at(10))
    ledger.acknowledged(upTo: 2, at: at(20))
    #expect(ledger.handoverGap(after: 12) == nil)
    _ = ledger.welcomed(by: "b", epoch: 13, committed: 3)
    #expect(ledger.handoverGap(after: 12) == nil, "a welcome is no acknowledgement")
    ledger.acknowledged(upTo: 4, at: at(160))
    #expect(ledger.handoverGap(after: 12)?.milliseconds == 140)
    #expect(ledger.longestGap?.milliseconds == 140)
  }
  @Test func `waiting counts only while something waits`() {
    var ledger = CanaryLedger()
    _ = ledger.welcomed(by: "a", epoch: 1, committed: 0)
    _ = ledger.make(at: at(0), line)
    ledger.acknowledged(upTo: 1, at: at(10))
    _ = ledger.make(at: at(5000), line)
    ledger.acknowledged(upTo: 2, at: at(5012))
    #expect(ledger.longestGap?.milliseconds == 12)
  }
  @Test func `an acknowledgement of what was never made is not believed`() {
    var ledger = CanaryLedger()
    _ = ledger.make(at: at(0), line)
    ledger.acknowledged(upTo: 99, at: at(1))
    #expect(ledger.acknowledged == 1)
  }
  @Test func `lost, doubled and foreign records are told apart; a rejected one is not lost`() {
    let verdict = CanaryVerdict(
      acknowledged: 5, made: 6, stored: [(1, 1), (2, 2), (5, 1), (6, 1), (9, 1)], rejected: [3])
    #expect(verdict.lost == [4] && verdict.doubled == [2] && verdict.foreign == [9])
    #expect(CanaryVerdict(acknowledged: 0, made: 0, stored: [], rejected: []).lost.isEmpty)
  }
}

@Suite struct `Drill verdicts` {
  private func report() -> DrillReport {
    var report = DrillReport(
      kind: "kill", startedAt: "2026-11-20T09:00:00.000Z", operator: "root@mon-1", nodeBefore: "a", epochBefore: 12,
      gapLimitMilliseconds: 1000)
    report.nodeAfter = "b"
    report.epochAfter = 13
    report.gapMilliseconds = 141
    report.acknowledged = 1540
    report.lost = 0
    report.doubled = 0
    return report
  }
  @Test func `a takeover in time without loss passes`() {
    var report = report()
    report.firstAckMilliseconds = 133
    report.phases = ["lockWon": 3, "bumped": 12]
    report.judge(movesTheService: true, aborted: nil)
    #expect(report.verdict == .passed && report.exitCode == 0)
    #expect(
      report.rendered(Style(colour: false)) == """
        ✓ drill kill passed: a → b, epoch 12 → 13
          first record  133 ms  acknowledged by the new active, from the fault
          gap           141 ms  last acknowledgement before to first after (limit 1 s)
          records       1 540   acknowledged, 0 lost, 0 stored twice
          phases: lockWon 3 ms, bumped 12 ms

        """)
  }
  @Test func `one lost record fails it, whatever else`() {
    var report = report()
    report.lost = 1
    report.judge(movesTheService: true, aborted: nil)
    #expect(report.verdict == .failed && report.exitCode == 2)
  }
  @Test func `a slow takeover, no takeover, and the same node again fail`() {
    for change: (inout DrillReport) -> Void in [
      { $0.gapMilliseconds = 1001 }, { $0.gapMilliseconds = nil }, { $0.nodeAfter = "a" }, { $0.nodeAfter = nil },
      { $0.lost = nil },
    ] {
      var changed = report()
      change(&changed)
      changed.judge(movesTheService: true, aborted: nil)
      #expect(changed.verdict == .failed && changed.exitCode == 1 && !changed.remarks.isEmpty)
    }
  }
  @Test func `cutting the beats must not move the service`() {
    var report = report()
    report.judge(movesTheService: false, aborted: nil)
    #expect(report.verdict == .failed)
    #expect(report.remarks == ["the service moved to b, though it should have stayed"])
  }
  @Test func `an interrupted drill is aborted, not passed`() {
    var report = report()
    report.judge(movesTheService: true, aborted: "interrupted")
    #expect(report.verdict == .aborted && report.exitCode == 1 && report.remarks == ["interrupted"])
  }
}

@Suite struct `Faults` {
  @Test func `the packet filter's rules name both directions and both families`() throws {
    let four = try #require(SocketAddress(text: "10.77.0.9:5432"))
    let six = try #require(SocketAddress(text: "[fd00::2]:7401"))
    #expect(
      filterRules([(four, false), (six, true)], ownPorts: [7401]) == """
        table inet standwatch_drill {
          chain incoming {
            type filter hook input priority -150; policy accept;
            ip saddr 10.77.0.9 tcp sport 5432 drop
            ip6 saddr fd00::2 udp sport 7401 drop
            ip6 saddr fd00::2 udp dport 7401 drop
          }
          chain outgoing {
            type filter hook output priority -150; policy accept;
            ip daddr 10.77.0.9 tcp dport 5432 drop
            ip6 daddr fd00::2 udp dport 7401 drop
          }
        }

        """)
  }
  @Test func `a process is told from a later one with its number`() throws {
    let own = try #require(ProcessIdentity(pid: processIdentifier()))
    #expect(own.isAlive && ProcessIdentity(text: own.text) == own)
    #expect(ProcessIdentity(text: "\(own.pid):1")?.isAlive == false)
    #expect(ProcessIdentity(text: "1:5") == nil && ProcessIdentity(text: "junk") == nil)
  }
  @Test func `a stopped process goes on after the restoration`() throws {
    var child = try Child("/bin/sleep", ["120"], environment: [], descriptors: [0, 1, 2].map { Int32($0) })
    let identity = try #require(ProcessIdentity(pid: child.pid))
    try sendSignal(SignalNumber.stop, to: child.pid)
    func state() throws -> Character? {
      let text = String(decoding: try readFile("/proc/\(child.pid)/stat"), as: UTF8.self)
      return text.split(separator: ")").last?.dropFirst().first
    }
    /// The kernel does it in its own time.
    func waits(until isAsWanted: (Character?) -> Bool) throws -> Bool {
      for _ in 0..<3000 {
        if isAsWanted(try state()) { return true }
        sleep(until: .after(milliseconds: 10))
      }
      return false
    }
    #expect(try waits { $0 == "T" })
    #expect(Restoration(process: identity).restore().isEmpty)
    #expect(try waits { $0 != "T" })
    child.killGroup()
    _ = child.reap()
  }
}
