// Values of MessagePack as JSON: what a record's attributes keep of them.

/// A member of a record.
enum MessagePackValue: Equatable {
  case null
  case bool(Bool)
  case whole(Int64)
  case double(Double)
  case text(String)
  case object(JSONObject)
  /// An array, as JSON.
  case list([UInt8])

  /// In an object of attributes.
  func add(_ key: String, to object: inout JSONObject) {
    switch self {
    case .null: object.add(key, checked: Array("null".utf8))
    case .bool(let value): object.add(key, value)
    case .whole(let value): object.add(key, value)
    case .double(let value): object.add(key, value)
    case .text(let value): object.add(key, value)
    case .object(let value): object.add(key, value)
    case .list(let json): object.add(key, checked: json)
    }
  }
}

extension MessagePackReader {
  /// Deeper values are replaced by a text that says so: PostgreSQL takes more, people don't.
  static let greatestDepth = 32
  private static let tooDeep = "nested too deeply"

  /// The next value, whole.
  mutating func value(depth: Int = 0) throws(MessagePackFault) -> MessagePackValue {
    try value(of: try next(), depth: depth)
  }
  /// What is no map, as text.
  mutating func text(of item: MessagePackItem) throws(MessagePackFault) -> String {
    let value = try self.value(of: item)
    if case .text(let text) = value { return text }
    var json: [UInt8] = []
    MessagePackReader.append(value, to: &json)
    return String(decoding: json, as: UTF8.self)
  }
  mutating func value(of item: MessagePackItem, depth: Int = 0) throws(MessagePackFault) -> MessagePackValue {
    switch item {
    case .null: return .null
    case .bool(let value): return .bool(value)
    case .integer(let value): return .whole(value)
    // JSON has one kind of number: exact where a double is, else as digits in a text.
    case .large(let value): return .text(String(value))
    case .double(let value): return .double(value)
    case .text(let range): return .text(text(range))
    case .binary(let range): return .text(binaryText(range))
    case .application(let type, let range): return .text("ext \(type): \(base64(bytes[range]))")
    case .array(let count):
      guard depth < MessagePackReader.greatestDepth else { break }
      var json: [UInt8] = [UInt8(ascii: "[")]
      for index in 0..<count {
        if index > 0 { json.append(UInt8(ascii: ",")) }
        MessagePackReader.append(try value(depth: depth + 1), to: &json)
      }
      json.append(UInt8(ascii: "]"))
      return .list(json)
    case .map(let pairs):
      guard depth < MessagePackReader.greatestDepth else { break }
      var object = JSONObject()
      for _ in 0..<pairs {
        let key = try self.key()
        try value(depth: depth + 1).add(key, to: &object)
      }
      return .object(object)
    }
    try skipMembers(of: item)
    return .text(MessagePackReader.tooDeep)
  }

  /// A key of a map; JSON has texts alone.
  mutating func key() throws(MessagePackFault) -> String {
    let item = try next()
    switch item {
    case .null: return "null"
    case .bool(let value): return "\(value)"
    case .integer(let value): return "\(value)"
    case .large(let value): return "\(value)"
    case .double(let value): return "\(value)"
    case .text(let range): return text(range)
    case .binary(let range): return binaryText(range)
    case .application(let type, let range): return "ext \(type): \(base64(bytes[range]))"
    case .array, .map:
      try skipMembers(of: item)
      return "?"
    }
  }

  /// UTF-8 as it is, else base64.
  private func binaryText(_ range: Range<Int>) -> String {
    String(validating: bytes[range], as: UTF8.self) ?? base64(bytes[range])
  }

  private static func append(_ value: MessagePackValue, to json: inout [UInt8]) {
    switch value {
    case .null: json += Array("null".utf8)
    case .bool(let value): json += Array((value ? "true" : "false").utf8)
    case .whole(let value): json += Array(String(value).utf8)
    case .double(let value):
      if value.isFinite { json += Array("\(value)".utf8) } else { JSONObject.append(quoted: "\(value)", to: &json) }
    case .text(let text): JSONObject.append(quoted: text, to: &json)
    case .object(let object): json += object.bytes
    case .list(let list): json += list
    }
  }
}

/// RFC 4648, section 4, with padding.
func base64(_ bytes: some Collection<UInt8>) -> String {
  let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  var text: [UInt8] = []
  var rest = Array(bytes)[...]
  while !rest.isEmpty {
    let group = rest.prefix(3)
    rest = rest.dropFirst(3)
    var bits = 0
    for byte in group { bits = bits << 8 | Int(byte) }
    bits <<= (3 - group.count) * 8
    for place in 0..<4 {
      text.append(place <= group.count ? digits[bits >> (18 - 6 * place) & 63] : UInt8(ascii: "="))
    }
  }
  return String(decoding: text, as: UTF8.self)
}
