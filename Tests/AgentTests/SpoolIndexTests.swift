import Platform
import Testing

@testable import Agent

extension SpoolCore {
  /// As the thread "sync" does it.
  fileprivate mutating func sync(_ folder: TemporaryFolder) throws {
    let index = nextIndex()
    try makeDurable()
    try index.write(folder.path)
  }
}
private func spoil(_ folder: TemporaryFolder) throws {
  for name in try folder.segments {
    let path = "\(folder.path)/\(name)"
    try replaceFile(path, with: randomBytes(try readFile(path).count))
  }
}

@Test func `a spool whose only segment is overwritten says what it lost, tells the service, and keeps the positions`()
  throws
{
  let folder = try TemporaryFolder()
  var stream = ""
  do {
    var spool = try SpoolCore.open(folder)
    stream = "\(spool.active.stream)"
    for number in 1...7 { spool.take(number, notes: ["file:/a": [UInt8(number)]]) }
    try spool.sync(folder)
    // Not durable, so nobody promised it.
    spool.take(8, notes: ["file:/a": [8]])
  }
  try spoil(folder)
  var spool = try SpoolCore.open(folder)
  #expect(spool.counts.damagedSegments == 1)
  #expect(spool.counts.missing == 7)
  #expect(!spool.counts.isLossUnknown)
  #expect(spool.notes["file:/a"] == [7])
  // The hello of the old stream names the record behind the lost ones: the service writes the gap down.
  let start = spool.oldest
  #expect("\(start.stream)" == stream && start.first == 8)
  spool.take(100)
  try spool.sync(folder)
  let (records, _) = try spool.drain()
  #expect(records.map(\.number) == [100])
  #expect(records.first?.stream != stream)
  // Once is enough.
  let again = try SpoolCore.open(folder)
  #expect(again.counts.missing == 0)
  #expect(again.oldest.stream == again.active.stream)
  #expect(again.notes["file:/a"] == [7])
}

@Test func `records that were durable and are cut off are a hole of their stream`() throws {
  let folder = try TemporaryFolder()
  var name = ""
  do {
    var spool = try SpoolCore.open(folder)
    for number in 1...9 { spool.take(number) }
    try spool.sync(folder)
    name = spool.active.name
  }
  let bytes = try readFile("\(folder.path)/\(name)")
  try replaceFile("\(folder.path)/\(name)", with: Array(bytes.prefix(bytes.count * 2 / 3)))
  var spool = try SpoolCore.open(folder)
  let (records, holes) = try spool.drain()
  #expect(records.map(\.number) == Array(1...records.count))
  #expect((3...8).contains(records.count))
  #expect(spool.counts.missing == Int64(9 - records.count))
  #expect(holes == [10] || holes.isEmpty && spool.oldest.first == 10)
}

@Test func `a lost beginning is counted although everything behind it is sound`() throws {
  let folder = try TemporaryFolder()
  var second: Int64 = 0
  do {
    var spool = try SpoolCore.open(folder)
    for number in 1...4000 { spool.take(number) }
    try spool.sync(folder)
    second = spool.segments[1].first
  }
  let path = "\(folder.path)/\(try #require(try folder.segments.min()))"
  try replaceFile(path, with: randomBytes(1000))
  var spool = try SpoolCore.open(folder)
  #expect(spool.counts.missing == second - 1)
  #expect(!spool.counts.isLossUnknown)
  let (records, _) = try spool.drain()
  #expect(records.map(\.number) == Array(Int(second)...4000))
}

@Test func `what nothing counted is not called nothing`() throws {
  let folder = try TemporaryFolder()
  do {
    var spool = try SpoolCore.open(folder)
    for number in 1...9 { spool.take(number) }
  }
  try spoil(folder)
  let spool = try SpoolCore.open(folder)
  #expect(spool.counts.isLossUnknown)
  var report = AgentReport()
  (report.damaged_segments, report.loss_unknown) = (1, true)
  #expect(report.text.contains("an unknown number of records is missing"))
  (report.missing, report.loss_unknown) = (9, false)
  #expect(report.text.contains("up to 9 records are missing"))
}

@Test func `an index that is torn or damaged at any byte leaves the one before`() throws {
  let folder = try TemporaryFolder()
  var spool = try SpoolCore.open(folder)
  spool.take(1, notes: ["k": [1]])
  let first = spool.nextIndex()
  try first.write(folder.path)
  spool.take(2, notes: ["k": [2]])
  let second = spool.nextIndex()
  try second.write(folder.path)
  #expect(SpoolIndex.read(folder.path) == second)
  let bytes = second.encoded
  for at in bytes.indices {
    var other = bytes
    other[at] ^= 1 << UInt8(at % 8)
    #expect(SpoolIndex(other) == nil, "byte \(at)")
    #expect(SpoolIndex(Array(bytes.prefix(at))) == nil, "cut at \(at)")
  }
  try replaceFile(SpoolIndex.path(folder.path, turn: second.turn), with: Array(bytes.dropLast()))
  #expect(SpoolIndex.read(folder.path) == first)
}

@Test func `positions of more files than fit the index are left to the segments`() throws {
  let notes = Dictionary(uniqueKeysWithValues: (0..<300).map { ("file:\($0)", [UInt8](repeating: 1, count: 300)) })
  let index = SpoolIndex(mark: SpoolMark(generation: 3, seq: 9), stream: SpoolCore.newStream(), notes: notes, turn: 4)
  let read = try #require(SpoolIndex(index.encoded))
  #expect(read.notes == nil && read.mark == index.mark && read.turn == 4 && read.stream == index.stream)
  #expect(index.encoded.count < 100)
}
