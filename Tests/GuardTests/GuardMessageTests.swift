@testable import Node
import Platform
import Testing

private let hardware = HardwareAddress(bytes: [2, 0, 0, 1, 2, 3]) ?? .none

@Test func `every request survives its encoding`() throws {
  let requests: [GuardRequest] = [
    .alive, .ready, .state(.active, epoch: -7), .probe(operation: .max),
    .claim(operation: 1, lifetimeMilliseconds: 2000),
    .renew(operation: 2, lifetimeMilliseconds: .max), .release(operation: 3), .status(operation: 4),
  ]
  for request in requests {
    let bytes = request.encoded(sent: BootInstant(nanoseconds: 77))
    #expect(bytes.count == guardMessageSize)
    let back = try #require(GuardRequest.decoded(bytes))
    #expect(back.request == request)
    #expect(back.sent == BootInstant(nanoseconds: 77))
  }
}

@Test func `every reply survives its encoding`() {
  var replies: [GuardReply] = [
    .probeSilent(operation: 1), .probeAnswered(operation: 2, index: 15, hardware: hardware), .claimed(operation: 3),
    .renewed(operation: 4), .released(operation: 5), .addressLost(index: 1),
    .status(operation: 9, present: 0xffff, shortestMilliseconds: 1999), .duplicateSeen(index: 2, hardware: hardware),
    .carrier(index: 3, up: true), .carrier(index: 4, up: false),
  ]
  for reason in GuardFailure.Reason.allCases {
    let failure = GuardFailure(reason, detail: -1)
    replies += [
      .probeFailed(operation: 1, failure: failure), .claimFailed(operation: 2, failure: failure),
      .renewFailed(operation: 3, failure: failure), .releaseFailed(operation: 4, failure: failure),
    ]
  }
  for reply in replies { #expect(GuardReply.decoded(reply.encoded()) == reply) }
}

@Test func `a time that no clock shows is stale, and harms nobody`() {
  let now = BootInstant.now()
  for sent in [Int64.min, -1, 0, .max] { #expect(GuardLoop.isStale(BootInstant(nanoseconds: sent), now)) }
  #expect(!GuardLoop.isStale(now, now))
}

@Test func `bytes that are no message are refused, whatever they are`() {
  let good = GuardRequest.claim(operation: 1, lifetimeMilliseconds: 2000).encoded(sent: .now())
  for count in 0..<good.count { #expect(GuardRequest.decoded(Array(good[..<count])) == nil) }
  #expect(GuardRequest.decoded(good + [0]) == nil)
  var generator = SystemRandomNumberGenerator()
  for _ in 0..<20_000 {
    var bytes = good
    for _ in 0..<3 {
      bytes[Int.random(in: 0..<good.count, using: &generator)] = .random(in: 0...255, using: &generator)
    }
    // Nothing traps; a changed kind is another message or none.
    _ = GuardRequest.decoded(bytes)
    _ = GuardReply.decoded(bytes)
  }
}

@Test func `announcements come in a burst, at five seconds, then every thirty`() {
  let start = BootInstant(nanoseconds: 0)
  var schedule = AnnouncementSchedule(start: start)
  var times: [Int64] = []
  for millisecond in stride(from: Int64(0), through: 70_000, by: 10)
  where schedule.isDue(now: start.adding(milliseconds: millisecond)) {
    times.append(millisecond)
  }
  #expect(times == [0, 50, 150, 300, 600, 1000, 5000, 35_000, 65_000])
}

@Test func `announcements that were slept through are not made up for`() {
  let start = BootInstant(nanoseconds: 0)
  var schedule = AnnouncementSchedule(start: start)
  let first = schedule.isDue(now: start.adding(milliseconds: 100_000))
  let second = schedule.isDue(now: start.adding(milliseconds: 100_001))
  #expect(first && !second)
}

@Test func `restarts back off to five seconds and begin anew after a stable run`() {
  var backoff = RestartBackoff()
  let start = BootInstant(nanoseconds: 0)
  let delays = (0..<8).map { _ in backoff.next(started: start, now: start).nanoseconds / 1_000_000 }
  #expect(delays == [100, 200, 400, 800, 1600, 3200, 5000, 5000])
  let later = start.adding(milliseconds: 30_000)
  #expect(backoff.next(started: start, now: later) == later.adding(milliseconds: 100))
}

@Test func `a worker is silent 600 ms after its last word, and a guard that overslept waits again`() {
  let start = BootInstant(nanoseconds: 0)
  var judge = SilenceJudge(started: start)
  #expect(!judge.isSilent(now: start.adding(milliseconds: 9_999)))
  judge.heard(now: start)
  #expect(!judge.isSilent(now: start.adding(milliseconds: 599)))
  #expect(judge.isSilent(now: start.adding(milliseconds: 600)))
  judge.overslept(now: start.adding(milliseconds: 5_000))
  #expect(!judge.isSilent(now: start.adding(milliseconds: 5_599)))
}
