import Platform
import Testing

@Test func `a full mailbox says so and keeps what it has`() throws {
  let mailbox = try Mailbox<Int>(capacity: 1)
  #expect(mailbox.post(1) == .posted)
  #expect(mailbox.post(2) == .full)
  #expect(mailbox.takeAll() == [1])
  mailbox.close()
  #expect(mailbox.post(3) == .closed)
}

@Test func `messages cross threads in order`() throws {
  let mailbox = try Mailbox<Int>(capacity: 100_000)
  let poster = try RoleThread(name: "poster") { for number in 0..<10_000 { mailbox.post(number) } }
  var got: [Int] = []
  let deadline = BootInstant.after(milliseconds: 60_000)
  while got.count < 10_000, BootInstant.now() < deadline {
    _ = wait(mailbox.descriptor, for: .read, until: deadline)
    got += mailbox.takeAll()
  }
  poster.join()
  #expect(got == Array(0..<10_000))
}
