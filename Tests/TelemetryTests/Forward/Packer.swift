// MessagePack and Forward messages, written for the tests.
@testable import Compression
@testable import Telemetry
@testable import TLS

/// What a client packs.
indirect enum Pack {
  case null
  case bool(Bool)
  case int(Int64)
  case double(Double)
  case text(String)
  case binary([UInt8])
  case list([Pack])
  case map([(Pack, Pack)])
  case ext(Int8, [UInt8])
  case raw([UInt8])

  var bytes: [UInt8] {
    switch self {
    case .null: return [0xc0]
    case .bool(let value): return [value ? 0xc3 : 0xc2]
    case .int(let value):
      if (0...127).contains(value) { return [UInt8(value)] }
      return [0xd3] + big(UInt64(bitPattern: value), 8)
    case .double(let value): return [0xcb] + big(value.bitPattern, 8)
    case .text(let text):
      let utf8 = Array(text.utf8)
      return (utf8.count < 32 ? [0xa0 | UInt8(utf8.count)] : [0xdb] + big(UInt64(utf8.count), 4)) + utf8
    case .binary(let data): return [0xc6] + big(UInt64(data.count), 4) + data
    case .list(let members):
      let head = members.count < 16 ? [0x90 | UInt8(members.count)] : [0xdd] + big(UInt64(members.count), 4)
      return head + members.flatMap(\.bytes)
    case .map(let members):
      let head = members.count < 16 ? [0x80 | UInt8(members.count)] : [0xdf] + big(UInt64(members.count), 4)
      return head + members.flatMap { $0.0.bytes + $0.1.bytes }
    case .ext(let type, let data):
      return [0xc7, UInt8(data.count), UInt8(bitPattern: type)] + data
    case .raw(let bytes): return bytes
    }
  }
  static func object(_ members: KeyValuePairs<String, Pack>) -> Pack { .map(members.map { (.text($0.key), $0.value) }) }
}

func big(_ value: UInt64, _ count: Int) -> [UInt8] {
  (0..<count).reversed().map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
}

/// Seconds since 1970 of `nine`.
let nineUnix: Int64 = 1_795_165_200

func eventTime(_ seconds: Int64 = nineUnix, nanoseconds: UInt64 = 123_456_789) -> Pack {
  .raw([0xd7, 0x00] + big(UInt64(seconds), 4) + big(nanoseconds, 4))
}
func line(_ message: String) -> Pack { .object(["message": .text(message)]) }
func entry(_ message: String) -> Pack { .list([eventTime(), line(message)]) }
func packed(_ messages: [String]) -> [UInt8] { messages.flatMap { entry($0).bytes } }
func option(_ chunk: String?, gzip: Bool = false, size: Int? = nil) -> Pack {
  var members: [(Pack, Pack)] = []
  if let chunk { members.append((.text("chunk"), .text(chunk))) }
  if gzip { members.append((.text("compressed"), .text("gzip"))) }
  if let size { members.append((.text("size"), .int(Int64(size)))) }
  return .map(members)
}

/// zlib itself, as the node uses it.
let realUnpack: Unpack = { bytes, limit in
  do throws(CompressionError) {
    return .bytes(try inflate(bytes, limit: limit))
  } catch {
    return .refused(error.description)
  }
}

func forwardSession(_ change: (inout DeliveryLimits) -> Void = { _ in }) -> ForwardSession {
  var limits = DeliveryLimits()
  change(&limits)
  return ForwardSession(peer: "192.0.2.7", limits: limits, unpack: realUnpack)
}

/// A message of one of the four modes, all with the same records.
func modes(_ chunk: String?, _ messages: [String]) -> [(name: String, bytes: [UInt8])] {
  let entries: Pack = .list(messages.map { entry($0) })
  let whole = packed(messages)
  let half = messages.count / 2
  let members = gzip(packed(Array(messages[..<half]))) + gzip(packed(Array(messages[half...])))
  return [
    ("Forward", Pack.list([.text("t"), entries, option(chunk)]).bytes),
    (
      "PackedForward as text",
      Pack.list([.text("t"), .raw([0xdb] + big(UInt64(whole.count), 4) + whole), option(chunk)]).bytes
    ),
    ("PackedForward", Pack.list([.text("t"), .binary(whole), option(chunk, size: messages.count)]).bytes),
    ("CompressedPackedForward", Pack.list([.text("t"), .binary(gzip(whole)), option(chunk, gzip: true)]).bytes),
    ("two members of gzip", Pack.list([.text("t"), .binary(members), option(chunk, gzip: true)]).bytes),
  ]
}

extension [DeliveryAction] {
  var deliveries: [Delivery] { compactMap { if case .deliver(_, let delivery) = $0 { delivery } else { nil } } }
  var closings: [String] { compactMap { if case .close(let reason) = $0 { reason } else { nil } } }
  var sent: [[UInt8]] { compactMap { if case .send(let bytes) = $0 { bytes } else { nil } } }
}
extension Record {
  var log: Log? { if case .log(let log) = body { log } else { nil } }
  var attributesText: String { log?.attributes.map { String(decoding: $0.bytes, as: UTF8.self) } ?? "" }
}
let stored = DeliveryOutcome.stored(isDuplicate: false, rejects: [])
