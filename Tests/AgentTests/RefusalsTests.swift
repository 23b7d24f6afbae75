// How often refused records are said.
import Platform
import Testing

@testable import Agent

@Test func `the first refused record is said at once, the next thousands once a minute with their count`() {
  var refusals = Refusals()
  let start = BootInstant(nanoseconds: 10_000_000_000)
  #expect(refusals.due(at: start) == nil)
  refusals.refused(seq: 7, reason: "depth is negative")
  #expect(refusals.due(at: start) == Refusals.Said(count: 1, seq: 7, reason: "depth is negative"))
  var said: [Refusals.Said] = []
  // Ten a second for three minutes.
  for tenth in 1...1800 {
    refusals.refused(seq: Int64(7 + tenth), reason: "ts is too old")
    if let due = refusals.due(at: start.adding(milliseconds: Int64(tenth) * 100)) { said.append(due) }
  }
  #expect(said.map(\.count) == [600, 600, 600])
  #expect(said.map(\.seq) == [607, 1207, 1807])
  #expect(refusals.due(at: start.adding(milliseconds: 600_000)) == nil)
}
@Test func `what was refused within the minute is said at its end, although nothing more is refused`() {
  var refusals = Refusals()
  let start = BootInstant(nanoseconds: 10_000_000_000)
  for seq in [1, 2, 3] {
    refusals.refused(seq: Int64(seq), reason: "no type")
    _ = refusals.due(at: start)
  }
  #expect(refusals.due(at: start.adding(milliseconds: 59_999)) == nil)
  #expect(refusals.due(at: start.adding(milliseconds: 60_000)) == Refusals.Said(count: 2, seq: 3, reason: "no type"))
}
