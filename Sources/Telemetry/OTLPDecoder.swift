// OTLP requests (opentelemetry-proto 1.x, logs, metrics and traces) to records: the way down to single items.
//
// A request in JSON is first turned into the same request in Protocol Buffers (OTLPJSON.swift), so that both encodings
// give the same records. Resources and scopes are read before their items, wherever they stand in their message.

public enum OTLPSignal: String, Equatable, Sendable, CaseIterable {
  case logs, metrics, traces
}

public enum OTLPEncoding: Equatable, Sendable, CaseIterable {
  case protobuf, json

  /// By the media type, whatever its parameters; nil for others.
  public init?(contentType: String) {
    let type = contentType.prefix { $0 != ";" }.filter { $0 != " " && $0 != "\t" }.lowercased()
    switch type {
    case "application/x-protobuf", "application/protobuf": self = .protobuf
    case "application/json": self = .json
    default: return nil
    }
  }
  public var contentType: String {
    switch self {
    case .protobuf: "application/x-protobuf"
    case .json: "application/json"
    }
  }
}

/// Bounds of what one request becomes. Attributes of a resource are repeated in each of its records, so that a small
/// body could become a large delivery.
public struct OTLPLimits: Equatable, Sendable {
  public var records = 65_536
  /// Of names, messages and attributes, and 256 for each record.
  public var bytes = 32 << 20
  /// Of one histogram's data point: one with more is refused.
  public var buckets = 1024
  /// After which a message is cut.
  public var messageBytes = 65_536
  public init() {}
}

/// Why a whole request is refused.
public enum OTLPFault: Error, Equatable, Sendable {
  case wire(WireFault)
  case json(FaultKind, byte: Int)
  /// More than the limits allow: a smaller one could be taken.
  case tooMuch

  public var text: String {
    switch self {
    case .wire(let fault): "not a message of OTLP: \(fault.text) (byte \(fault.byte))"
    case .json(let kind, let byte): "not a message of OTLP in JSON: \(kind.text) (byte \(byte))"
    case .tooMuch: "the request holds too many records, or too many attributes; send smaller ones"
    }
  }
}

/// What a request says.
public struct OTLPDecoded: Equatable, Sendable {
  public var records: [Record] = []
  /// Of each record the item (log record, data point, span) that it came from, from 0; a histogram becomes many records.
  public var items: [Int] = []
  /// Items that can't be records, with the bytes of each (in Protocol Buffers), and which items those are.
  public var faults: [DeliveryFault] = []
  public var faultItems: [Int] = []
  /// Every record bears a time of its own: the same bytes again are the same records again.
  public var isTimed = true

  /// How many items are refused altogether, and the first reason. `rejects` count faults behind the records.
  public func refused(with rejects: [DeliveryReject]) -> (count: Int, reason: String?) {
    var refused = Set(faultItems)
    for reject in rejects where items.indices.contains(reject.index) { refused.insert(items[reject.index]) }
    return (refused.count, faults.first?.reason ?? rejects.first?.reason)
  }
}

/// Decodes one request.
public struct OTLPDecoder {
  let bytes: [UInt8]
  let limits: OTLPLimits
  let now: Int64
  private let signal: OTLPSignal
  private let client: String
  private var decoded = OTLPDecoded()
  private var item = 0
  private var spent = 0
  /// Bytes of a refused item that are kept.
  private static let keptOfFault = 4096
  /// Of the resource and the scope whose items are being read.
  private(set) var resource = Resource()
  private(set) var scope = JSONObject()

  struct Resource {
    var host = ""
    var app = ""
    /// Attributes that are neither the host's name nor the application's.
    var attributes = JSONObject()
    /// The same without what tells about the sender's library: what the labels of metrics get.
    var labels = JSONObject()
  }

  /// `client` is the sender's address: the host of resources that name none. `now`: µs since 2000-01-01 UTC.
  public static func decode(
    _ body: [UInt8], _ signal: OTLPSignal, _ encoding: OTLPEncoding, client: String, now: Int64,
    limits: OTLPLimits = OTLPLimits()
  ) throws(OTLPFault) -> OTLPDecoded {
    let bytes: [UInt8]
    switch encoding {
    case .protobuf: bytes = body
    case .json: bytes = try OTLPJSON.wireBytes(of: body, signal, most: limits.bytes)
    }
    var decoder = OTLPDecoder(bytes, signal, client: client, now: now, limits: limits)
    try decoder.decodeRequest()
    return decoder.decoded
  }

  private init(_ bytes: [UInt8], _ signal: OTLPSignal, client: String, now: Int64, limits: OTLPLimits) {
    (self.bytes, self.signal, self.client, self.now, self.limits) = (bytes, signal, client, now, limits)
  }

  // MARK: the way down; field numbers are the same for the three signals

  private mutating func decodeRequest() throws(OTLPFault) {
    var resources = WireCursor(0..<bytes.count)
    while let range = try next(1, &resources) { try decodeResource(range) }
  }
  private mutating func decodeResource(_ range: Range<Int>) throws(OTLPFault) {
    resource = Resource()
    var resources = WireCursor(range)
    while let part = try next(1, &resources) {
      var attributes = WireCursor(part)
      while let attribute = try next(1, &attributes) {
        do throws(WireFault) { try readResourceAttribute(attribute) } catch { throw .wire(error) }
      }
    }
    if resource.app.isEmpty { resource.app = "unknown_service" }
    if resource.host.isEmpty { resource.host = OTLPDecoder.name(client) }
    var scopes = WireCursor(range)
    while let part = try next(2, &scopes) { try decodeScope(part) }
  }
  private mutating func readResourceAttribute(_ range: Range<Int>) throws(WireFault) {
    let (key, value) = try member(range)
    if key == "host.name" || key == "service.name", case .string(let range) = value {
      let text = try text(range)
      let name = OTLPDecoder.name(text)
      if key == "host.name" { resource.host = name } else { resource.app = name }
      // What was not stored as it is stays readable.
      if name == text { return }
    }
    let json = try json(value)
    resource.attributes.add(key, checked: json)
    if !key.hasPrefix("telemetry.") { resource.labels.add(key, checked: json) }
  }
  private mutating func decodeScope(_ range: Range<Int>) throws(OTLPFault) {
    scope = JSONObject()
    var scopes = WireCursor(range)
    while let part = try next(1, &scopes) {
      do throws(WireFault) { try readScope(part) } catch { throw .wire(error) }
    }
    var items = WireCursor(range)
    while let part = try next(2, &items) {
      switch signal {
      case .logs: try decodeLog(part)
      case .metrics: try decodeMetric(part)
      case .traces: try decodeSpan(part)
      }
    }
  }
  private mutating func readScope(_ range: Range<Int>) throws(WireFault) {
    var cursor = WireCursor(range)
    while let field = try cursor.next(in: bytes) {
      switch (field.number, field.value) {
      case (1, .bytes(let range)) where !range.isEmpty: scope.add("name", try text(range))
      case (2, .bytes(let range)) where !range.isEmpty: scope.add("version", try text(range))
      case (3, .bytes(let range)): try add(member: range, to: &scope, ours: ["name", "version"])
      default: break
      }
    }
  }

  /// Where the next field with this number is, or nil. All fields of the message are walked, and so checked; no list is
  /// made of them, as a message of millions of empty ones is small.
  func next(_ number: UInt32, _ cursor: inout WireCursor) throws(OTLPFault) -> Range<Int>? {
    do throws(WireFault) {
      while let field = try cursor.next(in: bytes) {
        if field.number == number, let range = field.range { return range }
      }
    } catch {
      throw .wire(error)
    }
    return nil
  }

  // MARK: what the readers of items tell

  mutating func beginItem() { item += 1 }
  /// Adds a record of the item begun last. A time of 0 is none (the record came without).
  mutating func add(_ body: Record.Body, nanoseconds: UInt64, size: Int) throws(OTLPFault) {
    spent += 256 + size
    if decoded.items.count + decoded.faults.count >= limits.records || spent > limits.bytes { throw .tooMuch }
    if nanoseconds == 0 { decoded.isTimed = false }
    let time = nanoseconds == 0 ? now : OTLPDecoder.microseconds(nanoseconds)
    decoded.records.append(Record(time: time, host: resource.host, app: resource.app, body))
    decoded.items.append(item - 1)
  }
  /// Refuses the item begun last, whose bytes are `range`.
  mutating func refuse(_ reason: String, _ range: Range<Int>) throws(OTLPFault) {
    let raw = Array(bytes[range].prefix(OTLPDecoder.keptOfFault))
    spent += 256 + raw.count + reason.utf8.count
    if decoded.items.count + decoded.faults.count >= limits.records || spent > limits.bytes { throw .tooMuch }
    decoded.faults.append(DeliveryFault(reason: reason, raw: raw))
    decoded.faultItems.append(item - 1)
  }
  /// From the sender's count, ns since 1970, to ours.
  static func microseconds(_ nanoseconds: UInt64) -> Int64 { Int64(nanoseconds / 1000) - 946_684_800_000_000 }
}
