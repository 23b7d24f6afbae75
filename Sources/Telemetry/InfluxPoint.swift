// One line of the Influx line protocol as a point. The grammar is the one of InfluxDB's reference, "Line protocol".

/// Units of the timestamps of a body.
public enum InfluxPrecision: Equatable, Sendable {
  case nanoseconds, microseconds, milliseconds, seconds, minutes, hours

  /// As the clients of both versions write it; nil for what none of them writes.
  public init?(_ text: String) {
    switch text {
    case "", "n", "ns": self = .nanoseconds
    case "u", "us", "µ", "µs": self = .microseconds
    case "ms": self = .milliseconds
    case "s": self = .seconds
    case "m": self = .minutes
    case "h": self = .hours
    default: return nil
    }
  }
  /// µs since 2000-01-01 UTC of a time since 1970; nil when it does not fit.
  func microsecondsSince2000(_ time: Int64) -> Int64? {
    let scale: Int64
    switch self {
    case .nanoseconds:
      // Downwards, also before 1970.
      return (time >= 0 ? time / 1000 : (time + 1) / 1000 - 1) - 946_684_800_000_000
    case .microseconds: scale = 1
    case .milliseconds: scale = 1000
    case .seconds: scale = 1_000_000
    case .minutes: scale = 60_000_000
    case .hours: scale = 3_600_000_000
    }
    let (microseconds, overflow) = time.multipliedReportingOverflow(by: scale)
    if overflow { return nil }
    let (shifted, underflow) = microseconds.subtractingReportingOverflow(946_684_800_000_000)
    return underflow ? nil : shifted
  }
}

/// Why a line is refused.
public enum InfluxFaultKind: Error, Equatable, Sendable {
  case notUTF8, noMeasurement, badTag, repeatedTag, noFields, badField, badNumber, outOfRange, badBoolean, openString
  case badTime, nameLength, controlCharacter, tooManyTags, tooMuch, tooLong

  public var text: String {
    switch self {
    case .notUTF8: "not valid UTF-8"
    case .noMeasurement: "missing measurement"
    case .badTag: "a tag has to be key=value"
    case .repeatedTag: "duplicate tags"
    case .noFields: "missing fields"
    case .badField: "a field has to be key=value"
    case .badNumber: "invalid number"
    case .outOfRange: "number out of range"
    case .badBoolean: "invalid field value: neither a number nor a boolean nor a quoted string"
    case .openString: "unbalanced quotes"
    case .badTime: "bad timestamp"
    case .nameLength: "measurement and field together, host and app have to have 1 to 200 bytes"
    case .controlCharacter: "a name holds a control character"
    case .tooManyTags: "more than 64 tags"
    case .tooMuch: "tags and texts of more than 8 KiB, or fields times tags of more than 1 MiB"
    case .tooLong: "the line is longer than 64 KiB"
    }
  }
}

enum InfluxValue: Equatable {
  case float(Double)
  case integer(Int64)
  case unsigned(UInt64)
  case boolean(Bool)
  case text(String)

  /// As a metric has it; integers above 2^53 are rounded to the nearest.
  var number: Double? {
    switch self {
    case .float(let value): value
    case .integer(let value): Double(value)
    case .unsigned(let value): Double(value)
    case .boolean(let value): value ? 1 : 0
    case .text: nil
    }
  }
}
struct InfluxPair<Value> {
  var key: String
  var value: Value
}

struct InfluxPoint {
  var measurement: String
  var tags: [InfluxPair<String>] = []
  var fields: [InfluxPair<InfluxValue>] = []
  /// As it was written; nil when it was left out.
  var time: Int64?
}

/// Reads one line, `bytes[start..<end]`, which is neither empty nor a comment.
struct InfluxScanner {
  private let bytes: [UInt8]
  private var at: Int
  private var end: Int
  static let maxTags = 64

  init(_ bytes: [UInt8], _ start: Int, _ end: Int) {
    (self.bytes, at, self.end) = (bytes, start, end)
    while self.end > at, isBlank(bytes[self.end - 1]) || bytes[self.end - 1] == 0x0d { self.end -= 1 }
    skipBlanks()
  }
  /// Nothing to read: an empty line or a comment.
  var isBlankOrComment: Bool { at == end || bytes[at] == UInt8(ascii: "#") }

  mutating func point() throws(InfluxFaultKind) -> InfluxPoint {
    var point = InfluxPoint(measurement: try word(stops: { $0 == 0x2c }, escapes: { $0 == 0x2c || $0 == 0x20 }))
    if point.measurement.isEmpty { throw .noMeasurement }
    while take(UInt8(ascii: ",")) {
      if point.tags.count == InfluxScanner.maxTags { throw .tooManyTags }
      let key = try word(stops: { $0 == 0x2c || $0 == 0x3d }, escapes: isSpecial)
      guard !key.isEmpty, take(UInt8(ascii: "=")) else { throw .badTag }
      let value = try word(stops: { $0 == 0x2c || $0 == 0x3d }, escapes: isSpecial)
      if value.isEmpty || peek == UInt8(ascii: "=") { throw .badTag }
      if point.tags.contains(where: { $0.key == key }) { throw .repeatedTag }
      point.tags.append(InfluxPair(key: key, value: value))
    }
    skipBlanks()
    if at == end { throw .noFields }
    repeat {
      let key = try word(stops: { $0 == 0x2c || $0 == 0x3d }, escapes: isSpecial)
      guard !key.isEmpty, take(UInt8(ascii: "=")) else { throw .badField }
      point.fields.append(InfluxPair(key: key, value: try value()))
    } while take(UInt8(ascii: ","))
    skipBlanks()
    if at < end { point.time = try time() }
    return point
  }

  private var peek: UInt8? { at < end ? bytes[at] : nil }
  private mutating func take(_ byte: UInt8) -> Bool {
    if peek == byte {
      at += 1
      return true
    }
    return false
  }
  private mutating func skipBlanks() { while at < end, isBlank(bytes[at]) { at += 1 } }
  private func isBlank(_ c: UInt8) -> Bool { c == 0x20 || c == 0x09 }
  private var isSpecial: (UInt8) -> Bool { { $0 == 0x2c || $0 == 0x3d || $0 == 0x20 } }

  /// Up to a blank or one of `stops`. A backslash takes the special meaning from one of `escapes` and is itself elsewhere.
  private mutating func word(
    stops: (UInt8) -> Bool, escapes: (UInt8) -> Bool
  ) throws(InfluxFaultKind) -> String {
    let start = at
    var unescaped: [UInt8]?
    while at < end, case let c = bytes[at], c != 0x20, !stops(c) {
      if c == UInt8(ascii: "\\"), at + 1 < end, escapes(bytes[at + 1]) {
        // In place: a copy for each of many escapes would cost the length of the word squared.
        if unescaped == nil { unescaped = Array(bytes[start..<at]) }
        unescaped?.append(bytes[at + 1])
        at += 2
      } else {
        unescaped?.append(c)
        at += 1
      }
    }
    guard let text = String(validating: unescaped ?? Array(bytes[start..<at]), as: UTF8.self) else { throw .notUTF8 }
    return text
  }

  private mutating func value() throws(InfluxFaultKind) -> InfluxValue {
    if take(UInt8(ascii: "\"")) { return .text(try quoted()) }
    let start = at
    while at < end, bytes[at] != 0x2c, bytes[at] != 0x20 { at += 1 }
    if start == at { throw .badField }
    let token = bytes[start..<at]
    switch bytes[at - 1] {
    case UInt8(ascii: "i"): return .integer(try whole(token.dropLast(), as: Int64.self))
    case UInt8(ascii: "u"): return .unsigned(try whole(token.dropLast(), as: UInt64.self))
    default: break
    }
    let text = String(decoding: token, as: UTF8.self)
    switch text {
    case "t", "T", "true", "True", "TRUE": return .boolean(true)
    case "f", "F", "false", "False", "FALSE": return .boolean(false)
    default: break
    }
    guard let first = token.first, first == 0x2d || first == 0x2e || (48...57).contains(first) else {
      throw .badBoolean
    }
    guard isDecimal(token, allowsPlus: false), let value = Double(text) else { throw .badNumber }
    if !value.isFinite { throw .outOfRange }
    return .float(value)
  }
  private mutating func quoted() throws(InfluxFaultKind) -> String {
    var text: [UInt8] = []
    while at < end {
      let c = bytes[at]
      at += 1
      if c == UInt8(ascii: "\"") {
        guard let valid = String(validating: text, as: UTF8.self) else { throw .notUTF8 }
        if let next = peek, next != 0x2c, next != 0x20 { throw .openString }
        return valid
      }
      if c == UInt8(ascii: "\\"), let next = peek, next == UInt8(ascii: "\"") || next == c {
        text.append(next)
        at += 1
      } else {
        text.append(c)
      }
    }
    throw .openString
  }
  private func whole<Number: FixedWidthInteger>(
    _ digits: ArraySlice<UInt8>, as type: Number.Type
  ) throws(InfluxFaultKind) -> Number {
    let magnitude = digits.first == UInt8(ascii: "-") ? digits.dropFirst() : digits
    guard !magnitude.isEmpty, magnitude.allSatisfy({ (48...57).contains($0) }) else { throw .badNumber }
    guard let value = Number(String(decoding: digits, as: UTF8.self)) else { throw .outOfRange }
    return value
  }
  private mutating func time() throws(InfluxFaultKind) -> Int64 {
    let digits = bytes[at..<end]
    at = end
    let magnitude = digits.first == UInt8(ascii: "-") ? digits.dropFirst() : digits
    guard !magnitude.isEmpty, magnitude.allSatisfy({ (48...57).contains($0) }),
      let value = Int64(String(decoding: digits, as: UTF8.self))
    else { throw .badTime }
    return value
  }
}

/// Digits with at most one point among them, and perhaps an exponent: nothing else that `Double(_: String)` knows.
func isDecimal(_ token: ArraySlice<UInt8>, allowsPlus: Bool) -> Bool {
  var rest = token
  if rest.first == UInt8(ascii: "-") || allowsPlus && rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
  func digits() -> Int {
    let all = rest.prefix { (48...57).contains($0) }
    rest = rest.dropFirst(all.count)
    return all.count
  }
  var count = digits()
  if rest.first == UInt8(ascii: ".") {
    rest = rest.dropFirst()
    count += digits()
  }
  if count == 0 { return false }
  if let e = rest.first, e | 0x20 == UInt8(ascii: "e") {
    rest = rest.dropFirst()
    if rest.first == UInt8(ascii: "-") || rest.first == UInt8(ascii: "+") { rest = rest.dropFirst() }
    if digits() == 0 { return false }
  }
  return rest.isEmpty
}
