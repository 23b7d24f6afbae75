import Glibc
import Platform
import Testing

@testable import Agent

// Of the header sys/fsuid.h, which no module has: both take a uid_t and return an int, and change one thread alone.
@_silgen_name("setfsuid") private func setfsuid(_ user: UInt32) -> Int32
@_silgen_name("setfsgid") private func setfsgid(_ group: UInt32) -> Int32

/// As another user reads files: of this thread, so the body must not wait for another one.
private func asNobody<Answer>(_ body: () throws -> Answer) rethrows -> Answer {
  _ = setfsgid(65_534)
  _ = setfsuid(65_534)
  defer {
    _ = setfsuid(geteuid())
    _ = setfsgid(getegid())
  }
  return try body()
}
private func following(_ paths: [String]) -> FollowSettings {
  FollowSettings(files: [FollowSource(paths: paths, app: "a")], journal: nil)
}

@Test func `what this user can't read, and what matches nothing, is told with its reason`() throws {
  let folder = try Folder()
  try folder.append("open.log", "1\n")
  try folder.append("secret.log", "2\n")
  try folder.run("mkdir", ["\(folder.path)/closed"])
  try folder.append("closed/in.log", "3\n")
  try folder.run("chmod", ["0", "\(folder.path)/secret.log", "\(folder.path)/closed"])
  let paths = ["/*.log", "/closed/*.log", "/closed/in.log", "/none*.log", "/later.log", "/closed"]
  let troubles = asNobody { followTroubles(following(paths.map { folder.path + $0 })) }
  let said = troubles.map { "\($0.path.dropFirst(folder.path.count)) \($0.reason) \($0.isRefused)" }
  #expect(
    Set(said) == [
      "/secret.log Permission denied true", "/closed Permission denied true",
      "/closed/in.log Permission denied true", "/none*.log nothing matches it false",
      "/later.log nothing is there yet false",
    ])
  #expect(troubles.allSatisfy { !$0.mend.isEmpty })
  #expect(followTroubles(following(["\(folder.path)/open.log"])) == [])
  try folder.run("chmod", ["700", "\(folder.path)/closed"])
}

@Test func `a follower names what it can't read until it can, and reads it then`() throws {
  let folder = try Folder()
  try folder.append("secret.log", "first\n")
  try folder.run("chmod", ["0", "\(folder.path)/secret.log"])
  var source = FollowSource(paths: ["\(folder.path)/*.log"], app: "a")
  source.readsFromBeginning = true
  let follower = FileFollower(source, host: "h", positions: [:])
  var buffer = ReadBuffer(capacity: 128 << 10)
  var batch = FollowBatch()
  var clock = BootInstant.now()
  asNobody { follower.follow(at: SampleTime(boot: clock, time: nine), buffer: &buffer, into: &batch) }
  #expect(follower.troubles.map(\.path) == ["\(folder.path)/secret.log"])
  #expect(follower.troubles.first?.isRefused == true)
  #expect(batch.records.isEmpty)
  try folder.run("chmod", ["644", "\(folder.path)/secret.log"])
  clock = clock.adding(milliseconds: FileFollower.scanMilliseconds + 1)
  asNobody { follower.follow(at: SampleTime(boot: clock, time: nine), buffer: &buffer, into: &batch) }
  #expect(follower.troubles == [])
  #expect(batch.records.count == 1)
}

@Test func `hundreds of files that can't be read are told in a few lines`() throws {
  let folder = try Folder()
  for number in 100..<150 { try folder.append("\(number).log", "1\n") }
  try folder.run("chmod", ["-R", "a-r", folder.path])
  try folder.run("chmod", ["755", folder.path])
  let troubles = asNobody { followTroubles(following(["\(folder.path)/*.log"])) }
  #expect(troubles.count == FollowTrouble.most)
  #expect(troubles.last?.reason.contains("and 40 more") == true)
}

@Test func `a journal without its group is told, and so is one that is not there`() throws {
  let folder = try Folder()
  var journal = JournalSettings()
  journal.program = "/bin/true"
  journal.folder = folder.path
  #expect(journalTroubles(journal).map(\.isRefused) == [false])
  try folder.run("mkdir", ["\(folder.path)/machine"])
  try folder.append("machine/system.journal", "x")
  #expect(journalTroubles(journal) == [])
  try folder.run("chmod", ["0", "\(folder.path)/machine/system.journal"])
  let troubles = asNobody { journalTroubles(journal) }
  #expect(troubles.map(\.reason) == ["Permission denied"])
  #expect(troubles.first?.mend.contains("systemd-journal") == true)
}

@Test func `a status is not well while something can't be read, and names what is not there yet`() throws {
  var report = AgentReport()
  report.connected = true
  report.spool_limit = 1 << 20
  #expect(report.text.hasPrefix("all is well\n"))
  report.not_followed = [.matchesNothing("/var/log/x*.log")]
  #expect(report.problems.isEmpty)
  #expect(report.text.hasPrefix("all is well, but some files are not there\n? /var/log/x*.log: nothing matches it\n"))
  report.not_followed.append(FollowTrouble("/var/log/y", SystemError(call: "open", code: EACCES)))
  #expect(report.problems.map(\.problem) == ["/var/log/y is not followed: Permission denied"])
  let again = try #require(AgentReport(json: Array(report.json.utf8)))
  #expect(again == report)
}
