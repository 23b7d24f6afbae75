// The journal: entries in the form of journalctl, hostile ones, and a real journald with a reader that is killed.
@testable import Agent
import Glibc
import Platform
import Telemetry
import Testing

private func entry(_ text: String) -> JournalEntry? { JournalEntry(Array(text.utf8)[...]) }
private let head = #""__CURSOR":"s=1;i=2","__REALTIME_TIMESTAMP":"1795165200000001""#

@Test func `an entry of the journal gives severity, message, program, unit and process`() throws {
  let found = try #require(
    entry(
      #"{\#(head),"PRIORITY":"3","MESSAGE":"a \"b\"","_SYSTEMD_UNIT":"nginx.service","_PID":"77","SYSLOG_IDENTIFIER":"nginx","_COMM":"ngx","X":{"a":[null]}}"#
    ))
  #expect(found.cursor == "s=1;i=2" && found.realtime == 1_795_165_200_000_001 && found.severity == 3)
  #expect(found.message == #"a "b""# && found.app == "nginx")
  #expect(text(found.attributes) == #"{"unit":"nginx.service","pid":"77","command":"ngx"}"#)
  #expect(entry("{\(head)}")?.app == "journal")
  #expect(entry(#"{\#(head),"MESSAGE":[104,105,255,0]}"#)?.message == "hi\u{fffd}\u{fffd}")
  #expect(entry(#"{\#(head),"MESSAGE":["one \"x\"","two"]}"#)?.message == #"one "x""#)
  #expect(entry(#"{\#(head),"MESSAGE":[[104,105],"two"]}"#)?.message == "hi")
  #expect(entry(#"{\#(head),"MESSAGE":null,"PRIORITY":"9"}"#)?.message == "")
  #expect(entry(#"{\#(head),"_COMM":"a\u0001b"}"#)?.app == "ab")
  #expect(entry(#"{\#(head),"_COMM":"\#(String(repeating: "é", count: 300))"}"#)?.app.utf8.count == 200)
}

@Test func `what is no entry of the journal is none, and never traps`() {
  let odd = [
    "", " ", "{}", "[]", "{", "}", "null", "{\(head)", "{\(head)} x", #"{"__CURSOR":"x"}"#,
    #"{"__CURSOR":"","__REALTIME_TIMESTAMP":"1"}"#,
    #"{"__CURSOR":1,"__REALTIME_TIMESTAMP":"1"}"#, #"{"__CURSOR":"x","__REALTIME_TIMESTAMP":"-1"}"#,
    #"{"__CURSOR":"x","__REALTIME_TIMESTAMP":"99999999999999999999"}"#, #"{"__CURSOR":"x","__REALTIME_TIMESTAMP":1}"#,
    #"{\#(head),"MESSAGE":"\ud800"}"#, #"{\#(head),"MESSAGE":"\u0000"}"#, #"{\#(head),"MESSAGE":[1,}"#,
    "{\"__CURSOR\":\"\(String(repeating: "x", count: 1000))\",\"__REALTIME_TIMESTAMP\":\"1\"}",
    String(repeating: "[", count: 100_000), "{\"a\":" + String(repeating: "[", count: 100_000), "\u{0}",
    "-- No entries --",
  ]
  for text in odd { #expect(entry(text) == nil, "\(text.prefix(60))") }
  for value in [
    "[]", "[[]]", "[[[1]]]", "[256]", "[-1]", "[1.5]", "[\"\"]", "[{}]", "[null]", "{}", "true", "[\"\\\\\"]",
  ] {
    #expect(entry("{\(head),\"MESSAGE\":\(value)}") != nil, "\(value)")
  }
  var random = SeededRandom(state: 11)
  let seed = Array(#"{\#(head),"PRIORITY":"3","MESSAGE":[["x"],[1,2]],"_COMM":"é\n"}"#.utf8)
  for _ in 0..<60_000 {
    var bytes = seed
    for _ in 0..<3 {
      bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
    }
    if let found = JournalEntry(bytes[...]) { #expect(found.realtime >= 0 && (0...7).contains(found.severity)) }
  }
}

/// A journald of our own in a mount namespace, whose /run is a folder that we see as well.
private final class Journald {
  let folder: String
  private var child: Child
  /// Files of its journal.
  var journal: String { folder + "/log/journal" }

  init() throws {
    let path = "/tmp/sw-journal-\(randomBytes(8).map { String($0, radix: 16) }.joined())"
    _ = try runCommand(
      "/bin/mkdir", ["-p", path + "/log/journal", path + "/systemd/journal"], deadline: .after(milliseconds: 60_000))
    let null = try nullDevice()
    let started = try Child(
      "/usr/bin/unshare",
      ["-m", "/bin/sh", "-c", "mount --bind \(path) /run && exec /usr/lib/systemd/systemd-journald"],
      environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], descriptors: [null.raw, null.raw, null.raw])
    child = started
    folder = path
  }
  func waitUntilReady() throws {
    let deadline = BootInstant.after(milliseconds: 60_000)
    while fileIdentity(folder + "/systemd/journal/socket") == nil, BootInstant.now() < deadline {
      sleep(until: .after(milliseconds: 20))
    }
    try #require(fileIdentity(folder + "/systemd/journal/socket") != nil)
  }
  func waitUntilKept(_ message: String) throws {
    let deadline = BootInstant.after(milliseconds: 60_000)
    let program = try #require(findProgram("journalctl"))
    let words = ["--directory=" + journal, "--quiet", "--no-pager", "--output=cat"]
    while BootInstant.now() < deadline {
      if try runCommand(program, words, deadline: deadline).output.contains(message) { return }
      sleep(until: .after(milliseconds: 20))
    }
    Issue.record("journald did not keep \(message)")
  }
  deinit {
    child.killGroup()
    _ = child.reap()
    _ = try? runCommand("/bin/rm", ["-r", folder], deadline: .after(milliseconds: 60_000))  // a folder in /tmp
  }
  /// In the journal's own protocol, as sd_journal_send does.
  func send(_ message: String, identifier: String = "swtest", priority: Int = 6) throws {
    try deliver(
      "MESSAGE=\(message)\nPRIORITY=\(priority)\nSYSLOG_IDENTIFIER=\(identifier)\n",
      to: folder + "/systemd/journal/socket")
  }
}

/// One datagram to a unix socket.
private func deliver(_ text: String, to path: String) throws {
  let raw = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
  try #require(raw >= 0)
  defer { close(raw) }
  var address = sockaddr_un()
  address.sun_family = sa_family_t(AF_UNIX)
  let name = Array(path.utf8)
  try #require(name.count < 108)
  unsafe withUnsafeMutableBytes(of: &address.sun_path) { field in
    for (index, byte) in name.enumerated() { unsafe field[index] = byte }
  }
  let bytes = Array(text.utf8)
  // Sound: the address and the bytes are alive during the call.
  let sent = unsafe withUnsafePointer(to: &address) { pointer in
    unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
      unsafe sendto(raw, bytes, bytes.count, 0, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
    }
  }
  try #require(sent == bytes.count)
}

@Test func `entries of a real journal arrive once, though the reader is killed and the agent starts again`() throws {
  let journald = try Journald()
  try journald.waitUntilReady()
  try journald.send("before the first start")
  // What is a mark is older than two seconds; it is as old as journald's own look at it.
  try journald.waitUntilKept("before the first start")
  sleep(until: .after(milliseconds: 2200))
  var settings = JournalSettings()
  settings.folder = journald.journal
  var records: [Record] = []
  var positions: [String: [UInt8]] = [:]
  var follower = JournalFollower(settings, host: "h", positions: positions)
  func messages() -> [String] {
    records.compactMap {
      if case .log(let log) = $0.body, $0.app == "swtest" { log.message } else { nil }
    }
  }
  /// Turns until the last message is there, or a minute has passed.
  func follow(until last: String) {
    let deadline = BootInstant.after(milliseconds: 60_000)
    while messages().last != last, BootInstant.now() < deadline {
      var batch = FollowBatch()
      follower.follow(at: .now(), into: &batch)
      records += batch.records
      for (key, value) in batch.positions { positions[key] = value }
      sleep(until: .after(milliseconds: 20))
    }
    #expect(messages().last == last)
  }
  // The mark is taken before anything new comes.
  let deadline = BootInstant.after(milliseconds: 60_000)
  while positions.isEmpty, BootInstant.now() < deadline {
    var batch = FollowBatch()
    follower.follow(at: .now(), into: &batch)
    for (key, value) in batch.positions { positions[key] = value }
    sleep(until: .after(milliseconds: 20))
  }
  for number in 0..<50 { try journald.send("m\(number)", priority: number % 8) }
  follow(until: "m49")
  #expect(messages() == (0..<50).map { "m\($0)" })
  let severities = records.compactMap { record -> Int? in
    if case .log(let log) = record.body, record.app == "swtest" { log.severity } else { nil }
  }
  #expect(severities == (0..<50).map { $0 % 8 })

  let reader = try #require(follower.pid)
  kill(reader, SIGKILL)
  try journald.send("while the reader was dead")
  follow(until: "while the reader was dead")
  #expect(follower.starts == 2)

  try journald.send("while the agent was away")
  follower = JournalFollower(settings, host: "h", positions: positions)
  follow(until: "while the agent was away")
  #expect(messages().count == 52 && Set(messages()).count == 52)
  let time = records.last?.time ?? 0
  #expect(abs(time - SampleTime.now().time) < 60_000_000)
}

@Test func `a journalctl that ends at once is started again with pauses, and a missing one is no error`() throws {
  var settings = JournalSettings()
  settings.program = "/bin/false"
  let follower = JournalFollower(settings, host: "h", positions: ["journal": Array("5\nx".utf8)])
  var clock = BootInstant.now()
  for _ in 0..<200 {
    // The clock of the test stands until a child has ended, however long the machine takes to run it.
    let deadline = BootInstant.after(milliseconds: 60_000)
    repeat {
      var batch = FollowBatch()
      follower.follow(at: SampleTime(boot: clock, time: nine), into: &batch)
      #expect(batch.isEmpty)
      if follower.pid != nil { sleep(until: .after(milliseconds: 2)) }
    } while follower.pid != nil && BootInstant.now() < deadline
    clock = clock.adding(milliseconds: 100)
  }
  // 20 seconds: after 1, 2, 4 and 8 of them.
  #expect((3...5).contains(follower.starts), "\(follower.starts)")
  for odd in ["", "x", "5", "-5\nx", "5\n"] {
    _ = JournalFollower(settings, host: "h", positions: ["journal": Array(odd.utf8)])
  }
}
