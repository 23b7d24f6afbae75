import Platform
import Testing

@Test func `a user that is not there is no user`() throws {
  #expect(try findUser("no-such-user-here") == nil)
  #expect(try findUser("nobody")?.user == 65534)
}

@Test func `a channel carries whole messages in order and says when it is full or closed`() throws {
  let (one, two) = try SequencedChannel.pair()
  let here = SequencedChannel(owning: Descriptor(owning: one))
  var there: SequencedChannel? = try SequencedChannel(inherited: two)
  #expect(here.receive() == .nothing)
  #expect(there?.send([1, 2, 3]) == .sent)
  #expect(there?.send([4]) == .sent)
  #expect(here.receive() == .message([1, 2, 3]))
  #expect(here.receive() == .message([4]))
  var sent = 0
  while there?.send([9]) == .sent { sent += 1 }
  #expect(sent > 0 && there?.send([9]) == .full)
  there = nil
  for _ in 0..<sent { #expect(here.receive() == .message([9])) }
  #expect(here.receive() == .closed)
  #expect(here.send([1]) == .closed)
}

@Test func `what is not a SEQPACKET socket is no channel`() throws {
  let null = try nullDevice().release()
  #expect(throws: SystemError.self) { _ = try SequencedChannel(inherited: null).descriptor }
}

@Test func `a child that is tied to its parent's thread dies with that thread`() throws {
  // Outlives the thread: its owner would kill the child, and only the kernel is to do that here.
  let kept = Guarded<Child?>(nil)
  try RoleThread(name: "short") {
    kept.withLock { slot in
      do {
        slot = try Child(
          "/bin/sleep", ["60"], environment: [], descriptors: [], parentDeathSignal: SignalNumber.kill)
      } catch {
        Issue.record("\(error)")
      }
    }
  }.join()
  let end = kept.withLock { $0?.wait(until: .after(milliseconds: 30_000)) }
  #expect(end == .exited(128 + 9))
}
