// One message of the Forward protocol (Fluentd's wiki, "Forward Protocol Specification v1", and 1.5 for metadata) to the
// records it carries.
//
//   Message                   [tag, time, record, option?]
//   Forward                   [tag, [[time, record], ...], option?]
//   PackedForward             [tag, bytes of [time, record] one after the other, option?]
//   CompressedPackedForward   the same, its bytes as gzip and {"compressed": "gzip"} in the option

/// What compressed bytes hold, or why they can't be had.
public enum Unpacked: Equatable, Sendable {
  case bytes([UInt8])
  case refused(String)
}
/// Unpacks all of gzip or zlib bytes (several gzip members one after the other included), at most to a limit.
public typealias Unpack = @Sendable (_ bytes: [UInt8], _ limit: Int) -> Unpacked

/// Why a message is not taken; closes its connection, and nothing of it is stored.
struct ForwardFault: Error, Equatable {
  var reason: String
  init(_ reason: String) { self.reason = reason }
}

struct ForwardMessage: Equatable {
  var tag: String
  var records: [Record]
  /// To be answered when everything is stored.
  var chunk: String?
  /// Of the entries' bytes, unpacked: tells messages apart that a client calls by the same chunk.
  var digest: Int64

  /// A message may become two deliveries of the greatest size: what came packed is dense.
  private static func mostRecords(_ limits: DeliveryLimits) -> Int { limits.records * 2 }
  private static let tooMany = ForwardFault("too many records in a message")
  private static let noPair = ForwardFault("an entry that is no pair of time and record")
  static let mostTagBytes = 1024
  /// Base64 of 128 bits where the specification is followed.
  static let mostChunkBytes = 128

  /// `host` and `now` are for records without a host or a time that can be read.
  init(
    _ bytes: [UInt8], _ range: Range<Int>, host: String, now: Int64, limits: DeliveryLimits, unpack: Unpack
  ) throws(ForwardFault) {
    self = try ForwardMessage.decode(
      MessagePackReader(bytes, range), host: host, now: now, limits: limits, unpack: unpack)
  }
  private init(tag: String, records: [Record], chunk: String?, digest: Int64) {
    (self.tag, self.records, self.chunk, self.digest) = (tag, records, chunk, digest)
  }

  /// What the last element says.
  private struct Option: Equatable {
    var chunk: String?
    var compressed = "text"
    /// Fluent Bit's kind of telemetry: 0 is logs.
    var signal: Int64 = 0
  }

  private static func decode(
    _ reader: MessagePackReader, host: String, now: Int64, limits: DeliveryLimits, unpack: Unpack
  ) throws(ForwardFault) -> ForwardMessage {
    var reader = reader
    guard case .array(let count) = try next(&reader), (2...4).contains(count) else {
      throw ForwardFault("no message of the Forward protocol")
    }
    let tag: String
    switch try next(&reader) {
    case .text(let range), .binary(let range):
      guard range.count <= mostTagBytes else { throw ForwardFault("the tag is too long") }
      tag = reader.text(range)
    case .null, .bool, .integer, .large, .double, .array, .map, .application:
      throw ForwardFault("the tag is no text")
    }
    var entries = ForwardEntries(origin: ForwardOrigin(tag: tag, host: host), now: now)
    let start = reader.at
    let body = try next(&reader)
    let option: Option
    let digest: Int64
    switch body {
    case .array(let number):
      let first = reader.at
      guard count <= 3 else { throw ForwardFault("too many elements in a message") }
      guard number <= mostRecords(limits) else { throw tooMany }
      for _ in 0..<number where !entries.hasFault {
        try fault { () throws(MessagePackFault) in try entries.add(&reader) }
      }
      if entries.hasFault { throw noPair }
      digest = NameHash.id(of: reader.bytes[first..<reader.at])
      option = try self.option(&reader, isThere: count == 3)
    case .text(let range), .binary(let range):
      guard count <= 3 else { throw ForwardFault("too many elements in a message") }
      option = try self.option(&reader, isThere: count == 3)
      digest = try unpacked(reader.bytes, range, option, limits, unpack, &entries)
    case .null, .bool, .integer, .large, .double, .map, .application:
      guard count >= 3 else { throw ForwardFault("a message without a record") }
      try fault { () throws(MessagePackFault) in try entries.add(time: body, &reader) }
      digest = NameHash.id(of: reader.bytes[start..<reader.at])
      option = try self.option(&reader, isThere: count == 4)
    }
    if option.signal != 0 { throw ForwardFault("metrics and traces of Fluent Bit are not taken here") }
    return ForwardMessage(tag: tag, records: entries.records, chunk: option.chunk, digest: digest)
  }

  /// Answers the digest of the entries.
  private static func unpacked(
    _ bytes: [UInt8], _ range: Range<Int>, _ option: Option, _ limits: DeliveryLimits, _ unpack: Unpack,
    _ entries: inout ForwardEntries
  ) throws(ForwardFault) -> Int64 {
    var packed = MessagePackReader(bytes, range)
    switch option.compressed {
    case "text": break
    case "gzip":
      switch unpack(Array(bytes[range]), limits.inflatedBytes(ofPacked: range.count)) {
      case .bytes(let inflated): packed = MessagePackReader(inflated)
      case .refused(let reason): throw ForwardFault("gzip: \(reason)")
      }
    default: throw ForwardFault("compressed by something else than gzip")
    }
    let digest = NameHash.id(of: packed.bytes[packed.at..<packed.end])
    while !packed.isAtEnd {
      try fault { () throws(MessagePackFault) in try entries.add(&packed) }
      if entries.hasFault { throw noPair }
      guard entries.records.count <= mostRecords(limits) else { throw tooMany }
    }
    return digest
  }

  private static func option(_ reader: inout MessagePackReader, isThere: Bool) throws(ForwardFault) -> Option {
    var option = Option()
    guard isThere else { return option }
    let item = try next(&reader)
    guard case .map(let pairs) = item else {
      if item == .null { return option }
      throw ForwardFault("the option is no map")
    }
    for _ in 0..<pairs {
      let (key, value) = try pair(&reader)
      switch key {
      case "chunk" where value != .null:
        guard case .text(let chunk) = value, (1...mostChunkBytes).contains(chunk.utf8.count) else {
          throw ForwardFault("the chunk is no text of 1 to \(mostChunkBytes) bytes")
        }
        option.chunk = chunk
      case "compressed" where value != .null:
        guard case .text(let name) = value else { throw ForwardFault("compressed is no text") }
        option.compressed = name
      case "fluent_signal": option.signal = value.asWhole ?? -1
      default: break  // `size` counts the entries, for those who don't unpack them; others are not ours
      }
    }
    return option
  }

  // MARK: the one fault of MessagePack in words

  private static func next(_ reader: inout MessagePackReader) throws(ForwardFault) -> MessagePackItem {
    do throws(MessagePackFault) { return try reader.next() } catch { throw ForwardFault(error) }
  }
  private static func pair(_ reader: inout MessagePackReader) throws(ForwardFault) -> (String, MessagePackValue) {
    do throws(MessagePackFault) { return (try reader.key(), try reader.value()) } catch { throw ForwardFault(error) }
  }
  private static func fault(_ body: () throws(MessagePackFault) -> Void) throws(ForwardFault) {
    do throws(MessagePackFault) { try body() } catch { throw ForwardFault(error) }
  }
}

extension ForwardFault {
  init(_ fault: MessagePackFault) {
    switch fault {
    case .cutOff: reason = "not MessagePack: more is announced than there is"
    case .neverUsed: reason = "not MessagePack: a byte 0xc1"
    }
  }
}
