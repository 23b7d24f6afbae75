// Log files through all that happens to them: each line once, whatever rotates, is cut, or starts again.
@testable import Agent
import Platform
import Telemetry
import Testing

private func source(_ folder: borrowing Folder, _ names: [String] = ["app.log"], beginning: Bool = true) -> FollowSource
{
  var source = FollowSource(paths: names.map { "\(folder.path)/\($0)" }, app: "shop")
  (source.readsFromBeginning, source.zone, source.flushMilliseconds) = (beginning, .fixed(0), 1000)
  return source
}

@Test func `lines arrive as they are written, and a half line when it is whole`() throws {
  let folder = try Folder()
  try folder.append("app.log", "one\ntw")
  var follow = Following(source(folder))
  follow.turn()
  #expect(follow.messages == ["one"])
  try folder.append("app.log", "o\r\n\nthree\n")
  follow.turn()
  #expect(follow.messages == ["one", "two", "three"])
  #expect(follow.records.allSatisfy { $0.app == "shop" && $0.host == "h" && $0.time == nine })
  #expect(text(follow.logs[0].attributes) == #"{"file":"\#(folder.path)/app.log"}"#)
  follow.settle()
  #expect(follow.records.count == 3)
}

@Test func `an agent that starts again goes on where the spool stands, and a batch it did not take is read again`()
  throws
{
  let folder = try Folder()
  var follow = Following(source(folder))
  try folder.append("app.log", "1\n2\n3\n")
  follow.turn()
  follow.restart()
  try folder.append("app.log", "4\n5\n")
  follow.turn(refused: true)
  follow.turn()
  follow.restart()
  follow.settle()
  #expect(follow.messages == ["1", "2", "3", "4", "5"])
}

@Test func `at the first start what is there is passed over unless it is asked for, and later files are read whole`()
  throws
{
  let folder = try Folder()
  try folder.append("a.log", "old\n")
  var follow = Following(source(folder, ["*.log"], beginning: false))
  follow.turn()
  try folder.append("a.log", "new\n")
  try folder.append("b.log", "first of b\n")
  try folder.append("c.log.gz", "packed\n")
  try folder.append(".hidden.log", "hidden\n")
  follow.settle()
  #expect(follow.messages == ["new", "first of b"])
  follow.restart()
  try folder.append("d.log", "while away\n")
  follow.settle()
  #expect(follow.messages == ["new", "first of b", "while away"])
}

@Test func `a file that is renamed is read to its end, beside the new one of its name`() throws {
  let folder = try Folder()
  var follow = Following(source(folder))
  try folder.append("app.log", "1\n2\n")
  follow.turn()
  try folder.append("app.log", "3\n")
  try folder.move("app.log", "app.log.1")
  try folder.append("app.log", "5\n")
  // The writer has not noticed yet.
  try folder.append("app.log.1", "4\nhalf")
  follow.settle()
  #expect(follow.messages.sorted() == ["1", "2", "3", "4", "5"])
  for _ in 0..<5 { follow.turn(milliseconds: 3000) }
  #expect(follow.messages.sorted() == ["1", "2", "3", "4", "5", "half"])
  #expect(follow.positions.keys.filter { $0.hasPrefix("file:") }.count == 1, "the old file's position is forgotten")
}

@Test func `a file that was renamed while nobody followed is read to its end at the next start`() throws {
  let folder = try Folder()
  var follow = Following(source(folder))
  try folder.append("app.log", "1\n2\n")
  follow.turn()
  try folder.append("app.log", "3\n")
  try folder.move("app.log", "app.log.1")
  try folder.append("app.log", "4\n")
  try folder.append("app.log.2", "not ours\n")
  follow.restart()
  follow.settle()
  #expect(follow.messages.sorted() == ["1", "2", "3", "4"])
  follow.restart()
  follow.settle()
  #expect(follow.messages.count == 4)
}

@Test func `a file that is truncated, also to more than there was, is read anew from its beginning`() throws {
  let folder = try Folder()
  var follow = Following(source(folder))
  try folder.append("app.log", "old one\nold two\n")
  follow.turn()
  try folder.overwrite("app.log", "n\n")
  follow.turn()
  try folder.overwrite("app.log", "another text that is longer than everything before\n")
  follow.turn()
  // And while nobody follows.
  try folder.overwrite("app.log", "a third text that is much, much longer than everything that stood there before\n")
  follow.restart()
  follow.settle()
  #expect(
    follow.messages == [
      "old one", "old two", "n", "another text that is longer than everything before",
      "a third text that is much, much longer than everything that stood there before",
    ])
}

@Test func `a deleted file is read to its end, and one that takes its name is another`() throws {
  let folder = try Folder()
  var follow = Following(source(folder))
  try folder.append("app.log", "1\n")
  follow.turn()
  try folder.append("app.log", "2\n")
  try folder.delete("app.log")
  follow.turn()
  try folder.append("app.log", "3\n")
  follow.settle()
  for _ in 0..<5 { follow.turn(milliseconds: 3000) }
  try folder.append("app.log", "4\n")
  follow.settle()
  #expect(follow.messages == ["1", "2", "3", "4"])
}

@Test func `a writer that kept its place after a truncation leaves a hole that is passed over`() throws {
  let folder = try Folder()
  var follow = Following(source(folder))
  try folder.append("app.log", "1\n2\n")
  follow.turn()
  // 40 GB of nothing, as `copytruncate` leaves it behind a writer that does not append.
  try folder.run("truncate", ["-s", "0", "\(folder.path)/app.log"])
  follow.turn()
  try folder.run("truncate", ["-s", "40G", "\(folder.path)/app.log"])
  try folder.append("app.log", "3\n")
  let began = BootInstant.now()
  follow.settle()
  #expect(follow.messages == ["1", "2", "3"])
  #expect(BootInstant.now().milliseconds(since: began) < 5000)
}

@Test func `long lines are cut and marked, also over a restart, and the next line is whole`() throws {
  let folder = try Folder()
  var mine = source(folder)
  mine.maxLine = 1000
  var follow = Following(mine)
  let long = String(repeating: "x", count: 300_000)
  try folder.append("app.log", "short\n" + long)
  follow.settle()
  follow.restart()
  try folder.append("app.log", long + "\nnext\n")
  follow.settle()
  #expect(follow.messages.map(\.utf8.count) == [5, 1000, 4])
  #expect(text(follow.logs[1].attributes).contains(#""cut":true"#) && !text(follow.logs[2].attributes).contains("cut"))
}

@Test func `bytes that are no text are replaced, and files that are no text are passed over`() throws {
  let folder = try Folder()
  var follow = Following(source(folder, ["*.log"]))
  try folder.append("app.log", [0x61, 0xff, 0xc3, 0x28, 0, 0x62, 0x0a, 0xed, 0xa0, 0x80, 0x0a])
  try folder.append("bin.log", (0..<100_000).map { UInt8($0 * 7 % 256) })
  follow.settle()
  #expect(follow.messages == ["a\u{fffd}\u{fffd}(\u{fffd}b", "\u{fffd}\u{fffd}\u{fffd}"])
  try folder.append("bin.log", "text behind\n")
  follow.restart()
  follow.settle()
  #expect(follow.messages.count == 2)
  try folder.overwrite("bin.log", "now it is text\n")
  follow.settle()
  #expect(follow.messages.last == "now it is text")
}

@Test func `lines of one record are joined, by a beginning or by a continuation, within bounds and time`() throws {
  let folder = try Folder()
  var mine = source(folder)
  mine.start = "^[0-9]{4}-"
  var follow = Following(mine)
  try folder.append("app.log", "2026-11-20 09:00:00 ERROR a\n  at b\n  at c\n2026-11-20 09:00:01 x\n")
  follow.turn()
  #expect(follow.messages == ["2026-11-20 09:00:00 ERROR a\n  at b\n  at c"])
  #expect(follow.logs[0].severity == 3 && text(follow.logs[0].attributes).contains(#""lines":3"#))
  #expect(follow.records[0].time == nine)
  // The last one waits for more, and is not lost when the agent starts again meanwhile.
  follow.restart()
  try folder.append("app.log", "  at y\n")
  follow.turn()
  follow.turn(milliseconds: 2000)
  follow.turn(milliseconds: 2000)
  #expect(follow.messages.last == "2026-11-20 09:00:01 x\n  at y" && follow.messages.count == 2)
  follow.forget()
  try folder.append("app.log", "2026- long\n" + String(repeating: "z\n", count: 1200) + "2026- next\n2026- last\n")
  follow.settle()
  #expect(follow.messages.map { $0.split(separator: "\n").count } == [500, 500, 201, 1, 1])

  var other = source(folder, ["other.log"])
  other.continues = "^[[:space:]]"
  var continued = Following(other)
  try folder.append("other.log", "a\n b\nc\n")
  continued.turn()
  continued.turn(milliseconds: 2000)
  #expect(continued.messages == ["a\n b", "c"])
}

@Test func `a batch is bounded, and the rest comes with the next one, from all files in turns`() throws {
  let folder = try Folder()
  for name in ["a.log", "b.log"] {
    try folder.append(name, (0..<5000).map { "\(name) \($0)\n" }.joined())
  }
  var follow = Following(source(folder, ["*.log"]))
  var sizes: [Int] = []
  while follow.records.count < 10_000, sizes.count < 100 {
    let before = follow.records.count
    follow.turn(milliseconds: 1)
    sizes.append(follow.records.count - before)
  }
  #expect(follow.records.count == 10_000 && sizes.allSatisfy { $0 <= FollowBatch.recordLimit })
  for name in ["a.log", "b.log"] {
    #expect(follow.messages.filter { $0.hasPrefix(name) } == (0..<5000).map { "\(name) \($0)" })
  }
  #expect(Set(follow.messages[0..<2000].map { $0.prefix(1) }).count == 2)
}

@Test func `logrotate's own two ways lose nothing`() throws {
  let folder = try Folder()
  try #require(findProgram("logrotate") != nil)
  for (name, way) in [("move.log", "create"), ("copy.log", "copytruncate")] {
    try replaceFile(
      "\(folder.path)/\(name).conf",
      with: Array("\(folder.path)/\(name) {\n rotate 3\n size 1\n missingok\n su root root\n \(way)\n}\n".utf8))
    try folder.run("chmod", ["755", folder.path])
    var follow = Following(source(folder, [name]))
    for round in 0..<4 {
      try folder.append(name, "\(round)a\n\(round)b\n")
      if round % 2 == 0 || way == "copytruncate" { follow.settle() }
      try folder.run("logrotate", ["-f", "-s", "\(folder.path)/state", "\(folder.path)/\(name).conf"])
      try folder.append(name, "\(round)c\n")
      follow.settle()
    }
    #expect(follow.messages.sorted() == (0..<4).flatMap { ["\($0)a", "\($0)b", "\($0)c"] }, "\(way)")
  }
}

@Test func `through random writing, rotation and restarts each line arrives exactly once`() throws {
  var random = SeededRandom(state: 20_261_120)
  for round in 0..<8 {
    let folder = try Folder()
    var mine = source(folder, round % 2 == 0 ? ["app.log"] : ["app.log*"])
    if round % 3 == 0 { mine.start = "^[0-9]" }
    var follow = Following(mine)
    follow.turn()
    var next = 0
    var rotated = 0
    for _ in 0..<60 {
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<5:
        let lines = Int.random(in: 1...30, using: &random)
        try folder.append(
          "app.log", (next..<next + lines).map { "\($0) \(String(repeating: "y", count: $0 % 90))\n" }.joined())
        next += lines
      case 5 where next > 0 && fileIdentity("\(folder.path)/app.log") != nil:
        rotated += 1
        // A file that comes and goes between two looks is only found if the pattern covers what it is renamed to.
        if round % 2 == 0 { follow.settle(2) }
        try folder.move("app.log", "app.log.\(rotated)")
      case 6: follow.restart()
      case 7: follow.turn(refused: true)
      default: follow.turn()
      }
    }
    follow.settle(20)
    for _ in 0..<6 { follow.turn(milliseconds: 3000) }
    let numbers = follow.messages.compactMap { $0.split(separator: " ").first.flatMap { Int($0) } }.sorted()
    let isWhole = numbers == Array(0..<next)
    #expect(isWhole, "round \(round): \(numbers.count) of \(next)")
  }
}

struct SeededRandom: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state ^ (state >> 29)
  }
}

@Test func `severity, time and trace are picked from text and JSON, and odd times are not believed`() throws {
  let folder = try Folder()
  var mine = source(folder)
  mine.zone = .fixed(9 * 3600)
  var follow = Following(mine)
  try folder.append(
    "app.log",
    """
    2026-11-20 17:59:59,500 WARN  pool is full
    [2026-11-20T09:00:00Z] app.ERROR: failed
    <3>from systemd
    level=error msg="x"
    no error here at all
    1999-01-01 00:00:00 INFO long ago

    """)
  follow.turn()
  #expect(follow.logs.map(\.severity) == [4, 3, 3, 3, 6, 6])
  #expect(follow.records.map { $0.time - nine } == [-500_000, 0, 0, 0, 0, 0])
  #expect(text(follow.logs[5].attributes).contains("time_refused"))

  var second = source(folder, ["json.log"])
  second.format = .json
  var json = Following(second)
  try folder.append(
    "json.log",
    #"""
    {"time":"2026-11-20T08:59:59Z","level":"error","msg":"no \"disk\"","trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331","n":{"a":[1]}}
    {"level":50,"msg":"pino","time":1795165199000}
    {"message":"one","message":"two"}
    {"level":"warn"}
    [1]
    {"msg":"\u0000"}

    """#)
  json.turn()
  let first = json.logs[0]
  #expect(first.severity == 3 && first.message == #"no "disk""# && json.records[0].time == nine - 1_000_000)
  #expect(first.trace == TraceID(high: 0x0af7_6519_16cd_43dd, low: 0x8448_eb21_1c80_319c))
  #expect(first.span == 0xb7ad_6b71_6920_3331 && text(first.attributes).hasPrefix(#"{"n":{"a":[1]},"#))
  #expect(json.logs[1].severity == 3 && json.records[1].time == nine - 1_000_000)
  #expect(json.messages[2...] == ["one", #"{"level":"warn"}"#, "[1]", #"{"msg":"\u0000"}"#])
}

@Test func `lines of an access log become web records, and others stay as logs and are counted`() throws {
  let folder = try Folder()
  var mine = source(folder, ["access.log"])
  mine.format = .access(try AccessLogFormat("combined"))
  var follow = Following(mine)
  try folder.append(
    "access.log",
    #"""
    192.0.2.7 - - [20/Nov/2026:08:59:59 +0000] "GET /a?b HTTP/1.1" 200 17 "-" "curl/8"
    what is this
    192.0.2.7 - - [20/Nov/1999:08:59:59 +0000] "GET /old HTTP/1.1" 500 17 "-" "curl/8"

    """#)
  follow.turn()
  guard case .web(let web) = follow.records[0].body, case .web(let old) = follow.records[2].body else {
    Issue.record("no web records: \(follow.records)")
    return
  }
  #expect(web.path == "/a" && web.code == 200 && follow.records[0].time == nine - 1_000_000)
  #expect(old.code == 500 && follow.records[2].time == nine)
  #expect(follow.messages == ["what is this"] && text(follow.logs[0].attributes).contains(#""unparsed":true"#))
}

@Test func `a position is only good for the file that it was taken from`() throws {
  let folder = try Folder()
  try folder.append("a", String(repeating: "first line of a\n", count: 40))
  let file = try openFile(folder.path + "/a")
  let identity = try #require(fileIdentity(file.raw))
  var position = FilePosition(device: identity.device, inode: identity.inode, offset: 320, path: folder.path + "/a")
  position.isSkipping = true
  position.takePrints(file.raw)
  #expect(position.isGood(for: file.raw, identity) && FilePosition(position.encoded) == position)
  var moved = position
  moved.device += 1
  #expect(moved.isGood(for: file.raw, identity), "device numbers change, the bytes do not")
  var other = position
  other.inode += 1
  #expect(!other.isGood(for: file.raw, identity))
  other = position
  other.offset = 16
  other.takePrints(file.raw)
  other.tailHash += 1
  #expect(!other.isGood(for: file.raw, identity))
  other = position
  other.offset = identity.size + 1
  #expect(!other.isGood(for: file.raw, identity))
  var random = SeededRandom(state: 3)
  let encoded = position.encoded
  for count in 0..<encoded.count { _ = FilePosition(Array(encoded[..<count])) }
  for _ in 0..<5000 {
    var bytes = encoded
    for _ in 0..<3 {
      bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
    }
    if let odd = FilePosition(bytes) { _ = odd.isGood(for: file.raw, identity) }
  }
}
