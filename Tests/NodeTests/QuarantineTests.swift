// What is refused and what is handled with care, by what is known of crashes.
import TLS
import Testing

@testable import Node
@testable import Platform
@testable import Telemetry

struct QuarantineTests {
  private let sender = Sender(protocolName: "native", source: "s")

  @Test func `a suspect waits on a young node and is isolated afterwards`() {
    var quarantine = Quarantine()
    #expect(quarantine.verdict(sender, address: "10.0.0.5", isYoung: true) == .free)
    quarantine.suspect(sender)
    #expect(quarantine.verdict(sender, address: "10.0.0.5", isYoung: true) == .wait)
    #expect(quarantine.verdict(sender, address: "10.0.0.5", isYoung: false) == .isolated)
    #expect(
      quarantine.verdict(Sender(protocolName: "syslog", source: "s"), address: "10.0.0.5", isYoung: true) == .free)
  }

  @Test func `a quarantined source is refused, others of its address are not`() {
    var quarantine = Quarantine()
    quarantine.add(id: 7, scope: "source", sender, address: "10.0.0.5", digest: [])
    #expect(quarantine.verdict(sender, address: "10.0.0.9", isYoung: false) == .refused(id: 7))
    let other = Sender(protocolName: "native", source: "t")
    #expect(quarantine.verdict(other, address: "10.0.0.5", isYoung: false) == .free)
    quarantine.add(id: 8, scope: "address", sender, address: "10.0.0.5", digest: [])
    #expect(quarantine.verdict(other, address: "10.0.0.5", isYoung: false) == .refused(id: 8))
  }

  @Test func `of quarantined bytes the source goes on, isolated even on a young node`() {
    var quarantine = Quarantine()
    quarantine.add(id: 9, scope: "bytes", sender, address: "", digest: sha256([1, 2]))
    quarantine.suspect(sender)
    #expect(quarantine.verdict(sender, address: "", isYoung: true) == .isolated)
    #expect(quarantine.item(sender, [1, 2]) == 9)
    #expect(quarantine.item(sender, [1, 3]) == nil)
  }

  @Test func `evidence that is not of our form is no crash of a sender`() {
    func record(_ name: String) -> CrashRecord {
      CrashRecord(place: 0, signal: 4, name: Array(name.utf8), bytes: [], isExact: false, wallMicroseconds: 0)
    }
    #expect(Crash(record("garbage")) == nil)
    let crash = Crash(record(String(decoding: sender.inHand(address: "10.0.0.5"), as: UTF8.self)))
    #expect(crash?.sender == sender)
    #expect(crash?.address == "10.0.0.5")
  }

  @Test func `descriptors are left for what is no client, however few there are`() {
    let share = connectionShare(300, 128)
    #expect(share.ingest(8192) + share.http(2048) <= 300 - 128)
    #expect(connectionShare(1_000_000, 128).ingest(8192) == 8192)
    #expect(connectionShare(10, 128).http(2048) > 0)
  }
}
