// JSON values that are passed on as text (attrs, labels) and small objects that are read (hello, replies).
//
// What passes `skipValue` is accepted by PostgreSQL's jsonb: same grammar (RFC 8259), strings as in Texts.swift,
// numbers far inside of what numeric takes, bounded depth.

private let greatestDepth = 32
/// PostgreSQL's numeric takes 131072 digits before and 16383 behind the point.
private let greatestExponent = 1000

/// Skips one value of any kind, checking it in full.
func skipValue(_ bytes: RawSpan, _ at: inout Int, depth: Int = 0) throws(FaultKind) {
  switch byte(bytes, at) {
  case UInt8(ascii: "\""):
    at += 1
    try skipText(bytes, &at)
  case UInt8(ascii: "{"): try skipObject(bytes, &at, depth: depth)
  case UInt8(ascii: "["):
    if depth >= greatestDepth { throw .tooDeep }
    at += 1
    skipBlanks(bytes, &at)
    if take(UInt8(ascii: "]"), bytes, &at) { return }
    while true {
      skipBlanks(bytes, &at)
      try skipValue(bytes, &at, depth: depth + 1)
      skipBlanks(bytes, &at)
      if take(UInt8(ascii: "]"), bytes, &at) { return }
      if !take(UInt8(ascii: ","), bytes, &at) { throw .syntax }
    }
  case UInt8(ascii: "t"): try skipLiteral("true", bytes, &at)
  case UInt8(ascii: "f"): try skipLiteral("false", bytes, &at)
  case UInt8(ascii: "n"): try skipLiteral("null", bytes, &at)
  case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"):
    let number = try scanNumber(bytes, &at)
    if number.digits > greatestExponent || abs(number.writtenExponent) > greatestExponent { throw .tooLarge }
  default: throw .syntax
  }
}

/// Skips an object; `at` goes from its brace to behind it.
func skipObject(_ bytes: RawSpan, _ at: inout Int, depth: Int = 0) throws(FaultKind) {
  if depth >= greatestDepth { throw .tooDeep }
  guard take(UInt8(ascii: "{"), bytes, &at) else { throw .notAnObject }
  skipBlanks(bytes, &at)
  if take(UInt8(ascii: "}"), bytes, &at) { return }
  while true {
    skipBlanks(bytes, &at)
    guard take(UInt8(ascii: "\""), bytes, &at) else { throw .syntax }
    try skipText(bytes, &at)
    skipBlanks(bytes, &at)
    guard take(UInt8(ascii: ":"), bytes, &at) else { throw .syntax }
    skipBlanks(bytes, &at)
    try skipValue(bytes, &at, depth: depth + 1)
    skipBlanks(bytes, &at)
    if take(UInt8(ascii: "}"), bytes, &at) { return }
    if !take(UInt8(ascii: ","), bytes, &at) { throw .syntax }
  }
}

/// Skips a string from behind its opening quote, checking its escapes but leaving them.
private func skipText(_ bytes: RawSpan, _ at: inout Int) throws(FaultKind) {
  while true {
    let stops = stringStops(word(bytes, at))
    if stops == 0 {
      at &+= 8
      continue
    }
    at &+= firstMark(stops)
    switch byte(bytes, at) {
    case UInt8(ascii: "\""):
      at += 1
      return
    case UInt8(ascii: "\\"): _ = try scanEscape(bytes, &at)
    case 0x80...: try skipSequences(bytes, &at)
    default: throw .controlCharacter
    }
  }
}
private func skipLiteral(_ literal: StaticString, _ bytes: RawSpan, _ at: inout Int) throws(FaultKind) {
  let count = literal.utf8CodeUnitCount
  guard prefix(word(bytes, at), count) == key(literal) else { throw .syntax }
  at += count
}

/// A small object as members; for lines that come once a connection or batch, not once a record.
struct SmallObject {
  enum Value {
    case text(String)
    case number(Int64)
    /// A number that is not whole, or too large to be one.
    case decimal(Double)
    case object(SmallObject)
    case truth(Bool)
    case other
  }
  private(set) var members: [(name: String, value: Value)] = []

  /// Nil when the line is no JSON object.
  init?(_ line: some Collection<UInt8>) {
    let padded = Array(line) + Array(repeating: 0x0a, count: padding)
    // Sound: bytes of UInt8 have no padding.
    let bytes = unsafe padded.span.bytes
    var at = 0
    do throws(FaultKind) {
      skipBlanks(bytes, &at)
      self = try SmallObject(bytes, &at, depth: 0)
      skipBlanks(bytes, &at)
      guard byte(bytes, at) == 0x0a else { return nil }
    } catch {
      return nil
    }
  }
  /// From its brace to behind it, in a padded buffer.
  init(_ bytes: RawSpan, _ at: inout Int, depth: Int) throws(FaultKind) {
    var end = at
    try skipObject(bytes, &end, depth: depth)
    // From here on everything is known to be well-formed.
    var scratch = ScratchText(capacity: end - at)
    at += 1
    while true {
      skipBlanks(bytes, &at)
      if take(UInt8(ascii: "}"), bytes, &at) { return }
      if take(UInt8(ascii: ","), bytes, &at) { continue }
      let name = try SmallObject.text(bytes, &at, &scratch)
      skipBlanks(bytes, &at)
      _ = take(UInt8(ascii: ":"), bytes, &at)
      skipBlanks(bytes, &at)
      members.append((name, try SmallObject.value(bytes, &at, &scratch, depth: depth)))
    }
  }
  func text(_ name: String) -> String? {
    if case .text(let text) = self[name] { text } else { nil }
  }
  func number(_ name: String) -> Int64? {
    if case .number(let number) = self[name] { number } else { nil }
  }
  /// Any finite number.
  func double(_ name: String) -> Double? {
    switch self[name] {
    case .number(let number): Double(number)
    case .decimal(let number): number
    case .text, .object, .truth, .other, nil: nil
    }
  }
  func object(_ name: String) -> SmallObject? {
    if case .object(let object) = self[name] { object } else { nil }
  }
  func isTrue(_ name: String) -> Bool {
    if case .truth(true) = self[name] { true } else { false }
  }
  private subscript(name: String) -> Value? { members.first { $0.name == name }?.value }

  private static func value(
    _ bytes: RawSpan, _ at: inout Int, _ scratch: inout ScratchText, depth: Int
  ) throws(FaultKind) -> Value {
    switch byte(bytes, at) {
    case UInt8(ascii: "\""): return .text(try text(bytes, &at, &scratch))
    case UInt8(ascii: "{"): return .object(try SmallObject(bytes, &at, depth: depth + 1))
    case UInt8(ascii: "t"), UInt8(ascii: "f"):
      let isTrue = byte(bytes, at) == UInt8(ascii: "t")
      try skipValue(bytes, &at)
      return .truth(isTrue)
    default:
      let start = at
      try skipValue(bytes, &at)
      var again = start
      if let number = try? scanWhole(bytes, &again), again == at { return .number(number) }  // or another kind
      again = start
      if let number = try? scanDouble(bytes, &again), again == at { return .decimal(number) }  // no number at all
      return .other
    }
  }
  /// The string at `at`, unescaped; `at` goes behind its closing quote.
  static func text(_ bytes: RawSpan, _ at: inout Int) throws(FaultKind) -> String {
    // Never longer than what is left, and mostly far shorter: the end is looked for first.
    var end = at
    guard take(UInt8(ascii: "\""), bytes, &end) else { throw .notText }
    try skipText(bytes, &end)
    var scratch = ScratchText(capacity: end - at)
    return try text(bytes, &at, &scratch)
  }
  private static func text(
    _ bytes: RawSpan, _ at: inout Int, _ scratch: inout ScratchText
  ) throws(FaultKind) -> String {
    guard take(UInt8(ascii: "\""), bytes, &at) else { throw .syntax }
    scratch.count = 0
    let extent = try scanText(bytes, &at, &scratch)
    if extent.start < 0 { return String(decoding: scratch.bytes[0..<extent.count], as: UTF8.self) }
    var text: [UInt8] = []
    for i in extent.start..<extent.start + extent.count { text.append(byte(bytes, i)) }
    return String(decoding: text, as: UTF8.self)
  }
}
