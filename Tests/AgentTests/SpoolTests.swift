import Platform
import Telemetry
import Testing

@testable import Agent

/// A folder of its own that is removed afterwards.
final class TemporaryFolder {
  // In memory where that is possible: the tests sync hundreds of times.
  let path =
    (isFolder("/dev/shm") ? "/dev/shm" : "/tmp")
    + "/standwatch-spool-\(processIdentifier())-\(UInt64.random(in: 0...UInt64.max))"
  init() throws {
    configureLog(threshold: LogLevel(rawValue: 3) ?? .error, identity: "")
    try makeFolder(path, mode: 0o700)
  }
  deinit {
    for name in (try? namesInFolder(path)) ?? [] { try? removeFile("\(path)/\(name)") }
    _ = try? runCommand("/bin/rmdir", [path], deadline: .after(milliseconds: 60_000))
  }
  var segments: [String] { get throws { try namesInFolder(path).filter { $0.hasSuffix(".seg") } } }
}

func line(_ number: Int) -> [UInt8] { Array("{\"n\":\(number)}\n".utf8) }

extension SpoolCore {
  static func open(_ folder: TemporaryFolder, limit: Int = 1 << 20) throws -> SpoolCore {
    try SpoolCore(folder: folder.path, limit: limit, now: 0)
  }
  /// Takes a record with this number; there has to be room.
  mutating func take(_ number: Int, notes: [String: [UInt8]] = [:]) {
    let outcome = append(lines: line(number), count: 1, notes: notes, worth: .kept, now: Int64(number))
    let mark = written
    #expect(outcome == .taken(mark))
  }
  mutating func makeDurable() throws {
    let (files, mark) = (unsynced, written)
    for file in files { try file.sync() }
    synced(files, through: mark)
  }
  /// Everything that would be sent, as (stream, seq, number), as a sender that is acknowledged at once does it; holes by
  /// the record behind them.
  mutating func drain(acknowledging: Bool = true) throws -> (records: [Sent], holes: [Int64]) {
    var records: [Sent] = []
    var holes: [Int64] = []
    var (generation, stream, first) = oldest
    var cursor = SpoolCursor(generation: generation, next: first)
    for _ in 0..<100_000 {
      var lines: [UInt8] = []
      switch try read(&cursor, upTo: .max, into: &lines, now: 0) {
      case .lines(let through):
        for each in lines.split(separator: 0x0a) { records.append(try Sent(stream, each)) }
        if acknowledging { try acknowledge(generation: generation, through: through) }
      case .hole(let before):
        holes.append(before)
        cursor.next = before
      case .end:
        let following = segments.first { $0.generation > generation && $0.count > 0 } ?? active
        (generation, stream, first) = (following.generation, following.stream, following.first)
        cursor = SpoolCursor(generation: generation, next: first)
      case .nothing: return (records, holes)
      }
    }
    Issue.record("the spool never ends")
    return (records, holes)
  }
}

struct Sent: Equatable, Hashable {
  var stream: String
  var seq: Int64
  var number: Int
  init(_ stream: StreamName, _ line: ArraySlice<UInt8>) throws {
    let parts = String(decoding: line, as: UTF8.self).split(whereSeparator: { ",:}".contains($0) })
    self.stream = "\(stream)"
    seq = try #require(Int64(parts[1]))
    number = try #require(Int(parts[3]))
  }
}

@Test func `the checksum is CRC-32C`() {
  // RFC 3720, appendix B.4.
  #expect(crc32c([UInt8](repeating: 0, count: 32).span) == 0x8a91_36aa)
  #expect(crc32c([UInt8](repeating: 255, count: 32).span) == 0x62a8_ab43)
  #expect(crc32c(Array(0..<32).span) == 0x46dd_794e)
  let bytes: [UInt8] = Array("123456789".utf8)
  #expect(crc32c(bytes.span) == 0xe306_9283)
  for cut in 0...9 {
    let start = crc32c(bytes.span.extracting(0..<cut))
    #expect(crc32c(bytes.span.extracting(cut..<9), from: start) == 0xe306_9283)
  }
}

@Test func `what the spool took is sent once, numbered, and its room is given back`() throws {
  let folder = try TemporaryFolder()
  var spool = try SpoolCore.open(folder)
  for number in 1...5000 { spool.take(number) }
  let early = try spool.drain()
  #expect(early.records.isEmpty)  // nothing is durable yet
  try spool.makeDurable()
  let (records, holes) = try spool.drain()
  #expect(records.map(\.number) == Array(1...5000))
  #expect(records.map(\.seq) == (1...5000).map { Int64($0) })
  #expect(holes.isEmpty)
  #expect(spool.waiting == 0)
  #expect(try folder.segments.count == 1)
  #expect(spool.bytes < spool.segmentLimit)
}

@Test func `numbers and notes go on after a restart, in the same stream`() throws {
  let folder = try TemporaryFolder()
  var stream = ""
  for run in 0..<5 {
    var spool = try SpoolCore.open(folder)
    if run == 0 { stream = "\(spool.active.stream)" } else { #expect(spool.notes["file:/a"] == [UInt8(run - 1)]) }
    for number in 0..<100 { spool.take(run * 100 + number, notes: ["file:/a": [UInt8(run)]]) }
  }
  var spool = try SpoolCore.open(folder)
  let (records, _) = try spool.drain()
  #expect(records.map(\.number) == Array(0..<500))
  #expect(records.map(\.seq) == (1...500).map { Int64($0) })
  #expect(Set(records.map(\.stream)) == [stream])
  // All is acknowledged and most of it gone; the note is still there.
  let again = try SpoolCore.open(folder)
  #expect(again.notes["file:/a"] == [4])
  #expect(again.active.first == 501)
}

@Test func `thousands of notes are carried on, and one that is empty is forgotten`() throws {
  let folder = try TemporaryFolder()
  do {
    var spool = try SpoolCore.open(folder, limit: 64 << 20)
    let notes = (0..<3000).map { ("file:/var/log/\($0)", [UInt8](repeating: 7, count: 1000)) }
    for part in stride(from: 0, to: 3000, by: 100) {
      spool.take(part, notes: Dictionary(uniqueKeysWithValues: notes[part..<part + 100]))
    }
    spool.take(1, notes: ["file:/var/log/5": []])
    #expect(spool.notes.count == 2999)
  }
  for _ in 0..<2 {
    let spool = try SpoolCore.open(folder, limit: 64 << 20)
    #expect(spool.notes.count == 2999)
    #expect(spool.notes["file:/var/log/5"] == nil)
  }
}

@Test func `a spool that was lost begins another stream`() throws {
  let folder = try TemporaryFolder()
  var first = try SpoolCore.open(folder)
  let stream = first.active.stream
  first.take(1)
  for name in try folder.segments { try removeFile("\(folder.path)/\(name)") }
  let second = try SpoolCore.open(folder)
  #expect(second.active.stream != stream)
}

@Test func `samples are dropped and counted when nine tenths of the room are used, the rest is refused at its end`()
  throws
{
  let folder = try TemporaryFolder()
  var spool = try SpoolCore.open(folder, limit: 1 << 20)
  let long = Array("{\"m\":\"\(String(repeating: "x", count: 900))\"}\n".utf8)
  func put(_ worth: Worth, _ spool: inout SpoolCore) -> Bool {
    if case .taken = spool.append(lines: long, count: 1, notes: [:], worth: worth, now: 0) { return true }
    return false
  }
  while put(.sample, &spool) {}
  #expect(spool.counts.dropped == 1)
  #expect(spool.bytes > 900_000 && spool.bytes <= 943_718)
  var kept = 0
  while put(.kept, &spool) { kept += 1 }
  #expect(kept > 50)
  #expect(spool.bytes <= 1 << 20)
  #expect(spool.counts.dropped == 1)
  // Room is there again when records are acknowledged.
  try spool.makeDurable()
  try spool.acknowledge(generation: 1, through: spool.active.next - 1)
  let hasRoom = put(.sample, &spool)
  #expect(hasRoom)
}

@Test func `a file cut at any place keeps every whole frame before, and gives no number twice`() throws {
  let folder = try TemporaryFolder()
  var name = ""
  var whole: [UInt8] = []
  do {
    var spool = try SpoolCore.open(folder)
    for number in 1...12 { spool.take(number, notes: number == 7 ? ["k": [7]] : [:]) }
    name = spool.active.name
    whole = try readFile("\(folder.path)/\(name)")
  }
  for cut in 0..<whole.count {
    let other = try TemporaryFolder()
    try replaceFile("\(other.path)/\(name)", with: Array(whole.prefix(cut)))
    var spool = try SpoolCore.open(other)
    spool.take(100)
    try spool.makeDurable()
    let (records, holes) = try spool.drain()
    let kept = records.dropLast().map(\.number)
    #expect(kept == Array(1...12).prefix(kept.count).map { $0 })
    #expect(records.last?.number == 100)
    #expect(holes.isEmpty)
    #expect(Set(records.map { "\($0.stream)/\($0.seq)" }).count == records.count)
    // The frame that was cut may have been sent: its number belongs to the old stream for ever.
    let isWhole =
      kept.count == 12 || SegmentScan(whole.span.extracting(0..<cut), spoolStream(name), first: 1).isTorn == false
    #expect((records.first?.stream == records.last?.stream) == (isWhole || kept.isEmpty && records.count == 1))
    #expect(spool.counts.damagedSegments == 0)
  }
}
private func spoolStream(_ name: String) -> StreamName {
  StreamName(text: name.split(separator: "-")[1]) ?? SpoolCore.newStream()
}

@Test func `a bit that flips anywhere costs the frame it is in, and nothing else`() throws {
  let folder = try TemporaryFolder()
  var name = ""
  var whole: [UInt8] = []
  do {
    var spool = try SpoolCore.open(folder)
    for number in 1...8 { spool.take(number) }
    name = spool.active.name
    whole = try readFile("\(folder.path)/\(name)")
  }
  for at in whole.indices {
    let other = try TemporaryFolder()
    var bytes = whole
    bytes[at] ^= 1 << UInt8(at % 8)
    try replaceFile("\(other.path)/\(name)", with: bytes)
    var spool = try SpoolCore.open(other)
    spool.take(100)
    try spool.makeDurable()
    let (records, holes) = try spool.drain()
    let kept = records.dropLast().map(\.number)
    #expect(kept.count >= 7 && kept == kept.sorted() && Set(kept).count == kept.count, "byte \(at): \(kept)")
    #expect(records.last?.number == 100)
    #expect(kept.allSatisfy { number in records.contains { $0.number == number && $0.seq == Int64(number) } })
    // A hole that is not at an end is told, so that the service can write it down.
    let missing = Set(1...8).subtracting(kept)
    #expect(holes.map { Int($0) - 1 } == missing.filter { $0 > 1 && $0 < 8 }.sorted(), "byte \(at)")
    let aside = try namesInFolder(other.path).filter { $0.hasSuffix(".damaged") }
    let tail = SegmentScan(bytes.span, spoolStream(name), first: 1).isDamaged == false
    #expect(aside.count == (tail ? 0 : 1), "byte \(at)")
    #expect(records.first?.stream != records.last?.stream)
  }
}

@Test func `random damage to many segments never stops a start, and what is sent was taken`() throws {
  // No chance: what the damage costs depends on where it is.
  var random = SeededRandom(state: 20_261_120)
  for round in 0..<30 {
    let folder = try TemporaryFolder()
    do {
      var spool = try SpoolCore.open(folder)
      for number in 1...6000 { spool.take(number) }
    }
    for _ in 0..<(round % 4 + 1) {
      let name = try #require(try folder.segments.sorted().randomElement(using: &random))
      var bytes = try readFile("\(folder.path)/\(name)", limit: 16 << 20)
      guard !bytes.isEmpty else { continue }
      let at = Int.random(in: 0..<bytes.count, using: &random)
      switch Int.random(in: 0..<4, using: &random) {
      case 0: bytes[at] ^= 1
      case 1: bytes.removeSubrange(at..<min(at + 500, bytes.count))
      case 2: bytes.insert(contentsOf: (0..<40).map { _ in UInt8.random(in: 0...255, using: &random) }, at: at)
      default: for index in at..<min(at + 300, bytes.count) { bytes[index] = 0 }
      }
      try replaceFile("\(folder.path)/\(name)", with: bytes)
    }
    var spool = try SpoolCore.open(folder)
    spool.take(9999)
    try spool.makeDurable()
    let (records, _) = try spool.drain()
    #expect(records.dropLast().allSatisfy { Int64($0.number) == $0.seq }, "round \(round)")
    #expect(Set(records).count == records.count)
    #expect(records.count > 5000)
  }
}

@Test func `a segment that is damaged while the agent runs costs only what was damaged`() throws {
  let folder = try TemporaryFolder()
  var spool = try SpoolCore.open(folder)
  for number in 1...9 { spool.take(number) }
  try spool.makeDurable()
  let path = "\(folder.path)/\(spool.active.name)"
  let whole = try readFile(path)
  var bytes = whole
  bytes[whole.count / 2] ^= 4
  try overwrite(path, bytes)
  let (records, holes) = try spool.drain()
  #expect(records.count == 8)
  #expect(holes.count == 1)
  #expect(spool.counts.damagedSegments == 1)
  #expect(spool.counts.missing == 1)
  spool.take(10)
  try spool.makeDurable()
  let rest = try spool.drain()
  #expect(rest.records.map(\.seq) == [10])
}
/// In place: the spool has the file open.
private func overwrite(_ path: String, _ bytes: [UInt8]) throws {
  let file = try DataFile.updating(path)
  try file.write(bytes, at: 0)
}

@Test func `numbers that the service has and the spool forgot go to a new stream`() throws {
  let folder = try TemporaryFolder()
  do {
    var spool = try SpoolCore.open(folder)
    for number in 1...50 { spool.take(number) }
  }
  var spool = try SpoolCore.open(folder)
  for number in 51...60 { spool.take(number) }
  // The service answers that it has 55 records: five of them are not those that were taken now.
  #expect(spool.unsentFrom == SpoolMark(generation: 1, seq: 51))
  try spool.renumber(now: 0)
  let (records, holes) = try spool.drain()
  #expect(records.map(\.number) == Array(1...60))
  #expect(records.suffix(10).map(\.seq) == Array(1...10).map { Int64($0) })
  #expect(Set(records.map(\.stream)).count == 2)
  #expect(holes.isEmpty)
}

@Test func `a running machine that went back to a snapshot sends what it takes then in a new stream`() throws {
  let folder = try TemporaryFolder()
  var spool = try SpoolCore.open(folder)
  for number in 1...50 { spool.take(number) }
  try spool.makeDurable()
  #expect(try spool.drain().records.count == 50)
  // What is taken from here on was taken before the machine went back, too: other records, and the service has them.
  let text = line(51) + line(52)
  #expect(spool.append(lines: text, count: 2, notes: [:], worth: .kept, now: 0) == .taken(spool.written))
  #expect(spool.unsentFrom == SpoolMark(generation: 1, seq: 51))
  try spool.renumber(now: 0)
  let (records, holes) = try spool.drain()
  #expect(records.map(\.number) == [51, 52] && records.map(\.seq) == [1, 2] && holes.isEmpty)
  #expect(spool.unsentFrom == SpoolMark(generation: 2, seq: 3))
  // Half of a frame was sent.
  let other = try TemporaryFolder()
  var again = try SpoolCore.open(other)
  #expect(again.append(lines: text + line(53), count: 3, notes: [:], worth: .kept, now: 0) == .taken(again.written))
  try again.makeDurable()
  var (cursor, sent) = (SpoolCursor(generation: 1, next: 1), [UInt8]())
  #expect(try again.read(&cursor, upTo: 1, into: &sent, now: 0) == .lines(through: 1))
  try again.renumber(now: 0)
  #expect(try again.drain().records.map(\.number) == [52, 53])
}

@Test func `a second agent is refused the folder`() throws {
  let folder = try TemporaryFolder()
  let settings = AgentSettings.SpoolSettings(folder: folder.path, bytes: 1 << 20, syncMilliseconds: 10)
  let first = try Spool.open(settings, listeners: [])
  #expect(first != nil)
  #expect(try Spool.open(settings, listeners: []) == nil)
}

@Test func `a spool that is stopped while it lets more come ends, and has everything on disk`() throws {
  let folder = try TemporaryFolder()
  let settings = AgentSettings.SpoolSettings(folder: folder.path, bytes: 1 << 20, syncMilliseconds: 600_000)
  let spool = try #require(try Spool.open(settings, listeners: []))
  let ended = try Mailbox<Bool>(capacity: 1)
  let sync = try RoleThread(name: "sync") {
    spool.runSync()
    ended.post(true)
  }
  let outcome = spool.append(lines: line(1), count: 1, worth: .kept)
  _ = wait(ended.descriptor, for: .read, until: .after(milliseconds: 100))
  spool.stop()
  _ = wait(ended.descriptor, for: .read, until: .after(milliseconds: 60_000))
  let said = ended.takeAll()
  #expect(said == [true])
  sync.detach()
  let (written, durable) = spool.with { ($0.written, $0.durable) }
  #expect(outcome == .taken(written) && durable == written)
}
