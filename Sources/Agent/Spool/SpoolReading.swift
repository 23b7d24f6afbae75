// What is sent next, as lines of the native protocol.
internal import Platform

/// Where the sender stands.
struct SpoolCursor: Equatable {
  var generation: Int
  /// The record to send next.
  var next: Int64
  /// Of the segment that is read, and where its next frame begins.
  var segment: Int64 = 0
  var offset = 0
  init(generation: Int, next: Int64) { (self.generation, self.next) = (generation, next) }
}

enum SpoolPiece: Equatable {
  /// Lines were added up to this seq.
  case lines(through: Int64)
  /// The records before this one are missing: the service has to hear of it before it takes the next.
  case hole(before: Int64)
  /// The generation has nothing more, ever.
  case end
  /// Nothing that may be sent now.
  case nothing
}

extension SpoolCore {
  /// The stream to begin with. An empty segment of an older one marks its lost end, which the service has to hear of.
  var oldest: (generation: Int, stream: StreamName, first: Int64) {
    let segment = segments.first { $0.count > 0 || $0.generation < active.generation } ?? active
    return (segment.generation, segment.stream, segment.first)
  }

  /// Adds the next frame's lines, up to seq `last`. Only what is durable is sent.
  mutating func read(
    _ cursor: inout SpoolCursor, upTo last: Int64, into lines: inout [UInt8], now: Int64
  ) throws(SystemError) -> SpoolPiece {
    var repairs = 0
    while true {
      let found = segments.firstIndex { $0.generation == cursor.generation && $0.next > cursor.next }
      guard let index = found else { return active.generation > cursor.generation ? .end : .nothing }
      let segment = segments[index]
      if segment.first > cursor.next { return .hole(before: segment.first) }
      let safe = durable.generation > segment.generation ? Int64.max : durable.seq
      let most = min(last, safe)
      if cursor.next > most { return .nothing }
      if cursor.segment != segment.first || cursor.offset == 0 {
        (cursor.segment, cursor.offset) = (segment.first, SpoolFormat.headerBytes)
      }
      let prefix = try segment.file.read(at: cursor.offset, count: SpoolFormat.prefixBytes)
      var length = 0
      if prefix.count == SpoolFormat.prefixBytes { length = Int(SpoolFormat.number(prefix.span, 0, 4)) }
      let left = segment.bytes - cursor.offset - SpoolFormat.prefixBytes
      var frame: FrameView?
      var bytes: [UInt8] = []
      if length > 0, length <= left, length <= SpoolFormat.greatestBody {
        bytes = try segment.file.read(at: cursor.offset, count: SpoolFormat.prefixBytes + length)
        frame = FrameView(bytes.span, at: 0, segment.stream, firstAtLeast: segment.first)
      }
      guard let frame, frame.first <= cursor.next else {
        repairs += 1
        // What was just written anew can't be read either: the disk is at fault, not the segment.
        if repairs > 3 { throw SystemError.damagedDisk }
        try damaged(index, now: now)
        cursor.offset = 0
        continue
      }
      if frame.first + Int64(frame.count) > cursor.next {
        cursor.next = number(bytes, frame, from: cursor.next, upTo: most, into: &lines)
        if cursor.generation == unsentFrom.generation { unsentFrom.seq = max(unsentFrom.seq, cursor.next) }
        if frame.first + Int64(frame.count) <= cursor.next { cursor.offset += frame.end }
        return .lines(through: cursor.next - 1)
      }
      cursor.offset += frame.end
    }
  }

  /// Puts the seq before each line; the seq behind the last one.
  private func number(
    _ bytes: [UInt8], _ frame: FrameView, from: Int64, upTo last: Int64, into lines: inout [UInt8]
  ) -> Int64 {
    var seq = frame.first
    var start = frame.lines.lowerBound
    while start < frame.lines.upperBound, seq <= last, let end = bytes[start...].firstIndex(of: 0x0a) {
      if seq >= from {
        lines += Array("{\"seq\":\(seq),".utf8)
        lines += bytes[(start + 1)...end]
      }
      seq += 1
      start = end + 1
    }
    return max(seq, from)
  }
}
