// The text of a JSON object that PostgreSQL's jsonb takes, built member by member.

/// Valid JSON by construction: keys and texts are escaped, U+0000 (which jsonb can't store) becomes U+FFFD.
public struct JSONObject: Equatable, Sendable {
  /// Without the closing brace.
  private var open: [UInt8] = [UInt8(ascii: "{")]
  public init() {}

  public var isEmpty: Bool { open.count == 1 }
  /// With both braces.
  public var bytes: [UInt8] { open + [UInt8(ascii: "}")] }
  /// Bytes so far.
  public var count: Int { open.count + 1 }

  public mutating func add(_ key: String, _ value: String) {
    addKey(key)
    JSONObject.append(quoted: value, to: &open)
  }
  public mutating func add(_ key: String, _ value: Int64) {
    addKey(key)
    open += Array(String(value).utf8)
  }
  /// Infinities and NaN, which JSON has no numbers for, become texts.
  public mutating func add(_ key: String, _ value: Double) {
    addKey(key)
    if value.isFinite { open += Array("\(value)".utf8) } else { JSONObject.append(quoted: "\(value)", to: &open) }
  }
  public mutating func add(_ key: String, _ value: Bool) {
    addKey(key)
    open += Array((value ? "true" : "false").utf8)
  }
  public mutating func add(_ key: String, _ value: JSONObject) {
    addKey(key)
    open += value.bytes
  }
  /// A value that is valid JSON already, and free of `\u0000` and lone surrogates: the caller has checked it.
  public mutating func add(_ key: String, checked value: [UInt8]) {
    addKey(key)
    open += value
  }

  private mutating func addKey(_ key: String) {
    if !isEmpty { open.append(UInt8(ascii: ",")) }
    JSONObject.append(quoted: key, to: &open)
    open.append(UInt8(ascii: ":"))
  }

  /// Appends `text` in quotes.
  public static func append(quoted text: String, to bytes: inout [UInt8]) {
    bytes.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
      case 0: bytes += [0xef, 0xbf, 0xbd]
      case 0x0a: bytes += Array("\\n".utf8)
      case 0x0d: bytes += Array("\\r".utf8)
      case 0x09: bytes += Array("\\t".utf8)
      case 1..<0x20: bytes += Array("\\u00".utf8) + [hexDigit(byte >> 4), hexDigit(byte & 15)]
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }
  private static func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 48 + value : 87 + value }
}
