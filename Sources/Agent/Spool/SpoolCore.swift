// The spool: what the agent has taken and the service has not acknowledged yet, in segments on disk.
//
// A segment's file bears its generation, its stream and its first seq: "00000001-STREAM-0000000000000000001.seg". A
// generation is one stream; a new one begins when the spool was lost, and when its end was not found as it was written,
// so that no number is given twice. Older generations are sent to their end first. The last segment is the one that
// grows; notes (positions of followers) are carried on from segment to segment. Owned by one lock (Spool.swift).
internal import Platform

/// What a record is worth when room gets scarce.
public enum Worth: Sendable {
  /// A sample: the next one follows, so it is dropped (and counted) when nine tenths of the room are used.
  case sample
  /// Taken until the room is used up; whoever has more waits.
  case kept
}

/// Whether the spool took records.
public enum Appended: Equatable, Sendable {
  case taken(SpoolMark)
  /// No room: of the spool, or of its disk, as the reason says.
  case full(reason: String)
}

/// A place in the spool: everything up to here.
public struct SpoolMark: Comparable, Sendable {
  var generation: Int
  var seq: Int64
  public static func < (a: SpoolMark, b: SpoolMark) -> Bool {
    a.generation != b.generation ? a.generation < b.generation : a.seq < b.seq
  }
}

struct Segment {
  var generation: Int
  var stream: StreamName
  var first: Int64
  var count: Int64 = 0
  /// Of the file.
  var bytes: Int
  /// µs since 1970 of the first frame; 0 without one.
  var wall: Int64 = 0
  var file: DataFile

  var next: Int64 { first + count }
  var name: String { Segment.name(generation, stream, first) }
  static func name(_ generation: Int, _ stream: StreamName, _ first: Int64) -> String {
    func padded(_ number: Int64, _ width: Int) -> String {
      let digits = String(number)
      return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
    return "\(padded(Int64(generation), 8))-\(stream)-\(padded(first, 19)).seg"
  }
}

/// Counted since the start.
struct SpoolCounts: Equatable, Sendable {
  var taken: Int64 = 0
  var acknowledged: Int64 = 0
  /// Samples that found no room.
  var dropped: Int64 = 0
  /// Segments that were set aside, and the records that are missing from them.
  var damagedSegments = 0
  var missing: Int64 = 0
  /// Something is lost, and nothing says how many records were in it.
  var isLossUnknown = false
  var syncFailures = 0
}

struct SpoolCore: ~Copyable {
  let folder: String
  let limit: Int
  let segmentLimit: Int
  /// Oldest first; never empty, the last one grows.
  var segments: [Segment] = []
  var counts = SpoolCounts()
  /// On disk.
  var durable: SpoolMark
  /// The first record of the growing generation that this run has not sent (of those before this run, all count as
  /// sent). What the service says to have from here on is not ours: see `renumber`.
  var unsentFrom: SpoolMark
  /// Files written since they were last made durable.
  var unsynced: [DataFile] = []
  var notes: [String: [UInt8]] = [:]
  /// Of the next index.
  var indexTurn: UInt64 = 0
  /// Why the last write failed; empty when it did not.
  var failure = ""
  /// Everything up to here was acknowledged.
  var acked: SpoolMark
  /// The segment that this run grows is still to be made: the disk was full when it started.
  var beginning: Beginning?
  struct Beginning {
    var generation: Int
    var stream: StreamName
    var first: Int64
  }
  /// For the age of what waits: (mark, µs since 1970), oldest first, thinned.
  private var ages: [(mark: SpoolMark, wall: Int64)] = []
  /// Of the files set aside.
  let asideLimit = 4

  /// Opens the folder, which has to be there, and takes in what is found. `limit`: bytes of all segments.
  init(folder: String, limit: Int, now: Int64) throws(SystemError) {
    self.folder = folder
    self.limit = limit
    segmentLimit = min(max(limit / 16, 64 << 10), 4 << 20)
    durable = SpoolMark(generation: 0, seq: 0)
    acked = durable
    unsentFrom = durable
    let isClean = try recover()
    let last = segments.last
    if let last, isClean {
      beginning = Beginning(generation: last.generation, stream: last.stream, first: last.next)
      unsentFrom = SpoolMark(generation: last.generation, seq: last.next)
    } else {
      beginning = Beginning(generation: (last?.generation ?? 0) + 1, stream: SpoolCore.newStream(), first: 1)
      unsentFrom = SpoolMark(generation: (last?.generation ?? 0) + 1, seq: 1)
    }
    do throws(SystemError) {
      try beginIfDue()
    } catch {
      // On a full disk what is there is sent first, which makes room.
      if segments.isEmpty { throw error }
      failure = error.description
    }
    durable = written
    for segment in segments where segment.count > 0 {
      ages.append((SpoolMark(generation: segment.generation, seq: segment.next - 1), segment.wall))
    }
    if let first = segments.first { acked = SpoolMark(generation: first.generation, seq: first.first - 1) }
  }

  private mutating func beginIfDue() throws(SystemError) {
    guard let next = beginning else { return }
    try begin(generation: next.generation, stream: next.stream, first: next.first)
    beginning = nil
  }
  static func newStream() -> StreamName {
    guard let name = StreamName(bytes: randomBytes(16)) else { preconditionFailure("16 bytes are a name") }
    return name
  }
  /// The segment that grows.
  var active: Segment {
    get { segments[segments.count - 1] }
    set { segments[segments.count - 1] = newValue }
  }
  /// Everything written, durable or not.
  var written: SpoolMark { SpoolMark(generation: active.generation, seq: active.next - 1) }
  var bytes: Int { segments.reduce(0) { $0 + $1.bytes } }
  /// Records that are not acknowledged.
  var waiting: Int64 {
    segments.reduce(0) { sum, segment in
      let from = segment.generation == acked.generation ? max(segment.first, acked.seq + 1) : segment.first
      return sum + max(0, segment.next - from)
    }
  }
  /// When the oldest of them was taken, µs since 1970, to about a second; nil when none waits.
  var oldestWall: Int64? { waiting == 0 ? nil : ages.first { $0.mark > acked }?.wall }

  // MARK: taking

  /// Takes `count` lines (each with its newline, without seq) and the notes with them, in one frame, or nothing.
  /// A frame has to fit 4 MiB: Spool.swift sees to that.
  mutating func append(lines: [UInt8], count: Int, notes: [String: [UInt8]], worth: Worth, now: Int64) -> Appended {
    let noted = SpoolFormat.encode(notes)
    let need = SpoolFormat.prefixBytes + SpoolFormat.bodyBytes + noted.count + lines.count
    let most: Int
    switch worth {
    case .sample: most = limit / 10 * 9
    case .kept: most = limit
    }
    guard bytes + need + SpoolFormat.headerBytes <= most else {
      if case .sample = worth { counts.dropped += Int64(count) }
      return .full(reason: "the spool's \(limit) bytes are used up")
    }
    do throws(SystemError) {
      try beginIfDue()
      if active.bytes + need > segmentLimit && active.count > 0 { try rotate(now: now) }
      let frame = SpoolFormat.frame(
        active.stream, first: active.next, at: now, count: count, notes: noted, lines: lines)
      try write(frame, count: count, now: now)
      failure = ""
    } catch {
      failure = error.description
      if case .sample = worth { counts.dropped += Int64(count) }
      return .full(reason: error.description)
    }
    // An empty note is a note no more.
    for (key, value) in notes { self.notes[key] = value.isEmpty ? nil : value }
    counts.taken += Int64(count)
    noteAge(now)
    return .taken(written)
  }

  mutating func write(_ frame: [UInt8], count: Int, now: Int64) throws(SystemError) {
    do throws(SystemError) {
      try active.file.write(frame, at: active.bytes)
    } catch {
      // What was written of it is cut off; where even that fails, the next frame overwrites it.
      try? active.file.truncate(to: active.bytes)
      throw error
    }
    if active.count == 0 { active.wall = now }
    active.bytes += frame.count
    active.count += Int64(count)
    markUnsynced()
  }
  private mutating func markUnsynced() {
    if unsynced.last !== active.file { unsynced.append(active.file) }
  }
  private mutating func noteAge(_ now: Int64) {
    if let last = ages.last, now - last.wall < 1_000_000, last.wall <= now, ages.count > 1 {
      ages[ages.count - 1].mark = written
    } else {
      ages.append((written, now))
    }
    if ages.count > 4096 { ages = ages.enumerated().filter { $0.offset % 2 == 1 }.map { $0.element } }
  }

  /// The next frame goes to a new segment, which begins with all notes.
  mutating func rotate(now: Int64) throws(SystemError) {
    try begin(generation: active.generation, stream: active.stream, first: active.next)
  }

  /// Makes a new last segment. One without records in its place is written over.
  mutating func begin(generation: Int, stream: StreamName, first: Int64) throws(SystemError) {
    let path = "\(folder)/\(Segment.name(generation, stream, first))"
    let file = try DataFile.create(path + ".new")
    var bytes = SpoolFormat.header(stream, first: first)
    // Frames of a bounded size, however many files are followed.
    var group: [String: [UInt8]] = [:]
    for (index, note) in notes.enumerated() {
      group[note.key] = note.value
      guard group.count == 500 || index == notes.count - 1 else { continue }
      bytes += SpoolFormat.frame(stream, first: first, at: 0, count: 0, notes: SpoolFormat.encode(group), lines: [])
      group = [:]
    }
    try file.write(bytes, at: 0)
    try file.sync()
    try renameFile(path + ".new", to: path)
    try syncFolder(folder)
    if let last = segments.last, last.generation == generation, last.first == first, last.count == 0 {
      segments.removeLast()
    }
    segments.append(
      Segment(generation: generation, stream: stream, first: first, bytes: bytes.count, file: file))
  }

  // MARK: what is acknowledged

  /// Everything of the generation up to `seq` is in PostgreSQL: segments that hold nothing else go.
  mutating func acknowledge(generation: Int, through seq: Int64) throws(SystemError) {
    let mark = SpoolMark(generation: generation, seq: seq)
    if mark > acked {
      let before =
        generation == acked.generation
        ? acked.seq : (segments.first { $0.generation == generation }?.first ?? seq + 1) - 1
      counts.acknowledged += seq - before
      acked = mark
    }
    func isDone(_ segment: Segment) -> Bool {
      segment.generation < generation || segment.generation == generation && segment.next - 1 <= seq
    }
    try beginIfDue()
    // A big last segment is given up, too, so that its room is there again.
    if isDone(active), active.count > 0, active.bytes > segmentLimit / 4 { try rotate(now: 0) }
    while segments.count > 1, isDone(segments[0]) {
      try removeFile("\(folder)/\(segments[0].name)")
      segments.removeFirst()
    }
    let drop = ages.prefix { $0.mark <= acked }.count
    ages.removeFirst(drop)
  }
}

extension SpoolCore {
  /// What to write beside the segments before anything up to `written` counts as durable.
  mutating func nextIndex() -> SpoolIndex {
    defer { indexTurn &+= 1 }
    return SpoolIndex(mark: written, stream: active.stream, notes: notes, turn: indexTurn)
  }

  /// These files were made durable after everything up to `mark` had been written.
  mutating func synced(_ files: [DataFile], through mark: SpoolMark) {
    // The file that grew at that time may have been written to since: it stays in the list.
    let grew = written == mark ? nil : files.last
    let left = unsynced.filter { file in file === grew || !files.contains { $0 === file } }
    unsynced = left
    durable = max(durable, mark)
  }
}
