// Pairs of time and record, one after the other.

struct ForwardEntries {
  private(set) var records: [Record] = []
  /// An entry was no pair: what follows can't be trusted.
  private(set) var hasFault = false
  /// More of them are kept as one attribute, `record`: a member costs far more memory than its bytes.
  static let mostMembers = 1024
  private let origin: ForwardOrigin
  private let now: Int64

  init(origin: ForwardOrigin, now: Int64) {
    self.origin = ForwardOrigin(tag: origin.tag, host: Record.name(origin.host))
    self.now = now
  }

  /// `[time, record]`, or Fluent Bit's `[[time, metadata], record]`.
  mutating func add(_ reader: inout MessagePackReader) throws(MessagePackFault) {
    let entry = try reader.next()
    guard entry == .array(2) else {
      hasFault = true
      try reader.skipMembers(of: entry)
      return
    }
    let time = try reader.next()
    guard case .array(let count) = time else { return try add(time: time, &reader) }
    guard count == 2 else {
      hasFault = true
      try reader.skipMembers(of: time)
      _ = try reader.value()
      return
    }
    let inner = try reader.next()
    try reader.skipMembers(of: inner)
    let metadata = try reader.value().asObject
    try add(time: inner, metadata: metadata.flatMap { $0.isEmpty ? nil : $0 }, &reader)
  }

  /// The record behind a time. Anything is taken as a record, so that one odd one does not hold up its chunk for ever:
  /// what is no map becomes the message of a log line.
  mutating func add(
    time: MessagePackItem, metadata: JSONObject? = nil, _ reader: inout MessagePackReader
  ) throws(MessagePackFault) {
    try reader.skipMembers(of: time)
    var members = RecordMembers()
    let record = try reader.next()
    if case .map(let pairs) = record, pairs <= ForwardEntries.mostMembers {
      for _ in 0..<pairs { members.append(try reader.key(), try reader.value()) }
    } else if case .map = record {
      members.append("record", try reader.value(of: record))
    } else {
      members.append("message", .text(try reader.text(of: record)))
    }
    let found = ForwardEntries.microseconds(time, reader.bytes)
    if found == nil { members.append("time", .text("not readable")) }
    records.append(Record.fromForward(members, time: found ?? now, metadata: metadata, origin: origin))
  }

  /// µs since 2000 of whole seconds, EventTime (extension 0: seconds and nanoseconds, 32 bits each), or fractional
  /// seconds since 1970; nil for anything else. Times out of range are kept: they are refused with their record.
  static func microseconds(_ item: MessagePackItem, _ bytes: [UInt8]) -> Int64? {
    let most: Int64 = 400_000_000_000
    let (seconds, micros): (Int64, Int64)
    switch item {
    case .integer(let value): (seconds, micros) = (value, 0)
    case .large: (seconds, micros) = (most, 0)
    case .double(let value):
      guard value.isFinite else { return nil }
      let bounded = min(max(value, -4e11), 4e11)
      let whole = bounded.rounded(.down)
      (seconds, micros) = (Int64(whole), Int64(((bounded - whole) * 1e6).rounded(.down)))
    case .application(type: 0, let range):
      guard range.count == 8 else { return nil }
      var value: UInt64 = 0
      for byte in bytes[range] { value = value << 8 | UInt64(byte) }
      let nanoseconds = value & 0xffff_ffff
      guard nanoseconds < 1_000_000_000 else { return nil }
      (seconds, micros) = (Int64(value >> 32), Int64(nanoseconds / 1000))
    case .null, .bool, .text, .binary, .array, .map, .application: return nil
    }
    return (min(max(seconds, -most), most) - 946_684_800) * 1_000_000 + micros
  }
}
