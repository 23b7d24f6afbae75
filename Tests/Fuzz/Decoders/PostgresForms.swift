// What PostgreSQL takes, written down a second time and without the decoders' own scanning functions: rows of binary
// COPY (manual, COPY, "Binary Format"), jsonb (datatype-json, and the bounds of numeric), texts without zero bytes.
@testable import Telemetry

/// The rows and names of a batch as bytes, to be compared.
struct Rows: Equatable, CustomStringConvertible {
  var tables: [Table: [UInt8]] = [:]
  var names: [UInt8]
  var claims: [Claim]
  var rejects: [Reject]
  var count: Int

  /// Throws when PostgreSQL would refuse a row.
  init(_ batch: borrowing Batch, _ window: TimeWindow) throws(Broken) {
    (claims, rejects, count) = (batch.claims, batch.rejects, batch.rowCount)
    names = unsafe batch.withBytes(of: batch.nameSlice) { unsafe Array($0) }
    for slice in batch.slices(of: 0..<batch.rowCount) {
      let bytes = unsafe batch.withBytes(of: slice) { unsafe Array($0) }
      tables[slice.table] = bytes
      var reader = RowReader(bytes: bytes)
      for _ in 0..<slice.rows { try reader.row(of: slice.table, window) }
      try hold(reader.isAtEnd, "\(slice.table) has more bytes than rows")
    }
    var reader = RowReader(bytes: names)
    for _ in 0..<batch.nameCount { try reader.row(of: .name, window) }
    try hold(reader.isAtEnd, "names have more bytes than rows")
  }
  var description: String {
    let texts = tables.sorted { $0.key.rawValue < $1.key.rawValue }.map { table, bytes in
      "\(table): \(printable(bytes))"
    }
    return texts.joined(separator: "\n") + "\nrejects: \(rejects) claims: \(claims)"
  }
}

/// Bytes for a person who looks at a finding.
func printable(_ bytes: some Collection<UInt8>) -> String {
  bytes.map { byte in
    byte >= 0x20 && byte < 0x7f ? String(UnicodeScalar(byte)) : "\\" + String(UInt(byte) + 0x100, radix: 16).dropFirst()
  }.joined()
}

private struct RowReader {
  let bytes: [UInt8]
  private var at = 0
  var isAtEnd: Bool { at == bytes.count }
  init(bytes: [UInt8]) { self.bytes = bytes }

  private mutating func number(_ size: Int) throws(Broken) -> Int64 {
    try hold(at + size <= bytes.count, "a row ends too early")
    var value: Int64 = bytes[at] >= 0x80 ? -1 : 0
    for byte in bytes[at..<at + size] { value = value << 8 | Int64(byte) }
    at += size
    return value
  }
  mutating func row(of table: Table, _ window: TimeWindow) throws(Broken) {
    let columns = "\(table.columns)".split(separator: ",")
    let found = try number(2)
    try hold(found == Int64(columns.count), "\(table) has rows of \(found) columns")
    for column in columns {
      let size = Int(try number(4))
      if size == -1 { continue }
      try hold(size >= 0 && size <= bytes.count - at, "\(table).\(column) has \(size) bytes")
      try check(String(column), size, table, window)
    }
  }
  private mutating func check(_ column: String, _ size: Int, _ table: Table, _ window: TimeWindow) throws(Broken) {
    let value = bytes[at..<at + size]
    switch column {
    case "txn", "message", "source", "reason", "name", "method", "path", "client", "session", "referrer", "agent":
      try hold(String(validating: value, as: UTF8.self) != nil, "\(table).\(column) is no UTF-8: \(printable(value))")
      try hold(!value.contains(0), "\(table).\(column) holds a zero byte")
      if column == "name" && table == .name {
        let hasControls = value.contains { $0 < 0x20 || $0 == 0x7f }
        try hold((1...200).contains(size) && !hasControls || isPattern, "a name is \"\(printable(value))\"")
      }
    case "raw": try hold(size <= 65_536, "\(size) bytes are kept of a refused record")
    case "attrs", "labels":
      try hold(value.first == 1, "\(table).\(column) has no version")
      var json = JSONB(Array(value.dropFirst()))
      try json.check(table == .metric ? "labels" : "attrs")
    case "trace_id": try hold(size == 16, "a trace of \(size) bytes")
    case "value", "cpu":
      try hold(size == 8, "a double of \(size) bytes")
      let bits = try number(8)
      try hold(Double(bitPattern: UInt64(bitPattern: bits)).isFinite, "\(table).\(column) is not finite")
      return
    case "severity", "kind", "code":
      try hold(size == 2, "\(column) of \(size) bytes")
      let number = try number(2)
      if column == "kind" && table == .name { isPattern = number == Int64(NameKind.pattern.rawValue) }
      if column == "severity" { try hold((0...7).contains(number), "a severity of \(number)") }
      if column == "code" { try hold((100...599).contains(number), "a code of \(number)") }
      return
    default:
      try hold(size == 8, "\(table).\(column) of \(size) bytes")
      let number = try number(8)
      if column == "ts" { try hold(number >= window.from && number < window.until, "a time of \(number)") }
      return
    }
    at += size
  }
  /// Patterns of messages are no names: they may be longer.
  private var isPattern = false
}

/// Whether jsonb takes a text.
struct JSONB {
  private let bytes: [UInt8]
  private var at = 0
  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func check(_ what: String) throws(Broken) {
    guard String(validating: bytes, as: UTF8.self) != nil else { throw wrong(what, "is no UTF-8") }
    guard peek == UInt8(ascii: "{") else { throw wrong(what, "is no object") }
    guard value(0), space(), at == bytes.count else { throw wrong(what, "is no JSON at byte \(at)") }
  }
  private func wrong(_ what: String, _ why: String) -> Broken { Broken("\(what) \(why): \(printable(bytes))") }

  private var peek: UInt8? { at < bytes.count ? bytes[at] : nil }
  private mutating func space() -> Bool {
    while let byte = peek, byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d { at += 1 }
    return true
  }
  private mutating func take(_ byte: UInt8) -> Bool {
    guard peek == byte else { return false }
    at += 1
    return true
  }
  private mutating func word(_ text: String) -> Bool { text.utf8.allSatisfy { take($0) } }

  /// PostgreSQL's own bound of depth is its stack, some six thousand levels.
  private mutating func value(_ depth: Int) -> Bool {
    guard space(), depth < 1000, let byte = peek else { return false }
    switch byte {
    case UInt8(ascii: "{"): return members(depth, UInt8(ascii: "}"), isObject: true)
    case UInt8(ascii: "["): return members(depth, UInt8(ascii: "]"), isObject: false)
    case UInt8(ascii: "\""): return string()
    case UInt8(ascii: "t"): return word("true")
    case UInt8(ascii: "f"): return word("false")
    case UInt8(ascii: "n"): return word("null")
    default: return number()
    }
  }
  private mutating func members(_ depth: Int, _ end: UInt8, isObject: Bool) -> Bool {
    at += 1
    if space(), take(end) { return true }
    while true {
      if isObject { guard space(), string(), space(), take(UInt8(ascii: ":")) else { return false } }
      guard value(depth + 1), space() else { return false }
      if take(end) { return true }
      guard take(UInt8(ascii: ",")) else { return false }
    }
  }
  private mutating func string() -> Bool {
    guard take(UInt8(ascii: "\"")) else { return false }
    while let byte = peek {
      at += 1
      switch byte {
      case UInt8(ascii: "\""): return true
      case 0..<0x20: return false
      case UInt8(ascii: "\\"): if !escape() { return false }
      default: break
      }
    }
    return false
  }
  private mutating func escape() -> Bool {
    guard let byte = peek else { return false }
    at += 1
    guard byte == UInt8(ascii: "u") else { return Array("\"\\/bfnrt".utf8).contains(byte) }
    guard let first = unit(), first != 0 else { return false }
    if first & 0xfc00 == 0xdc00 { return false }
    guard first & 0xfc00 == 0xd800 else { return true }
    guard word("\\u"), let second = unit() else { return false }
    return second & 0xfc00 == 0xdc00
  }
  private mutating func unit() -> Int? {
    guard at + 4 <= bytes.count, bytes[at..<at + 4].allSatisfy({ UnicodeScalar($0).properties.isASCIIHexDigit }) else {
      return nil
    }
    defer { at += 4 }
    return Int(String(decoding: bytes[at..<at + 4], as: UTF8.self), radix: 16)
  }
  /// numeric has 131,072 digits before its point and 16,383 behind it.
  private mutating func number() -> Bool {
    _ = take(UInt8(ascii: "-"))
    let before = digits()
    if before.isEmpty || before.count > 1 && before.first == 0x30 { return false }
    var behind = 0
    if take(UInt8(ascii: ".")) {
      behind = digits().count
      if behind == 0 { return false }
    }
    var exponent = 0
    if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
      let isNegative = take(UInt8(ascii: "-"))
      if !isNegative { _ = take(UInt8(ascii: "+")) }
      guard let power = Int(String(decoding: digits(), as: UTF8.self)), power < 1 << 30 else { return false }
      exponent = isNegative ? -power : power
    }
    return before.count + exponent <= 131_072 && behind - exponent <= 16_383
  }
  private mutating func digits() -> ArraySlice<UInt8> {
    let start = at
    while let byte = peek, byte >= 0x30 && byte <= 0x39 { at += 1 }
    return bytes[start..<at]
  }
}
