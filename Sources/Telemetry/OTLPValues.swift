// The values of OTLP (opentelemetry.proto.common.v1) as texts and JSON: AnyValue, KeyValue, names, identifiers.

/// One of the values that AnyValue can hold; the last one on the wire counts.
enum OTLPValue: Equatable {
  case none
  case string(Range<Int>)
  case bool(Bool)
  case int(Int64)
  case double(Double)
  case array(Range<Int>)
  case members(Range<Int>)
  case bytes(Range<Int>)
}

/// Levels of arrays and key-value lists inside of each other.
private let greatestDepth = 32
/// What a name of ours can have.
private let greatestName = 200

extension OTLPDecoder {
  /// A string field: valid UTF-8, with U+FFFD for each U+0000, which PostgreSQL can't store.
  func text(_ range: Range<Int>) throws(WireFault) -> String {
    guard let text = String(validating: bytes[range], as: UTF8.self) else {
      throw WireFault(.notUTF8, range.lowerBound)
    }
    if !text.utf8.contains(0) { return text }
    return String(String.UnicodeScalarView(text.unicodeScalars.map { $0 == "\0" ? "\u{fffd}" : $0 }))
  }

  func value(_ range: Range<Int>) throws(WireFault) -> OTLPValue {
    var cursor = WireCursor(range)
    var value = OTLPValue.none
    while let field = try cursor.next(in: bytes) {
      switch (field.number, field.value) {
      case (1, .bytes(let range)): value = .string(range)
      case (2, .varint(let number)): value = .bool(number != 0)
      case (3, .varint(let number)): value = .int(Int64(bitPattern: number))
      case (4, .fixed64(let bits)): value = .double(Double(bitPattern: bits))
      case (5, .bytes(let range)): value = .array(range)
      case (6, .bytes(let range)): value = .members(range)
      case (7, .bytes(let range)): value = .bytes(range)
      default: break
      }
    }
    return value
  }

  /// Key and value of a KeyValue.
  func member(_ range: Range<Int>) throws(WireFault) -> (key: String, value: OTLPValue) {
    var cursor = WireCursor(range)
    var key = ""
    var found = OTLPValue.none
    while let field = try cursor.next(in: bytes) {
      switch (field.number, field.value) {
      case (1, .bytes(let range)): key = try text(range)
      case (2, .bytes(let range)): found = try value(range)
      default: break
      }
    }
    return (key, found)
  }

  /// Adds a KeyValue; a key that is one of ours gets "attributes." in front.
  func add(member range: Range<Int>, to object: inout JSONObject, ours: [String] = []) throws(WireFault) {
    let (key, value) = try member(range)
    object.add(ours.contains(key) ? "attributes." + key : key, checked: try json(value))
  }

  func json(_ value: OTLPValue) throws(WireFault) -> [UInt8] {
    var out: [UInt8] = []
    try appendJSON(value, depth: 0, to: &out)
    return out
  }
  private func appendJSON(_ value: OTLPValue, depth: Int, to out: inout [UInt8]) throws(WireFault) {
    switch value {
    case .none: out += Array("null".utf8)
    case .string(let range): JSONObject.append(quoted: try text(range), to: &out)
    case .bool(let flag): out += Array((flag ? "true" : "false").utf8)
    case .int(let number): out += Array(String(number).utf8)
    case .double(let number):
      if number.isFinite { out += Array("\(number)".utf8) } else { JSONObject.append(quoted: "\(number)", to: &out) }
    case .bytes(let range): JSONObject.append(quoted: OTLPDecoder.base64(bytes[range]), to: &out)
    case .array(let range):
      if depth >= greatestDepth { throw WireFault(.tooDeep, range.lowerBound) }
      out.append(UInt8(ascii: "["))
      var cursor = WireCursor(range)
      var isFirst = true
      while let field = try cursor.next(in: bytes) {
        guard field.number == 1, let element = field.range else { continue }
        if !isFirst { out.append(UInt8(ascii: ",")) }
        isFirst = false
        try appendJSON(try self.value(element), depth: depth + 1, to: &out)
      }
      out.append(UInt8(ascii: "]"))
    case .members(let range):
      if depth >= greatestDepth { throw WireFault(.tooDeep, range.lowerBound) }
      out.append(UInt8(ascii: "{"))
      var cursor = WireCursor(range)
      var isFirst = true
      while let field = try cursor.next(in: bytes) {
        guard field.number == 1, let element = field.range else { continue }
        if !isFirst { out.append(UInt8(ascii: ",")) }
        isFirst = false
        let (key, value) = try member(element)
        JSONObject.append(quoted: key, to: &out)
        out.append(UInt8(ascii: ":"))
        try appendJSON(value, depth: depth + 1, to: &out)
      }
      out.append(UInt8(ascii: "}"))
    }
  }

  /// A value as the text of a message: strings as they are, everything else as in JSON, bytes in base64.
  func plainText(_ value: OTLPValue) throws(WireFault) -> String {
    switch value {
    case .none: ""
    case .string(let range): try text(range)
    case .bytes(let range): OTLPDecoder.base64(bytes[range])
    case .double(let number): "\(number)"
    case .bool, .int, .array, .members: String(decoding: try json(value), as: UTF8.self)
    }
  }

  /// 16 bytes that are not all zero; anything else is no trace (W3C Trace Context, 3.2.2.3).
  func trace(_ range: Range<Int>) -> TraceID? {
    guard range.count == 16 else { return nil }
    let id = TraceID(high: bigEndian(range.lowerBound), low: bigEndian(range.lowerBound + 8))
    return id.high | id.low == 0 ? nil : id
  }
  func span(_ range: Range<Int>) -> UInt64? {
    guard range.count == 8 else { return nil }
    let id = bigEndian(range.lowerBound)
    return id == 0 ? nil : id
  }
  private func bigEndian(_ at: Int) -> UInt64 { bytes[at..<at + 8].reduce(0) { $0 << 8 | UInt64($1) } }

  /// What is stored as a name in place of `text`: without control characters, at most 200 bytes of whole characters.
  static func name(_ text: String) -> String {
    if text.utf8.count <= greatestName && !text.utf8.contains(where: \.isControl) { return text }
    var name = String.UnicodeScalarView()
    var count = 0
    for scalar in text.unicodeScalars where scalar.properties.generalCategory != .control {
      count += UTF8.width(scalar)
      if count > greatestName { break }
      name.append(scalar)
    }
    return String(name)
  }

  static func hex(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
  }
  /// RFC 4648, section 4.
  static func base64(_ bytes: ArraySlice<UInt8>) -> String {
    let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
    var out: [UInt8] = []
    out.reserveCapacity((bytes.count + 2) / 3 * 4)
    var at = bytes.startIndex
    while at < bytes.endIndex {
      let group = bytes[at..<min(at + 3, bytes.endIndex)]
      var bits = group.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      bits <<= UInt32(8 * (3 - group.count))
      for i in 0..<4 {
        out.append(i <= group.count ? alphabet[Int(bits >> UInt32(18 - 6 * i) & 63)] : UInt8(ascii: "="))
      }
      at += 3
    }
    return String(decoding: out, as: UTF8.self)
  }
}

extension UTF8 {
  fileprivate static func width(_ scalar: Unicode.Scalar) -> Int {
    scalar.value < 0x80 ? 1 : scalar.value < 0x800 ? 2 : scalar.value < 0x1_0000 ? 3 : 4
  }
}
