// Beside the segments: how far the spool was durable, and where the followers stood, so that a segment that is lost
// takes neither with it.
//
// Two files, "index.0" and "index.1", written in turns: one that is torn leaves the other. Each is written after the
// segments are on disk and before anything of them is sent, so it is never ahead of the segments, and what it is ahead
// of has been lost. Bytes:
//
//   "SWINDEX1", length of what follows up to the checksum (4), generation (8), seq (8), turn (8), stream (16),
//   whether notes follow (1), notes as in a frame, CRC-32C of all before (4)
internal import Platform

struct SpoolIndex: Equatable, Sendable {
  /// Everything up to here was durable.
  var mark: SpoolMark
  var stream: StreamName
  /// Nil when they were too long to be written at every sync.
  var notes: [String: [UInt8]]?
  /// Counts the writings.
  var turn: UInt64 = 0

  static let magic = Array("SWINDEX1".utf8)
  /// Some two hundred followed files.
  static let greatestNotes = 64 << 10
  private static let fixedBytes = 41

  static func path(_ folder: String, turn: UInt64) -> String { "\(folder)/index.\(turn % 2)" }

  var encoded: [UInt8] {
    var kept = notes.map(SpoolFormat.encode)
    if let bytes = kept, bytes.count > Self.greatestNotes { kept = nil }
    var bytes = Self.magic
    SpoolFormat.put(UInt32(Self.fixedBytes + (kept?.count ?? 0)), to: &bytes)
    SpoolFormat.put(UInt64(mark.generation), to: &bytes)
    SpoolFormat.put(UInt64(bitPattern: mark.seq), to: &bytes)
    SpoolFormat.put(turn, to: &bytes)
    bytes += stream.bytes
    bytes.append(kept == nil ? 0 : 1)
    bytes += kept ?? []
    SpoolFormat.put(crc32c(bytes.span), to: &bytes)
    return bytes
  }
  init(mark: SpoolMark, stream: StreamName, notes: [String: [UInt8]]?, turn: UInt64) {
    (self.mark, self.stream, self.notes, self.turn) = (mark, stream, notes, turn)
  }
  /// Nil unless whole and sound; bytes behind it are of a longer one before.
  init?(_ bytes: [UInt8]) {
    let span = bytes.span
    guard bytes.count >= 12 + Self.fixedBytes + 4, Array(bytes[0..<8]) == Self.magic else { return nil }
    let length = Int(SpoolFormat.number(span, 8, 4))
    guard length >= Self.fixedBytes, length <= bytes.count - 16 else { return nil }
    let sum = crc32c(span.extracting(0..<(12 + length)))
    guard UInt64(sum) == SpoolFormat.number(span, 12 + length, 4) else { return nil }
    guard let generation = Int(exactly: SpoolFormat.number(span, 12, 8)), (1..<1 << 40) ~= generation,
      let seq = Int64(exactly: SpoolFormat.number(span, 20, 8)), (0..<1 << 62) ~= seq,
      let name = StreamName(bytes: SpoolFormat.copy(span, 36, 16))
    else { return nil }
    mark = SpoolMark(generation: generation, seq: seq)
    (turn, stream) = (SpoolFormat.number(span, 28, 8), name)
    if bytes[52] == 1 {
      var found: [String: [UInt8]] = [:]
      SpoolFormat.decodeNotes(span.extracting((12 + Self.fixedBytes)..<(12 + length)), into: &found)
      notes = found
    }
  }

  /// The newer of the two that is sound; nil without one.
  static func read(_ folder: String) -> SpoolIndex? {
    var newest: SpoolIndex?
    for turn: UInt64 in 0...1 {
      // Not there yet, or not to be read: then the other one, or none, has to do.
      guard let bytes = try? readFile(path(folder, turn: turn), limit: 1 << 20), let index = SpoolIndex(bytes) else {
        continue
      }
      if newest.map({ $0.turn < index.turn }) ?? true { newest = index }
    }
    return newest
  }
  /// Returns when it is on disk.
  func write(_ folder: String) throws(SystemError) {
    let file = try DataFile.create(Self.path(folder, turn: turn))
    try file.write(encoded, at: 0)
    try file.sync()
    // The first two make the names.
    if turn < 2 { try syncFolder(folder) }
  }
}
