// What our own programs wrote and may come back damaged, and what the kernel and the LAN say.
@testable import Agent
@testable import Election
@testable import Platform

private let stream: StreamName? = StreamName(bytes: Array(1...16))

extension FuzzedDecoders {
  /// A beat has one encoding.
  static let beat = FuzzedDecoder(name: "beat", longest: 128, words: ["SWB1", "main", "node-a"]) {
    bytes throws(Broken) in
    let beat: PeerBeat
    do throws(BeatFault) { beat = try PeerBeat(decoding: bytes) } catch { return }
    try hold(beat.encoded() == bytes, "\(beat) is encoded as \(beat.encoded())")
  }

  /// Any bytes behind a header: whatever is found is sound, in order and within the bytes.
  static let spool = FuzzedDecoder(name: "spool", words: ["SWSPOOL1", "SWINDEX1"]) { bytes throws(Broken) in
    guard let stream else { return }
    for data in [bytes, SpoolFormat.header(stream, first: 5) + bytes] {
      let scan = try Meter.bounded(data.count, each: 64) { SegmentScan(data.span, stream, first: 5) }
      try holdScan(scan, data)
    }
    guard let index = SpoolIndex(bytes) else { return }
    guard let again = SpoolIndex(index.encoded) else { throw Broken("an index can't be read again") }
    try hold(again == index, "\(again) is not \(index)")
  }
  private static func holdScan(_ scan: SegmentScan, _ data: [UInt8]) throws(Broken) {
    var (next, end) = (Int64(5), SpoolFormat.headerBytes)
    for run in scan.runs {
      try hold(run.first >= next && run.count >= 0, "a run begins at \(run.first) where \(next) is the least")
      try hold(run.range.lowerBound >= end && run.range.upperBound <= data.count, "a run lies at \(run.range)")
      (next, end) = (run.first + run.count, run.range.upperBound)
    }
  }

  /// The input says which frames are written and what of them is damaged: what is sound comes back, and nothing else.
  static let spoolFrames = FuzzedDecoder(name: "spool-frames", longest: 512) { bytes throws(Broken) in
    guard let stream, bytes.count >= 4 else { return }
    var (file, frames) = (SpoolFormat.header(stream, first: 5), [(range: Range<Int>, first: Int64, count: Int64)]())
    var (notes, next): ([String: [UInt8]], Int64) = ([:], 5)
    var rest = bytes.dropFirst(4)
    while let head = rest.popFirst() {
      let lines = Array(rest.prefix(Int(head & 31)))
      rest = rest.dropFirst(lines.count)
      let note = head & 32 == 0 ? [:] : ["k\(head >> 6)": lines]
      let start = file.count
      let count = Int(head >> 6)
      file += SpoolFormat.frame(
        stream, first: next, at: 1, count: count, notes: SpoolFormat.encode(note), lines: lines + [0x0a])
      frames.append((start..<file.count, next, Int64(count)))
      next += Int64(count)
      notes.merge(note) { $1 }
    }
    let whole = SegmentScan(file.span, stream, first: 5)
    try hold(!whole.isDamaged && !whole.isTorn && whole.notes == notes, "sound frames are \(whole)")
    try hold(whole.runs.reduce(0) { $0 + $1.count } == next - 5, "\(next - 5) records are \(whole.runs)")
    // Cut off, or a byte turned over.
    let at = (Int(bytes[0]) << 8 | Int(bytes[1])) % file.count
    if bytes[2] & 1 == 0 { file.removeSubrange(at...) } else { file[at] ^= bytes[3] | 1 }
    let scan = SegmentScan(file.span, stream, first: 5)
    try holdScan(scan, file)
    let sound = frames.filter { $0.range.upperBound <= file.count && !(file.count > at && $0.range.contains(at)) }
    if file.count < SpoolFormat.headerBytes { return }
    let kept = scan.runs.reduce(0) { $0 + $1.count }
    let expected = sound.reduce(0) { $0 + $1.count }
    try hold(kept == expected, "of \(expected) sound records \(kept) are found: \(scan)")
  }

  static let netlink = FuzzedDecoder(name: "netlink", longest: 512) { bytes throws(Broken) in
    let messages = try Meter.bounded(bytes.count, each: 64) { NetlinkMessage.all(in: bytes[...]) }
    for message in messages {
      try hold(message.payload.count <= bytes.count, "a message is longer than its datagram")
      _ = (message.errorCode, message.link)
      guard let entry = message.address, let valid = entry.validSeconds, valid != .max else { continue }
      let body = NetlinkMessage.addressBody(entry)
      let request = NetlinkMessage.request(type: message.type, flags: 0, sequence: 1, body: body)
      let again = NetlinkMessage.all(in: request[...]).first?.address
      try hold(again == entry, "\(entry) is printed as \(String(describing: again))")
    }
    for text in ["192.0.2.1", "2001:db8::1"] {
      guard let address = IPAddress(text) else { throw Broken("\(text) is no address") }
      _ = LanFrame.claimant(in: bytes, of: address)
    }
  }
}
