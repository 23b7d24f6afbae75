// The spool at a start, and whenever a segment turns out to be damaged: what is sound is kept, the rest is set aside.
internal import Platform

extension SpoolCore {
  private struct Found {
    var generation: Int
    var stream: StreamName
    var first: Int64
    var name: String
  }

  /// Takes in the folder's segments. True when the last one is as it was written: then its stream may go on.
  mutating func recover() throws(SystemError) -> Bool {
    var found: [Found] = []
    for name in try namesInFolder(folder) {
      if name.hasSuffix(".new") {
        try removeFile("\(folder)/\(name)")
      } else if let segment = SpoolCore.parse(name) {
        found.append(segment)
      }
    }
    found.sort { ($0.generation, $0.first) < ($1.generation, $1.first) }
    var isClean = true
    for each in found { isClean = try take(each) }
    for index in segments.indices.dropFirst() where segments[index].generation == segments[index - 1].generation {
      counts.missing += segments[index].first - segments[index - 1].next
    }
    countLostBeginnings(found)
    let index = SpoolIndex.read(folder)
    if let index { indexTurn = index.turn &+ 1 }
    let reached = segments.last.map { SpoolMark(generation: $0.generation, seq: $0.next - 1) }
    if let index, reached.map({ $0 < index.mark }) ?? true {
      try endLost(index, found)
      isClean = false
    } else if index == nil, counts.damagedSegments > 0 {
      counts.isLossUnknown = true
      log(.error, "an unknown number of records is missing from the spool")
    } else if let index, reached == index.mark, !isClean, let notes = index.notes {
      self.notes = notes
    }
    // Files that hold nothing leave no trace but their generation, which must not be given again.
    if let last = found.last, segments.last?.generation != last.generation {
      try begin(generation: last.generation, stream: last.stream, first: last.first)
      isClean = false
    }
    return isClean
  }

  /// Holes before the first record that a generation still has; the last generation's end is the index's matter.
  private mutating func countLostBeginnings(_ found: [Found]) {
    var generation = 0
    for each in found where each.generation != generation {
      generation = each.generation
      if let kept = segments.first(where: { $0.generation == generation }) {
        counts.missing += max(0, kept.first - each.first)
      } else if generation != found.last?.generation, counts.damagedSegments > 0 {
        counts.isLossUnknown = true
      }
    }
  }

  /// The spool was durable up to a record that is not there: an empty segment behind it makes the service write down,
  /// as a gap of the stream, what it did not get. The notes are those of that record.
  private mutating func endLost(_ index: SpoolIndex, _ found: [Found]) throws(SystemError) {
    let (generation, last) = (index.mark.generation, index.mark.seq)
    let kept = segments.last.flatMap { $0.generation == generation ? $0.next : nil }
    let from = kept ?? found.first { $0.generation == generation }?.first
    if let from { counts.missing += max(0, last + 1 - from) } else { counts.isLossUnknown = true }
    if let notes = index.notes { self.notes = notes }
    log(
      .error, "the spool lost its end",
      [
        "stream": "\(index.stream)", "through": "\(last)",
        "records": from.map { "up to \(max(0, last + 1 - $0))" } ?? "unknown",
        "positions": index.notes == nil ? "lost" : "kept",
      ])
    try begin(generation: generation, stream: index.stream, first: last + 1)
  }

  private static func parse(_ name: String) -> Found? {
    let parts = name.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 3, parts[2].hasSuffix(".seg"), let generation = Int(parts[0]), (1..<1 << 40) ~= generation,
      let stream = StreamName(text: parts[1]), let first = Int64(parts[2].dropLast(4)), (1..<1 << 62) ~= first,
      Segment.name(generation, stream, first) == name
    else { return nil }
    return Found(generation: generation, stream: stream, first: first, name: name)
  }

  /// False when the file was not as it was written.
  private mutating func take(_ found: Found) throws(SystemError) -> Bool {
    let path = "\(folder)/\(found.name)"
    let bytes: [UInt8]
    do throws(SystemError) {
      bytes = try readFile(path, limit: segmentLimit + 2 * SpoolFormat.greatestBody)
    } catch {
      log(.error, "segment set aside", ["file": found.name, "reason": error.description])
      try setAside(found.name)
      return false
    }
    let scan = SegmentScan(bytes.span, found.stream, first: found.first)
    for (key, value) in scan.notes { notes[key] = value.isEmpty ? nil : value }
    let last = segments.last
    let overlaps = last.map { $0.generation == found.generation && $0.next > found.first } ?? false
    if overlaps || scan.isDamaged || scan.runs.contains(where: { $0.first != found.first }) {
      try salvage(found.name, found.generation, found.stream, bytes, scan.runs)
      return false
    }
    let end = scan.runs.last?.range.upperBound ?? SpoolFormat.headerBytes
    if scan.isTorn {
      log(.notice, "torn end of a segment cut off", ["file": found.name, "bytes": "\(max(0, bytes.count - end))"])
      if bytes.count < SpoolFormat.headerBytes {
        try removeFile(path)
        return false
      }
      try DataFile.cut(path, to: end)
    }
    let file = try DataFile.reading(path)
    // A run before this one may have ended between writing and syncing.
    try file.sync()
    segments.append(
      Segment(
        generation: found.generation, stream: found.stream, first: found.first, count: scan.runs.last?.count ?? 0,
        bytes: end, wall: scan.runs.first?.wall ?? 0, file: file))
    return !scan.isTorn
  }

  /// Keeps the sound runs of a damaged segment as segments of their own and sets the file itself aside.
  mutating func salvage(
    _ name: String, _ generation: Int, _ stream: StreamName, _ bytes: [UInt8], _ runs: [SegmentScan.Run]
  ) throws(SystemError) {
    counts.damagedSegments += 1
    log(
      .error, "damaged segment set aside",
      ["file": name + ".damaged", "kept_records": "\(runs.reduce(0) { $0 + $1.count })", "runs": "\(runs.count)"])
    try setAside(name)
    for run in runs where run.count > 0 {
      // What another segment has already is not taken twice.
      if let last = segments.last, last.generation == generation, last.next > run.first { continue }
      let path = "\(folder)/\(Segment.name(generation, stream, run.first))"
      let kept = SpoolFormat.header(stream, first: run.first) + bytes[run.range]
      do throws(SystemError) {
        let file = try DataFile.create(path + ".new")
        try file.write(kept, at: 0)
        try file.sync()
        try renameFile(path + ".new", to: path)
        segments.append(
          Segment(
            generation: generation, stream: stream, first: run.first, count: run.count, bytes: kept.count,
            wall: run.wall, file: file))
      } catch {
        counts.missing += run.count
        log(.error, "records of a damaged segment not kept", ["count": "\(run.count)", "reason": error.description])
      }
    }
    try syncFolder(folder)
  }

  /// Out of the way, for a person to look at; the oldest of too many goes.
  private func setAside(_ name: String) throws(SystemError) {
    try renameFile("\(folder)/\(name)", to: "\(folder)/\(name).damaged")
    let aside = try namesInFolder(folder).filter { $0.hasSuffix(".damaged") }
    for old in aside.dropLast(asideLimit) { try removeFile("\(folder)/\(old)") }
  }

  /// A segment that was read is not what was written: its sound runs take its place.
  mutating func damaged(_ index: Int, now: Int64) throws(SystemError) {
    if index == segments.count - 1 { try rotate(now: now) }
    let segment = segments[index]
    let bytes = try segment.file.read(at: 0, count: segment.bytes)
    let scan = SegmentScan(bytes.span, segment.stream, first: segment.first)
    let later = segments[(index + 1)...]
    segments.removeSubrange(index...)
    let before = segment.count
    try salvage(segment.name, segment.generation, segment.stream, bytes, scan.runs)
    counts.missing += before - scan.runs.reduce(0) { $0 + $1.count }
    segments += later
  }

  /// The kernel could not make files durable, and will not try again what it gave up: they are written anew.
  mutating func rewriteUnsynced() throws(SystemError) {
    for index in segments.indices where unsynced.contains(where: { $0 === segments[index].file }) {
      let bytes = try segments[index].file.read(at: 0, count: segments[index].bytes)
      let path = "\(folder)/\(segments[index].name)"
      let file = try DataFile.create(path + ".new")
      try file.write(bytes, at: 0)
      try file.sync()
      try renameFile(path + ".new", to: path)
      segments[index].file = file
    }
    try syncFolder(folder)
    unsynced = []
    durable = written
  }

  /// The service has numbers of this generation that this run never sent: the spool lost its end, or is an older copy
  /// of itself (a backup, a machine that went back to a snapshot, running or not). What this run has not sent goes to a
  /// new stream; what it has is what the service has.
  ///
  /// A crash in the middle of this, or a snapshot with records not sent yet, can leave records in both streams.
  mutating func renumber(now: Int64) throws(SystemError) {
    let from = unsentFrom
    let old = segments.filter { $0.generation == from.generation && ($0.next > from.seq || $0.first >= from.seq) }
    try begin(generation: from.generation + 1, stream: SpoolCore.newStream(), first: 1)
    beginning = nil
    for segment in old {
      let bytes = try segment.file.read(at: 0, count: segment.bytes)
      var at = SpoolFormat.headerBytes
      while let frame = FrameView(bytes.span, at: at, segment.stream, firstAtLeast: segment.first) {
        at = frame.end
        let sent = Int(clamping: max(0, from.seq - frame.first))
        if frame.count <= sent { continue }
        let again = SpoolFormat.frame(
          active.stream, first: active.next, at: frame.wall, count: frame.count - sent,
          notes: Array(bytes[frame.notes]), lines: SpoolCore.lines(bytes[frame.lines], behind: sent))
        if active.bytes + again.count > segmentLimit && active.count > 0 { try rotate(now: now) }
        try write(again, count: frame.count - sent, now: frame.wall)
      }
    }
    try active.file.sync()
    unsynced = []
    durable = written
    for segment in old {
      try removeFile("\(folder)/\(segment.name)")
      segments.removeAll { $0.generation == segment.generation && $0.first == segment.first }
    }
    unsentFrom = SpoolMark(generation: active.generation, seq: 1)
    log(
      .error, "the spool was older than what the service has: records go to a new stream",
      ["stream": "\(active.stream)", "records": "\(active.next - 1)"])
  }
  /// What follows the first `count` lines.
  private static func lines(_ lines: ArraySlice<UInt8>, behind count: Int) -> [UInt8] {
    var rest = lines
    for _ in 0..<count {
      guard let newline = rest.firstIndex(of: 0x0a) else { return [] }
      rest = rest[(newline + 1)...]
    }
    return Array(rest)
  }
}
