// What is in a segment of the spool, as bytes: a header, then frames. Pure; files are in SpoolCore.swift.
//
//   header   "SWSPOOL1", stream (16 bytes), first seq (8), CRC-32C of these (4)
//   frame    length of the body (4), CRC-32C of stream and body (4), body:
//            first seq (8), µs since 1970 (8), records (4), bytes of notes (4), notes, lines
//   note     length of the key (2), key, length of the value (4), value
//
// Numbers are little-endian. A line is a record without its seq, with its newline; records of a frame are numbered from
// its first seq on. A frame is one write: its records and notes are kept together or not at all. The stream's id goes
// into every checksum, so that a frame of another stream is never taken for one of this.

/// 16 random bytes; in names and in the protocol 32 hexadecimal digits.
struct StreamName: Equatable, Hashable, Sendable, CustomStringConvertible {
  var bytes: [UInt8]
  init?(bytes: [UInt8]) {
    guard bytes.count == 16 else { return nil }
    self.bytes = bytes
  }
  init?(text: some StringProtocol) {
    let digits = text.utf8.map { $0 >= 0x61 && $0 <= 0x66 ? $0 - 87 : $0 >= 0x30 && $0 <= 0x39 ? $0 - 48 : 255 }
    guard digits.count == 32, !digits.contains(255) else { return nil }
    bytes = (0..<16).map { digits[2 * $0] << 4 | digits[2 * $0 + 1] }
  }
  var description: String {
    let digits = Array("0123456789abcdef")
    return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
  }
}

enum SpoolFormat {
  static let magic = Array("SWSPOOL1".utf8)
  static let headerBytes = 36
  static let prefixBytes = 8
  static let bodyBytes = 24
  /// Of a body, notes included.
  static let greatestBody = 4 << 20

  static func header(_ stream: StreamName, first: Int64) -> [UInt8] {
    var bytes = magic + stream.bytes
    put(UInt64(bitPattern: first), to: &bytes)
    put(crc32c(bytes.span), to: &bytes)
    return bytes
  }

  static func frame(_ stream: StreamName, first: Int64, at wall: Int64, count: Int, notes: [UInt8], lines: [UInt8])
    -> [UInt8]
  {
    let length = bodyBytes + notes.count + lines.count
    precondition(length <= greatestBody)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(prefixBytes + length)
    put(UInt32(length), to: &bytes)
    put(UInt32(0), to: &bytes)
    put(UInt64(bitPattern: first), to: &bytes)
    put(UInt64(bitPattern: wall), to: &bytes)
    put(UInt32(count), to: &bytes)
    put(UInt32(notes.count), to: &bytes)
    bytes += notes
    bytes += lines
    let sum = checksum(stream, bytes.span.extracting(prefixBytes..<bytes.count))
    for index in 0..<4 { bytes[4 + index] = UInt8(truncatingIfNeeded: sum >> UInt32(8 * index)) }
    return bytes
  }
  static func checksum(_ stream: StreamName, _ body: Span<UInt8>) -> UInt32 {
    crc32c(body, from: crc32c(stream.bytes.span))
  }

  /// Notes as bytes; keys and values that are too long are a bug of ours.
  static func encode(_ notes: [String: [UInt8]]) -> [UInt8] {
    var bytes: [UInt8] = []
    for (key, value) in notes.sorted(by: { $0.key < $1.key }) {
      let key = Array(key.utf8)
      precondition(key.count <= 4200 && value.count <= 65_536)
      bytes += [UInt8(key.count & 255), UInt8(key.count >> 8)]
      bytes += key
      put(UInt32(value.count), to: &bytes)
      bytes += value
    }
    return bytes
  }
  static func decodeNotes(_ bytes: Span<UInt8>, into notes: inout [String: [UInt8]]) {
    var at = 0
    while at + 2 <= bytes.count {
      let keyCount = Int(bytes[at]) | Int(bytes[at + 1]) << 8
      guard keyCount + 6 <= bytes.count - at else { return }
      let key = copy(bytes, at + 2, keyCount)
      at += 2 + keyCount
      let count = Int(number(bytes, at, 4))
      guard count <= bytes.count - at - 4 else { return }
      notes[String(decoding: key, as: UTF8.self)] = copy(bytes, at + 4, count)
      at += 4 + count
    }
  }

  static func put<Number: FixedWidthInteger>(_ value: Number, to bytes: inout [UInt8]) {
    for shift in stride(from: 0, to: Number.bitWidth, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> shift)) }
  }
  /// `count` bytes from `at` on, which have to be there.
  static func number(_ bytes: Span<UInt8>, _ at: Int, _ count: Int) -> UInt64 {
    var value: UInt64 = 0
    for index in 0..<count { value |= UInt64(bytes[at + index]) << UInt64(8 * index) }
    return value
  }
  static func copy(_ bytes: Span<UInt8>, _ at: Int, _ count: Int) -> [UInt8] {
    (0..<count).map { bytes[at + $0] }
  }
}

/// The fields of a whole frame; offsets are those of the bytes it was found in.
struct FrameView: Equatable, Sendable {
  var first: Int64
  var wall: Int64
  var count: Int
  var notes: Range<Int>
  var lines: Range<Int>
  /// Behind the frame.
  var end: Int

  /// Nil unless a whole, sound frame begins at `at`.
  init?(_ bytes: Span<UInt8>, at: Int, _ stream: StreamName, firstAtLeast least: Int64) {
    let left = bytes.count - at
    guard left >= SpoolFormat.prefixBytes + SpoolFormat.bodyBytes else { return nil }
    let length = Int(SpoolFormat.number(bytes, at, 4))
    guard length >= SpoolFormat.bodyBytes, length <= SpoolFormat.greatestBody,
      length <= left - SpoolFormat.prefixBytes
    else { return nil }
    let body = at + SpoolFormat.prefixBytes
    first = Int64(truncatingIfNeeded: SpoolFormat.number(bytes, body, 8))
    // Cheap, before the checksum: a search for the next sound frame comes here for every byte.
    guard first >= least, first < 1 << 62 else { return nil }
    wall = Int64(truncatingIfNeeded: SpoolFormat.number(bytes, body + 8, 8))
    count = Int(SpoolFormat.number(bytes, body + 16, 4))
    let noteBytes = Int(SpoolFormat.number(bytes, body + 20, 4))
    guard noteBytes <= length - SpoolFormat.bodyBytes, count <= length else { return nil }
    end = body + length
    notes = (body + SpoolFormat.bodyBytes)..<(body + SpoolFormat.bodyBytes + noteBytes)
    lines = notes.upperBound..<end
    let sum = SpoolFormat.checksum(stream, bytes.extracting(body..<end))
    guard UInt64(sum) == SpoolFormat.number(bytes, at + 4, 4) else { return nil }
  }
}

/// What is sound in the bytes of a segment.
struct SegmentScan: Equatable, Sendable {
  /// Frames without a hole between them: first seq, records, and the bytes of the frames.
  struct Run: Equatable, Sendable {
    var first: Int64
    var count: Int64
    var range: Range<Int>
    /// µs since 1970 of the first frame.
    var wall: Int64
  }
  var runs: [Run] = []
  /// The last value of every note.
  var notes: [String: [UInt8]] = [:]
  /// Everything but the end was sound, and what is behind the last frame is the beginning of one.
  var isTorn = false
  /// Something else than the end is damaged.
  var isDamaged = false

  init(_ bytes: Span<UInt8>, _ stream: StreamName, first: Int64) {
    var at = SpoolFormat.headerBytes
    var next = first
    isDamaged = bytes.count < at || SpoolFormat.copy(bytes, 0, at) != SpoolFormat.header(stream, first: first)
    // A header that was being written when the power went: nothing follows it.
    if bytes.count < at {
      (isDamaged, isTorn) = (false, true)
      return
    }
    while at < bytes.count {
      if let frame = FrameView(bytes, at: at, stream, firstAtLeast: next) {
        // After a damaged place the number may have jumped, elsewhere it can't have.
        take(frame, at: at)
        SpoolFormat.decodeNotes(bytes.extracting(frame.notes), into: &notes)
        (at, next) = (frame.end, frame.first + Int64(frame.count))
        continue
      }
      guard let sound = SegmentScan.nextSound(bytes, after: at, stream, next) else {
        isTorn = true
        return
      }
      isDamaged = true
      at = sound
    }
  }
  private mutating func take(_ frame: FrameView, at: Int) {
    if let last = runs.last, last.first + last.count == frame.first, last.range.upperBound == at {
      runs[runs.count - 1].count += Int64(frame.count)
      runs[runs.count - 1].range = last.range.lowerBound..<frame.end
    } else {
      if !runs.isEmpty { isDamaged = true }
      runs.append(Run(first: frame.first, count: Int64(frame.count), range: at..<frame.end, wall: frame.wall))
    }
  }
  private static func nextSound(_ bytes: Span<UInt8>, after at: Int, _ stream: StreamName, _ least: Int64) -> Int? {
    var candidate = at + 1
    while candidate < bytes.count {
      if FrameView(bytes, at: candidate, stream, firstAtLeast: least) != nil { return candidate }
      candidate += 1
    }
    return nil
  }
}
